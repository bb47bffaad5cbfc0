//! What learns, model and optimiser, and one step of it.

use super::average::Average;
use super::sum::{Node, Sum, Tree};
use super::{Optimizer, schedule};
use crate::base::{Error, Kind, Result};
use crate::data::TrainBatch;
use crate::data::loader::unreadable_step;
use crate::exec::{DropoutKey, Input, Next, Statistics};
use crate::model::objective::Targets;
use crate::model::{Model, StateDict, StepInput, StepOutput};
use crate::run::metrics::Record;
use crate::spec::{Experiment, RunningStatistics};

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

    /// Forward, backward, update from all shards of a step. `next`: the step that follows. Fails when a value is not finite; the
    /// model is of no use then.
    pub fn step(
        &mut self,
        experiment: &Experiment,
        place: Place,
        shards: &[TrainBatch],
        next: Next<'_>,
    ) -> Result<Record> {
        let tree = self.passes(experiment, shards, next)?;
        let sum = self.whole(tree)?;
        self.update(experiment, place, sum)
    }

    /// What all shards of a step come to, taken over for the update.
    pub fn whole(&mut self, tree: Tree<Sum>) -> Result<Sum> {
        let sum = tree.finish().unwrap_or_default();
        self.take(&sum)?;
        Ok(sum)
    }

    /// Forward and backward passes of some shards of a step, in their order.
    pub fn passes(
        &mut self,
        experiment: &Experiment,
        shards: &[TrainBatch],
        next: Next<'_>,
    ) -> Result<Tree<Sum>> {
        let before = self.model.statistics().clone();
        let mut after = None;
        let mut tree = Tree::default();
        for (number, batch) in shards.iter().enumerate() {
            let following = shards.get(number + 1);
            let own = following.map(|batch| move || Some(batch.pixels.clone()));
            let next = match &own {
                Some(own) => Some(own as &dyn Fn() -> _),
                None => next,
            };
            let sum = self.pass(experiment, batch, next)?;
            if experiment.train.shards > 1 {
                if batch.shard == 0 {
                    after = Some(self.model.statistics().clone());
                }
                self.model.replace_statistics(before.clone())?;
            }
            tree.push(Node {
                first: batch.shard,
                count: 1,
                sum,
            });
        }
        if let Some(statistics) = after {
            self.model.replace_statistics(statistics)?;
        }
        Ok(tree)
    }

    /// What one shard comes to. Of a step's only one the gradients stay on the device.
    fn pass(&mut self, experiment: &Experiment, batch: &TrainBatch, next: Next<'_>) -> Result<Sum> {
        let mut sum = Sum {
            ids: batch.ids.clone(),
            skipped: batch.skipped.clone(),
            ..Sum::default()
        };
        if batch.labels.is_empty() {
            return Ok(sum);
        }
        let output = self.model.train_step(&input(experiment, batch, next))?;
        sum.right = self.right(&output, &batch.labels);
        sum.losses = vec![("total".to_owned(), output.total)];
        sum.losses.extend(output.terms);
        if experiment.train.shards > 1 {
            sum.gradients = self.model.device().gradients()?;
        }
        if experiment.train.running_statistics == RunningStatistics::MeanOfShards {
            sum.statistics = Some((self.model.statistics().clone(), 1));
        }
        Ok(sum)
    }

    /// The update from what all shards of a step come to, once [`Learner::take`] has put it on the device.
    pub fn update(&mut self, experiment: &Experiment, place: Place, sum: Sum) -> Result<Record> {
        if sum.ids.is_empty() {
            return Err(unreadable_step(place.step, &sum.skipped));
        }
        let rate = schedule::rate(experiment, place.steps_per_epoch, place.step);
        let mut losses = sum.losses.into_iter();
        let loss = losses.next().map_or(f64::NAN, |(_, total)| total);
        let mut grad_norm = f64::NAN;
        if loss.is_finite() {
            grad_norm = self.optimizer.step(&mut self.model, rate)?;
        }
        if let Some(what) = not_finite(loss, grad_norm, self.model.statistics()) {
            return Err(diverged(place.step, &sum.ids, rate, &what));
        }
        self.follow()?;
        let part = |right: u64| right as f64 / sum.ids.len().max(1) as f64;
        let branches = self.model.graph().branches.iter().copied();
        Ok(Record {
            step: place.step,
            epoch: place.step / place.steps_per_epoch.max(1),
            lr: rate,
            loss,
            terms: losses.collect(),
            grad_norm,
            accuracy: branches.zip(sum.right.into_iter().map(part)).collect(),
            skipped: sum.skipped.into_iter().map(|(id, _)| id).collect(),
        })
    }

    /// Puts gradients and running statistics of all shards where those of a pass are.
    pub fn take(&mut self, sum: &Sum) -> Result<()> {
        if !sum.gradients.is_empty() {
            self.model.device().write_gradients(&sum.gradients)?;
        }
        let Some((statistics, count)) = &sum.statistics else {
            return Ok(());
        };
        let mut statistics = statistics.clone();
        for value in statistics
            .mean
            .iter_mut()
            .chain(&mut statistics.var)
            .flatten()
        {
            *value = (f64::from(*value) / *count as f64) as f32;
        }
        self.model.replace_statistics(statistics)
    }

    fn right(&self, output: &StepOutput, labels: &[usize]) -> Vec<u64> {
        let classes = self.model.graph().classes;
        let right = |logits: &Vec<f32>| right(logits, labels, classes) as u64;
        output.logits.iter().map(right).collect()
    }
}

