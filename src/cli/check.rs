//! `ffn check`

use std::path::PathBuf;

use crate::base::{Error, Kind, Result};
use crate::spec::{self, Loaded};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Experiment files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Print the resolved form, which spells out every default and whose SHA-256 is the identity.
    #[arg(long)]
    resolved: bool,
}

pub fn run(args: Args) -> Result<()> {
    let mut failures = Vec::new();
    for file in &args.files {
        match spec::load(file) {
            Ok(loaded) => show(&loaded, args.resolved),
            Err(error) => failures.push(error),
        }
    }
    conclude(failures, args.files.len())
}

fn show(loaded: &Loaded, resolved: bool) {
    let experiment = &loaded.experiment;
    if resolved {
        print!("{}", experiment.canonical());
    } else {
        println!("{}", experiment.name);
        println!("  {}", experiment.summary());
        println!("  identity {}", experiment.identity());
    }
    for warning in &loaded.warnings {
        eprintln!("{warning}\n");
    }
}

fn conclude(mut failures: Vec<Error>, files: usize) -> Result<()> {
    if failures.len() < 2 {
        return failures.pop().map_or(Ok(()), Err);
    }
    for failure in &failures {
        eprintln!("error: {failure}\n");
    }
    let message = format!("{} of {files} files have mistakes", failures.len());
    Err(Error::new(Kind::Experiment, message))
}
