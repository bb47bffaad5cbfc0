//! `ffn why`

use std::path::PathBuf;

use super::options::{self, Chosen, CudaOptions, thread_count};
use crate::base::{Error, Kind, Result, terminal};
use crate::exec::{EngineKind, Executor, Fusions};
use crate::golden::CASE;
use crate::train::progress::Preparation;
use crate::why::{Options, Pair, Report, Side, bundle, walk};

/// Exit code 0 when nothing differs, 1 when something does.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An experiment file or a run folder.
    #[arg(value_name = "A")]
    a: PathBuf,

    /// Another one, or a golden bundle: A then computes with the bundle's weights and inputs.
    #[arg(value_name = "B")]
    b: PathBuf,

    /// Training steps that are computed again. 0: only what they begin with, for networks too large for this machine.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = options::start::<u64>)]
    steps: u64,

    /// Folder of the data set; else `FFN_DATA_<NAME>` or the configuration file says where it is.
    #[arg(long, value_name = "DIR")]
    data_root: Option<PathBuf>,

    /// Folder of B's data set where it is another copy.
    #[arg(long, value_name = "DIR")]
    data_root_b: Option<PathBuf>,

    /// Look at data that are not the pinned ones, too.
    #[arg(long)]
    unpinned: bool,

    /// What computes A; else the engine of the run, and of an experiment the compiled one. Two engines are compared by
    /// the relative error of each tensor, one bit for bit.
    #[arg(long, value_enum, value_name = "ENGINE")]
    engine_a: Option<EngineKind>,

    /// What computes B.
    #[arg(long, value_enum, value_name = "ENGINE")]
    engine_b: Option<EngineKind>,

    /// Which steps the compiled engine makes one of for A: `all`, `none`, or names with commas between them.
    #[arg(long, value_name = "FUSIONS")]
    fuse_a: Option<Fusions>,

    /// The same for B.
    #[arg(long, value_name = "FUSIONS")]
    fuse_b: Option<Fusions>,

    /// Where the compiled engine computes A: `auto`, `cpu` or `cuda:N`.
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    device_a: Chosen,

    /// Where it computes B.
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    device_b: Chosen,

    #[command(flatten)]
    cuda: CudaOptions,

    /// Threads of the engine on the CPU; 0: one for each core.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = options::threads)]
    threads: usize,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<()> {
    if args.a.join(CASE).exists() {
        let message = "a golden bundle can be B alone: A is held against it";
        return Err(Error::new(Kind::Usage, message));
    }
    let a = Side::open(&args.a)?;
    let report = match args.b.join(CASE).exists() {
        true => bundle::walk(
            &a,
            &args.b,
            executor(&args, (args.engine_a, args.device_a, args.fuse_a), &a)?,
        )?,
        false => replay(&args, &Pair::new(a, Side::open(&args.b)?))?,
    };
    match args.json {
        true => super::print_json(&report)?,
        false => terminal::print(&report)?,
    }
    match report.differs() {
        false => Ok(()),
        true => Err(Error::new(Kind::Different, "the two differ")),
    }
}

fn replay(args: &Args, sides: &Pair<Side>) -> Result<Report> {
    let preparation = Preparation::new();
    let a = executor(args, (args.engine_a, args.device_a, args.fuse_a), &sides.a)?;
    let b = executor(args, (args.engine_b, args.device_b, args.fuse_b), &sides.b)?;
    let root_b = args.data_root_b.as_ref().or(args.data_root.as_ref());
    let options = Options {
        steps: args.steps,
        executors: Pair::new(a, b),
        roots: Pair::new(args.data_root.clone(), root_b.cloned()),
        unpinned: args.unpinned,
        progress: &|name, done, total| preparation.tell(name, done, total),
    };
    walk(sides, &options)
}

fn executor(
    args: &Args,
    (engine, device, fuse): (Option<EngineKind>, Chosen, Option<Fusions>),
    side: &Side,
) -> Result<Executor> {
    let engine = engine.unwrap_or(side.engine());
    Ok(Executor {
        engine,
        device: device.with(&args.cuda).open(engine)?,
        fusions: fuse.unwrap_or_else(|| side.fusions()),
        ..Executor::compiled(thread_count(args.threads))
    })
}
