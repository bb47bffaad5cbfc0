//! The control: the same weights with norm statistics estimated again.

use serde::{Deserialize, Serialize};

use super::document::Content;
use super::estimate::{Estimate, Extent};
use super::subject::{Subject, branch_frames};
use crate::base::Result;
use crate::base::statistics::percentage;
use crate::data::EvalBatch;
use crate::exec::Statistics;
use crate::run::results::{self, Prediction};
use crate::train::evaluate::{Branches, Evaluation, Logits, Pass};

/// Accuracy with the statistics that training left, and with those of the inputs at hand. What the second gives back is
/// what the statistics took; the rest of a loss is the motion that fewer frames do not show, or weights that never saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreciseNorms {
    /// Training clips that the statistics are estimated from, as in [`super::Drift`].
    pub clips: usize,
    /// Clips of one batch.
    pub batch: usize,
    /// By frame count, then branch, ascending.
    pub points: Vec<Point>,
}

/// One frame count by one branch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    pub frames: usize,
    /// Frame count of the branch.
    pub branch: usize,
    /// With the running statistics that training left.
    pub before: Score,
    /// With statistics estimated at this frame count.
    pub after: Score,
}

/// Over the validation split.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    pub clips: usize,
    /// Clips whose class is the first.
    pub top1: usize,
    /// Mean cross entropy.
    pub loss: f64,
}

impl Score {
    /// In percent.
    pub fn top1_percent(&self) -> f64 {
        percentage(self.top1, self.clips)
    }
}

impl Content for PreciseNorms {
    const NAME: &'static str = "precise_bn";
}

impl PreciseNorms {
    /// Evaluates each estimate's frame count by its branch with the running statistics and with those estimated. The
    /// model has its running statistics again afterwards.
    pub fn compute(
        subject: &mut Subject,
        extent: Extent,
        estimates: &[Estimate],
        observe: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<Self> {
        let running = subject.model.statistics().clone();
        let mut points: Vec<Candidate> = estimates
            .iter()
            .map(|estimate| Candidate::new(estimate, &running))
            .collect();
        let outcome = evaluate(subject, &running, &mut points, observe);
        subject.model.replace_statistics(running)?;
        outcome?;
        let graph = subject.model.graph();
        let points = points.into_iter().map(|point| Point {
            frames: point.pass.frames,
            branch: branch_frames(graph, point.pass.branch),
            before: point.before.score(),
            after: point.after.score(),
        });
        Ok(Self {
            clips: extent.clips,
            batch: extent.batch,
            points: points.collect(),
        })
    }
}

/// A point while the clips go by.
struct Candidate {
    pass: Pass,
    statistics: Statistics,
    before: Tally,
    after: Tally,
}

#[derive(Default)]
struct Tally {
    clips: usize,
    top1: usize,
    loss: f64,
}

impl Candidate {
    fn new(estimate: &Estimate, running: &Statistics) -> Self {
        Self {
            pass: estimate.pass,
            statistics: estimate.put_into(running),
            before: Tally::default(),
            after: Tally::default(),
        }
    }
}

impl Tally {
    fn add(&mut self, batch: &EvalBatch, logits: &Logits) -> Result<()> {
        for ((id, &label), logits) in batch.ids.iter().zip(&batch.labels).zip(logits) {
            let prediction = Prediction::new(id, label, logits)?;
            self.clips += 1;
            self.top1 += usize::from(prediction.rank == 1);
            self.loss += results::cross_entropy(logits, label);
        }
        Ok(())
    }

    fn score(&self) -> Score {
        Score {
            clips: self.clips,
            top1: self.top1,
            loss: self.loss / self.clips.max(1) as f64,
        }
    }
}

fn evaluate(
    subject: &mut Subject,
    running: &Statistics,
    points: &mut [Candidate],
    observe: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<()> {
    let evaluation = Evaluation {
        experiment: &subject.experiment,
        dataset: &subject.dataset,
        frames: &subject.experiment.eval.frames,
        branches: Branches::Serving,
        workers: subject.workers,
        step: subject.step,
    };
    let model = &mut subject.model;
    let (mut loader, mut done) = (evaluation.loader(), 0);
    while let Some(batch) = loader.next_batch() {
        let batch = batch?;
        for point in points.iter_mut() {
            model.replace_statistics(running.clone())?;
            let before = evaluation.logits(model, &batch, point.pass, None)?;
            point.before.add(&batch, &before)?;
            model.replace_statistics(point.statistics.clone())?;
            let after = evaluation.logits(model, &batch, point.pass, None)?;
            point.after.add(&batch, &after)?;
        }
        done += batch.ids.len();
        observe(done)?;
    }
    Ok(())
}
