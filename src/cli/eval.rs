//! `ffn eval`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::options::{self, DataOptions, FrameCounts, MachineOptions};
use super::tables::surface;
use super::{ranks, results};
use crate::analysis::{self, work};
use crate::base::{Error, Kind, Result, Shown, terminal};
use crate::data::Dataset;
use crate::exchange::read;
use crate::exec::{EngineKind, Fusions};
use crate::model::Model;
use crate::run::folder::EVAL;
use crate::run::manifest::DataIdentity;
use crate::run::results::{Summary, write};
use crate::run::{Folder, finish, verify};
use crate::spec::{self, Experiment, Init};
use crate::train::circumstances::Circumstances;
use crate::train::evaluate::{Branches, Evaluated, Evaluation};
use crate::train::opening::Opening;
use crate::train::progress::Progress;
use crate::train::sharing::Sharing;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run folder; with --weights, an experiment file.
    #[arg(value_name = "RUN")]
    run: PathBuf,

    /// Evaluate the experiment with these weights: a checkpoint that `ffn import` reads, which fits without waiving.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["save", "experiments"])]
    weights: Option<PathBuf>,

    /// Frame counts and ranges of them, both ends included: 4,6,8 or 2..24 or 2..8,16. One without a branch of its own
    /// takes the nearest branch, ties to the larger. Without it, those of the experiment.
    #[arg(long, value_name = "T", value_delimiter = ',')]
    frames: Vec<FrameCounts>,

    /// Every frame count by every branch, with operations and measured latency: the any-frame surface.
    #[arg(long, conflicts_with = "weights")]
    all_branches: bool,

    /// Keep summaries and predictions in the run folder, and their hashes in its manifest; with --all-branches, the
    /// surface among the run's analyses.
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
    /// Damaged videos that its training left out; 0 where nobody knows.
    left_out: usize,
}

pub fn run(mut args: Args) -> Result<()> {
    let asked = args.asked();
    let mut team = ranks::join(&mut args.machine, &asked)?;
    let sharing = Sharing::among(team.as_mut());
    match args.all_branches {
        true => run_surface(&args, sharing),
        false => run_each(&args, sharing),
    }?;
    ranks::finish(team)
}

fn run_each(args: &Args, mut sharing: Sharing<'_>) -> Result<()> {
    let mut subject = match &args.weights {
        None => Subject::of_run(args)?,
        Some(weights) => Subject::of_weights(args, weights)?,
    };
    let workers = options::thread_count(args.machine.workers);
    let mut evaluated = subject.evaluate(workers, &mut sharing)?;
    for result in &mut evaluated {
        result.summary.left_out = subject.left_out;
    }
    if args.save && sharing.is_first() {
        save(&Folder::at(&args.run), &evaluated)?;
    }
    let summaries: Vec<Summary> = evaluated.into_iter().map(|e| e.summary).collect();
    if args.json {
        return super::print_json(&summaries);
    }
    let rows = summaries.iter();
    let rows: Vec<_> = rows.map(|s| results::row(&subject.name, s)).collect();
    terminal::print(results::table(&rows))
}

fn run_surface(args: &Args, mut sharing: Sharing<'_>) -> Result<()> {
    let folder = Folder::at(&args.run);
    check_save(args, &folder)?;
    let experiment = folder.experiment()?;
    let frames = frame_counts(&args.frames, &experiment);
    let saves = args.save && sharing.is_first();
    let working = saves.then(|| folder.lock()).transpose()?;
    let mut subject = analysis::Subject::open(folder, &opening(args))?;
    sharing.introduce(|| subject.circumstances())?;
    let (surface, latency) = work::surface(&mut subject, &frames, &mut sharing)?;
    if let Some(working) = &working {
        surface.write(working)?;
        latency.write(working)?;
    }
    if args.json {
        return super::print_json(&(surface, latency));
    }
    let trained = experiment.method.frames();
    let told = surface::describe(&surface.content, Some(&latency.content), trained);
    terminal::line(format_args!("{}\n\n{told}", subject.folder.name()))
}

