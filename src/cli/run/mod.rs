//! `ffn run`

mod header;
mod judge;
mod member;
mod notify;
mod ranks;
mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::options::{self, DataOptions, MachineOptions, SetOptions};
use super::{jobs, results, suites};
use crate::base::{Error, Kind, Result, Shown, terminal};
use crate::cluster::starts;
use crate::data::Dataset;
use crate::data::loader::steps_per_epoch;
use crate::exec::{DeviceId, EngineKind, Executor, Fusions, cpu};
use crate::graph::Graph;
use crate::plan::{Target, shards};
use crate::ranks::Ranks;
use crate::run::manifest::DataIdentity;
use crate::run::results::{Summary, read_all};
use crate::run::{Folder, Working, verify};
use crate::spec::{self, Document, Experiment, Loaded, Suite};
use crate::train::progress::{Progress, Screen};
use crate::train::stop::Stop;
use crate::train::team::Team;
use crate::train::{Job, Session};
use notify::Notifier;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Experiment and suite files. What they have in common runs once.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    set: SetOptions,

    #[command(flatten)]
    member: member::MemberOptions,

    #[command(flatten)]
    data: DataOptions,

    #[command(flatten)]
    stage: stage::StageOptions,

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

    /// Train nothing: judge the claims of suites from the runs that are there.
    #[arg(long, conflicts_with_all = ["resume", "member"])]
    judge: bool,

    /// Exit with 10 where the runs leave a claim open, not only with 9 where one is refuted.
    #[arg(long)]
    strict: bool,

    #[command(flatten)]
    notify: notify::NotifyOptions,

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
pub fn run(mut args: Args) -> Result<()> {
    let started = Instant::now();
    let world = super::ranks::find()?;
    let checkpoint_every = minutes(args.checkpoint_minutes)?;
    let notifier = args.notify.notifier()?;
    let documents = load_all(&args)?;
    let suites: Vec<&Suite> = documents.iter().filter_map(Document::suite).collect();
    let chosen = args.member.choose(&documents)?;
    let tasks = tasks(&args, chosen.as_ref().unwrap_or(&documents));
    if args.judge {
        return judge::run(&args, &tasks, &suites, &notifier);
    }
    let mut team = None;
    if let Some(world) = world {
        let task = ranks::check(&world, &tasks, &mut args)?;
        let joined = Team::new(Ranks::meet(&world)?);
        if !joined.is_first() {
            return ranks::follow(&args, task, joined, started);
        }
        team = Some(joined);
    }
    let folders = match chosen {
        // The others run elsewhere: nothing but the record is the suite's own.
        Some(_) => suites::note_all(&suites, &args.out).map(|()| Vec::new())?,
        None => suites::lock_all(&suites, &args.out)?,
    };
    let mut prepared = Vec::new();
    for task in &tasks {
        let ready = prepare(&args, task);
        prepared.push(
            ready.inspect_err(|error| notifier.failed(&task.label, task.folder.path(), error))?,
        );
    }
    let jobs = usize::from(args.jobs).min(tasks.len()).max(1);
    let works: Result<Vec<_>> = prepared.iter().map(multiply_adds).collect();
    let works = works?;
    if let ([Prepared::Finished(_)], Some(team)) = (prepared.as_slice(), &mut team) {
        ranks::dismiss(team)?;
    }
    let context = Context {
        team: Mutex::new(team),
        jobs,
        begun: AtomicUsize::new(0),
        args: &args,
        notifier: &notifier,
        checkpoint_every,
        stop: &Stop::install(started, args.max_minutes)?,
        screen: &screen(&tasks, &works, jobs),
    };
    let outcomes = context.work_all(&prepared, &works);
    let suites: Vec<_> = suites.into_iter().zip(&folders).collect();
    conclude(&context, &tasks, outcomes, &suites)
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
    let documents = args.set.load_documents(&args.files)?;
    match (&args.resume, documents.as_slice()) {
        (None, _) | (Some(_), [Document::Experiment(_)]) => Ok(documents),
        (Some(_), _) => Err(several),
    }
}

