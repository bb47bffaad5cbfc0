//! Suites in `ffn run`: their locks, their tables, what became of their claims.

use std::path::Path;

use super::table;
use crate::base::{Result, Shown, terminal};
use crate::report::verdicts::{self, INTERVAL};
use crate::run::Working;
use crate::spec::Suite;
use crate::suite::evidence::Evidence;
use crate::suite::{self, Judged, Verdict, folder};

/// Locks the folders of all suites and writes what they consist of.
pub fn lock_all(suites: &[&Suite], runs: &Path) -> Result<Vec<Working>> {
    let lock = |suite: &&Suite| {
        let folder = folder::of(runs, suite).lock()?;
        folder::begin(&folder, suite, runs)?;
        Ok(folder)
    };
    suites.iter().map(lock).collect()
}

/// Writes what all suites consist of and lets their locks go, for runs that work on single members. Who holds a lock has
/// written the same.
pub fn note_all(suites: &[&Suite], runs: &Path) -> Result<()> {
    for suite in suites {
        let folder = folder::of(runs, suite);
        let record = folder::record(suite, runs);
        if folder::read_record(&folder).is_ok_and(|found| found == record) {
            continue;
        }
        if let Some(folder) = folder.try_lock()? {
            folder::begin(&folder, suite, runs)?;
        }
    }
    Ok(())
}

/// Judges a suite's claims, writes and prints the verdicts.
pub fn judge(suite: &Suite, folder: &Working, runs: &Path) -> Result<Vec<Judged>> {
    let judged = suite::judge(suite, runs)?;
    folder.check_in_place()?;
    folder::write_verdicts(folder, &judged)?;
    let members = members(suite, runs)?;
    let place = folder.join(folder::VERDICTS);
    terminal::tell(format_args!("\n{members}"));
    if !judged.is_empty() {
        terminal::tell(format_args!("\n{}", claims(suite, &judged)));
    }
    terminal::tell(format_args!("\n{}\n", place.shown()));
    Ok(judged)
}

/// Top-1 of every member at every frame count, over its seeds.
fn members(suite: &Suite, runs: &Path) -> Result<String> {
    let mut rows = Vec::new();
    for member in &suite.members {
        for &frames in &member.experiment.eval.frames {
            let found = suite::judge::top1(member, frames, &mut Evidence::new(runs))?;
            let Some(found) = found else {
                continue;
            };
            rows.push(vec![
                member.name.clone(),
                frames.to_string(),
                format!("{:.2} %", found.interval.value),
                format!("[{:.2}, {:.2}]", found.interval.low, found.interval.high),
                member.seeds.len().to_string(),
                found.clips.to_string(),
            ]);
        }
    }
    let header = ["member", "frames", "top-1", INTERVAL, "seeds", "clips"];
    Ok(table::render(&header, &rows))
}

/// What became of each claim, and below what the words mean.
fn claims(suite: &Suite, judged: &[Judged]) -> String {
    let rows = suite.claims.iter().zip(judged).map(|(claim, judged)| {
        // What is counted, and not estimated from clips, has no interval to speak of.
        let interval = (judged.clips > 0).then(|| verdicts::interval(judged));
        vec![
            judged.verdict.word().to_owned(),
            judged.id.clone(),
            match judged.value {
                Some(value) => suite::finding(&claim.quantity, value),
                None => verdicts::value(judged),
            },
            interval.unwrap_or_default(),
            suite::bound(claim.is),
        ]
    });
    let rows: Vec<_> = rows.collect();
    let header = ["verdict", "claim", "measured", INTERVAL, "claimed"];
    let mut text = table::render_words(&header, &rows);
    text += "\n[ ]: by bootstrap over clips and seeds. shown: the whole interval is as claimed; refuted: no part of it";
    let is_open = |judged: &&Judged| judged.verdict == Verdict::Inconclusive;
    let (measured, missing): (Vec<_>, Vec<_>) = judged
        .iter()
        .filter(is_open)
        .partition(|judged| judged.value.is_some());
    if !measured.is_empty() {
        text += ";\nopen: a part of it, more seeds or clips would tell";
    }
    if !missing.is_empty() {
        text += ";\nopen without an interval: a run is not there to be measured";
    }
    if suite.members.iter().any(|member| member.seeds.len() == 2) {
        text += ".\nOver two seeds an interval is four times as wide as over three that vary alike";
    }
    text + "\n"
}
