//! Worker threads decode ahead into a bounded queue. What they deliver depends on (experiment, step) alone.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::augment::flipped_labels;
use super::clip::{self, TrainClip};
use super::dataset::{Dataset, Sample};
use super::mixing::Mixer;
use super::pixels::Pixels;
use super::prefetch::{Limits, Prefetch};
use super::sampling::Draw;
use super::store::{Following, NONE, Pace, Route, Stored};
use super::video::{self, Place, Source};
use crate::base::rng::{Purpose, Stream};
use crate::base::{Error, Kind, Result};
use crate::spec::{Eval, Experiment, Normalize, Train, Unreadable};

/// Batches that may be ahead of the consumer.
const AHEAD: usize = 2;

/// The clips of one shard of a training step; none where no video of it can be read.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainBatch {
    /// Global step, from 0.
    pub step: u64,
    /// From 0; the only one where a step is one pass.
    pub shard: usize,
    pub ids: Vec<String>,
    pub labels: Vec<usize>,
    /// Where a clip is of more than its class: `clips × classes`.
    pub targets: Option<Vec<f32>>,
    /// The ragged batch: for each frame count T of the method, ascending: `clips × T × size × size × 3`.
    pub pixels: Arc<Pixels>,
    /// Videos left out under `Unreadable::Skip`, with the reason.
    pub skipped: Vec<(String, String)>,
}

/// Clips for evaluation at several frame counts: one decode serves all.
#[derive(Debug, Clone, PartialEq)]
pub struct EvalBatch {
    pub ids: Vec<String>,
    pub labels: Vec<usize>,
    /// Views of each clip (temporal clips × crops); their logits are averaged.
    pub views: usize,
    /// Height and width of a view in pixels.
    pub size: usize,
    /// For each frame count T asked for: `clips × views × T × size × size × 3`.
    pub pixels: Vec<Arc<Pixels>>,
}

/// How the loader keeps up.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoaderReport {
    pub videos: u64,
    /// Seconds that the consumer waited.
    pub waited: f64,
    /// Batches ready in the queue, now.
    pub depth: usize,
}

/// Steps of one epoch of `videos` videos: the last, incomplete batch is dropped, as in the official code.
pub fn steps_per_epoch(videos: usize, train: &Train) -> u64 {
    (train.clips.clips(videos) / train.batch.max(1)) as u64
}

/// Training batches, from a first step to the end of training.
pub struct TrainLoader {
    /// Of data on an object store. It goes before the workers: what they fetch for this loader ends with it.
    _following: Option<Following>,
    plan: Arc<TrainPlan>,
    /// What is made of each video.
    videos: Prefetch<Vec<Prepared>>,
    /// Those of a step that are delivered.
    shards: Range<usize>,
    /// The next batch's.
    step: u64,
    shard: usize,
    /// The next batch, where it has been asked for before its turn.
    ahead: Option<Result<TrainBatch>>,
    failed: bool,
}

/// What became of a clip of a training batch.
pub enum Prepared {
    Clip {
        id: String,
        label: usize,
        clip: Box<TrainClip>,
    },
    Skipped {
        id: String,
        reason: String,
    },
}

impl TrainLoader {
    /// Starts workers that prepare the steps from `first_step` to the last of the last epoch.
    pub fn start(
        dataset: Arc<Dataset>,
        experiment: &Experiment,
        workers: usize,
        first_step: u64,
    ) -> Self {
        let all = 0..experiment.train.shards;
        Self::of_shards(dataset, experiment, workers, (first_step, all))
    }

