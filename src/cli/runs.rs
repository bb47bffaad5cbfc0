//! `ffn runs`

use std::path::PathBuf;

use super::table;
use crate::base::{Error, Kind, Result, Shown, terminal};
use crate::run::left_out;
use crate::run::manifest::Manifest;
use crate::run::overview::{self, Overview};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder that holds the runs.
    #[arg(default_value = "runs", value_name = "DIR")]
    runs: PathBuf,
}

pub fn run(args: Args) -> Result<()> {
    let (overviews, errors) = overview::list(&args.runs)?;
    if overviews.is_empty() && errors.is_empty() {
        terminal::line(format_args!("no runs in `{}`", args.runs.shown()))?;
        return Ok(());
    }
    let rows: Vec<_> = overviews.iter().map(row).collect();
    let header = [
        "run",
        "identity",
        "state",
        "epoch",
        "data",
        "top-1 by frames",
    ];
    terminal::print(table::render(&header, &rows))?;
    match errors.is_empty() {
        true => Ok(()),
        false => Err(unreadable(&errors)),
    }
}

fn row(overview: &Overview) -> Vec<String> {
    let manifest = &overview.manifest;
    let results = overview.results.iter();
    let results = results.map(|s| format!("{}: {:.2} %", s.frames, s.top1_percent()));
    let epochs = manifest.steps as f64 / manifest.steps_per_epoch.max(1) as f64;
    vec![
        overview.folder.name(),
        manifest.identity.get(..8).unwrap_or_default().to_owned(),
        overview.state.name().to_owned(),
        format!("{:.1}/{epochs}", overview.epoch()),
        data(manifest),
        results.collect::<Vec<_>>().join("  "),
    ]
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
