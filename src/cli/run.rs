//! `ffn run`

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::options::{self, DataOptions, MachineOptions, SetOptions};
use super::{jobs, results, suites};
use crate::base::{Error, Kind, Result, Shown, terminal};
use crate::data::Dataset;
use crate::data::loader::steps_per_epoch;
use crate::exec::choice::Measured;
use crate::exec::{DeviceId, EngineKind, Executor, Fusions, cpu};
use crate::graph::Graph;
use crate::run::manifest::Continued;
use crate::run::results::{Summary, read_all};
use crate::run::{Folder, Working, verify};
use crate::spec::{self, Document, Loaded, Suite};
use crate::train::progress::{Progress, Screen};
use crate::train::stop::Stop;
use crate::train::{Job, Session};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Experiment and suite files. What they have in common runs once.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    set: SetOptions,

    #[command(flatten)]
    data: DataOptions,

    #[command(flatten)]
    machine: MachineOptions,

    /// Runs at a time; threads and workers are divided among them. Changes no result.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,

    /// Folder that holds the runs. A run of the same experiment in it goes on where it stopped.
    #[arg(long, default_value = "runs", value_name = "DIR")]
    out: PathBuf,

    /// Go on with this run folder; refused where it is of another experiment.
    #[arg(long, value_name = "RUN", conflicts_with = "out")]
    resume: Option<PathBuf>,

    /// Stop cleanly after so many minutes, with a checkpoint.
    #[arg(long, value_name = "M")]
    max_minutes: Option<f64>,

    /// Exit with 10 where the runs leave a claim open, not only with 9 where one is refuted.
    #[arg(long)]
    strict: bool,

    /// Minutes between checkpoints, besides those at the ends of epochs. Changes no result.
    #[arg(long, default_value_t = 15.0, value_name = "M")]
    checkpoint_minutes: f64,
}

/// One experiment to run, and what it is called while it does.
struct Task {
    label: String,
    loaded: Loaded,
    folder: Folder,
}

/// An experiment for which everything is there that can be looked at before the first step of any.
enum Prepared<'a> {
    Finished(Vec<Summary>),
    /// With the time that opening took.
    Ready(&'a Task, Arc<Dataset>, Duration),
}

/// Checks all files and opens all data, then trains and evaluates what is missing, and judges the claims of suites.
pub fn run(args: Args) -> Result<()> {
    let started = Instant::now();
    let checkpoint_every = minutes(args.checkpoint_minutes)?;
    let documents = load_all(&args)?;
    let suites: Vec<&Suite> = documents.iter().filter_map(suite_of).collect();
    let tasks = tasks(&args, &documents);
    let folders = suites::lock_all(&suites, &args.out)?;
    let mut prepared = Vec::new();
    for task in &tasks {
        prepared.push(prepare(&args, task)?);
    }
    let jobs = usize::from(args.jobs).min(tasks.len()).max(1);
    let works: Result<Vec<_>> = prepared.iter().map(multiply_adds).collect();
    let works = works?;
    let context = Context {
        jobs,
        begun: AtomicUsize::new(0),
        args: &args,
        checkpoint_every,
        stop: &Stop::install(started, args.max_minutes)?,
        screen: &screen(&tasks, &works, jobs),
    };
    let outcomes = jobs::run(&prepared, &works, jobs, |index, prepared| {
        context.work(index, prepared)
    });
    let suites: Vec<_> = suites.into_iter().zip(&folders).collect();
    conclude(&args, &tasks, outcomes, &suites)
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
fn load_all(args: &Args) -> Result<Vec<Document>> {
    let several = Error::new(
        Kind::Usage,
        "--resume names one run, and several experiments are given",
    );
    if args.resume.is_some() && args.files.len() > 1 {
        return Err(several);
    }
    let (mut documents, mut reports) = (Vec::new(), Vec::new());
    for path in &args.files {
        match args.set.load_document(path) {
            Ok(document) => documents.push(document),
            Err(error) if error.kind == Kind::Experiment => reports.push(error.message),
            Err(error) => return Err(error),
        }
    }
    for document in &documents {
        let warnings = match document {
            Document::Experiment(loaded) => &loaded.warnings,
            Document::Suite(loaded) => &loaded.warnings,
        };
        warnings
            .iter()
            .for_each(|warning| terminal::say_exactly(warning));
    }
    if !reports.is_empty() {
        return Err(Error::new(Kind::Experiment, reports.join("\n")));
    }
    match (&args.resume, documents.as_slice()) {
        (None, _) | (Some(_), [Document::Experiment(_)]) => Ok(documents),
        (Some(_), _) => Err(several),
    }
}

fn suite_of(document: &Document) -> Option<&Suite> {
    match document {
        Document::Suite(loaded) => Some(&loaded.suite),
        Document::Experiment(_) => None,
    }
}

/// Every experiment of the files, each once.
fn tasks(args: &Args, documents: &[Document]) -> Vec<Task> {
    let mut known = BTreeSet::new();
    let mut tasks: Vec<Task> = documents.iter().flat_map(|d| tasks_of(args, d)).collect();
    tasks.retain(|task| known.insert(task.folder.path().to_owned()));
    tasks
}

fn tasks_of(args: &Args, document: &Document) -> Vec<Task> {
    let suite = match document {
        Document::Suite(loaded) => &loaded.suite,
        Document::Experiment(loaded) => {
            let folder = match &args.resume {
                Some(path) => Folder::at(path),
                None => Folder::of(&args.out, &loaded.experiment),
            };
            return vec![Task {
                label: folder.name(),
                loaded: (**loaded).clone(),
                folder,
            }];
        }
    };
    let members = suite.members.iter().flat_map(|member| {
        member.experiments().map(|experiment| Task {
            label: format!("{} seed {}", member.name, experiment.seed),
            folder: Folder::of(&args.out, &experiment),
            loaded: Loaded {
                experiment,
                base: member.base.clone(),
                warnings: Vec::new(),
            },
        })
    });
    members.collect()
}

fn prepare<'a>(args: &Args, task: &'a Task) -> Result<Prepared<'a>> {
    let begun = Instant::now();
    let Task { loaded, folder, .. } = task;
    if args.resume.is_some() || folder.exists() {
        check_experiment(folder, loaded)?;
        let manifest = folder.manifest()?;
        manifest.check_computation(args.machine.engine, args.machine.fuse.fuse)?;
        if manifest.finished {
            verify::intact(folder)?;
            return Ok(Prepared::Finished(read_all(&folder.eval())?));
        }
        drop(folder.lock()?);
    }
    let dataset = args
        .data
        .location()
        .open(&loaded.experiment, &loaded.base)?;
    Ok(Prepared::Ready(task, dataset, begun.elapsed()))
}

