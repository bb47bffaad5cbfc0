//! `ffn golden record`

use std::path::PathBuf;

use crate::base::{Error, Kind, Result, terminal};
use crate::cli::options::{self, thread_count};
use crate::exec::{EngineKind, Executor};
use crate::golden::{self, Recipe, Recorded};
use crate::model::StateDict;
use crate::run::Folder;
use crate::spec::{self, Experiment};
use crate::train::opening;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// An experiment file, whose model gets procedural weights; or a run folder, whose last checkpoint goes into the bundle.
    #[arg(value_name = "EXPERIMENT|RUN")]
    from: PathBuf,

    /// The bundle's folder.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Also the outputs of these nodes and modules: stem, layer1, layer1.0.conv1, ...
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    taps: Vec<String>,

    /// Forward passes, or whole training steps.
    #[arg(long, value_enum, default_value_t = Mode::Eval)]
    mode: Mode,

    /// Training steps [default: 1].
    #[arg(long, value_name = "N", value_parser = options::count::<u64>)]
    steps: Option<u64>,

    /// Clips [default: 2, or the fewest that the experiment's norms and shift can share out].
    #[arg(long, value_name = "N", value_parser = options::batch)]
    batch: Option<usize>,

    /// Frame counts of the evaluation [default: those of the experiment].
    #[arg(long, value_name = "T", value_delimiter = ',')]
    frames: Vec<usize>,

    /// Height and width of the images [default: 64, or the experiment's if smaller].
    #[arg(long, value_name = "PIXELS", value_parser = options::pixels)]
    size: Option<usize>,

    /// Replace the bundle that is there.
    #[arg(long)]
    update: bool,

    /// What computes the expected values. The compiled engine's error is measured against them.
    #[arg(long, value_enum, default_value_t = EngineKind::DfdxF64)]
    engine: EngineKind,

    /// Threads of the compiled engine; 0: one for each core. No result depends on it.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = options::threads)]
    threads: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    Eval,
    Train,
}

pub fn run(args: Args) -> Result<()> {
    check(&args)?;
    let threads = thread_count(args.threads);
    let (experiment, weights) = read(&args, threads)?;
    let name = args.out.file_name().unwrap_or(args.out.as_os_str());
    let mut frames = args.frames;
    frames.sort_unstable();
    frames.dedup();
    let recipe = Recipe {
        name: name.to_string_lossy().into_owned(),
        experiment,
        weights,
        steps: (args.mode == Mode::Train).then_some(args.steps.unwrap_or(1)),
        batch: args.batch,
        frames,
        size: args.size,
        taps: args.taps,
        executor: Executor {
            engine: args.engine,
            ..Executor::compiled(threads)
        },
    };
    let recorded = golden::record(&recipe, &args.out, args.update)?;
    print(&recorded)?;
    Ok(())
}

fn check(args: &Args) -> Result<()> {
    let message = match args.mode {
        Mode::Eval if args.steps.is_some() => "--steps is for --mode train",
        Mode::Train if !args.frames.is_empty() => {
            "--frames is for --mode eval: a training step runs every branch of the experiment"
        }
        _ => return Ok(()),
    };
    Err(Error::new(Kind::Usage, message))
}

/// The experiment, and the weights where there are any of its own.
fn read(args: &Args, threads: usize) -> Result<(Experiment, Option<StateDict>)> {
    if !args.from.is_dir() {
        return Ok((spec::load(&args.from)?.experiment, None));
    }
    let folder = Folder::at(&args.from);
    folder.manifest()?;
    let experiment = folder.experiment()?;
    let (model, _) = opening::model(&folder, &experiment, Executor::compiled(threads))?;
    Ok((experiment, Some(model.state_dict()?)))
}

fn print(recorded: &Recorded) -> Result<()> {
    terminal::line(&recorded.comparison)?;
    for (name, bytes) in &recorded.files {
        terminal::line(format_args!("{name:<22} {:>12} bytes", bytes))?;
    }
    Ok(())
}
