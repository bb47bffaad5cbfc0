//! A process's work on one run: begins it or goes on with it, trains, evaluates, finishes.
//!
//! What a step reads is in the experiment, the data and the checkpoint. Threads, workers, the clock and the places
//! of checkpoints leave no trace in a result.

mod results;

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::evaluate::{Branches, Evaluation};
use super::first_step::FirstStep;
use super::learner::{Learner, Place};
use super::progress::{Extent, Progress};
use super::stop::Stop;
use super::team::{Ending, Order, Start, Team};
use super::{adopt, checkpoint};
use crate::base::{Error, Kind, Result, Shown, terminal};
use crate::data::loader::steps_per_epoch;
use crate::data::{Dataset, TrainBatch, TrainLoader};
use crate::exec::{Executor, Next};
use crate::model::Model;
use crate::run::checkpoint::Moment;
use crate::run::history::{self, History, Outcome, Process};
use crate::run::left_out::LeftOut;
use crate::run::log::{Lines, Timing};
use crate::run::manifest::{Continued, DataIdentity, FORMAT, Manifest, PrecisionUsed};
use crate::run::metrics::{Mark, Metrics, Record};
use crate::run::provenance::{Build, Machine};
use crate::run::results::Summary;
use crate::run::{Folder, Working, finish, folder, tensors, verify};
use crate::spec::{Difference, Experiment, Loaded};

pub use results::describe;

/// What is to be done, on what, with what.
pub struct Job<'a> {
    pub loaded: &'a Loaded,
    pub dataset: Arc<Dataset>,
    pub folder: Working,
    pub executor: Executor,
    pub workers: usize,
    /// Time between checkpoints, besides those at the ends of epochs.
    pub checkpoint_every: Duration,
    pub stop: &'a Stop,
    /// What it took to open the files and the data.
    pub opened: Duration,
    /// The other processes that compute the run, of which this one is the first.
    pub team: Option<Team>,
}

/// A run that is open for work.
pub struct Session<'a> {
    job: Job<'a>,
    identity: String,
    learner: Learner,
    manifest: Manifest,
    history: History,
    metrics: Metrics,
    left_out: LeftOut,
    log: Lines,
    timing: Lines,
    /// Steps that are done.
    step: u64,
    /// Steps of the last checkpoint, and when it was written.
    saved: (Option<u64>, Instant),
    /// Until the first step of this process.
    first_step: Option<FirstStep>,
    team: Option<Team>,
}