impl Args {
    /// Refuses flags that make no sense for a run that `ffn submit` starts on another machine.
    pub(super) fn check_elsewhere(&self) -> Result<()> {
        let own = [
            (self.files.len() > 1, "another FILE"),
            (self.member.is_given(), "--member"),
            (self.jobs > 1, "--jobs"),
            (self.judge, "--judge"),
        ];
        match own.iter().find(|(given, _)| *given) {
            None => Ok(()),
            Some((_, what)) => Err(Error::new(
                Kind::Usage,
                format!("{what} is no flag for one run of `ffn submit`"),
            )
            .hint("what follows `--` goes to the `ffn run` of every run")),
        }
    }

    pub(super) fn is_strict(&self) -> bool {
        self.strict
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
    if let Some(restarts) = starts::restarts() {
        starts::check(folder, restarts)?;
    }
    let location = args.stage.location(&args.data, &loaded.experiment)?;
    let dataset = location.open(&loaded.experiment, &loaded.base)?;
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
    if open == 0 {
        terminal::tell(format_args!("all {count} runs are finished already\n"));
        return Screen::several(works);
    }
    let begun = tasks.iter().filter(|task| task.folder.exists()).count();
    let finished = count - open;
    let runs = tasks.first().and_then(|task| task.folder.path().parent());
    let runs = runs.unwrap_or(Path::new("."));
    terminal::tell(format_args!(
        "{count} runs, {jobs} at a time, into `{}`: {finished} finished already, {} go on, {} begin\n",
        runs.shown(),
        begun.saturating_sub(finished),
        count - begun.max(finished)
    ));
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
    let steps = steps_per_epoch(dataset.train.len(), train) * train.epochs as u64;
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
    /// The other processes of the one run that there is then.
    team: Mutex<Option<Team>>,
    /// Runs at a time.
    jobs: usize,
    /// Runs that had their turn.
    begun: AtomicUsize,
    args: &'a Args,
    notifier: &'a Notifier,
    checkpoint_every: Duration,
    stop: &'a Stop,
    screen: &'a Screen,
}

impl Context<'_> {
    /// The outcomes in the order of `prepared`. Those that train the same come one after another, the shortest first, so
    /// that each goes on from the one before.
    fn work_all(
        &self,
        prepared: &[Prepared<'_>],
        works: &[Option<f64>],
    ) -> Vec<Result<Vec<Summary>>> {
        let mut alike: BTreeMap<String, Vec<(usize, f64)>> = BTreeMap::new();
        for (index, (prepared, work)) in prepared.iter().zip(works).enumerate() {
            let training = match prepared {
                Prepared::Ready(task, ..) => task.loaded.experiment.training(),
                Prepared::Finished(_) => index.to_string(),
            };
            let group = alike.entry(training).or_default();
            group.push((index, work.unwrap_or(0.0)));
        }
        let mut groups: Vec<_> = alike.into_values().collect();
        groups.sort_by_key(|group| group.first().map(|run| run.0));
        for group in &mut groups {
            group.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        }
        let sizes: Vec<f64> = groups
            .iter()
            .map(|group| group.iter().map(|run| run.1).sum())
            .collect();
        let outcomes = jobs::run(&groups, &sizes, self.jobs, |group| {
            let work =
                |&(index, _): &(usize, f64)| Some((index, self.work(index, prepared.get(index)?)));
            group.iter().filter_map(work).collect::<Vec<_>>()
        });
        let mut outcomes: Vec<_> = outcomes.into_iter().flatten().collect();
        outcomes.sort_by_key(|(index, _)| *index);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// What a run comes to. Of several, an error has the run's name, and is told at once.
    fn work(&self, index: usize, prepared: &Prepared<'_>) -> Result<Vec<Summary>> {
        let outcome = self.train(index, prepared);
        if let Prepared::Ready(task, ..) = prepared {
            self.notify(task, &outcome);
        }
        match (outcome, prepared) {
            (Err(error), Prepared::Ready(task, ..)) if self.screen.is_of_several() => {
                let message = format!("{}: {}", task.label, error.message);
                if error.kind != Kind::Stopped {
                    let line = message.lines().next().unwrap_or_default();
                    self.screen.fails(index, line);
                }
                Err(Error { message, ..error })
            }
            (outcome, _) => outcome,
        }
    }

    /// Tells how a run ended. Of one that was stopped before it began there is nothing to tell.
    fn notify(&self, task: &Task, outcome: &Result<Vec<Summary>>) {
        let stopped = matches!(outcome, Err(error) if error.kind == Kind::Stopped);
        if !stopped || task.folder.exists() {
            // A signal now asks for nothing that is not done.
            let _saving = self.stop.saving();
            let folder = task.folder.path();
            self.notifier.ended(&task.label, folder, outcome);
        }
    }

    fn train(&self, index: usize, prepared: &Prepared<'_>) -> Result<Vec<Summary>> {
        let (task, dataset, opened) = match prepared {
            Prepared::Finished(summaries) => return Ok(summaries.clone()),
            Prepared::Ready(task, dataset, opened) => (task, dataset, *opened),
        };
        // Those that begin at once have a folder to stop in.
        let waited = self.begun.fetch_add(1, Ordering::Relaxed) >= self.jobs;
        if let Some(reason) = self.stop.requested().filter(|_| waited) {
            let message = format!("stopped before it began: {reason}");
            let error = Error::new(Kind::Stopped, message);
            return Err(error.hint("the same command goes on from there"));
        }
        let share = |threads: usize| (threads / self.jobs).max(1);
        let machine = &self.args.machine;
        let executor = machine.executor(own_computation(task, machine.device.place())?)?;
        let mut team = self
            .team
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(team) = &mut team {
            ranks::begin(team, task, executor, DataIdentity::of(dataset))?;
        }
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
                team,
            },
        )
    }

