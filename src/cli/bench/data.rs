//! `ffn bench data`: the loader alone.

use std::path::PathBuf;

use serde::Serialize;

use crate::base::{Result, terminal};
use crate::bench::{Loading, Timing, Work, measure, process};
use crate::cli::data::Selection;
use crate::cli::options::{self, thread_count};
use crate::cli::print_json;
use crate::run::provenance::{Build, Machine};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    selection: Selection,

    /// Training batches to prepare.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = options::count::<usize>)]
    steps: usize,

    /// Measured runs over these batches, after one that warms up.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = options::count::<usize>)]
    repeats: usize,

    /// Threads that decode and transform videos; 0: one for each core.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = options::threads)]
    workers: usize,

    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// What is printed as JSON of the loader's work.
#[derive(Debug, Serialize)]
struct Report {
    work: &'static str,
    experiment: PathBuf,
    clips: usize,
    /// Of all branches.
    frames: usize,
    workers: usize,
    #[serde(flatten)]
    timing: Timing,
    peak_bytes: Option<u64>,
    build: Build,
    machine: Machine,
}

pub fn run(args: &Args) -> Result<()> {
    let found = args.selection.find()?;
    let experiment = &found.loaded.experiment;
    let workers = thread_count(args.workers);
    let batches = args.steps;
    let mut work = Loading::new(found.dataset, experiment, workers, batches);
    let timing = measure(&mut work, args.repeats)?;
    let report = Report {
        work: "loader",
        experiment: args.selection.experiment.clone(),
        clips: work.clips(),
        frames: work.frames(),
        workers,
        timing,
        peak_bytes: process::peak_bytes(),
        build: Build::this(),
        machine: Machine::this(),
    };
    if args.json {
        return print_json(&report);
    }
    let median = report.timing.median();
    terminal::line(format_args!(
        "loader: {} clips, {} frames of batches, {workers} workers, {median:.2} s: {:.1} clips/s, {:.0} frames/s",
        report.clips,
        report.frames,
        report.clips as f64 / median,
        report.frames as f64 / median
    ))?;
    Ok(())
}
