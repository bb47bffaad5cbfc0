//! `ffn eval`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::options::{self, DataOptions, MachineOptions};
use super::results;
use crate::base::{Error, Kind, Result};
use crate::data::Dataset;
use crate::data::dataset::OpenOptions;
use crate::exec::Executor;
use crate::model::Model;
use crate::run::manifest::DataIdentity;
use crate::run::results::{Summary, write};
use crate::run::{Folder, finish, verify};
use crate::spec::{Experiment, Init};
use crate::train::checkpoint;
use crate::train::evaluate::{Evaluated, Evaluation};
use crate::train::progress::{Preparation, Progress};

/// More frames than this in a clip is a slip of the finger.
const MAX_FRAMES: usize = 1024;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run folder.
    #[arg(value_name = "RUN")]
    run: PathBuf,

    /// Frame counts; one without a branch of its own takes the nearest branch, ties to the larger.
    /// Without it, those of the experiment.
    #[arg(long, value_name = "T", value_delimiter = ',')]
    frames: Vec<usize>,

    /// Keep summaries and predictions in the run folder, and their hashes in its manifest.
    #[arg(long)]
    save: bool,

    /// Print JSON.
    #[arg(long)]
    json: bool,

    /// Folder of the experiment file, where pins and lists are; else the one that the run was made from.
    #[arg(long, value_name = "DIR")]
    experiments: Option<PathBuf>,

    #[command(flatten)]
    data: DataOptions,

    #[command(flatten)]
    machine: MachineOptions,
}

pub fn run(args: Args) -> Result<()> {
    let folder = Folder::at(&args.run);
    let manifest = folder.manifest()?;
    if args.save && !manifest.finished {
        return Err(Error::new(
            Kind::Usage,
            "--save is for finished runs: the result of one that still trains would not be its result",
        ));
    }
    if args.save {
        manifest.check_engine(args.machine.engine)?;
    }
    let experiment = folder.experiment()?;
    let frames = frame_counts(&args.frames, &experiment)?;
    let dataset = open(&args, &folder, &experiment)?;
    manifest.check_data(&DataIdentity::of(&dataset))?;
    let (mut model, step) = load(&folder, &experiment, args.machine.executor())?;
    let mut progress = Progress::new();
    progress.evaluate(dataset.validation.len(), &frames);
    let evaluation = Evaluation {
        experiment: &experiment,
        dataset: &dataset,
        frames: &frames,
        workers: options::thread_count(args.machine.workers),
        step,
    };
    let evaluated = evaluation.run(&mut model, &mut |done| {
        progress.evaluated(done);
        Ok(())
    });
    progress.clear();
    let evaluated = evaluated?;
    if args.save {
        save(&folder, &evaluated)?;
    }
    print(
        &args,
        &folder,
        evaluated.into_iter().map(|e| e.summary).collect(),
    )
}

/// The model of a run with the weights of its last checkpoint, and the steps that they have had.
pub fn load(folder: &Folder, experiment: &Experiment, executor: Executor) -> Result<(Model, u64)> {
    // The weights come from the checkpoint: those that the training began with need not be there any more.
    let mut experiment = experiment.clone();
    experiment.model.init = Init::Random;
    let mut model = Model::new(&experiment, folder.path(), executor)?;
    let step = checkpoint::load_model(folder, &mut model)?;
    Ok((model, step))
}

/// The frame counts asked for, ascending, each once.
pub fn frame_counts(asked: &[usize], experiment: &Experiment) -> Result<Vec<usize>> {
    let mut frames = match asked.is_empty() {
        true => experiment.eval.frames.clone(),
        false => asked.to_vec(),
    };
    frames.sort_unstable();
    frames.dedup();
    frames.into_iter().map(check_frames).collect()
}

/// A frame count that a person can mean.
pub fn check_frames(frames: usize) -> Result<usize> {
    match frames {
        1..=MAX_FRAMES => Ok(frames),
        _ => Err(Error::new(
            Kind::Usage,
            format!("--frames takes numbers from 1 to {MAX_FRAMES}, found {frames}"),
        )),
    }
}

fn open(args: &Args, folder: &Folder, experiment: &Experiment) -> Result<Arc<Dataset>> {
    let base = match (&args.experiments, folder.history()?.processes.last()) {
        (Some(base), _) => base.clone(),
        (None, Some(process)) => process.experiment_folder.clone(),
        (None, None) => PathBuf::new(),
    };
    if !Path::new(".").join(&base).is_dir() {
        return Err(Error::new(
            Kind::Usage,
            format!(
                "the folder of the experiment file, `{}`, is not there",
                base.display()
            ),
        )
        .hint("--experiments DIR says where it is; the pins are in it"));
    }
    let preparation = Preparation::new();
    let dataset = Dataset::open(
        experiment,
        &OpenOptions {
            root: args.data.data_root.clone(),
            base: &base,
            unpinned: args.data.unpinned,
            progress: &|name, done, total| preparation.tell(name, done, total),
        },
    )?;
    Ok(Arc::new(dataset))
}

fn save(folder: &Folder, evaluated: &[Evaluated]) -> Result<()> {
    let _lock = folder.lock()?;
    // The hashes are written anew: nothing that was changed since may come under them.
    verify::intact(folder)?;
    for result in evaluated {
        write(&folder.eval(), &result.summary, &result.predictions)?;
    }
    finish::list_results(folder, &mut folder.manifest()?)?;
    finish::list_records(folder, &mut folder.history()?)
}

fn print(args: &Args, folder: &Folder, summaries: Vec<Summary>) -> Result<()> {
    if args.json {
        return super::print_json(&summaries);
    }
    let name = folder.name();
    let rows: Vec<_> = summaries
        .iter()
        .map(|summary| results::row(&name, summary))
        .collect();
    print!("{}", results::table(&rows));
    Ok(())
}
