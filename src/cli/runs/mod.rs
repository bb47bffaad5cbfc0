//! `ffn runs`

mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{options, table};
use crate::base::{Error, Kind, Result, Shown, terminal};
use crate::run::manifest::Manifest;
use crate::run::overview::{self, Overview, State};
use crate::run::{Folder, left_out, weights};
use crate::suite;
use crate::train::progress;

const DEFAULT: &str = "runs";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder that holds the runs.
    #[arg(default_value = DEFAULT, value_name = "DIR")]
    runs: PathBuf,

    /// Show what runs where, again and again, until all are finished: step, speed, time left and last loss from the folders,
    /// and what waits or runs from Slurm's queue where there is one.
    #[arg(long)]
    watch: bool,

    /// Seconds between two looks.
    #[arg(long, default_value_t = 5, value_name = "SECONDS", requires = "watch", value_parser = options::count::<u32>)]
    every: u32,
}

pub fn run(args: Args) -> Result<()> {
    if !args.runs.exists() && args.runs != Path::new(DEFAULT) {
        let message = format!("there is no folder `{}`", args.runs.shown());
        let hint = "runs are in the folder that `ffn run --out` names, `runs` without it";
        return Err(Error::new(Kind::Usage, message).hint(hint));
    }
    if args.watch {
        return watch::watch(&args.runs, Duration::from_secs(args.every.into()));
    }
    let (overviews, errors) = overview::list(&args.runs)?;
    if overviews.is_empty() && errors.is_empty() {
        terminal::line(format_args!("no runs in `{}`", args.runs.shown()))?;
        return Ok(());
    }
    let members = members(&args.runs);
    let rows: Vec<_> = overviews.iter().map(|run| row(run, &members)).collect();
    let header = [
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
    terminal::print(table::render_words(&header, &rows))?;
    match errors.is_empty() {
        true => Ok(()),
        false => Err(unreadable(&errors)),
    }
}

/// Of which suites a run is a member, as `suite: member`, by the run's name. A suite that cannot be read names nobody;
/// `ffn verify` says why.
fn members(runs: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let mut members: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
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

fn row(overview: &Overview, members: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let manifest = &overview.manifest;
    let results = overview.results.iter();
    let results = results.map(|s| format!("{}: {:.2} %", s.frames, s.top1_percent()));
    let epochs = manifest.steps as f64 / manifest.steps_per_epoch.max(1) as f64;
    let name = overview.folder.name();
    let (speed, left) = pace(overview);
    vec![
        name.clone(),
        what(overview, members.get(&name)),
        overview.state.name().to_owned(),
        format!("{:.1}/{epochs}", overview.epoch()),
        loss(overview),
        speed,
        left,
        data(manifest),
        results.collect::<Vec<_>>().join("  "),
    ]
}

/// Member, seed, of which weights the results are, and the first of the fields that tell the run from others of its name.
fn what(overview: &Overview, members: Option<&BTreeSet<String>>) -> String {
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

/// Mean over the last steps; empty before the first.
fn loss(overview: &Overview) -> String {
    let loss = overview.latest.map(|latest| format!("{:.3}", latest.loss));
    loss.unwrap_or_default()
}

/// Clips a second of a run under work, and how long its training still takes.
fn pace(overview: &Overview) -> (String, String) {
    let seconds = overview.latest.and_then(|latest| latest.seconds_per_step);
    let Some(seconds) = seconds.filter(|_| overview.state == State::Working) else {
        return Default::default();
    };
    let steps = overview.latest.map_or(0, |latest| latest.steps);
    let open = overview.manifest.steps.saturating_sub(steps) as f64;
    let clips = overview.experiment.train.batch as f64;
    (
        format!("{:.1}", clips / seconds.max(1e-9)),
        progress::left(open * seconds),
    )
}

/// Whether the data were checked, and what of them was left out.
fn data(manifest: &Manifest) -> String {
    let pinned = match manifest.unpinned() {
        true => "unpinned",
        false => "pinned",
    };
    match left_out::describe(manifest.left_out) {
        None => pinned.to_owned(),
        Some(left_out) => format!("{pinned}, {left_out}"),
    }
}

fn unreadable(errors: &[Error]) -> Error {
    let messages: Vec<&str> = errors.iter().map(|e| e.message.as_str()).collect();
    Error::new(Kind::Run, messages.join("\n"))
        .hint("`ffn verify RUN` tells everything that is wrong with a run")
}
