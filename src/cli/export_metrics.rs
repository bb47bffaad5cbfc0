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

    /// Go on until no run is at work any more: write again what has changed.
    #[arg(long)]
    follow: bool,

    /// Seconds between two looks.
    #[arg(long, default_value_t = 10, value_name = "SECONDS", requires = "follow", value_parser = options::count::<u32>)]
    every: u32,
}

pub fn run(args: Args) -> Result<()> {
    let mut known = BTreeMap::new();
    let mut failed = false;
    loop {
        let looked = look(&args, &mut known);
        match looked {
            Ok(working) if !working || !args.follow => return Ok(()),
            Ok(_) => failed = false,
            // Of a run at work files come and go: a second look tells.
            Err(error) if !args.follow || failed || known.is_empty() => return Err(error),
            Err(_) => failed = true,
        }
        std::thread::sleep(Duration::from_secs(args.every.into()));
    }
}

/// Writes what has changed since the last look; whether a run is at work.
fn look<'a>(args: &'a Args, known: &mut BTreeMap<&'a PathBuf, Series>) -> Result<bool> {
    let mut working = false;
    for path in &args.runs {
        let folder = Folder::at(path);
        working |= folder.is_locked();
        let series = Series::read(&folder)?;
        if known.get(path) == Some(&series) {
            continue;
        }
        // What is there since the first look this process wrote itself.
        write(args, &series, args.update || known.contains_key(path))?;
        known.insert(path, series);
    }
    Ok(working)
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
