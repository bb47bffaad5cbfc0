//! `ffn golden`

use std::path::PathBuf;
use std::time::Instant;

use super::options::thread_count;
use crate::base::{Error, Kind, Result};
use crate::exec::{EngineKind, Executor};
use crate::golden;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Compute golden bundles and compare, group by group.
    ///
    /// Prints each group's relative L2 error, the error that the reference itself makes in float32, their ratio and the
    /// tolerance. Exits with 1 when a group exceeds its tolerance or a name is missing or left over, with 4 when a bundle
    /// cannot be read.
    Verify(Verify),
}

#[derive(Debug, clap::Args)]
struct Verify {
    /// Bundles, or folders of bundles, in the format of golden/README.md.
    #[arg(required = true, value_name = "DIR")]
    paths: Vec<PathBuf>,

    /// What computes the model cases.
    #[arg(long, value_enum, default_value_t)]
    engine: EngineKind,

    /// Threads of the compiled engine; 0: one for each core. No result depends on it.
    #[arg(long, default_value_t = 0, value_name = "N")]
    threads: usize,
}

pub fn run(args: Args) -> Result<()> {
    let Command::Verify(verify) = args.command;
    let begun = Instant::now();
    let executor = Executor {
        engine: verify.engine,
        threads: thread_count(verify.threads),
    };
    let bundles = golden::open(&verify.paths)?;
    let (mut groups, mut failures) = (0, 0);
    for bundle in &bundles {
        let comparison = bundle.verify(executor)?;
        println!("{comparison}");
        groups += comparison.groups.len();
        failures += comparison.failures();
    }
    println!(
        "bundles: {}, groups: {groups}, failures: {failures}, time: {:.1} s",
        bundles.len(),
        begun.elapsed().as_secs_f64()
    );
    match failures {
        0 => Ok(()),
        n => Err(Error::new(
            Kind::Mismatch,
            format!("{n} groups or names of the golden bundles do not agree"),
        )),
    }
}
