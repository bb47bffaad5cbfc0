//! Suites in `ffn run`: their locks, their tables, what became of their claims.

use std::path::Path;

use super::table;
use crate::base::{Result, Shown, terminal};
use crate::report::verdicts;
use crate::run::Working;
use crate::spec::Suite;
use crate::suite::evidence::Evidence;
use crate::suite::{self, Judged, folder};

/// Locks the folders of all suites and writes what they consist of.
pub fn lock_all(suites: &[&Suite], runs: &Path) -> Result<Vec<Working>> {
    let lock = |suite: &&Suite| {
        let folder = folder::of(runs, suite).lock()?;
        folder::begin(&folder, suite, runs)?;
        Ok(folder)
    };
    suites.iter().map(lock).collect()
}

/// Judges a suite's claims, writes and prints the verdicts. The inner result says whether all of them pass.
pub fn conclude(suite: &Suite, folder: &Working, runs: &Path) -> Result<Result<()>> {
    let judged = suite::judge(suite, runs)?;
    folder.check_in_place()?;
    folder::write_verdicts(folder, &judged)?;
    let (members, claims) = (members(suite, runs)?, claims(&judged));
    let place = folder.join(folder::VERDICTS);
    terminal::tell(format_args!("\n{members}\n{claims}\n{}\n", place.shown()));
    Ok(suite::conclude(&suite.name, &judged))
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
    let header = [
        "member",
        "frames",
        "top-1",
        "95 % interval",
        "seeds",
        "clips",
    ];
    Ok(table::render(&header, &rows))
}

fn claims(judged: &[Judged]) -> String {
    let row = |judged: &Judged| {
        // What is counted, and not estimated from clips, has no interval to speak of.
        let interval = (judged.clips > 0).then(|| verdicts::interval(judged));
        vec![
            judged.verdict.name().to_owned(),
            judged.id.clone(),
            judged.sentence.clone(),
            verdicts::value(judged),
            interval.unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = judged.iter().map(row).collect();
    table::render_words(&["verdict", "claim", "says", "measured", "interval"], &rows)
}
