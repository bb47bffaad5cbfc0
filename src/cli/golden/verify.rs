//! `ffn golden verify`

use std::path::PathBuf;
use std::time::Instant;

use crate::base::{Error, Kind, Result, terminal};
use crate::cli::options::{self, DeviceOptions, FuseOptions, thread_count};
use crate::exec::{EngineKind, Executor};
use crate::golden;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Bundles, or folders of bundles.
    #[arg(required = true, value_name = "DIR")]
    paths: Vec<PathBuf>,

    /// What computes the model cases.
    #[arg(long, value_enum, default_value_t)]
    engine: EngineKind,

    #[command(flatten)]
    device: DeviceOptions,

    #[command(flatten)]
    fuse: FuseOptions,

    /// Threads of the compiled engine on the CPU; 0: one for each core. No result depends on it.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = options::threads)]
    threads: usize,
}

pub fn run(args: Args) -> Result<()> {
    let begun = Instant::now();
    let executor = Executor {
        engine: args.engine,
        device: args.device.open(args.engine)?,
        fusions: args.fuse.fuse.unwrap_or_default(),
        ..Executor::compiled(thread_count(args.threads))
    };
    let bundles = golden::open(&args.paths)?;
    let (mut groups, mut failures) = (0, 0);
    for bundle in &bundles {
        let comparison = bundle.verify(executor)?;
        terminal::line(&comparison)?;
        groups += comparison.groups.len();
        failures += comparison.failures();
    }
    terminal::line(format_args!(
        "bundles: {}, groups: {groups}, failures: {failures}, time: {:.1} s",
        bundles.len(),
        begun.elapsed().as_secs_f64()
    ))?;
    match failures {
        0 => Ok(()),
        n => Err(Error::new(
            Kind::Mismatch,
            format!("{n} groups or names of the golden bundles do not agree"),
        )),
    }
}