    /// As [`TrainLoader::start`], of each step these shards alone.
    pub fn of_shards(
        dataset: Arc<Dataset>,
        experiment: &Experiment,
        workers: usize,
        (first_step, shards): (u64, Range<usize>),
    ) -> Self {
        let plan = Arc::new(TrainPlan::new(dataset, experiment));
        let steps = plan.steps;
        let videos = plan.videos * shards.len() as u64;
        let jobs = first_step.min(steps) * videos..steps * videos;
        let limits = Limits {
            workers,
            window: AHEAD * (videos as usize).max(workers),
            together: plan.dataset.together(),
        };
        let part = Part {
            of_step: videos,
            first: plan.videos * shards.start as u64,
        };
        let reads = Arc::clone(&plan);
        let following = follow(
            &plan.dataset.train,
            (plan.steps_per_epoch * videos, plan.train.epochs as u64),
            (jobs.start, workers),
            move |epoch| reads.reads(epoch, part),
        );
        let pace = following.as_ref().map(Following::pace);
        let shared = Arc::clone(&plan);
        let prepare = move |jobs: Range<u64>| {
            reached(&pace, jobs.start);
            let numbers: Vec<u64> = jobs.map(|job| part.number(&shared, job)).collect();
            shared.videos(&numbers)
        };
        Self {
            _following: following,
            videos: Prefetch::start(jobs, limits, prepare),
            plan,
            step: first_step,
            shard: shards.start,
            shards,
            ahead: None,
            failed: false,
        }
    }

    /// The next shard's batch; `None` after the last, and after an error.
    pub fn next_batch(&mut self) -> Option<Result<TrainBatch>> {
        self.ahead.take().or_else(|| self.take())
    }

    /// Whether the next step's clips are there, or will not come, after waiting no longer than `time`.
    pub fn wait(&mut self, time: Duration) -> bool {
        let shards = self.shards.len() - usize::from(self.ahead.is_some());
        let videos = shards * self.plan.videos as usize;
        self.failed || self.videos.wait_for(videos, time)
    }

    /// The batches of the next step's shards. An error behind the last step, too.
    pub fn next_step(&mut self) -> Result<Vec<TrainBatch>> {
        let (step, shards) = (self.step, self.shards.clone());
        let ended = || Error::new(Kind::Data, format!("the loader ended before step {step}"));
        let next = |_| self.next_batch().ok_or_else(ended)?;
        shards.map(next).collect()
    }

    /// The pixels of the batch that [`TrainLoader::next_batch`] will give, if its clips are ready. A mistake waits for its
    /// turn.
    pub fn next_pixels(&mut self) -> Option<Arc<Pixels>> {
        if self.ahead.is_none() && self.videos.ready() as u64 >= self.plan.videos {
            self.ahead = self.take();
        }
        let batch = self.ahead.as_ref()?.as_ref().ok()?;
        Some(Arc::clone(&batch.pixels))
    }

    fn take(&mut self) -> Option<Result<TrainBatch>> {
        if self.failed {
            return None;
        }
        let videos = 0..self.plan.videos;
        let outcomes: Option<Result<Vec<Vec<Prepared>>>> =
            videos.map(|_| self.videos.next()).collect();
        let place = (self.step, self.shard);
        let batch =
            outcomes?.map(|outcomes| self.plan.gather(place, outcomes.into_iter().flatten()));
        self.failed = batch.is_err();
        self.shard += 1;
        if self.shard == self.shards.end {
            (self.step, self.shard) = (self.step + 1, self.shards.start);
        }
        Some(batch)
    }

    pub fn report(&self) -> LoaderReport {
        report(&self.videos, self.plan.videos as usize)
    }
}

/// Tells an object store, where the samples are on one, what a loader reads: so many jobs in each of so many epochs, of epoch `e` the
/// samples at `order(e)`. `workers` threads begin at job `first`.
fn follow(
    samples: &[Sample],
    (length, epochs): (u64, u64),
    (first, workers): (u64, usize),
    order: impl Fn(u64) -> Vec<usize> + Send + Sync + 'static,
) -> Option<Following> {
    let stored = samples.iter().map(|sample| sample.source.stored());
    let shelf = Arc::clone(stored.clone().flatten().next()?.shelf());
    let number = |stored: Option<&Stored>| stored.map_or(NONE, |stored| stored.number() as u32);
    let numbers: Vec<u32> = stored.map(number).collect();
    let route = Route::new(length, epochs, move |epoch| {
        let reads = order(epoch).into_iter();
        reads.map(|index| numbers[index]).collect()
    });
    Some(shelf.follow(route, first, workers))
}

