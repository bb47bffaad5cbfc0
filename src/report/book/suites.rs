//! References to suites. Each links to the suite's page.

use super::expand::Expander;
use super::functions::argument;
use crate::base::{Error, Kind, Result};
use crate::report::numbers::{percent, points};
use crate::report::source::{Run, Suite, frame_counts};
use crate::report::table;
use crate::report::verdicts;
use crate::suite::{Judged, MemberRun};

/// Where a suite's page is, below the book's source folder.
pub fn page(suite: &str) -> String {
    format!("suites/{suite}.md")
}

impl<'a> Expander<'a> {
    /// A suite that a page refers to: it gets a page of its own, and so do its runs.
    pub fn suite(&mut self, name: &str) -> Result<&'a Suite> {
        let suite = self.catalogue.suite(name)?;
        self.suites.insert(suite.name());
        self.runs
            .extend(suite.record.members.iter().map(|m| m.run.clone()));
        Ok(suite)
    }

    fn cite_suite(&self, suite: &str, text: &str, file: &str) -> String {
        format!("[{text}]({}{} \"{file} of {suite}\")", self.up, page(suite))
    }
}

/// `pass, 41.56 points [36.25, 47.00]`
pub fn claim(expander: &mut Expander<'_>, args: &[&str]) -> Result<String> {
    let (suite, id) = (expander.suite(argument(args, 0))?, argument(args, 1));
    let judged = suite.verdicts.iter().find(|judged| judged.id == id);
    let judged = judged.ok_or_else(|| {
        let known: Vec<&str> = suite.verdicts.iter().map(|j| j.id.as_str()).collect();
        let message = format!(
            "the suite `{}` has no claim `{id}`; it has {}",
            suite.name(),
            known.join(", ")
        );
        Error::new(Kind::Run, message)
    })?;
    let text = format!(
        "{}, {} {}",
        judged.verdict.name(),
        verdicts::value(judged),
        verdicts::interval(judged)
            .replace('[', "\\[")
            .replace(']', "\\]")
    );
    Ok(expander.cite_suite(&suite.name(), text.trim(), "verdicts.json"))
}

/// Every claim with its verdict.
pub fn verdicts(expander: &mut Expander<'_>, args: &[&str]) -> Result<String> {
    let suite = expander.suite(argument(args, 0))?;
    let row = |judged: &Judged| {
        let cells = verdicts::row(judged);
        let mut cells: Vec<String> = cells.iter().map(|c| table::escape_markdown(c)).collect();
        if let Some(last) = cells.last_mut() {
            *last = expander.cite_suite(&suite.name(), &format!("**{last}**"), "verdicts.json");
        }
        cells
    };
    let rows: Vec<Vec<String>> = suite.verdicts.iter().map(row).collect();
    let header = verdicts::HEADER.map(str::to_owned);
    Ok(table::markdown(&header, &rows))
}

/// Top-1 of each member by frame count, over its seeds.
pub fn members(expander: &mut Expander<'_>, args: &[&str]) -> Result<String> {
    let suite = expander.suite(argument(args, 0))?;
    let mut runs = Vec::new();
    for member in &suite.record.members {
        runs.push((member, expander.run(&member.run)?));
    }
    let counts = frame_counts(runs.iter().map(|(_, run)| *run));
    let mut header = vec!["member".to_owned(), "seeds".to_owned()];
    header.extend(counts.iter().map(|frames| format!("{frames} frames")));
    header.push("deviation".to_owned());
    let rows = groups(&runs).into_iter().map(|(label, runs)| {
        let mut row = vec![table::escape_markdown(&label), runs.len().to_string()];
        for &frames in &counts {
            let top1 = runs.iter().filter_map(|run| run.result(frames).ok());
            let top1 = spread(top1.map(|summary| summary.top1_percent()), percent);
            row.push(expander.cite_suite(&suite.name(), &top1, "suite.json"));
        }
        let deviations = runs.iter().filter_map(|run| run.widest_deviation());
        row.push(spread(deviations, points));
        row
    });
    let rows: Vec<Vec<String>> = rows.collect();
    Ok(table::markdown(&header, &rows))
}

/// Runs that differ in the seed alone, under the member's name with what its grid chose.
fn groups<'a>(runs: &[(&MemberRun, &'a Run)]) -> Vec<(String, Vec<&'a Run>)> {
    let mut groups: Vec<(String, Vec<&Run>)> = Vec::new();
    for (member, run) in runs {
        let chosen = member.variant.iter().filter(|(field, _)| *field != "seed");
        let chosen: String = chosen
            .map(|(field, value)| format!(", {field} {value}"))
            .collect();
        let label = format!("{}{chosen}", member.name);
        match groups.iter_mut().find(|(known, _)| *known == label) {
            Some((_, group)) => group.push(run),
            None => groups.push((label, vec![run])),
        }
    }
    groups
}

/// The mean, and the least and the most where there are several.
fn spread(values: impl Iterator<Item = f64>, shown: fn(f64) -> String) -> String {
    let values: Vec<f64> = values.collect();
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match values.len() {
        0 => "–".to_owned(),
        1 => shown(mean),
        _ => format!("{} ({least:.2} to {most:.2})", shown(mean)),
    }
}
