//! What lies between frames and logits, computed by one engine: [`compiled`] runs fused programs, [`interpreted`] dfdx's
//! own operations. Both put the logits on dfdx's tape; the objective and its backward pass ([`learn`]) are the same.

mod compiled;
mod interpreted;

use std::rc::Rc;

use dfdx::prelude::*;

use super::objective::{BranchLogits, Objective, Scalar, Targets};
use super::observation::Observation;
use super::{StepInput, StepOutput, StepTime};
use crate::base::{Error, Kind, Result};
use crate::exec::dfdx::Real;
use crate::exec::{Device, EngineKind, Executor, Input, Segment, Statistics, TrainOptions};
use crate::graph::{Graph, NodeId};

/// What every engine is told of a model.
pub struct Plan {
    /// At the size of training; that of evaluation has the same parameters.
    pub training: Graph,
    pub evaluation: Graph,
    pub options: TrainOptions,
    pub executor: Executor,
}

/// A model's passes on one engine.
pub trait Trunk {
    /// Finds out now what could be wrong with training batches of `clips`.
    fn prepare_train(&mut self, clips: usize) -> Result<()>;

    /// Finds out now what could be wrong with evaluation batches like this one.
    fn prepare_eval(&mut self, batch: Segment) -> Result<()>;

    /// Forward of every branch, objective and backward. The gradients are left on the device; the running statistics follow.
    fn train_step(
        &mut self,
        statistics: &mut Statistics,
        objective: &Objective,
        input: &StepInput<'_>,
    ) -> Result<StepOutput>;

    /// Logits of an evaluation batch: clips × classes.
    fn evaluate(
        &mut self,
        statistics: &mut Statistics,
        batch: Segment,
        pixels: Input<'_>,
    ) -> Result<Vec<f32>>;

    /// As [`Trunk::evaluate`], with norms that take the statistics of the batch; the running statistics of the batch's
    /// branch follow.
    fn follow_statistics(
        &mut self,
        statistics: &mut Statistics,
        batch: Segment,
        pixels: Input<'_>,
    ) -> Result<()>;

    /// Frees what is held between passes; the next pass builds it again.
    fn release(&mut self);

    /// Parameters or statistics are no longer those of the last pass.
    fn weights_changed(&mut self) {}

    /// Of the last pass: the observed nodes in the order asked for, each with its segments in the batch's order.
    fn observations(&self) -> &[Observation];

    /// Has passes of the programs that there are tell what steps take; `false` where nothing changes by that.
    fn time_steps(&mut self) -> Result<bool> {
        Ok(false)
    }

    /// Time and cost of each step of the programs so far.
    fn times(&self) -> Vec<StepTime> {
        Vec::new()
    }

    /// Bytes that are held between passes.
    fn memory(&self) -> usize;
}

/// The trunk on an engine, for the parameters on a device.
pub fn build(device: &Rc<dyn Device>, plan: Rc<Plan>, observed: &[NodeId]) -> Box<dyn Trunk> {
    let (device, observed) = (Rc::clone(device), observed.to_vec());
    match plan.executor.engine {
        EngineKind::Compiled | EngineKind::CompiledBf16 | EngineKind::CompiledAmx => {
            Box::new(compiled::Compiled::new(device, plan, observed))
        }
        EngineKind::Dfdx => Box::new(interpreted::Interpreted::<f32>::new(device, plan, observed)),
        EngineKind::DfdxF64 => {
            Box::new(interpreted::Interpreted::<f64>::new(device, plan, observed))
        }
    }
}

/// The objective of logits on a tape and its backward pass, which `differentiate` runs: it leaves the gradients on the device.
fn learn<E: Real>(
    objective: &Objective,
    branches: Vec<BranchLogits<E>>,
    (targets, shards): (Targets<'_>, usize),
    differentiate: impl FnOnce(Scalar<E>) -> Result<()>,
) -> Result<StepOutput> {
    let logits = branches
        .iter()
        .map(|branch| rounded(branch.logits.as_vec()));
    let logits = logits.collect();
    let loss = objective.loss(branches, targets, shards)?;
    let output = StepOutput {
        total: loss.value(),
        terms: loss.terms,
        logits,
    };
    differentiate(loss.total)?;
    Ok(output)
}

/// What leaves an engine is float32.
fn rounded<E: Real>(values: Vec<E>) -> Vec<f32> {
    values.into_iter().map(|v| v.exact() as f32).collect()
}

fn failed(error: CpuError) -> Error {
    Error::new(Kind::Device, format!("dfdx: {error}"))
}