fn reached(pace: &Option<Pace>, job: u64) {
    if let Some(pace) = pace {
        pace.reached(job);
    }
}

fn report<T>(clips: &Prefetch<T>, batch: usize) -> LoaderReport {
    LoaderReport {
        videos: clips.delivered(),
        waited: clips.waited().as_secs_f64(),
        depth: clips.ready() / batch.max(1),
    }
}

/// What a worker needs to know to prepare any clip of the training.
pub struct TrainPlan {
    dataset: Arc<Dataset>,
    train: Train,
    branches: Vec<usize>,
    seed: u64,
    /// Videos of a shard.
    videos: u64,
    steps: u64,
    steps_per_epoch: u64,
    unreadable: Unreadable,
    /// The label of each class's clips when they are flipped.
    flipped: Vec<usize>,
    mixer: Mixer,
    orders: Mutex<BTreeMap<u64, Arc<[usize]>>>,
}

/// What a loader does of each step.
#[derive(Debug, Clone, Copy)]
struct Part {
    /// Its videos, each a job.
    of_step: u64,
    /// The first of them.
    first: u64,
}

impl Part {
    /// The video of a job, counted through all batches from 0.
    fn number(self, plan: &TrainPlan, job: u64) -> u64 {
        let (step, place) = (job / self.of_step, job % self.of_step);
        step * plan.videos_of_step() + self.first + place
    }
}

impl TrainPlan {
    pub fn new(dataset: Arc<Dataset>, experiment: &Experiment) -> Self {
        let train = experiment.train.clone();
        let steps_per_epoch = steps_per_epoch(dataset.train.len(), &train);
        Self {
            mixer: Mixer::new(experiment, &dataset),
            // `Dataset::open` refused a map that does not fit.
            flipped: flipped_labels(&train.clips.flip, &dataset.classes)
                .unwrap_or_else(|_| (0..dataset.classes.len()).collect()),
            steps: steps_per_epoch * train.epochs as u64,
            steps_per_epoch,
            videos: (train.shard_clips() / train.clips.repeats.max(1)) as u64,
            dataset,
            train,
            branches: experiment.method.frames().to_vec(),
            seed: experiment.seed,
            unreadable: experiment.data.unreadable(),
            orders: Mutex::default(),
        }
    }

    /// How an engine normalises the clips that are bytes.
    pub fn normalize(&self) -> &Normalize {
        &self.train.clips.normalize
    }

    fn videos_of_step(&self) -> u64 {
        self.videos * self.train.shards as u64
    }

    fn videos_of_epoch(&self) -> u64 {
        self.steps_per_epoch * self.videos_of_step()
    }

    /// The indices of the videos that a loader reads in an epoch.
    fn reads(&self, epoch: u64, part: Part) -> Vec<usize> {
        let order = self.order(epoch);
        let jobs = 0..self.steps_per_epoch * part.of_step;
        jobs.map(|job| order[part.number(self, job) as usize])
            .collect()
    }

    /// The clips of one step, shard by shard, as a [`TrainLoader`] prepares them; [`TrainPlan::gather`] makes those of a shard a
    /// batch.
    pub fn step(&self, step: u64) -> Result<Vec<Vec<Prepared>>> {
        if step >= self.steps {
            let message = format!("the training has {} steps, and no step {step}", self.steps);
            return Err(Error::new(Kind::Data, message));
        }
        let shard = |shard: u64| -> Result<Vec<Prepared>> {
            let first = step * self.videos_of_step() + shard * self.videos;
            let numbers: Vec<u64> = (first..first + self.videos).collect();
            let clips: Result<Vec<_>> = self.videos(&numbers).into_iter().collect();
            Ok(clips?.into_iter().flatten().collect())
        };
        (0..self.train.shards as u64).map(shard).collect()
    }

