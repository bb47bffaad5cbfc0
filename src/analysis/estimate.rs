//! Norm statistics estimated again ("precise batch norm", Wu and Johnson, arXiv 2105.07576, section 3).
//!
//! Batches of training clips, sampled as in evaluation, go forward with norms that take the statistics of the batch.
//! A norm that reads n_b values of a channel in batch b, with mean m_b and unbiased variance v_b, gets
//!
//! μ′ = Σ n_b·m_b / N, σ′² = (Σ (n_b − 1)·v_b + Σ n_b·(m_b − μ′)²) / (N − 1), N = Σ n_b:
//!
//! mean and unbiased variance of all N values together. They are exact for the first norm; a later one reads what
//! earlier norms normalised with their batch, as in training.
//!
//! Layer norms have no statistics; the moments of what they read are those of the same clips in evaluation.

use super::subject::Subject;
use crate::base::Result;
use crate::data::EvalBatch;
use crate::exec::Statistics;
use crate::graph::{Graph, Node, NodeId, NormParams, Op};
use crate::model::{Model, Observation};
use crate::ops::{BatchNorm, Rate};
use crate::program::Segment;
use crate::train::evaluate::{Branches, Evaluation, Pass};
use crate::train::sharing::{Part, Sharing};
use crate::train::wire::{Reader, Writer};

/// The statistics of one pass's inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    pub pass: Pass,
    /// For each norm of the branch, in the network's order.
    pub norms: Vec<(Norm, Moments)>,
}

/// A norm as one branch has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Norm {
    pub params: NormParams,
    pub eps: f64,
    /// How many rows it reads, and of how many pixels each.
    pub rate: Rate,
    pub pixels: usize,
}

/// Count, mean and sum of squares around the mean of each channel.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Moments {
    pub count: f64,
    pub mean: Vec<f64>,
    pub squares: Vec<f64>,
}

/// From what statistics are estimated.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Training clips, evenly spaced over the split.
    pub clips: usize,
    /// Clips of one batch: as many as shared their statistics in training.
    pub batch: usize,
}

impl Subject {
    /// At most `most` training clips, in batches like those of the training.
    pub fn extent(&self, most: usize) -> Extent {
        let train = &self.experiment.train;
        Extent {
            clips: most.min(self.dataset.train.len()),
            batch: train.norm_clips.unwrap_or(train.batch).max(1),
        }
    }
}

/// What one norm read of a batch: how many values of a channel, and each channel's mean and unbiased variance.
struct Read {
    count: f64,
    mean: Vec<f32>,
    var: Vec<f32>,
}

/// What the norms of each pass read of a batch.
struct Seen {
    clips: usize,
    passes: Vec<Vec<Read>>,
}

impl Part for Seen {
    fn write(&self, to: &mut Writer) {
        to.count(self.clips);
        to.each(&self.passes, |to, norms| {
            to.each(norms, |to, read| {
                to.real(read.count);
                to.floats(&read.mean);
                to.floats(&read.var);
            });
        });
    }

    fn read(from: &mut Reader<'_>) -> Result<Self> {
        let read = |from: &mut Reader<'_>| {
            Ok(Read {
                count: from.real()?,
                mean: from.floats()?,
                var: from.floats()?,
            })
        };
        Ok(Self {
            clips: from.count()?,
            passes: from.each(|from| from.each(read))?,
        })
    }
}

/// Adds what each norm read of a batch.
fn add_all<N>(norms: &mut [(N, Moments)], reads: &[Read]) {
    for ((_, moments), read) in norms.iter_mut().zip(reads) {
        moments.add(read);
    }
}

/// The statistics of each pass's inputs; one decode of a clip serves all. `observe(done)` is called with the clips done.
pub fn estimate(
    subject: &mut Subject,
    extent: Extent,
    sharing: &mut Sharing<'_>,
    observe: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Vec<Estimate>> {
    let (passes, graph) = (subject.passes(), subject.model.evaluation_graph());
    let mut estimates: Vec<Estimate> = passes.iter().map(|&p| Estimate::new(graph, p)).collect();
    let norms: Vec<(Pass, Vec<Norm>)> = estimates.iter().map(Estimate::of).collect();
    let mut done = 0;
    each_batch(
        subject,
        extent,
        sharing,
        &mut |model, evaluation, batch| {
            let passes = norms.iter().map(|(pass, norms)| {
                let (segment, pixels) = evaluation.input(batch, *pass, None);
                let statistics = model.batch_statistics(segment, pixels)?;
                Ok(norms.iter().map(|n| n.read(segment, &statistics)).collect())
            });
            passes.collect()
        },
        &mut |seen| {
            for (estimate, reads) in estimates.iter_mut().zip(&seen.passes) {
                add_all(&mut estimate.norms, reads);
            }
            done += seen.clips;
            observe(done)
        },
    )?;
    Ok(estimates)
}

/// The moments of what layer norms read in one pass.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerInputs {
    pub pass: Pass,
    /// For each layer norm, in the network's order.
    pub norms: Vec<(LayerNorm, Moments)>,
}