/// What a model reads in the pass of a batch.
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
            first_clip: batch.shard * experiment.train.shard_clips(),
        },
        shards: experiment.train.shards,
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

fn diverged(step: u64, ids: &[String], rate: f64, what: &str) -> Error {
    Error::new(
        Kind::Diverged,
        format!(
            "training diverged at step {step}: {what}, learning rate {rate}\n  clips of the step: {}",
            ids.join(", ")
        ),
    )
    .hint("the last checkpoint is intact; a lower learning rate, a warm-up or gradient clipping may help, each of which is another experiment")
}

/// Clips whose largest logit (the first of equal ones) is the label's.
fn right(logits: &[f32], labels: &[usize], classes: usize) -> usize {
    let rows = logits.chunks(classes.max(1));
    let right = rows.zip(labels).filter(|(row, label)| {
        let own = row.get(**label).copied().unwrap_or(f32::NAN);
        let before = row.iter().take(**label).all(|&v| v < own);
        before && row.iter().skip(**label).all(|&v| v <= own)
    });
    right.count()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::data::Pixels;
    use crate::exec::Executor;
    use crate::spec::Method;
    use crate::spec::network::{self, Network, Training};

    /// Two clips in two shards.
    fn sharded(rule: RunningStatistics) -> (Experiment, Learner) {
        let mut experiment = network::experiment(&Network {
            method: Method::Vanilla { frames: 2 },
            model: network::tsm(network::smallest()),
            classes: 2,
            size: 16,
            training: Some(Training::sgd(2, 0.1, 0.9, 0.0)),
        });
        experiment.train.shards = 2;
        experiment.train.norm_clips = Some(1);
        experiment.train.running_statistics = rule;
        let model = Model::new(&experiment, Path::new(""), Executor::compiled(1)).unwrap();
        let learner = Learner::new(model, &experiment).unwrap();
        (experiment, learner)
    }

    fn shard(shard: usize, clips: usize) -> TrainBatch {
        let bytes = (0..clips * 2 * 16 * 16 * 3).map(|i| (i * (7 + 4 * shard) % 251) as u8);
        TrainBatch {
            step: 0,
            shard,
            ids: vec![shard.to_string(); clips],
            labels: vec![shard; clips],
            targets: None,
            pixels: Arc::new(Pixels::Bytes(bytes.collect())),
            skipped: match clips {
                0 => vec![(shard.to_string(), "damaged".to_owned())],
                _ => Vec::new(),
            },
        }
    }

    /// What a step of these shards leaves of the running statistics.
    fn statistics(rule: RunningStatistics, shards: &[TrainBatch]) -> Statistics {
        let (experiment, mut learner) = sharded(rule);
        let place = Place {
            step: 0,
            steps_per_epoch: 1,
        };
        learner.step(&experiment, place, shards, None).unwrap();
        learner.model.statistics().clone()
    }

    #[test]
    fn running_statistics_follow_the_first_shard_or_the_mean() {
        let first = RunningStatistics::FirstGroup;
        // A shard alone at the first place says what each does.
        let alone = [0, 1].map(|number| {
            let batch = TrainBatch {
                shard: 0,
                ..shard(number, 1)
            };
            statistics(first, &[batch, shard(1, 0)])
        });
        let both = [shard(0, 1), shard(1, 1)];
        assert_eq!(statistics(first, &both), alone[0]);
        let mean = statistics(RunningStatistics::MeanOfShards, &both);
        assert_eq!(mean.batches, alone[0].batches);
        for (of, [a, b]) in [
            (&mean.mean, [&alone[0].mean, &alone[1].mean]),
            (&mean.var, [&alone[0].var, &alone[1].var]),
        ] {
            let (of, a, b) = (of.concat(), a.concat(), b.concat());
            for (of, (a, b)) in of.iter().zip(a.iter().zip(&b)) {
                assert!((of - (a + b) / 2.0).abs() < 1e-6, "{of}, {a}, {b}");
            }
        }
    }

    /// A shard whose videos cannot be read weighs nothing; a step without any is an error.
    #[test]
    fn a_shard_may_be_empty_and_a_step_may_not() {
        let (experiment, mut learner) = sharded(RunningStatistics::FirstGroup);
        let place = Place {
            step: 7,
            steps_per_epoch: 10,
        };
        let shards = [shard(0, 0), shard(1, 1)];
        let record = learner.step(&experiment, place, &shards, None).unwrap();
        assert_eq!(record.skipped, ["0"]);
        assert!(record.loss > 0.0 && record.loss < 1.0, "half of one clip's");
        assert_eq!(
            *learner.model.statistics(),
            Statistics::initial(learner.model.graph())
        );
        let shards = [shard(0, 0), shard(1, 0)];
        let error = learner.step(&experiment, place, &shards, None).unwrap_err();
        assert!(
            error.message.contains("no video of step 7 can be read"),
            "{error}"
        );
    }

    #[test]
    fn the_first_of_equal_logits_counts() {
        let logits = [1.0, 1.0, 0.0, 0.0, 2.0, 2.0];
        assert_eq!(right(&logits, &[0, 1], 3), 2);
        assert_eq!(right(&logits, &[1, 2], 3), 0);
        assert_eq!(right(&[f32::NAN; 3], &[0], 3), 0);
    }
}