impl Args {
    /// What ranks must have been asked for alike.
    fn asked(&self) -> String {
        let Self {
            run,
            weights,
            frames,
            all_branches,
            ..
        } = self;
        let frames = FrameCounts::union(frames);
        format!(
            "eval {}, weights {weights:?}, frames {frames:?}, all branches {all_branches}",
            run.display()
        )
    }
}

fn opening(args: &Args) -> Opening {
    options::opening(args.experiments.as_deref(), &args.data, &args.machine)
}

/// Only what the run's own engine says of a finished run is kept.
fn check_save(args: &Args, folder: &Folder) -> Result<()> {
    if !args.save {
        return Ok(());
    }
    let manifest = folder.manifest()?;
    if !manifest.finished {
        return Err(Error::new(
            Kind::Usage,
            "--save is for finished runs: the result of one that still trains would not be its result",
        ));
    }
    manifest.check_computation(args.machine.engine, args.machine.fuse.fuse)
}

impl Subject {
    fn of_run(args: &Args) -> Result<Self> {
        let folder = Folder::at(&args.run);
        check_save(args, &folder)?;
        let subject = analysis::Subject::open(folder, &opening(args))?;
        Ok(Self {
            left_out: subject.folder.manifest()?.left_out,
            name: subject.folder.name(),
            frames: frame_counts(&args.frames, &subject.experiment),
            experiment: subject.experiment,
            dataset: subject.dataset,
            model: subject.model,
            step: subject.step,
        })
    }

    fn of_weights(args: &Args, weights: &Path) -> Result<Self> {
        let loaded = spec::load(&args.run)?;
        let mut experiment = loaded.experiment;
        let frames = frame_counts(&args.frames, &experiment);
        let checkpoint = read::open(weights)?;
        // Nothing of what the training would begin with stays.
        *experiment.model.init_mut() = Init::Random;
        let executor = args
            .machine
            .executor((EngineKind::Compiled, Fusions::ALL))?;
        let mut model = Model::new(&experiment, &loaded.base, executor)?;
        let what = format!("checkpoint `{}`", weights.shown());
        for line in model.load_checkpoint(&what, &checkpoint)? {
            terminal::say(format_args!("note: `{}`: {line}", weights.shown()));
        }
        Ok(Self {
            name: weights
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            dataset: args.data.location().open(&experiment, &loaded.base)?,
            experiment,
            frames,
            model,
            step: 0,
            left_out: 0,
        })
    }

    fn evaluate(&mut self, workers: usize, sharing: &mut Sharing<'_>) -> Result<Vec<Evaluated>> {
        sharing.introduce(|| {
            let data = DataIdentity::of(&self.dataset);
            let identity = self.experiment.identity();
            Circumstances::of(identity, data, self.model.executor()).with(&self.model)
        })?;
        let mut progress = Progress::new();
        progress.evaluate(self.dataset.validation.len(), &self.frames);
        let evaluation = Evaluation {
            experiment: &self.experiment,
            dataset: &self.dataset,
            frames: &self.frames,
            branches: Branches::Serving,
            workers,
            step: self.step,
        };
        let evaluated = evaluation.run(&mut self.model, sharing, &mut |done| {
            progress.evaluated(done);
            Ok(())
        });
        progress.clear();
        evaluated
    }
}

/// The frame counts asked for, ascending, each once.
fn frame_counts(asked: &[FrameCounts], experiment: &Experiment) -> Vec<usize> {
    match asked.is_empty() {
        true => work::frames_of(experiment),
        false => FrameCounts::union(asked),
    }
}

fn save(folder: &Folder, evaluated: &[Evaluated]) -> Result<()> {
    let folder = folder.lock()?;
    // The hashes are written anew: nothing that was changed since may come under them.
    verify::intact(&folder)?;
    let place = folder.dir().folder(EVAL)?;
    for result in evaluated {
        write(&place, &result.summary, &result.predictions)?;
    }
    finish::list_results(&folder, &mut folder.manifest()?)?;
    finish::list_records(&folder, &mut folder.history()?)
}
