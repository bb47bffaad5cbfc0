//! What a line about a run says, in every list of runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::run::manifest::Manifest;
use crate::run::overview::{Overview, State};
use crate::run::results::{self, Summary};
use crate::run::{Folder, left_out, weights};
use crate::suite;
use crate::train::progress;

/// By the name of a run, of which suites it is a member, as `suite: member`.
pub type Members = BTreeMap<String, BTreeSet<String>>;

/// Above the [`row`]s.
pub const HEADER: [&str; 9] = [
    "run",
    "what",
    "state",
    "epoch",
    "loss",
    "clips/s",
    "left",
    "data",
    "top-1 by frames",
];

/// Where words stand in [`row`], not numbers.
pub const LONG: [usize; 2] = [1, 7];

/// Where the state is in [`row`].
pub const STATE: usize = 2;

/// The cells of a run, below [`HEADER`].
pub fn row(overview: &Overview, members: &Members) -> Vec<String> {
    let manifest = &overview.manifest;
    let name = overview.folder.name();
    let (speed, left) = pace(overview);
    vec![
        name.clone(),
        what(overview, members.get(&name)),
        overview.state.name().to_owned(),
        epochs(overview),
        loss(overview),
        speed,
        left,
        data(manifest),
        top1(overview).join("  "),
    ]
}

/// Those of all suites in a folder. A suite that cannot be read names nobody; `ffn verify` says why.
pub fn members(runs: &Path) -> Members {
    let mut members = Members::new();
    let entries = std::fs::read_dir(runs).into_iter().flatten().flatten();
    let suites = entries.map(|entry| entry.path());
    for path in suites.filter(|path| suite::folder::is_at(path)) {
        let Ok(record) = suite::folder::read_record(&Folder::at(path)) else {
            continue;
        };
        for member in record.members {
            let name = format!("{}: {}", record.name, member.name);
            members.entry(member.run).or_default().insert(name);
        }
    }
    members
}

/// Member, seed, of which weights the results are, and the first of the fields that tell the run from others of its name.
pub fn what(overview: &Overview, members: Option<&BTreeSet<String>>) -> String {
    /// More make a table that nobody reads; `ffn diff` lists all.
    const MOST: usize = 3;
    let differing = overview.differing.iter();
    let fields: Vec<_> = differing.filter(|(path, _)| path != "seed").collect();
    let mut parts: Vec<String> = match members.map(BTreeSet::len) {
        Some(count @ 2..) => vec![format!("in {count} suites")],
        _ => members.into_iter().flatten().cloned().collect(),
    };
    parts.push(format!("seed {}", overview.experiment.seed));
    let train = &overview.experiment.train;
    parts.extend(weights::describe(
        train,
        &overview.manifest,
        &overview.results,
    ));
    let shown = fields.iter().take(MOST);
    parts.extend(shown.map(|(path, value)| format!("{path} {value}")));
    if let Some(more) = fields.len().checked_sub(MOST).filter(|&more| more > 0) {
        parts.push(format!("and {more} more"));
    }
    parts.join(", ")
}

/// `3.4/12`: epochs that are done, of all.
pub fn epochs(overview: &Overview) -> String {
    let manifest = &overview.manifest;
    let epochs = manifest.steps as f64 / manifest.steps_per_epoch.max(1) as f64;
    format!("{:.1}/{epochs}", overview.epoch())
}

/// Mean over the last steps; empty before the first.
pub fn loss(overview: &Overview) -> String {
    let loss = overview.latest.map(|latest| format!("{:.3}", latest.loss));
    loss.unwrap_or_default()
}

/// Clips a second of a run under work, and how long its training still takes.
pub fn pace(overview: &Overview) -> (String, String) {
    let seconds = overview.latest.and_then(|latest| latest.seconds_per_step);
    let Some(seconds) = seconds.filter(|_| overview.state == State::Working) else {
        return Default::default();
    };
    let steps = overview.steps();
    let open = overview.manifest.steps.saturating_sub(steps) as f64;
    let clips = overview.experiment.train.batch as f64;
    (
        format!("{:.1}", clips / seconds.max(1e-9)),
        progress::left(open * seconds),
    )
}

/// Whether the data were checked, and what of them was left out.
pub fn data(manifest: &Manifest) -> String {
    let pinned = match manifest.unpinned() {
        true => "unpinned",
        false => "pinned",
    };
    match left_out::describe(manifest.left_out) {
        None => pinned.to_owned(),
        Some(left_out) => format!("{pinned}, {left_out}"),
    }
}

/// `4: 45.21 %`, for each frame count of the final evaluation; before it of the last one, and after which step that was.
pub fn top1(overview: &Overview) -> Vec<String> {
    let told = |results: &[Summary]| -> Vec<String> {
        let results = results.iter();
        let results = results.map(|s| format!("{}: {:.2} %", s.frames, s.top1_percent()));
        results.collect()
    };
    if overview.manifest.finished {
        return told(&overview.results);
    }
    let evaluations = results::over_training(&overview.folder.eval()).unwrap_or_default();
    let last = results::last_whole(&evaluations, overview.experiment.eval.frames.len());
    let mut words = told(&last);
    words.extend(last.first().map(|s| format!("after step {}", s.step)));
    words
}