    /// The clips of videos of the training, which are numbered through all batches from 0.
    fn videos(&self, numbers: &[u64]) -> Vec<Result<Vec<Prepared>>> {
        let drawn: Vec<Draw> = numbers.iter().map(|number| self.draw(*number)).collect();
        let sample = |draw: &Draw| &self.dataset.train[draw.sample as usize];
        let sources: Vec<&Source> = drawn.iter().map(|draw| &sample(draw).source).collect();
        video::together(&sources, |place, source| {
            self.video(sample(&drawn[place]), source, drawn[place])
        })
    }

    fn draw(&self, number: u64) -> Draw {
        let of_epoch = self.videos_of_epoch();
        let (epoch, place) = (number / of_epoch, number % of_epoch);
        Draw {
            seed: self.seed,
            epoch,
            sample: self.order(epoch)[place as usize] as u64,
        }
    }

    fn video(&self, sample: &Sample, source: Place<'_>, draw: Draw) -> Result<Vec<Prepared>> {
        let prepared = |clip: TrainClip| Prepared::Clip {
            id: sample.id.clone(),
            label: match clip.augmentation.flip {
                true => self.flipped[sample.label],
                false => sample.label,
            },
            clip: Box::new(clip),
        };
        match clip::train(source, &self.train, &self.branches, draw) {
            Ok(clips) => Ok(clips.into_iter().map(prepared).collect()),
            Err(error) if self.unreadable == Unreadable::Skip && error.is_damage() => {
                Ok(vec![Prepared::Skipped {
                    id: sample.id.clone(),
                    reason: error.to_string(),
                }])
            }
            Err(error) => Err(error.into_error(&sample.id, sample.source.path())),
        }
    }

    /// The clips of a shard → batch: branch by branch, in each the clips one after another, mixed as the experiment says.
    pub fn gather(
        &self,
        (step, shard): (u64, usize),
        outcomes: impl IntoIterator<Item = Prepared>,
    ) -> TrainBatch {
        let mut batch = TrainBatch {
            step,
            shard,
            ids: Vec::new(),
            labels: Vec::new(),
            targets: None,
            pixels: Arc::new(Pixels::Bytes(Vec::new())),
            skipped: Vec::new(),
        };
        let mut clips = Vec::new();
        for outcome in outcomes {
            match outcome {
                Prepared::Skipped { id, reason } => batch.skipped.push((id, reason)),
                Prepared::Clip { id, label, clip } => {
                    batch.ids.push(id);
                    batch.labels.push(label);
                    clips.push(clip.pixels);
                }
            }
        }
        let branches = 0..self.branches.len();
        let all = branches.flat_map(|branch| clips.iter().filter_map(move |clip| clip.get(branch)));
        let mut pixels = Pixels::concat(all);
        let values = match &mut pixels {
            Pixels::Values(values) => Some(values.as_mut_slice()),
            Pixels::Bytes(_) => None,
        };
        batch.targets = self.mixer.targets((step, shard), &batch.labels, values);
        batch.pixels = Arc::new(pixels);
        batch
    }

    /// The order of an epoch. Those of the last two are kept: the workers are at most so far apart.
    fn order(&self, epoch: u64) -> Arc<[usize]> {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(order) = orders.get(&epoch) {
            return Arc::clone(order);
        }
        let mut order: Vec<usize> = (0..self.dataset.train.len()).collect();
        Stream::new(self.seed, Purpose::Shuffle, &[epoch]).shuffle(&mut order);
        let order: Arc<[usize]> = order.into();
        orders.retain(|&known, _| known + 1 >= epoch);
        orders.insert(epoch, Arc::clone(&order));
        order
    }
}

/// That every video of a step is left out.
pub fn unreadable_step(step: u64, skipped: &[(String, String)]) -> Error {
    let ids: Vec<&str> = skipped.iter().map(|(id, _)| id.as_str()).collect();
    Error::new(
        Kind::Data,
        format!("no video of step {step} can be read: {}", ids.join(", ")),
    )
    .hint("`unreadable: Skip` is for single videos; look at the data set with `ffn data verify`")
}