/// A layer norm of the network.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerNorm {
    pub name: String,
    /// The node that it reads.
    input: NodeId,
    pub eps: f64,
}

/// The moments of what layer norms read in each pass.
pub fn layer_inputs(
    subject: &mut Subject,
    extent: Extent,
    sharing: &mut Sharing<'_>,
    observe: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Vec<LayerInputs>> {
    let norms = layer_norms(subject.model.evaluation_graph());
    let nodes: Vec<NodeId> = norms.iter().map(|norm| norm.input).collect();
    let passes = subject.passes();
    let mut inputs: Vec<LayerInputs> = passes
        .iter()
        .map(|&pass| LayerInputs::new(&norms, pass))
        .collect();
    subject.model.observe(&nodes);
    let mut done = 0;
    let outcome = each_batch(
        subject,
        extent,
        sharing,
        &mut |model, evaluation, batch| {
            let passes = passes.iter().map(|&pass| {
                evaluation.logits(model, batch, pass, None)?;
                let reads = model.observations().iter().map(Read::of_planes).collect();
                // What is observed is large: one pass's engine at a time.
                model.release();
                Ok(reads)
            });
            passes.collect()
        },
        &mut |seen| {
            for (inputs, reads) in inputs.iter_mut().zip(&seen.passes) {
                add_all(&mut inputs.norms, reads);
            }
            done += seen.clips;
            observe(done)
        },
    );
    subject.model.observe(&[]);
    outcome.map(|()| inputs)
}

pub fn layer_norms(graph: &Graph) -> Vec<LayerNorm> {
    let norm = |node: &Node| match &node.op {
        Op::LayerNorm(norm) => Some(LayerNorm {
            name: node.name.clone(),
            input: *node.inputs.first()?,
            eps: norm.eps,
        }),
        _ => None,
    };
    graph.nodes.iter().filter_map(norm).collect()
}

impl LayerInputs {
    fn new(norms: &[LayerNorm], pass: Pass) -> Self {
        let norms = norms.iter().map(|norm| (norm.clone(), Moments::default()));
        Self {
            pass,
            norms: norms.collect(),
        }
    }
}

impl Read {
    fn of_planes(seen: &Observation) -> Self {
        let (count, mean, var) = of_planes(&seen.shape, &seen.values);
        Self { count, mean, var }
    }
}

/// Of values `[images, channels, height, width]`: how many a channel has, and each channel's mean and unbiased variance.
fn of_planes(shape: &[usize], values: &[f32]) -> (f64, Vec<f32>, Vec<f32>) {
    let channels = shape.get(1).copied().unwrap_or(1).max(1);
    let plane = shape.iter().skip(2).product::<usize>().max(1);
    let count = (values.len() / channels) as f64;
    let (mut means, mut vars) = (Vec::new(), Vec::new());
    for channel in 0..channels {
        let planes = || values.chunks(plane).skip(channel).step_by(channels);
        let all = || planes().flatten().map(|&v| f64::from(v));
        let mean = all().sum::<f64>() / count;
        let squares = all().map(|v| (v - mean).powi(2)).sum::<f64>();
        means.push(mean as f32);
        vars.push((squares / (count - 1.0).max(1.0)) as f32);
    }
    (count, means, vars)
}

/// What the norms of each pass read of a batch.
type Compute<'a> =
    dyn FnMut(&mut Model, &Evaluation<'_>, &EvalBatch) -> Result<Vec<Vec<Read>>> + 'a;

/// Calls `compute` with every batch of the training clips, and `take` with what is seen of each, in their order.
fn each_batch(
    subject: &mut Subject,
    extent: Extent,
    sharing: &mut Sharing<'_>,
    compute: &mut Compute<'_>,
    take: &mut dyn FnMut(Seen) -> Result<()>,
) -> Result<()> {
    let mut experiment = subject.experiment.clone();
    experiment.eval.batch = extent.batch * subject.views();
    let dataset = subject.training_clips(extent.clips);
    let part = sharing.part(&dataset, &experiment);
    let evaluation = Evaluation {
        experiment: &experiment,
        dataset: &part,
        frames: &experiment.eval.frames,
        branches: Branches::Serving,
        workers: subject.workers,
        step: subject.step,
    };
    let batches = Evaluation {
        dataset: &dataset,
        ..evaluation
    };
    let (model, mut loader) = (&mut subject.model, evaluation.loader());
    sharing.each(
        batches.batches(),
        &mut || {
            let Some(batch) = loader.next_batch().transpose()? else {
                return Ok(None);
            };
            let passes = compute(model, &evaluation, &batch)?;
            Ok(Some(Seen {
                clips: batch.ids.len(),
                passes,
            }))
        },
        take,
    )?;
    subject.model.release();
    Ok(())
}

/// The norms that a branch goes through.
pub fn norms(graph: &Graph, branch: usize) -> impl Iterator<Item = Norm> {
    graph.nodes.iter().filter_map(move |node| {
        let norm = norm_of(node)?;
        let own = if norm.branches.len() == 1 { 0 } else { branch };
        Some(Norm {
            params: *norm.branches.get(own)?,
            eps: norm.eps,
            rate: node.rate,
            pixels: node.shape.pixels(),
        })
    })
}

fn norm_of(node: &Node) -> Option<&BatchNorm> {
    if let Op::BatchNorm(norm) = &node.op {
        Some(norm)
    } else {
        None
    }
}

impl Estimate {
    fn new(graph: &Graph, pass: Pass) -> Self {
        let norms = norms(graph, pass.branch).map(|norm| (norm, Moments::default()));
        Self {
            pass,
            norms: norms.collect(),
        }
    }

    /// The pass, and its norms.
    fn of(&self) -> (Pass, Vec<Norm>) {
        (
            self.pass,
            self.norms.iter().map(|(norm, _)| *norm).collect(),
        )
    }

    /// `running` with what was estimated in the places of the branch's norms.
    pub fn put_into(&self, running: &Statistics) -> Statistics {
        let mut statistics = running.clone();
        for (norm, moments) in &self.norms {
            let round = |values: Vec<f64>| values.into_iter().map(|v| v as f32).collect();
            if let Some(mean) = statistics.mean.get_mut(norm.params.stat) {
                *mean = round(moments.mean.clone());
            }
            if let Some(var) = statistics.var.get_mut(norm.params.stat) {
                *var = round(moments.variance());
            }
        }
        statistics
    }
}

impl Norm {
    fn read(&self, segment: Segment, statistics: &Statistics) -> Read {
        let of = |all: &[Vec<f32>]| all.get(self.params.stat).cloned().unwrap_or_default();
        let rows = segment.clips * self.rate.rows(segment.frames);
        Read {
            count: (rows * self.pixels) as f64,
            mean: of(&statistics.mean),
            var: of(&statistics.var),
        }
    }
}

impl Moments {
    /// Adds the values of a batch by their mean and unbiased variance (Chan, Golub and LeVeque 1979).
    fn add(&mut self, Read { count, mean, var }: &Read) {
        let count = *count;
        self.mean.resize(mean.len(), 0.0);
        self.squares.resize(mean.len(), 0.0);
        let total = self.count + count;
        let own = self.mean.iter_mut().zip(&mut self.squares);
        for ((own, squares), (&mean, &var)) in own.zip(mean.iter().zip(var)) {
            let apart = f64::from(mean) - *own;
            *own += apart * count / total;
            *squares += (count - 1.0).max(0.0) * f64::from(var);
            *squares += apart * apart * self.count * count / total;
        }
        self.count = total;
    }

    /// Mean and unbiased variance of each channel.
    pub fn all(&self) -> Vec<(f64, f64)> {
        self.mean.iter().copied().zip(self.variance()).collect()
    }

    /// Unbiased.
    pub fn variance(&self) -> Vec<f64> {
        let by = (self.count - 1.0).max(1.0);
        self.squares.iter().map(|squares| squares / by).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Mean and unbiased variance of values by their definition.
    fn direct(values: &[f32]) -> (f64, f64) {
        let n = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let squares = values.iter().map(|&v| (f64::from(v) - mean).powi(2));
        (mean, squares.sum::<f64>() / (n - 1.0).max(1.0))
    }

    proptest! {
        #[test]
        fn batches_together_are_all_values_at_once(
            batches in prop::collection::vec(prop::collection::vec(-100.0f32..100.0, 2..20), 1..8),
        ) {
            let mut moments = Moments::default();
            for batch in &batches {
                let (mean, var) = direct(batch);
                moments.add(&Read {
                    count: batch.len() as f64,
                    mean: vec![mean as f32],
                    var: vec![var as f32],
                });
            }
            let (mean, var) = direct(&batches.concat());
            prop_assert!((moments.mean[0] - mean).abs() < 1e-4, "{} {mean}", moments.mean[0]);
            prop_assert!((moments.variance()[0] - var).abs() < 1e-5 * (1.0 + var) * 10.0);
        }

        #[test]
        fn planes_of_a_channel_are_its_values(
            images in 1usize..4, channels in 1usize..4, plane in 1usize..6, seed in 0u64..99,
        ) {
            let count = images * channels * plane;
            let values: Vec<f32> = (0..count).map(|i| ((i as u64 * 37 + seed) % 101) as f32).collect();
            let (n, means, vars) = of_planes(&[images, channels, plane, 1], &values);
            prop_assert_eq!(n, (images * plane) as f64);
            for channel in 0..channels {
                let of = |i: &usize| i / plane % channels == channel;
                let own: Vec<f32> = (0..count).filter(of).map(|i| values[i]).collect();
                let (mean, var) = direct(&own);
                prop_assert!((f64::from(means[channel]) - mean).abs() < 1e-4);
                prop_assert!((f64::from(vars[channel]) - var).abs() < 1e-3 * (1.0 + var));
            }
        }
    }
}
