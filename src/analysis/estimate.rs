//! Norm statistics estimated again ("precise batch norm", Wu and Johnson, arXiv 2105.07576, section 3).
//!
//! Batches of training clips, sampled as in evaluation, go forward with norms that take the statistics of the batch.
//! A norm that reads n_b values of a channel in batch b, with mean m_b and unbiased variance v_b, gets
//!
//! μ′ = Σ n_b·m_b / N, σ′² = (Σ (n_b − 1)·v_b + Σ n_b·(m_b − μ′)²) / (N − 1), N = Σ n_b:
//!
//! mean and unbiased variance of all N values together. They are exact for the first norm; a later one reads what
//! earlier norms normalised with their batch, as in training.

use super::subject::Subject;
use crate::base::Result;
use crate::exec::Statistics;
use crate::graph::{Graph, Node, NormParams, Op};
use crate::ops::{BatchNorm, Rate};
use crate::program::Segment;
use crate::train::evaluate::{Branches, Evaluation, Pass};

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

/// The statistics of each pass's inputs; one decode of a clip serves all. `observe(done)` is called with the clips done.
pub fn estimate(
    subject: &mut Subject,
    extent: Extent,
    observe: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Vec<Estimate>> {
    let passes = subject.passes();
    let mut experiment = subject.experiment.clone();
    experiment.eval.batch = extent.batch * subject.views();
    let dataset = subject.training_clips(extent.clips);
    let evaluation = Evaluation {
        experiment: &experiment,
        dataset: &dataset,
        frames: &experiment.eval.frames,
        branches: Branches::Serving,
        workers: subject.workers,
        step: subject.step,
    };
    let graph = subject.model.evaluation_graph();
    let mut estimates: Vec<Estimate> = passes.iter().map(|&p| Estimate::new(graph, p)).collect();
    let (mut loader, mut done) = (evaluation.loader(), 0);
    while let Some(batch) = loader.next_batch() {
        let batch = batch?;
        for estimate in &mut estimates {
            let (segment, pixels) = evaluation.input(&batch, estimate.pass, None);
            let statistics = subject.model.batch_statistics(segment, pixels)?;
            estimate.add(segment, &statistics);
        }
        done += batch.ids.len();
        observe(done)?;
    }
    subject.model.release();
    Ok(estimates)
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

    fn add(&mut self, segment: Segment, statistics: &Statistics) {
        for (norm, moments) in &mut self.norms {
            let stat = norm.params.stat;
            let of = |all: &[Vec<f32>]| all.get(stat).cloned().unwrap_or_default();
            let (mean, var) = (of(&statistics.mean), of(&statistics.var));
            let rows = segment.clips * norm.rate.rows(segment.frames);
            moments.add((rows * norm.pixels) as f64, &mean, &var);
        }
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

impl Moments {
    /// Adds `count` values of each channel with their mean and unbiased variance (Chan, Golub and LeVeque 1979).
    fn add(&mut self, count: f64, mean: &[f32], var: &[f32]) {
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
                moments.add(batch.len() as f64, &[mean as f32], &[var as f32]);
            }
            let (mean, var) = direct(&batches.concat());
            prop_assert!((moments.mean[0] - mean).abs() < 1e-4, "{} {mean}", moments.mean[0]);
            prop_assert!((moments.variance()[0] - var).abs() < 1e-5 * (1.0 + var) * 10.0);
        }
    }
}