/// Evaluation batches: the validation split in its order.
pub struct EvalLoader {
    /// As the training's.
    _following: Option<Following>,
    clips: Prefetch<EvalClip>,
    /// Clips of one batch.
    batch: usize,
    views: usize,
    size: usize,
    /// As the training's.
    ahead: Option<Result<EvalBatch>>,
    failed: bool,
}

struct EvalClip {
    id: String,
    label: usize,
    pixels: Vec<Pixels>,
}

impl EvalLoader {
    /// Workers that prepare the validation split, in its order, at each of `frames`, `eval.batch` views at a time.
    pub fn start(
        dataset: Arc<Dataset>,
        experiment: &Experiment,
        frames: &[usize],
        workers: usize,
    ) -> Self {
        let eval = experiment.eval.clone();
        let frames = frames.to_vec();
        let views = clip::evaluation_views(&eval);
        let size = clip::evaluation_size(&eval);
        let batch = clip::evaluation_batch(&eval);
        let limits = Limits {
            workers,
            window: AHEAD * batch.max(workers),
            together: dataset.together(),
        };
        let videos = dataset.validation.len();
        let jobs = 0..videos as u64;
        let following = follow(
            &dataset.validation,
            (jobs.end, 1),
            (0, workers),
            move |_| (0..videos).collect(),
        );
        let pace = following.as_ref().map(Following::pace);
        let clips = move |jobs: Range<u64>| {
            reached(&pace, jobs.start);
            let samples = &dataset.validation[jobs.start as usize..jobs.end as usize];
            let sources: Vec<&Source> = samples.iter().map(|sample| &sample.source).collect();
            video::together(&sources, |place, source| {
                eval_clip(&samples[place], source, (&eval, &frames))
            })
        };
        Self {
            _following: following,
            clips: Prefetch::start(jobs, limits, clips),
            batch,
            views,
            size,
            ahead: None,
            failed: false,
        }
    }

    /// The next batch; `None` after the last, and after an error.
    pub fn next_batch(&mut self) -> Option<Result<EvalBatch>> {
        self.ahead.take().or_else(|| self.take())
    }

    /// As [`TrainLoader::next_pixels`], at the frame count of this place; whole batches alone.
    pub fn next_pixels(&mut self, place: usize) -> Option<Arc<Pixels>> {
        if self.ahead.is_none() && self.clips.ready() >= self.batch {
            self.ahead = self.take();
        }
        let batch = self.ahead.as_ref()?.as_ref().ok()?;
        batch.pixels.get(place).map(Arc::clone)
    }

    fn take(&mut self) -> Option<Result<EvalBatch>> {
        if self.failed {
            return None;
        }
        let clips = (0..self.batch).map_while(|_| self.clips.next());
        let clips: Result<Vec<EvalClip>> = clips.collect();
        self.failed = clips.is_err();
        match clips {
            Ok(clips) if clips.is_empty() => None,
            clips => Some(clips.map(|clips| self.gather(clips))),
        }
    }

    fn gather(&self, clips: Vec<EvalClip>) -> EvalBatch {
        let mut batch = EvalBatch {
            ids: Vec::new(),
            labels: Vec::new(),
            views: self.views,
            size: self.size,
            pixels: Vec::new(),
        };
        let counts = 0..clips.first().map_or(0, |clip| clip.pixels.len());
        batch.pixels = counts
            .map(|count| Pixels::concat(clips.iter().filter_map(|clip| clip.pixels.get(count))))
            .map(Arc::new)
            .collect();
        for clip in clips {
            batch.ids.push(clip.id);
            batch.labels.push(clip.label);
        }
        batch
    }

    pub fn report(&self) -> LoaderReport {
        report(&self.clips, self.batch)
    }
}

/// Evaluation stops at a video that cannot be read, whatever the policy in training.
fn eval_clip(
    sample: &Sample,
    source: Place<'_>,
    (eval, frames): (&Eval, &[usize]),
) -> Result<EvalClip> {
    let pixels = clip::evaluate(source, eval, frames)
        .map_err(|error| error.into_error(&sample.id, sample.source.path()))?;
    Ok(EvalClip {
        id: sample.id.clone(),
        label: sample.label,
        pixels,
    })
}
