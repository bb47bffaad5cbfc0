//! The two works: a training step and a forward pass in evaluation.

use std::sync::Arc;

use super::Work;
use crate::base::rng::{Purpose, Stream};
use crate::base::{Error, Kind, Result};
use crate::data::{Pixels, TrainBatch};
use crate::exec::{Executor, Input};
use crate::model::{Model, StepTime};
use crate::spec::{Experiment, Init, Normalize};
use crate::train::learner::{Learner, Place};

/// A training step: bytes to normalised pixels, forward of every branch, objective, backward, update.
pub struct Training {
    experiment: Experiment,
    learner: Learner,
    shards: Vec<TrainBatch>,
}

impl Training {
    /// Initial weights are random, whatever the experiment says: speed does not depend on them.
    pub fn new(experiment: &Experiment, clips: usize, executor: Executor) -> Result<Self> {
        let experiment = random(experiment);
        let mut model = Model::new(&experiment, std::path::Path::new(""), executor)?;
        let count = experiment.train.shards;
        if !clips.is_multiple_of(count) {
            let message = format!("{clips} clips cannot be shared out in {count} shards");
            return Err(Error::new(Kind::Usage, message).hint("--clips takes a multiple of them"));
        }
        let clips = clips / count;
        model.prepare_train(clips)?;
        let graph = model.graph();
        let frames = graph.branches.iter().sum::<usize>() * clips;
        let values = frames * graph.input.0 * graph.input.1 * 3;
        let pixels = Arc::new(Pixels::Bytes(images(values)));
        let shard = |shard| TrainBatch {
            step: 0,
            shard,
            ids: (0..clips).map(|clip| clip.to_string()).collect(),
            labels: (0..clips).map(|clip| clip % graph.classes).collect(),
            targets: None,
            pixels: Arc::clone(&pixels),
            skipped: Vec::new(),
        };
        let shards = (0..count).map(shard).collect();
        Ok(Self {
            learner: Learner::new(model, &experiment)?,
            experiment,
            shards,
        })
    }

    fn clips(&self) -> usize {
        self.shards.iter().map(|shard| shard.labels.len()).sum()
    }
}

impl Work for Training {
    fn run(&mut self) -> Result<()> {
        let place = Place {
            step: 0,
            steps_per_epoch: 1,
        };
        let next = || self.shards.first().map(|shard| Arc::clone(&shard.pixels));
        let record = (self.learner).step(&self.experiment, place, &self.shards, Some(&next));
        record.map(|_| ())
    }

    fn time_steps(&mut self) -> Result<bool> {
        self.learner.model.time_steps()
    }

    fn times(&self) -> Vec<StepTime> {
        self.learner.model.times()
    }

    fn memory(&self) -> usize {
        self.learner.model.memory()
    }

    fn multiply_adds(&self) -> u64 {
        let clips = self.clips();
        self.learner.model.graph().step_multiply_adds(clips)
    }

    fn frames(&self) -> usize {
        let branches = &self.learner.model.graph().branches;
        branches.iter().sum::<usize>() * self.clips()
    }
}

/// A forward pass of clips of one frame count, from their bytes.
pub struct Evaluating {
    model: Model,
    frames: usize,
    clips: usize,
    pixels: Arc<Pixels>,
    normalize: Normalize,
}

impl Evaluating {
    pub fn new(
        experiment: &Experiment,
        frames: usize,
        clips: usize,
        executor: Executor,
    ) -> Result<Self> {
        let mut model = Model::new(&random(experiment), std::path::Path::new(""), executor)?;
        model.prepare_eval(frames, clips)?;
        let (height, width) = model.evaluation_graph().input;
        Ok(Self {
            model,
            frames,
            clips,
            pixels: Arc::new(Pixels::Bytes(images(frames * clips * height * width * 3))),
            normalize: experiment.eval.normalize,
        })
    }
}

impl Work for Evaluating {
    fn run(&mut self) -> Result<()> {
        let next = || Some(Arc::clone(&self.pixels));
        let pixels = Input::of(&self.pixels, &self.normalize, Some(&next));
        let logits = self.model.evaluate(self.frames, self.clips, pixels);
        logits.map(|_| ())
    }

    fn time_steps(&mut self) -> Result<bool> {
        self.model.time_steps()
    }

    fn times(&self) -> Vec<StepTime> {
        self.model.times()
    }

    fn memory(&self) -> usize {
        self.model.memory()
    }

    fn multiply_adds(&self) -> u64 {
        let graph = self.model.evaluation_graph();
        self.clips as u64 * graph.clip_multiply_adds(self.frames)
    }

    fn frames(&self) -> usize {
        self.frames * self.clips
    }
}

/// With random initial weights that stay as they are, so that every pass does the same work: a few steps on one batch would
/// make its gradients so small that processors take many times as long for each.
fn random(experiment: &Experiment) -> Experiment {
    let mut experiment = experiment.clone();
    *experiment.model.init_mut() = Init::Random;
    *experiment.optimizer.lr_mut() = 0.0;
    experiment
}

fn images(count: usize) -> Vec<u8> {
    let mut stream = Stream::new(0, Purpose::Init, &[]);
    (0..count)
        .map(|_| (stream.uniform() * 256.0) as u8)
        .collect()
}
