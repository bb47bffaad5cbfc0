//! The trunk in dfdx's own operations: each branch a forward pass of its own, the parameters leaves of the tape.
//!
//! Parameters, running statistics, pixels and results are float32 on both sides of this engine, as everywhere; in
//! float64 everything between them is float64, the objective too.

use std::marker::PhantomData;
use std::rc::Rc;

use dfdx::prelude::*;

use super::{Plan, Trunk, failed, learn, rounded};
use crate::base::Result;
use crate::exec::dfdx::{Observed, Pass, Real, Training, Vector, leaves};
use crate::exec::{Device, DropoutKey, Input, Segment, Statistics, TrainOptions};
use crate::graph::{Graph, NodeId};
use crate::model::objective::{BranchLogits, Objective, Recorded, Scalar};
use crate::model::observation::{self, Observation};
use crate::model::{StepInput, StepOutput};
use crate::program::Batch;
use crate::program::batch::every_branch;

/// A model's passes in `E`, float32 or float64.
pub struct Interpreted<E> {
    device: Rc<dyn Device>,
    plan: Rc<Plan>,
    observed: Vec<NodeId>,
    observations: Vec<Observation>,
    numbers: PhantomData<E>,
}

impl<E: Real> Interpreted<E> {
    pub fn new(device: Rc<dyn Device>, plan: Rc<Plan>, observed: Vec<NodeId>) -> Self {
        Self {
            device,
            plan,
            observed,
            observations: Vec::new(),
            numbers: PhantomData,
        }
    }

    /// The logits of every branch, ascending, on tapes that lead to `leaves`.
    fn forward(
        &mut self,
        leaves: &[Vector<E>],
        statistics: &mut Statistics,
        input: &StepInput<'_>,
    ) -> Result<Vec<BranchLogits<E>>> {
        let plan = Rc::clone(&self.plan);
        let graph = &plan.training;
        let frame = graph.nodes[0].shape.count();
        let pixels = input.pixels.values();
        let (mut rest, mut branches, mut observed) = (&*pixels, Vec::new(), Vec::new());
        for segment in every_branch(graph, input.targets.clips()) {
            let (pixels, tail) = rest.split_at(segment.clips * segment.frames * frame);
            rest = tail;
            let pass = Pass {
                graph,
                segment,
                training: Some(Training {
                    options: &plan.options,
                    dropout: input.dropout,
                }),
                observed: &self.observed,
            };
            let output = pass.forward::<E, Recorded<E>>(leaves, statistics, pixels)?;
            observed.push((segment, output.observed));
            branches.push(BranchLogits {
                frames: segment.frames,
                logits: output.logits,
            });
        }
        self.observations = self.in_order(graph, &observed);
        Ok(branches)
    }

    /// The nodes in the order asked for, the segments of each in the batch's order.
    fn in_order(&self, graph: &Graph, passes: &[(Segment, Observed)]) -> Vec<Observation> {
        let of_node = |&node: &NodeId| {
            passes.iter().flat_map(move |(segment, observed)| {
                let values = observed.iter().filter(move |(id, _)| *id == node);
                values.flat_map(|(id, values)| observation::split(graph, &[*segment], *id, values))
            })
        };
        self.observed.iter().flat_map(of_node).collect()
    }
}

impl<E: Real> Trunk for Interpreted<E> {
    /// There is no program to build: only what no batch may be is refused.
    fn prepare_train(&mut self, clips: usize) -> Result<()> {
        let graph = &self.plan.training;
        Batch::train(graph, &every_branch(graph, clips), &self.plan.options).map(drop)
    }

    fn prepare_eval(&mut self, batch: Segment) -> Result<()> {
        Batch::eval(&self.plan.evaluation, &[batch]).map(drop)
    }

    fn train_step(
        &mut self,
        statistics: &mut Statistics,
        objective: &Objective,
        input: &StepInput<'_>,
    ) -> Result<StepOutput> {
        self.prepare_train(input.targets.clips())?;
        let leaves = leaves::<E>(&self.device.parameters()?)?;
        let branches = self.forward(&leaves, statistics, input)?;
        learn(
            objective,
            branches,
            (input.targets, input.shards),
            |total| self.device.write_gradients(&differentiate(total, &leaves)?),
        )
    }

    fn evaluate(
        &mut self,
        statistics: &mut Statistics,
        batch: Segment,
        pixels: Input<'_>,
    ) -> Result<Vec<f32>> {
        self.prepare_eval(batch)?;
        let plan = Rc::clone(&self.plan);
        let leaves = leaves::<E>(&self.device.parameters()?)?;
        // A clip at a time: they do not meet, and what a pass keeps is large.
        let pass = Pass {
            graph: &plan.evaluation,
            segment: Segment { clips: 1, ..batch },
            training: None,
            observed: &self.observed,
        };
        let (mut logits, mut observed) = (Vec::new(), Observed::new());
        let pixels = pixels.values();
        for clip in pixels.chunks_exact(pixels.len() / batch.clips) {
            let output = pass.forward::<E, NoneTape>(&leaves, statistics, clip)?;
            logits.extend(rounded(output.logits.as_vec()));
            append(&mut observed, output.observed);
        }
        self.observations = self.in_order(pass.graph, &[(batch, observed)]);
        Ok(logits)
    }

    fn follow_statistics(
        &mut self,
        statistics: &mut Statistics,
        batch: Segment,
        pixels: Input<'_>,
    ) -> Result<()> {
        let pass = Pass {
            graph: &self.plan.evaluation,
            segment: batch,
            training: Some(Training {
                options: &TrainOptions::BATCH_STATISTICS,
                dropout: DropoutKey::default(),
            }),
            observed: &[],
        };
        let leaves = leaves::<E>(&self.device.parameters()?)?;
        pass.forward::<E, NoneTape>(&leaves, statistics, &pixels.values())
            .map(drop)
    }

    fn release(&mut self) {}

    fn observations(&self) -> &[Observation] {
        &self.observations
    }

    /// Every pass frees what it took.
    fn memory(&self) -> usize {
        0
    }
}

/// Puts a clip's outputs behind those of the clips before it.
fn append(observed: &mut Observed, clip: Observed) {
    if observed.is_empty() {
        *observed = clip;
        return;
    }
    for ((_, all), (_, values)) in observed.iter_mut().zip(clip) {
        all.extend(values);
    }
}

/// dfdx's backward pass: every leaf's gradient, zero where none came.
fn differentiate<E: Real>(total: Scalar<E>, leaves: &[Vector<E>]) -> Result<Vec<Vec<f32>>> {
    let mut gradients = total.try_backward().map_err(failed)?;
    let gradient = |leaf: &Vector<E>| {
        gradients.try_alloc_for(leaf).map_err(failed)?;
        Ok(rounded(gradients.get(leaf).as_vec()))
    };
    leaves.iter().map(gradient).collect()
}