/// Where the runs are shown. Of several, what their training costs says when the last will end.
fn screen(tasks: &[Task], works: &[Option<f64>], jobs: usize) -> Screen {
    if let [task] = tasks {
        if let [None] = works {
            terminal::tell(format_args!("{} is finished already\n", task.folder.name()));
        }
        return Screen::new();
    }
    let (count, open) = (works.len(), works.iter().flatten().count());
    terminal::tell(match (open, count - open) {
        (0, _) => format!("all {count} runs are finished already\n"),
        (_, 0) => format!("{count} runs, {jobs} at a time\n"),
        (_, finished) => {
            format!("{count} runs, {jobs} at a time; {finished} are finished already\n")
        }
    });
    Screen::several(works)
}

/// Of a run's whole training; `None` where it is finished.
fn multiply_adds(prepared: &Prepared<'_>) -> Result<Option<f64>> {
    let Prepared::Ready(task, dataset, _) = prepared else {
        return Ok(None);
    };
    let experiment = &task.loaded.experiment;
    let train = &experiment.train;
    let graph = Graph::build(experiment, (train.clips.size, train.clips.size))?;
    let steps = steps_per_epoch(dataset.train.len(), train.batch) * train.epochs as u64;
    Ok(Some(
        graph.step_multiply_adds(train.batch) as f64 * steps as f64,
    ))
}

/// The engine and the fusions that the run began with; of a new one the engine of its precision, and all.
fn own_computation(task: &Task, place: DeviceId) -> Result<(EngineKind, Fusions)> {
    match task.folder.exists() {
        true => Ok(task.folder.manifest()?.computation()),
        false => {
            let precision = task.loaded.experiment.train.precision;
            Ok((EngineKind::of(precision, place), Fusions::ALL))
        }
    }
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
            folder.path().shown()
        ),
    )
    .hint("without --resume the experiment gets a run folder of its own"))
}

/// What all runs of this process share.
struct Context<'a> {
    /// Runs at a time.
    jobs: usize,
    /// Runs that had their turn.
    begun: AtomicUsize,
    args: &'a Args,
    checkpoint_every: Duration,
    stop: &'a Stop,
    screen: &'a Screen,
}

