//! `ffn eval`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::options::{self, DataOptions, MachineOptions};
use super::results;
use crate::base::{Error, Kind, Result};
use crate::data::Dataset;
use crate::data::dataset::OpenOptions;
use crate::exchange::read;
use crate::exec::Executor;
use crate::model::Model;
use crate::run::manifest::DataIdentity;
use crate::run::results::{Summary, write};
use crate::run::{Folder, finish, verify};
use crate::spec::{self, Experiment, Init};
use crate::train::checkpoint;
use crate::train::evaluate::{Evaluated, Evaluation};
use crate::train::progress::{Preparation, Progress};

/// More frames than this in a clip is a slip of the finger.
const MAX_FRAMES: usize = 1024;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run folder; with --weights, an experiment file.
    #[arg(value_name = "RUN")]
    run: PathBuf,

    /// Evaluate the experiment with these weights: a checkpoint that `ffn import` reads, which fits without waiving.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["save", "experiments"])]
    weights: Option<PathBuf>,

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

/// What is evaluated.
struct Subject {
    /// For the table.
    name: String,
    experiment: Experiment,
    frames: Vec<usize>,
    dataset: Arc<Dataset>,
    model: Model,
    /// Training steps that the model has had; 0 where nobody knows.
    step: u64,
}

pub fn run(args: Args) -> Result<()> {
    let mut subject = match &args.weights {
        None => Subject::of_run(&args)?,
        Some(weights) => Subject::of_weights(&args, weights)?,
    };
    let evaluated = subject.evaluate(options::thread_count(args.machine.workers))?;
    if args.save {
        save(&Folder::at(&args.run), &evaluated)?;
    }
    let summaries: Vec<Summary> = evaluated.into_iter().map(|e| e.summary).collect();
    if args.json {
        return super::print_json(&summaries);
    }
    let rows = summaries.iter();
    let rows: Vec<_> = rows.map(|s| results::row(&subject.name, s)).collect();
    print!("{}", results::table(&rows));
    Ok(())
}

impl Subject {
    fn of_run(args: &Args) -> Result<Self> {
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
        let base = experiment_folder(args, &folder)?;
        let dataset = open(&args.data, &experiment, &base)?;
        manifest.check_data(&DataIdentity::of(&dataset))?;
        let (model, step) = load(&folder, &experiment, args.machine.executor())?;
        Ok(Self {
            name: folder.name(),
            experiment,
            frames,
            dataset,
            model,
            step,
        })
    }

    fn of_weights(args: &Args, weights: &Path) -> Result<Self> {
        let loaded = spec::load(&args.run)?;
        let mut experiment = loaded.experiment;
        let frames = frame_counts(&args.frames, &experiment)?;
        let checkpoint = read::open(weights)?;
        // Nothing of what the training would begin with stays.
        experiment.model.init = Init::Random;
        let mut model = Model::new(&experiment, &loaded.base, args.machine.executor())?;
        let what = format!("checkpoint `{}`", weights.display());
        model.load_checkpoint(&what, &checkpoint)?;
        Ok(Self {
            name: weights
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            dataset: open(&args.data, &experiment, &loaded.base)?,
            experiment,
            frames,
            model,
            step: 0,
        })
    }

    fn evaluate(&mut self, workers: usize) -> Result<Vec<Evaluated>> {
        let mut progress = Progress::new();
        progress.evaluate(self.dataset.validation.len(), &self.frames);
        let evaluation = Evaluation {
            experiment: &self.experiment,
            dataset: &self.dataset,
            frames: &self.frames,
            workers,
            step: self.step,
        };
        let evaluated = evaluation.run(&mut self.model, &mut |done| {
            progress.evaluated(done);
            Ok(())
        });
        progress.clear();
        evaluated
    }
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

/// The folder of the experiment file that a run was made from.
fn experiment_folder(args: &Args, folder: &Folder) -> Result<PathBuf> {
    let base = match (&args.experiments, folder.history()?.processes.last()) {
        (Some(base), _) => base.clone(),
        (None, Some(process)) => process.experiment_folder.clone(),
        (None, None) => PathBuf::new(),
    };
    match Path::new(".").join(&base).is_dir() {
        true => Ok(base),
        false => Err(Error::new(
            Kind::Usage,
            format!(
                "the folder of the experiment file, `{}`, is not there",
                base.display()
            ),
        )
        .hint("--experiments DIR says where it is; the pins are in it")),
    }
}

fn open(data: &DataOptions, experiment: &Experiment, base: &Path) -> Result<Arc<Dataset>> {
    let preparation = Preparation::new();
    let dataset = Dataset::open(
        experiment,
        &OpenOptions {
            root: data.data_root.clone(),
            base,
            unpinned: data.unpinned,
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
