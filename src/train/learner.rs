//! What learns, model and optimiser, and one step of it.

use std::collections::BTreeMap;

use super::average::Average;
use super::{Optimizer, schedule};
use crate::base::{Error, Kind, Result};
use crate::data::TrainBatch;
use crate::exec::{DropoutKey, Input, Next, Statistics};
use crate::model::objective::Targets;
use crate::model::{Model, StateDict, StepInput, StepOutput};
use crate::run::metrics::Record;
use crate::spec::Experiment;

pub struct Learner {
    pub model: Model,
    pub optimizer: Optimizer,
    /// Where the experiment averages its weights.
    pub average: Option<Average>,
}

/// A training step's place.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// From 0.
    pub step: u64,
    pub steps_per_epoch: u64,
}

impl Learner {
    pub fn new(model: Model, experiment: &Experiment) -> Result<Self> {
        Ok(Self {
            optimizer: Optimizer::new(&model, experiment)?,
            average: match experiment.train.ema {
                Some(rule) => Some(Average::new(rule, &model)?),
                None => None,
            },
            model,
        })
    }

    /// Averages the weights that an update left.
    pub fn follow(&mut self) -> Result<()> {
        match &mut self.average {
            Some(average) => average.follow(&self.model),
            None => Ok(()),
        }
    }

    /// The weights that are evaluated: the averaged ones where there are such.
    pub fn result(&self) -> Result<StateDict> {
        match &self.average {
            Some(average) => Ok(average.state().clone()),
            None => self.model.state_dict(),
        }
    }

    /// Does something with the model as its result is.
    pub fn with_result<T>(&mut self, work: impl FnOnce(&mut Model) -> Result<T>) -> Result<T> {
        let Some(average) = &self.average else {
            return work(&mut self.model);
        };
        let own = self.model.state_dict()?;
        self.model.load_state_dict(average.state())?;
        let done = work(&mut self.model);
        self.model.load_state_dict(&own)?;
        done
    }

    /// Forward, backward, update. `next`: the step that follows. Fails when a value is not finite; the model is of no use then.
    pub fn step(
        &mut self,
        experiment: &Experiment,
        place: Place,
        batch: &TrainBatch,
        next: Next<'_>,
    ) -> Result<Record> {
        let rate = schedule::rate(experiment, place.steps_per_epoch, place.step);
        let input = input(experiment, batch, next);
        let output = self.model.train_step(&input)?;
        let mut grad_norm = f64::NAN;
        if output.total.is_finite() {
            grad_norm = self.optimizer.step(&mut self.model, rate)?;
        }
        if let Some(what) = not_finite(output.total, grad_norm, self.model.statistics()) {
            return Err(diverged(place.step, batch, rate, &what));
        }
        self.follow()?;
        let accuracy = self.accuracy(&output, &batch.labels);
        Ok(Record {
            step: place.step,
            epoch: place.step / place.steps_per_epoch.max(1),
            lr: rate,
            loss: output.total,
            terms: output.terms.into_iter().collect(),
            grad_norm,
            accuracy,
            skipped: batch.skipped.iter().map(|(id, _)| id.clone()).collect(),
        })
    }

    fn accuracy(&self, output: &StepOutput, labels: &[usize]) -> BTreeMap<usize, f64> {
        let graph = self.model.graph();
        let branches = graph.branches.iter().copied().zip(&output.logits);
        branches
            .map(|(frames, logits)| (frames, accuracy(logits, labels, graph.classes)))
            .collect()
    }
}

/// What a model reads in the step of a batch.
pub fn input<'a>(
    experiment: &'a Experiment,
    batch: &'a TrainBatch,
    next: Next<'a>,
) -> StepInput<'a> {
    StepInput {
        pixels: Input::of(&batch.pixels, &experiment.train.clips.normalize, next),
        targets: match &batch.targets {
            None => Targets::Labels(&batch.labels),
            Some(probabilities) => Targets::Soft {
                clips: batch.labels.len(),
                probabilities,
            },
        },
        dropout: DropoutKey {
            seed: experiment.seed,
            step: batch.step,
        },
    }
}

/// What of a step's outcome is not finite. A batch norm can keep the loss finite long after its statistics are not.
fn not_finite(loss: f64, grad_norm: f64, statistics: &Statistics) -> Option<String> {
    let all = statistics.mean.iter().chain(&statistics.var).flatten();
    if !grad_norm.is_finite() {
        Some(format!("loss {loss}, gradient norm {grad_norm}"))
    } else if all.into_iter().any(|value| !value.is_finite()) {
        Some(format!(
            "loss {loss}, and a running statistic is not finite"
        ))
    } else {
        None
    }
}

fn diverged(step: u64, batch: &TrainBatch, rate: f64, what: &str) -> Error {
    Error::new(
        Kind::Diverged,
        format!(
            "training diverged at step {step}: {what}, learning rate {rate}\n  clips of the step: {}",
            batch.ids.join(", ")
        ),
    )
    .hint("the last checkpoint is intact; a lower learning rate, a warm-up or gradient clipping may help, each of which is another experiment")
}

/// Part of the clips whose largest logit (the first of equal ones) is the label's.
fn accuracy(logits: &[f32], labels: &[usize], classes: usize) -> f64 {
    let rows = logits.chunks(classes.max(1));
    let right = rows.zip(labels).filter(|(row, label)| {
        let own = row.get(**label).copied().unwrap_or(f32::NAN);
        let before = row.iter().take(**label).all(|&v| v < own);
        before && row.iter().skip(**label).all(|&v| v <= own)
    });
    right.count() as f64 / labels.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracy_counts_the_first_of_equal_logits() {
        let logits = [1.0, 1.0, 0.0, 0.0, 2.0, 2.0];
        assert_eq!(accuracy(&logits, &[0, 1], 3), 1.0);
        assert_eq!(accuracy(&logits, &[1, 2], 3), 0.0);
        assert_eq!(accuracy(&[f32::NAN; 3], &[0], 3), 0.0);
    }
}