impl Context<'_> {
    fn work(&self, index: usize, prepared: &Prepared<'_>) -> Result<Vec<Summary>> {
        let (task, dataset, opened) = match prepared {
            Prepared::Finished(summaries) => return Ok(summaries.clone()),
            Prepared::Ready(task, dataset, opened) => (task, dataset, *opened),
        };
        // Those that begin at once have a folder to stop in.
        let waited = self.begun.fetch_add(1, Ordering::Relaxed) >= self.jobs;
        if let Some(reason) = self.stop.requested().filter(|_| waited) {
            let message = format!("stopped before {} began: {reason}", task.label);
            let error = Error::new(Kind::Stopped, message);
            return Err(error.hint("the same command goes on from there"));
        }
        let share = |threads: usize| (threads / self.jobs).max(1);
        let machine = &self.args.machine;
        let executor = machine.executor(own_computation(task, machine.device.place())?)?;
        self.execute(
            index,
            &task.label,
            Job {
                loaded: &task.loaded,
                dataset: dataset.clone(),
                folder: task.folder.lock()?,
                executor: Executor {
                    threads: share(executor.threads),
                    ..executor
                },
                workers: share(options::thread_count(self.args.machine.workers)),
                checkpoint_every: self.checkpoint_every,
                stop: self.stop,
                opened,
            },
        )
    }

    fn execute(&self, index: usize, label: &str, job: Job<'_>) -> Result<Vec<Summary>> {
        if !job.folder.is_locked {
            terminal::say(
                "warning: this file system has no locks; never run one experiment twice at a time",
            );
        }
        let (folder, executor, workers) = (job.folder.path().to_owned(), job.executor, job.workers);
        let is_new = !job.folder.exists();
        let session = Session::open(job)?;
        let mut progress = Progress::on(self.screen, index, label);
        if !self.screen.is_of_several() {
            let (engine, threads) = (executor.name(), executor.threads);
            self.screen.print(&format!(
                "{}{}  machine    engine {engine}, {threads} threads, {workers} workers\n  run        {}\n",
                describe(&session),
                origin(&session, is_new).unwrap_or_default(),
                folder.shown()
            ));
        }
        let result = session.run(&mut progress);
        progress.clear();
        if let Ok(summaries) = &result {
            progress.finished(summaries);
        }
        result
    }
}

/// Tells the results and what became of the suites' claims; fails with every error of the runs at once.
fn conclude(
    args: &Args,
    tasks: &[Task],
    outcomes: Vec<Result<Vec<Summary>>>,
    suites: &[(&Suite, &Working)],
) -> Result<()> {
    let (mut rows, mut errors) = (Vec::new(), Vec::new());
    for (task, outcome) in tasks.iter().zip(outcomes) {
        match outcome {
            Ok(summaries) => {
                let name = task.folder.name();
                rows.extend(summaries.iter().map(|summary| results::row(&name, summary)));
            }
            Err(error) => errors.push(error),
        }
    }
    let stopped = errors.iter().any(|error| error.kind == Kind::Stopped);
    if stopped || (suites.is_empty() && !errors.is_empty()) {
        return Err(together(errors));
    }
    // The members of a suite have a table of their own.
    if suites.len() < args.files.len() {
        terminal::tell(format_args!("\n{}", results::table(&rows)));
    }
    let mut verdicts = Vec::new();
    for (suite, folder) in suites {
        verdicts.push(suites::conclude(suite, folder, &args.out, args.strict)?);
    }
    match errors.is_empty() {
        true => verdicts.into_iter().collect(),
        false => Err(together(errors)),
    }
}

/// Several errors as one: of the first kind that is not a stop.
fn together(mut errors: Vec<Error>) -> Error {
    errors.sort_by_key(|error| error.kind == Kind::Stopped);
    let messages: Vec<String> = errors.iter().map(|error| error.message.clone()).collect();
    let first = errors.into_iter().next();
    let first = first.unwrap_or(Error::new(Kind::Stopped, "stopped"));
    Error {
        message: messages.join("\n"),
        ..first
    }
}

/// What there is to say of the engine: why mixed precision takes it, or what the run loses by it on this machine.
fn engine(session: &Session<'_>) -> Option<String> {
    let manifest = session.manifest();
    let executor = session.model().executor();
    let measured = || executor.device == DeviceId::Cpu && manifest.precision.is_mixed();
    match executor.engine {
        EngineKind::CompiledAmx if !cpu::has_amx() => Some(
            "`compiled-amx`, which this machine computes without AMX: the same bits, in more time"
                .to_owned(),
        ),
        engine if measured() && engine == Measured::here().mixed() => {
            Some(Measured::here().describe())
        }
        _ => None,
    }
}

/// Whose training the run goes on from; of one that starts from the beginning, the run beside it that comes nearest.
fn origin(session: &Session<'_>, is_new: bool) -> Option<String> {
    /// Fields in which a run differs that is worth a line.
    const FEW: usize = 3;
    if let Some(continued) = &session.manifest().continues {
        let Continued { run, step, .. } = continued;
        return Some(format!(
            "  from       {}, which trains the same: its first {step} steps are not computed again\n",
            run.shown()
        ));
    }
    let (nearest, differences) = session.nearest(FEW).filter(|_| is_new)?;
    let fields: Vec<String> = differences.iter().map(ToString::to_string).collect();
    Some(format!(
        "  beside     {} has {}: another training, so this one starts from the beginning\n",
        nearest.name().shown(),
        fields.join(", ").shown()
    ))
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
    lines.extend(engine(session).map(|engine| format!("  engine     {engine}")));
    lines.extend(manifest.precision.note().map(|note| format!("  {note}")));
    lines.join("\n") + "\n"
}
