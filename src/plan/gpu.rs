//! What a run takes on a GPU, all of it before its first step.

use serde::Serialize;

use super::EvalShape;
use super::shards::{in_shards, possible, written};
use crate::base::{Kind, Result};
use crate::exec::cuda::{Gpu, Needs, WeightNeeds};
use crate::exec::{DeviceId, EngineKind};
use crate::graph::Graph;
use crate::program::batch::every_branch;
use crate::program::{Program, TrainOptions, compile_eval, compile_train};
use crate::spec::Experiment;
use crate::train::machine::DeviceChoice;

/// The GPU that somebody asks about, whether it is there or not.
pub struct AskedGpu {
    ordinal: usize,
    found: Result<Gpu, String>,
}

impl AskedGpu {
    /// `None`: the plan is for the CPU.
    pub fn open(choice: &DeviceChoice, engine: EngineKind) -> Result<Option<Self>> {
        let DeviceId::Cuda(ordinal) = choice.device else {
            return Ok(None);
        };
        let found = match choice.open(engine).and_then(|_| Gpu::open(ordinal)) {
            Err(error) if error.kind == Kind::Device => Err(error.message),
            outcome => Ok(outcome?),
        };
        Ok(Some(Self { ordinal, found }))
    }

    pub(super) fn needs(&self, program: &Program) -> Result<Needs> {
        match &self.found {
            Ok(gpu) => Needs::of(gpu, program),
            Err(_) => Needs::without_cudnn(program),
        }
    }

    /// Asked when all kernels are loaded, which take memory too.
    fn has(&self, needed: usize) -> Result<Option<Has>> {
        let Ok(gpu) = &self.found else {
            return Ok(None);
        };
        let free_bytes = gpu.free_memory()?;
        Ok(Some(Has {
            gpu: gpu.info.name.clone(),
            gpu_bytes: gpu.info.memory_bytes,
            free_bytes,
            fits: needed <= free_bytes,
        }))
    }
}

/// Memory in bytes. What all engines share comes first; they are there side by side, from the start to the end.
#[derive(Debug, Serialize)]
pub struct OnGpu {
    /// `cuda:N`.
    pub device: String,
    /// What the GPU has, with CUDA, the kernels and cuDNN open; `None` where there is none to ask.
    #[serde(flatten)]
    pub has: Option<Has>,
    /// Why there is none to ask. cuDNN's scratch memory is not known then, and left out everywhere.
    pub unknown: Option<String>,
    pub weights: WeightNeeds,
    /// That of training, then those that evaluate.
    pub engines: Vec<EngineNeeds>,
    /// Of everything.
    pub bytes: usize,
    /// The largest `train.batch` of one pass that fits, where the experiment's does not.
    pub largest_batch: Option<usize>,
    /// What to write for the fewest shards with which the experiment's batch fits.
    pub fewest_shards: Option<String>,
}

/// The memory of a GPU.
#[derive(Debug, Serialize)]
pub struct Has {
    /// Its name.
    pub gpu: String,
    /// All of its memory.
    pub gpu_bytes: usize,
    pub free_bytes: usize,
    /// Whether the run fits into what is free.
    pub fits: bool,
}

/// What one engine takes.
#[derive(Debug, Serialize)]
pub struct EngineNeeds {
    /// The batch that it is for.
    pub what: String,
    #[serde(flatten)]
    pub needs: Needs,
}

impl OnGpu {
    pub fn of(planned: &Planned<'_>) -> Result<Self> {
        let Planned { gpu, .. } = planned;
        let weights = planned.weights()?;
        let training = planned.training(planned.experiment.train.shard_clips())?;
        let engines = planned.engines(training)?;
        let bytes = weights.total() + engines.iter().map(|of| of.needs.total()).sum::<usize>();
        let has = gpu.has(bytes)?;
        let (mut largest_batch, mut fewest_shards) = (None, None);
        if let Some(has) = has.as_ref().filter(|has| !has.fits) {
            let others = bytes - training.total();
            let room = has.free_bytes.saturating_sub(others);
            largest_batch = planned.largest_batch(room);
            fewest_shards = planned.fewest_shards(room);
        }
        Ok(Self {
            device: format!("cuda:{}", gpu.ordinal),
            has,
            unknown: gpu.found.as_ref().err().cloned(),
            weights,
            engines,
            bytes,
            largest_batch,
            fewest_shards,
        })
    }
}

/// What is planned for a GPU.
pub struct Planned<'a> {
    pub gpu: &'a AskedGpu,
    pub experiment: &'a Experiment,
    pub training: &'a Graph,
    pub evaluation: &'a Graph,
    pub engine: EngineKind,
}

impl Planned<'_> {
    fn weights(&self) -> Result<WeightNeeds> {
        let trained = self.training.trained(self.experiment.train.frozen_norms);
        WeightNeeds::of(self.training, &trained, self.experiment.optimizer.moments())
    }

    /// That of training and those that evaluate, a smaller last batch included.
    fn engines(&self, training: Needs) -> Result<Vec<EngineNeeds>> {
        let mut engines = vec![EngineNeeds {
            what: format!("training, {} clips", self.experiment.train.shard_clips()),
            needs: training,
        }];
        for &frames in &self.experiment.eval.frames {
            let whole = EvalShape::whole(self.experiment, frames);
            let rest = whole.rest(&self.experiment.data);
            for batch in [Some(whole), rest].into_iter().flatten() {
                engines.push(EngineNeeds {
                    what: batch.to_string(),
                    needs: self.evaluation(batch)?,
                });
            }
        }
        Ok(engines)
    }

    /// For batches of `clips`.
    fn training(&self, clips: usize) -> Result<Needs> {
        let segments = every_branch(self.training, clips);
        let options = TrainOptions::of(self.experiment);
        let numerics = self.engine.numerics();
        let program = compile_train(self.training, &segments, &options, &[], numerics)?;
        self.gpu.needs(&program)
    }

    fn evaluation(&self, batch: EvalShape) -> Result<Needs> {
        let segments = [batch.segment(self.evaluation)];
        let numerics = self.engine.numerics();
        let program = compile_eval(self.evaluation, &segments, &[], numerics)?;
        self.gpu.needs(&program)
    }

    /// The fewest shards in whose passes the experiment's batch fits into `room` bytes.
    fn fewest_shards(&self, room: usize) -> Option<String> {
        let train = &self.experiment.train;
        let shards = possible(train).filter(|shards| *shards > train.shards);
        let fits = shards
            .map(|shards| in_shards(self.experiment, shards))
            .find(|experiment| {
                let needs = self.training(experiment.train.shard_clips());
                needs.is_ok_and(|needs| needs.total() <= room)
            });
        fits.map(|experiment| written(&experiment.train))
    }

    /// The most clips whose training fits into `room` bytes, where those of the experiment do not.
    fn largest_batch(&self, room: usize) -> Option<usize> {
        let (mut fits, mut too_many) = (0, self.experiment.train.shard_clips());
        while fits + 1 < too_many {
            let middle = fits.midpoint(too_many);
            let needs = self.training(middle);
            match needs.is_ok_and(|needs| needs.total() <= room) {
                true => fits = middle,
                false => too_many = middle,
            }
        }
        (fits > 0).then_some(fits)
    }
}
