//! The control: the same weights with norm statistics estimated again.

use serde::{Deserialize, Serialize};

use super::document::Content;
use super::estimate::{Estimate, Extent};
use super::subject::{Subject, branch_frames};
use crate::base::Result;
use crate::base::statistics::percentage;
use crate::data::EvalBatch;
use crate::exec::Statistics;
use crate::train::evaluate::{Branches, Evaluation, Logits, Pass, predictions};
use crate::train::sharing::{Part, Sharing};
use crate::train::wire::{Reader, Writer};

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
        sharing: &mut Sharing<'_>,
        observe: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<Self> {
        let running = subject.model.statistics().clone();
        let mut points: Vec<Candidate> = estimates
            .iter()
            .map(|estimate| Candidate::new(estimate, &running))
            .collect();
        let outcome = evaluate(subject, &running, &mut points, sharing, observe);
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

/// What was said of a clip.
struct Said {
    right: bool,
    loss: f64,
}

/// What each point says of a batch's clips, before and after.
struct Seen(Vec<[Vec<Said>; 2]>);

impl Part for Seen {
    fn write(&self, to: &mut Writer) {
        let clip = |to: &mut Writer, said: &Said| {
            to.count(usize::from(said.right));
            to.real(said.loss);
        };
        to.each(&self.0, |to, [before, after]| {
            to.each(before, clip);
            to.each(after, clip);
        });
    }

    fn read(from: &mut Reader<'_>) -> Result<Self> {
        let clip = |from: &mut Reader<'_>| {
            Ok(Said {
                right: from.count()? > 0,
                loss: from.real()?,
            })
        };
        from.each(|from| Ok([from.each(clip)?, from.each(clip)?]))
            .map(Self)
    }
}

impl Tally {
    fn add(&mut self, said: &[Said]) {
        for said in said {
            self.clips += 1;
            self.top1 += usize::from(said.right);
            self.loss += said.loss;
        }
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
    sharing: &mut Sharing<'_>,
    observe: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<()> {
    let part = sharing.part(&subject.dataset, &subject.experiment);
    let whole = Evaluation {
        experiment: &subject.experiment,
        dataset: &subject.dataset,
        frames: &subject.experiment.eval.frames,
        branches: Branches::Serving,
        workers: subject.workers,
        step: subject.step,
    };
    let own = Evaluation {
        dataset: &part,
        ..whole
    };
    let statistics: Vec<(Pass, Statistics)> = points
        .iter()
        .map(|point| (point.pass, point.statistics.clone()))
        .collect();
    let (model, mut loader, mut done) = (&mut subject.model, own.loader(), 0);
    sharing.each(
        whole.batches(),
        &mut || {
            let Some(batch) = loader.next_batch().transpose()? else {
                return Ok(None);
            };
            let seen = statistics.iter().map(|(pass, estimated)| {
                let mut with = |statistics: &Statistics| {
                    model.replace_statistics(statistics.clone())?;
                    said(&batch, &own.logits(model, &batch, *pass, None)?)
                };
                Ok([with(running)?, with(estimated)?])
            });
            seen.collect::<Result<_>>().map(|seen| Some(Seen(seen)))
        },
        &mut |seen: Seen| {
            done += seen.0.first().map_or(0, |[before, _]| before.len());
            for (point, [before, after]) in points.iter_mut().zip(&seen.0) {
                point.before.add(before);
                point.after.add(after);
            }
            observe(done)
        },
    )
}

fn said(batch: &EvalBatch, logits: &Logits) -> Result<Vec<Said>> {
    let clips = predictions(batch, logits)?.into_iter();
    let said = clips.map(|(prediction, loss)| Said {
        right: prediction.rank == 1,
        loss,
    });
    Ok(said.collect())
}
