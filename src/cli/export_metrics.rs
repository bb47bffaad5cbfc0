//! `ffn export-metrics`

use std::path::PathBuf;

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
}

pub fn run(args: Args) -> Result<()> {
    for path in &args.runs {
        let series = Series::read(&Folder::at(path))?;
        let files = metrics::files(&series, args.to, &args.out)?;
        metrics::write(&files, &args.out, args.update)?;
        terminal::line(format_args!(
            "{}: {} values in {} of `{}`",
            series.run.shown(),
            series.points.len(),
            match files.len() {
                1 => "a file".to_owned(),
                n => format!("{n} files"),
            },
            args.out.shown()
        ))?;
    }
    Ok(())
}
