//! `ffn run`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::options::{self, DataOptions, MachineOptions};
use super::results;
use crate::base::{Error, Kind, Result};
use crate::data::Dataset;
use crate::data::dataset::OpenOptions;
use crate::run::results::{Summary, read_all};
use crate::run::{Folder, verify};
use crate::spec::{self, Loaded};
use crate::train::progress::{Preparation, Progress};
use crate::train::stop::Stop;
use crate::train::{Job, Session};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Experiment files; they run one after another.
    #[arg(required = true, value_name = "FILE")]
    experiments: Vec<PathBuf>,

    #[command(flatten)]
    data: DataOptions,

    #[command(flatten)]
    machine: MachineOptions,

    /// Folder that holds the runs. A run of the same experiment in it goes on where it stopped.
    #[arg(long, default_value = "runs", value_name = "DIR")]
    out: PathBuf,

    /// Go on with this run folder; refused where it is of another experiment.
    #[arg(long, value_name = "RUN", conflicts_with = "out")]
    resume: Option<PathBuf>,

    /// Stop cleanly after so many minutes, with a checkpoint.
    #[arg(long, value_name = "M")]
    max_minutes: Option<f64>,

    /// Minutes between checkpoints, besides those at the ends of epochs. Changes no result.
    #[arg(long, default_value_t = 15.0, value_name = "M")]
    checkpoint_minutes: f64,
}

/// An experiment for which everything is there that can be looked at before the first step of any.
enum Prepared<'a> {
    Finished(Vec<Summary>),
    Ready(&'a Loaded, Arc<Dataset>),
}

/// Checks all experiments and opens all data, then trains and evaluates one experiment after another.
pub fn run(args: Args) -> Result<()> {
    let started = Instant::now();
    let checkpoint_every = minutes(args.checkpoint_minutes)?;
    let experiments = load_all(&args)?;
    let mut prepared = Vec::new();
    for loaded in &experiments {
        let folder = folder(&args, loaded);
        prepared.push((prepare(&args, loaded, &folder)?, folder));
    }
    let stop = Stop::install(started, args.max_minutes)?;
    let mut rows = Vec::new();
    for (prepared, folder) in prepared {
        let name = folder.name();
        let summaries = match prepared {
            Prepared::Finished(summaries) => {
                println!("{name} is finished already");
                summaries
            }
            Prepared::Ready(loaded, dataset) => execute(Job {
                loaded,
                dataset,
                folder,
                executor: args.machine.executor(),
                workers: options::thread_count(args.machine.workers),
                checkpoint_every,
                stop: &stop,
            })?,
        };
        rows.extend(summaries.iter().map(|summary| results::row(&name, summary)));
    }
    print!("\n{}", results::table(&rows));
    Ok(())
}

fn minutes(minutes: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(minutes * 60.0).map_err(|_| {
        Error::new(
            Kind::Usage,
            "--checkpoint-minutes takes a number of minutes that is not negative",
        )
    })
}

/// Every mistake of every file at once.
fn load_all(args: &Args) -> Result<Vec<Loaded>> {
    if args.resume.is_some() && args.experiments.len() > 1 {
        return Err(Error::new(
            Kind::Usage,
            "--resume names one run, and several experiments are given",
        ));
    }
    let (mut experiments, mut reports) = (Vec::new(), Vec::new());
    for path in &args.experiments {
        match spec::load(path) {
            Ok(loaded) => experiments.push(loaded),
            Err(error) if error.kind == Kind::Experiment => reports.push(error.message),
            Err(error) => return Err(error),
        }
    }
    for warning in experiments.iter().flat_map(|loaded| &loaded.warnings) {
        eprintln!("{warning}");
    }
    match reports.is_empty() {
        true => Ok(experiments),
        false => Err(Error::new(Kind::Experiment, reports.join("\n"))),
    }
}

fn folder(args: &Args, loaded: &Loaded) -> Folder {
    match &args.resume {
        Some(path) => Folder::at(path),
        None => Folder::of(&args.out, &loaded.experiment),
    }
}

fn prepare<'a>(args: &Args, loaded: &'a Loaded, folder: &Folder) -> Result<Prepared<'a>> {
    if args.resume.is_some() || folder.exists() {
        check_experiment(folder, loaded)?;
        let manifest = folder.manifest()?;
        manifest.check_engine(args.machine.engine)?;
        if manifest.finished {
            verify::intact(folder)?;
            return Ok(Prepared::Finished(read_all(&folder.eval())?));
        }
        drop(folder.lock()?);
    }
    let preparation = Preparation::new();
    let dataset = Dataset::open(
        &loaded.experiment,
        &OpenOptions {
            root: args.data.data_root.clone(),
            base: &loaded.base,
            unpinned: args.data.unpinned,
            progress: &|name, done, total| preparation.tell(name, done, total),
        },
    )?;
    Ok(Prepared::Ready(loaded, Arc::new(dataset)))
}

/// Refuses to go on with a run of another experiment, and says where the two differ.
fn check_experiment(folder: &Folder, loaded: &Loaded) -> Result<()> {
    let existing = folder.experiment()?;
    if existing.identity() == loaded.experiment.identity() {
        return Ok(());
    }
    let differences = spec::table(&spec::diff(&existing, &loaded.experiment));
    Err(Error::new(
        Kind::Run,
        format!(
            "`{}` is a run of another experiment; first the run, then the file:\n{differences}",
            folder.path().display()
        ),
    )
    .hint("without --resume the experiment gets a run folder of its own"))
}

fn execute(job: Job<'_>) -> Result<Vec<Summary>> {
    let lock = job.folder.lock()?;
    if !lock.held {
        eprintln!(
            "warning: this file system has no locks; never run one experiment twice at a time"
        );
    }
    let (folder, executor, workers) = (job.folder.clone(), job.executor, job.workers);
    let session = Session::open(job)?;
    print!("{}", describe(&session));
    let (engine, threads) = (executor.engine.name(), executor.threads);
    println!("  machine    engine {engine}, {threads} threads, {workers} workers");
    println!("  run        {}", folder.path().display());
    let mut progress = Progress::new();
    let result = session.run(&mut progress);
    progress.clear();
    result
}

/// The plan in a few lines.
fn describe(session: &Session<'_>) -> String {
    let manifest = session.manifest();
    let graph = session.model().graph();
    let parameters: usize = graph
        .params
        .iter()
        .map(|p| p.shape.iter().product::<usize>())
        .sum();
    let branches: Vec<String> = graph.branches.iter().map(usize::to_string).collect();
    let data = &manifest.data;
    let mut lines = vec![
        format!("{} ({})", manifest.name, manifest.identity),
        format!(
            "  model      {parameters} parameters, trained at {} frames",
            branches.join(", ")
        ),
        format!(
            "  data       {} training and {} validation clips of {} classes, {}",
            data.train,
            data.validation,
            data.classes,
            results::pins(manifest)
        ),
        format!(
            "  training   {} steps, {} an epoch, from step {}",
            manifest.steps,
            manifest.steps_per_epoch,
            session.step()
        ),
    ];
    lines.extend(manifest.precision.note().map(|note| format!("  {note}")));
    lines.join("\n") + "\n"
}
