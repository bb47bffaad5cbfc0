//! `ffn export-metrics`

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::options;
use crate::base::{Result, Shown, terminal};
use crate::report::metrics::{self, Format, series::Series};
use crate::run::Folder;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run folders; a run need not be finished.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,

    /// The program that shall open it.
    #[arg(long, value_enum, value_name = "FORMAT")]
    to: Format,

    /// Folder that the files go into.
    #[arg(long, default_value = "metrics", value_name = "DIR")]
    out: PathBuf,

    /// Replace files that are there with other content.
    #[arg(long)]
    update: bool,

    /// Go on until all runs are finished: write again what has changed.
    #[arg(long)]
    follow: bool,

    /// Seconds between two looks.
    #[arg(long, default_value_t = 10, value_name = "SECONDS", requires = "follow", value_parser = options::count::<u32>)]
    every: u32,
}

pub fn run(args: Args) -> Result<()> {
    let mut update = args.update;
    let mut known = BTreeMap::new();
    loop {
        let mut finished = true;
        for path in &args.runs {
            let series = Series::read(&Folder::at(path))?;
            finished &= series.finished;
            let extent = (series.points.len(), series.finished);
            if known.insert(path, extent) != Some(extent) {
                write(&args, &series, update)?;
            }
        }
        if finished || !args.follow {
            return Ok(());
        }
        // Those that it wrote itself.
        update = true;
        std::thread::sleep(Duration::from_secs(args.every.into()));
    }
}

fn write(args: &Args, series: &Series, update: bool) -> Result<()> {
    let files = metrics::files(series, args.to, &args.out)?;
    metrics::write(&files, &args.out, update)?;
    terminal::line(format_args!(
        "{}: {} values in {} of `{}`",
        series.run.shown(),
        series.points.len(),
        match files.len() {
            1 => "a file".to_owned(),
            n => format!("{n} files"),
        },
        args.out.shown()
    ))
}
