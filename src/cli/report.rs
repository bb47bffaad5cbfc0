//! `ffn report`

use std::path::PathBuf;

use crate::base::{Result, terminal};
use crate::report::results;
use crate::report::source::{Run, Suite};
use crate::report::table::Format;
use crate::run::Folder;
use crate::suite;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folders of runs and of finished suites; runs under work are told as far as they are.
    #[arg(required = true, value_name = "RUN|SUITE")]
    folders: Vec<PathBuf>,

    /// What it is pasted into.
    #[arg(long, value_enum, default_value_t = Format::Md, value_name = "FORMAT")]
    format: Format,
}

/// Runs come first, in one table; then a table of members and one of verdicts for each suite.
pub fn run(args: Args) -> Result<()> {
    let (suites, runs): (Vec<PathBuf>, Vec<PathBuf>) = args
        .folders
        .into_iter()
        .partition(|path| suite::folder::is_at(path));
    let runs: Vec<Run> = runs
        .into_iter()
        .map(|path| Run::so_far(Folder::at(path)))
        .collect::<Result<_>>()?;
    let mut tables = Vec::new();
    if !runs.is_empty() {
        tables.push(results::of_runs(&runs));
    }
    for path in suites {
        let suite = Suite::open(&path)?;
        tables.push(results::of_members(&suite)?);
        tables.push(results::of_claims(&suite));
    }
    let tables: Vec<String> = tables
        .iter()
        .map(|table| table.render(args.format))
        .collect();
    terminal::print(tables.join("\n"))
}