    fn execute(&self, index: usize, label: &str, job: Job<'_>) -> Result<Vec<Summary>> {
        if !job.folder.is_locked {
            terminal::say(
                "warning: this file system has no locks; never run one experiment twice at a time",
            );
        }
        let (folder, workers) = (job.folder.path().to_owned(), job.workers);
        let place = header::Place {
            is_new: !job.folder.exists(),
            videos: job.dataset.root.clone(),
            run: folder,
            workers,
        };
        let (loaded, executor) = (job.loaded, job.executor);
        let session = Session::open(job)?;
        let mut progress = Progress::on(self.screen, index, label);
        if !self.screen.is_of_several() {
            self.screen.print(&header::text(&session, &place));
        }
        let result = session.run(&mut progress);
        let result = result.map_err(|error| advised(error, &loaded.experiment, executor));
        progress.clear();
        if let Ok(summaries) = &result {
            progress.finished(summaries);
        }
        result
    }
}

/// An error of a training that this machine's memory does not hold, with what to write so that it does.
fn advised(error: Error, experiment: &Experiment, executor: Executor) -> Error {
    let is_of_memory = error.kind == Kind::Device && executor.device == DeviceId::Cpu;
    let Some(available) = cpu::available().filter(|_| is_of_memory) else {
        return error;
    };
    let target = Target {
        engine: Some(executor.engine),
        device: executor.device,
        gpu: None,
    };
    match shards::advice(experiment, &target, executor.threads, available) {
        Some(shards) => error.hint(format!(
            "{shards} would fit: another experiment with as many clips in a step; `ffn plan FILE --shards` has all"
        )),
        None => error,
    }
}

/// Tells the results and what became of the suites' claims; fails with every error of the runs at once.
fn conclude(
    context: &Context<'_>,
    tasks: &[Task],
    outcomes: Vec<Result<Vec<Summary>>>,
    suites: &[(&Suite, &Working)],
) -> Result<()> {
    let args = context.args;
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
    let _saving = context.stop.saving();
    for (suite, folder) in suites {
        let verdict = judge::conclude(args, suite, folder, context.notifier)?;
        errors.extend(verdict.err());
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(together(errors)),
    }
}

/// Several errors as one: of the first kind that is neither a stop nor an open claim.
fn together(mut errors: Vec<Error>) -> Error {
    errors.sort_by_key(|error| match error.kind {
        Kind::Stopped => 2,
        Kind::Unsettled => 1,
        _ => 0,
    });
    let messages: Vec<String> = errors.iter().map(|error| error.message.clone()).collect();
    let first = errors.into_iter().next();
    let first = first.unwrap_or(Error::new(Kind::Stopped, "stopped"));
    Error {
        message: messages.join("\n"),
        ..first
    }
}
