//! `ffn runs`

mod watch;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{options, table};
use crate::base::{Error, Kind, Result, Shown, terminal};
use crate::report::listing;
use crate::run::overview;

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
    let members = listing::members(&args.runs);
    let rows: Vec<_> = overviews
        .iter()
        .map(|run| listing::row(run, &members))
        .collect();
    terminal::print(table::render_words(&listing::HEADER, &rows))?;
    match errors.is_empty() {
        true => Ok(()),
        false => Err(unreadable(&errors)),
    }
}

fn unreadable(errors: &[Error]) -> Error {
    let messages: Vec<&str> = errors.iter().map(|e| e.message.as_str()).collect();
    Error::new(Kind::Run, messages.join("\n"))
        .hint("`ffn verify RUN` tells everything that is wrong with a run")
}