impl<'a> Session<'a> {
    /// Builds the model, and begins the run or loads its last checkpoint.
    pub fn open(mut job: Job<'a>) -> Result<Self> {
        let mut team = job.team.take();
        let first_step = Some(FirstStep::after(job.opened));
        let experiment = &job.loaded.experiment;
        let identity = experiment.identity();
        let model = Model::new(experiment, &job.loaded.base, job.executor)?;
        let mut learner = Learner::new(model, experiment)?;
        let manifest = match job.folder.exists() {
            true => job.folder.manifest()?,
            false => begin(&job, &identity, &learner.model)?,
        };
        check_beginning(&job, &manifest)?;
        manifest.check_computation(Some(job.executor.engine), Some(job.executor.fusions))?;
        manifest.check_data(&DataIdentity::of(&job.dataset))?;
        let found = checkpoint::restore(&job.folder, &identity, &mut learner)?;
        let (step, mark) = match &found {
            Some(found) => (found.state.step, found.state.metrics.clone()),
            None => (0, Mark::start()),
        };
        if let Some(team) = &mut team {
            let steps_per_epoch = manifest.steps_per_epoch;
            team.share_state(
                &mut learner,
                Start {
                    step,
                    steps_per_epoch,
                },
            )?;
        }
        let mut session = Self {
            team,
            identity,
            learner,
            manifest,
            history: job.folder.history()?,
            metrics: Metrics::resume(job.folder.dir(), folder::METRICS, &mark)?,
            left_out: LeftOut::read(&job.folder.join(folder::METRICS))?,
            log: Lines::open(job.folder.dir(), folder::LOG)?,
            timing: Lines::open(job.folder.dir(), folder::TIMING)?,
            step,
            saved: (found.as_ref().map(|_| step), Instant::now()),
            first_step,
            job,
        };
        session.begin_process()?;
        for error in found.iter().flat_map(|found| &found.damaged) {
            session.warn(&format!("going on from step {step}: {}", error.message))?;
        }
        Ok(session)
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// How many processes compute the run, and how they speak to one another.
    pub fn ranks(&self) -> Option<(usize, String)> {
        let ranks = &self.team.as_ref()?.ranks;
        Some((ranks.size(), ranks.transport()))
    }

    pub fn experiment(&self) -> &Experiment {
        &self.job.loaded.experiment
    }

    pub fn model(&self) -> &Model {
        &self.learner.model
    }

    /// The run beside this one that differs in the fewest fields, no more than `most`, and those.
    pub fn nearest(&self, most: usize) -> Option<(Folder, Vec<Difference>)> {
        adopt::nearest(&self.job.folder, &self.job.loaded.experiment, most)
    }

    /// Steps that are done.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Trains what is left and evaluates. However it ends, the history says so.
    pub fn run(mut self, progress: &mut Progress) -> Result<Vec<Summary>> {
        let result = self.rehearse().and_then(|()| {
            let _saving = self.job.stop.saving();
            self.stop_if_asked()?;
            self.train(progress)?;
            self.final_results(progress)
        });
        let closed = self.close(&result);
        // Last: a launcher may end this process as soon as another has ended.
        self.dismiss(&result);
        let summaries = result?;
        closed?;
        Ok(summaries)
    }

    fn train(&mut self, progress: &mut Progress) -> Result<()> {
        let steps = self.manifest.steps;
        let extent = Extent {
            steps,
            steps_per_epoch: self.manifest.steps_per_epoch,
            clips_per_step: self.job.loaded.experiment.train.batch,
        };
        progress.train(extent, self.step);
        self.interim_results(progress)?;
        self.stop_if_asked()?;
        let experiment = &self.job.loaded.experiment;
        let loader = RefCell::new(TrainLoader::of_shards(
            self.job.dataset.clone(),
            experiment,
            self.job.workers,
            (self.step, self.own_shards()),
        ));
        while self.step < steps && self.stops_early()?.is_none() {
            self.next_step(&loader, progress)?;
            if self.at_epoch_end() || self.saved.1.elapsed() >= self.job.checkpoint_every {
                self.save()?;
            }
            self.stop_if_asked()?;
            self.interim_results(progress)?;
        }
        Ok(())
    }

    fn next_step(&mut self, loader: &RefCell<TrainLoader>, progress: &mut Progress) -> Result<()> {
        const MOMENT: Duration = Duration::from_millis(100);
        let begun = Instant::now();
        let waited = loader.borrow().report().waited;
        // A store that does not answer may be waited for for minutes.
        while !loader.borrow_mut().wait(MOMENT) {
            self.stop_if_asked()?;
        }
        self.order(&Order::Step)?;
        let shards = loader.borrow_mut().next_step()?;
        let next = || loader.borrow_mut().next_pixels();
        let (record, skipped) = self.advance(&shards, Some(&next))?;
        let left_out = self.left_out.note(&skipped);
        left_out.iter().for_each(|line| progress.say(line));
        let report = loader.borrow().report();
        progress.step(&record, report.depth);
        let timing = Timing {
            step: record.step,
            seconds: begun.elapsed().as_secs_f64(),
            waited: report.waited - waited,
            queue: report.depth,
        };
        if let Some(first) = self.first_step.take() {
            let line = first.describe(timing.seconds, timing.waited);
            self.log.say(&line)?;
            progress.detail(&line);
        }
        self.timing.record(&timing)
    }

    /// The shards of a step that this process computes: all, where it is alone.
    fn own_shards(&self) -> Range<usize> {
        let shards = self.job.loaded.experiment.train.shards;
        self.team
            .as_ref()
            .map_or(0..shards, |team| team.shards(shards))
    }

    /// Tells the other ranks what to do.
    fn order(&mut self, order: &Order) -> Result<()> {
        match &mut self.team {
            Some(team) => team.order(order).map(drop),
            None => Ok(()),
        }
    }

    /// Tells the other ranks that the run ended. Those that were told to do something and are not heard yet would hear something
    /// else: they notice that this rank is gone.
    fn dismiss(&mut self, result: &Result<Vec<Summary>>) {
        if self.team.as_ref().is_some_and(|team| team.is_waited_for) {
            self.team = None;
            return;
        }
        let ending = result.as_ref().err().map(|error| Ending {
            stopped: error.kind == Kind::Stopped,
            message: error.message.clone(),
        });
        // Where one is gone the others notice that by themselves.
        let said = self.order(&Order::End(ending));
        if let (Ok(()), Some(team)) = (said, &mut self.team) {
            let _ = team.ranks.finish();
        }
    }

    /// One training step and its line of metrics; the videos left out, with the reason.
    fn advance(
        &mut self,
        shards: &[TrainBatch],
        next: Next<'_>,
    ) -> Result<(Record, Vec<(String, String)>)> {
        let place = Place {
            step: self.step,
            steps_per_epoch: self.manifest.steps_per_epoch,
        };
        let experiment = &self.job.loaded.experiment;
        let tree = self.learner.passes(experiment, shards, next)?;
        let sum = match &mut self.team {
            None => self.learner.whole(tree)?,
            Some(team) => {
                let (sum, stop) = team.sum(&mut self.learner, tree, false)?;
                if stop {
                    self.job.stop.ask();
                }
                sum
            }
        };
        let skipped = sum.skipped.clone();
        let record = self.learner.update(experiment, place, sum)?;
        self.metrics.append(&record)?;
        for (id, reason) in &skipped {
            let line = format!("step {}: left out `{}`: {reason}", self.step, id.shown());
            self.log.say(&line)?;
        }
        self.step += 1;
        Ok((record, skipped))
    }

    /// Epochs that are done.
    fn epoch(&self) -> u64 {
        self.step / self.manifest.steps_per_epoch.max(1)
    }

    fn at_epoch_end(&self) -> bool {
        self.step
            .is_multiple_of(self.manifest.steps_per_epoch.max(1))
    }

    /// Writes a checkpoint into the folder that was opened; an error where that is not in its place any more.
    fn save(&mut self) -> Result<()> {
        let saved = self.write_checkpoint();
        self.job.folder.check_in_place()?;
        saved
    }

    fn write_checkpoint(&mut self) -> Result<()> {
        self.order(&Order::Compare)?;
        if let Some(team) = &mut self.team {
            team.compare(&self.learner, self.step)?;
        }
        let moment = Moment {
            identity: self.identity.clone(),
            step: self.step,
            epoch: self.epoch(),
            metrics: self.metrics.mark()?,
        };
        checkpoint::save(&self.job.folder, &self.learner, moment)?;
        if self.manifest.left_out != self.left_out.count() {
            self.manifest.left_out = self.left_out.count();
            self.job.folder.write_manifest(&self.manifest)?;
        }
        self.saved = (Some(self.step), Instant::now());
        if let Some(process) = self.history.processes.last_mut() {
            process.to_step = self.step;
        }
        self.job.folder.write_history(&self.history)
    }

    fn save_if_new(&mut self) -> Result<()> {
        match self.saved.0 == Some(self.step) {
            true => Ok(()),
            false => self.save(),
        }
    }

    fn stop_if_asked(&mut self) -> Result<()> {
        let Some(reason) = self.job.stop.requested() else {
            return Ok(());
        };
        self.save_if_new()?;
        Err(Error::new(
            Kind::Stopped,
            format!(
                "stopped after step {} of {}: {reason}; everything is saved in `{}`",
                self.step,
                self.manifest.steps,
                self.job.folder.path().shown()
            ),
        )
        .hint("the same command goes on from there"))
    }

    /// Builds the training program, and every evaluation program and view on one batch.
    fn rehearse(&mut self) -> Result<()> {
        self.learner
            .model
            .prepare_train(self.job.loaded.experiment.train.shard_clips())?;
        evaluation(&self.job, self.step).rehearse(&mut self.learner.model)?;
        self.first_step.iter_mut().for_each(FirstStep::built);
        Ok(())
    }

    fn begin_process(&mut self) -> Result<()> {
        let build = Build::this();
        let machine = Machine::with(self.job.executor.device);
        self.log.say(&format!(
            "{} on {}, engine {}, {} threads, {} workers, from step {}",
            build.describe(),
            machine.cpu,
            self.job.executor.name(),
            self.job.executor.threads,
            self.job.workers,
            self.step
        ))?;
        if let Some(continued) = &self.manifest.continues
            && self.history.processes.is_empty()
        {
            let Continued { run, step, .. } = continued;
            self.log.say(&format!(
                "the first {step} steps are those of `{run}`, which trains the same"
            ))?;
        }
        let process = Process {
            started: history::now(),
            ended: None,
            outcome: Outcome::Working,
            from_step: self.step,
            to_step: self.step,
            threads: self.job.executor.threads,
            workers: self.job.workers,
            build: self.manifest.note_build(build),
            machine: self.manifest.note_machine(machine),
            experiment_folder: self.job.loaded.base.clone(),
        };
        self.history.processes.push(process);
        self.job.folder.write_manifest(&self.manifest)?;
        self.job.folder.write_history(&self.history)
    }

    /// Says in log and history how the process ended.
    fn close(&mut self, result: &Result<Vec<Summary>>) -> Result<()> {
        let outcome = match result.as_ref().map_err(|error| error.kind) {
            Ok(_) => Outcome::Finished,
            Err(Kind::Stopped) => Outcome::Stopped,
            Err(Kind::Diverged) => Outcome::Diverged,
            Err(_) => Outcome::Failed,
        };
        let sentence = match result {
            Ok(_) => "finished",
            Err(error) => &error.message,
        };
        self.log.say(sentence)?;
        if let Some(process) = self.history.processes.last_mut() {
            process.ended = Some(history::now());
            process.outcome = outcome;
        }
        match outcome {
            Outcome::Finished => finish::list_records(&self.job.folder, &mut self.history),
            _ => self.job.folder.write_history(&self.history),
        }
    }

    fn warn(&mut self, sentence: &str) -> Result<()> {
        terminal::say(format_args!("warning: {sentence}"));
        self.log.say(&format!("warning: {sentence}"))
    }
}

fn evaluation<'j>(job: &'j Job<'_>, step: u64) -> Evaluation<'j> {
    Evaluation {
        experiment: &job.loaded.experiment,
        dataset: &job.dataset,
        frames: &job.loaded.experiment.eval.frames,
        branches: Branches::Serving,
        workers: job.workers,
        step,
    }
}

/// Makes the folder's documents, and takes over the training of a neighbour that trains the same. The manifest comes last: a
/// folder that has one has the others.
fn begin(job: &Job<'_>, identity: &str, model: &Model) -> Result<Manifest> {
    // Of a process that was killed in here, which may have begun with another engine or other data.
    for name in [folder::CHECKPOINTS, folder::METRICS, folder::TIMING] {
        job.folder.dir().remove(name)?;
    }
    let experiment = &job.loaded.experiment;
    let per_epoch = steps_per_epoch(job.dataset.train.len(), &experiment.train);
    if per_epoch == 0 {
        return Err(Error::new(
            Kind::Data,
            format!(
                "the training split has {} clips, fewer than one batch of {}",
                job.dataset.train.len(),
                experiment.train.batch
            ),
        ));
    }
    let weights = tensors::encode(&model.state_dict()?)?;
    job.folder.write_experiment(experiment)?;
    job.folder.write_classes(&job.dataset.classes)?;
    let mut manifest = Manifest {
        format: FORMAT,
        name: experiment.name.clone(),
        identity: identity.to_owned(),
        data: DataIdentity::of(&job.dataset),
        initial_weights: crate::base::files::sha256(&weights),
        engine: job.executor.engine,
        fusions: job.executor.fusions,
        precision: PrecisionUsed::new(experiment, job.executor.engine),
        steps_per_epoch: per_epoch,
        steps: per_epoch * experiment.train.epochs as u64,
        builds: Vec::new(),
        machines: Vec::new(),
        finished: false,
        continues: None,
        stopped_early: None,
        left_out: 0,
        files: finish::beginning(&job.folder)?,
    };
    let class = Machine::with(job.executor.device).device_class;
    if let Some(trained) = adopt::find(&job.folder, experiment, &manifest, &class) {
        trained.adopt(&job.folder, identity, &mut manifest)?;
    }
    job.folder.write_manifest(&manifest)?;
    Ok(manifest)
}

/// Refuses a run whose documents are not those that it began with: they would be sealed as true.
fn check_beginning(job: &Job<'_>, manifest: &Manifest) -> Result<()> {
    verify::beginning(&job.folder, manifest)?;
    let classes = job.folder.classes()?;
    match classes == job.dataset.classes {
        true => Ok(()),
        false => Err(Error::new(
            Kind::Run,
            format!(
                "the class names in `{}` are not those of the data",
                job.folder.join(folder::CLASSES).shown()
            ),
        )
        .hint("bring the file back from a copy, or move the folder away: the run then starts from the beginning")),
    }
}
