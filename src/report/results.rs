//! The tables of `ffn report`: top-1 by frame count, operations, parameters, deviation; for suites the verdicts.

use super::numbers::{giga, percent, points, thousands};
use super::source::{Run, Suite, frame_counts};
use super::table::Table;
use super::verdicts;
use crate::analysis::interval::wilson;
use crate::base::Result;
use crate::run::left_out::describe;
use crate::suite::MemberRun;

/// Runs that a table tells as one: the seeds of a member, or a run alone.
struct Row<'a> {
    label: String,
    runs: Vec<&'a Run>,
}

/// A row for each run; top-1 with Wilson's 95 % interval over the clips.
pub fn of_runs(runs: &[Run]) -> Table {
    let rows: Vec<Row<'_>> = runs
        .iter()
        .map(|run| Row {
            label: run.label(),
            runs: vec![run],
        })
        .collect();
    table("run", &rows)
}

/// A row for each member of a suite and what its grid chose; of several seeds the mean, with the least and the most.
pub fn of_members(suite: &Suite) -> Result<Table> {
    let runs = suite.runs()?;
    let members = suite.record.members.iter().zip(&runs);
    Ok(table("member", &grouped(members)))
}

/// A row for each claim.
pub fn of_claims(suite: &Suite) -> Table {
    let mut table = Table::new(&verdicts::HEADER);
    table.rows.extend(suite.verdicts.iter().map(verdicts::row));
    table
}

/// Runs that differ in the seed alone, under the member's name with what its grid chose.
fn grouped<'a>(members: impl Iterator<Item = (&'a MemberRun, &'a Run)>) -> Vec<Row<'a>> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for (member, run) in members {
        let label = member_label(member);
        match rows.iter_mut().find(|row| row.label == label) {
            Some(row) => row.runs.push(run),
            None => rows.push(Row {
                label,
                runs: vec![run],
            }),
        }
    }
    rows
}

/// `tsm, method.lambda 2.0`: a member with what its grid chose, the seed aside.
fn member_label(member: &MemberRun) -> String {
    let chosen = member.variant.iter().filter(|(field, _)| *field != "seed");
    let chosen = chosen.map(|(field, value)| format!(", {field} {value}"));
    format!("{}{}", member.name, chosen.collect::<String>())
}

fn table(first: &str, rows: &[Row<'_>]) -> Table {
    let counts = frame_counts(rows.iter().flat_map(|row| row.runs.iter().copied()));
    let mut header = vec![first.to_owned(), "parameters".to_owned()];
    let listed: Vec<String> = counts.iter().map(usize::to_string).collect();
    header.push(match listed.is_empty() {
        true => "GFLOPs".to_owned(),
        false => format!("GFLOPs at {} frames", listed.join(" / ")),
    });
    header.extend(counts.iter().map(|frames| format!("top-1 at {frames}")));
    header.push("deviation".to_owned());
    Table {
        header,
        rows: rows.iter().map(|row| row.cells(&counts)).collect(),
        note: format!("{}{}", note(rows), left_out(rows)),
    }
}

/// Which rows' runs left training videos out, and at most how many.
fn left_out(rows: &[Row<'_>]) -> String {
    let most = |row: &Row<'_>| row.runs.iter().map(|run| run.manifest.left_out).max();
    let sentences = rows.iter().filter_map(|row| {
        let words = describe(most(row)?)?;
        Some(format!(
            " Training of {}: {words} because of damage.",
            row.label
        ))
    });
    sentences.collect()
}

/// What the brackets say.
fn note(rows: &[Row<'_>]) -> String {
    let one = rows.iter().any(|row| row.runs.len() == 1);
    let several = rows.iter().any(|row| row.runs.len() > 1);
    let mut sentences = Vec::new();
    if one {
        sentences.push("Of one run: Wilson's 95 % interval over its clips.");
    }
    if several {
        sentences.push("Of several seeds: the mean, with the least and the most.");
    }
    sentences.push("Deviation: top-1 at the most frames minus top-1 at the fewest. GFLOPs: 10^9 multiply-adds of a clip.");
    sentences.join(" ")
}

impl Row<'_> {
    fn cells(&self, counts: &[usize]) -> Vec<String> {
        let costs = self.runs.first().map(|run| {
            let costs: Vec<String> = counts.iter().map(|&f| giga(run.gflops(f))).collect();
            (
                thousands(run.graph.parameter_count() as u64),
                costs.join(" / "),
            )
        });
        let (parameters, costs) = costs.unwrap_or_default();
        let mut cells = vec![self.label.clone(), parameters, costs];
        cells.extend(counts.iter().map(|&frames| self.top1(frames)));
        cells.push(spread(
            self.runs.iter().filter_map(|run| run.widest_deviation()),
            points,
        ));
        cells
    }

    fn top1(&self, frames: usize) -> String {
        let results = self.runs.iter().filter_map(|run| run.result(frames).ok());
        let results: Vec<_> = results.collect();
        match results[..] {
            [one] => {
                let (low, high) = wilson(one.top1, one.clips);
                let (low, high) = (100.0 * low, 100.0 * high);
                format!("{} [{low:.2}, {high:.2}]", percent(one.top1_percent()))
            }
            ref several => spread(several.iter().map(|s| s.top1_percent()), percent),
        }
    }
}

/// The mean, with the least and the most where there are several; a dash for none.
fn spread(values: impl Iterator<Item = f64>, shown: fn(f64) -> String) -> String {
    let values: Vec<f64> = values.collect();
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match values.len() {
        0 => "–".to_owned(),
        1 => shown(mean),
        _ => format!("{} [{least:.2}, {most:.2}]", shown(mean)),
    }
}
