//! A rank that is not the first: does its part of what it is told, and touches no run folder.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use super::evaluate::{Branches, Evaluation};
use super::learner::{Learner, Place};
use super::sharing::Sharing;
use super::stop::Stop;
use super::team::{Ending, Order, Start, Team};
use crate::base::{Error, Kind, Result};
use crate::data::{Dataset, TrainLoader};
use crate::exec::Executor;
use crate::model::Model;
use crate::spec::Experiment;

/// What a rank computes with.
pub struct Follower<'a> {
    pub experiment: &'a Experiment,
    /// Folder of the experiment file.
    pub base: &'a Path,
    pub dataset: Arc<Dataset>,
    pub executor: Executor,
    pub workers: usize,
    pub stop: &'a Stop,
    pub team: Team,
}

impl Follower<'_> {
    /// Until rank 0 says that it is over; an error where the run did not end well.
    pub fn run(mut self) -> Result<()> {
        let model = Model::new(self.experiment, self.base, self.executor)?;
        let mut learner = Learner::new(model, self.experiment)?;
        let nothing = Start {
            step: 0,
            steps_per_epoch: 0,
        };
        let start = self.team.share_state(&mut learner, nothing)?;
        self.rehearse(&mut learner)?;
        let _saving = self.stop.saving();
        let shards = self.team.shards(self.experiment.train.shards);
        let loader = RefCell::new(TrainLoader::of_shards(
            Arc::clone(&self.dataset),
            self.experiment,
            self.workers,
            (start.step, shards),
        ));
        let mut place = Place {
            step: start.step,
            steps_per_epoch: start.steps_per_epoch,
        };
        loop {
            // What is said here is not heard: only rank 0 speaks.
            match self.team.order(&Order::Step)? {
                Order::Step => {
                    self.step(&mut learner, place, &loader)?;
                    place.step += 1;
                }
                Order::Evaluate { unaveraged } => {
                    self.evaluate(&mut learner, place.step, unaveraged)?
                }
                Order::Compare => self.team.compare(&learner, place.step)?,
                Order::End(ending) => {
                    self.team.ranks.finish()?;
                    return ending.map_or(Ok(()), |ending| Err(ended(ending)));
                }
            }
        }
    }

    fn step(
        &mut self,
        learner: &mut Learner,
        place: Place,
        loader: &RefCell<TrainLoader>,
    ) -> Result<()> {
        let shards = loader.borrow_mut().next_step()?;
        let next = || loader.borrow_mut().next_pixels();
        let tree = learner.passes(self.experiment, &shards, Some(&next))?;
        let stop = self.stop.requested().is_some();
        let (sum, _) = self.team.sum(learner, tree, stop)?;
        let updated = learner.update(self.experiment, place, sum).map(drop);
        // Every rank fails alike: rank 0 says so, and waits for all to have heard it.
        if updated.is_err() && matches!(self.team.order(&Order::Step)?, Order::End(_)) {
            self.team.ranks.finish()?;
        }
        updated
    }

    fn rehearse(&mut self, learner: &mut Learner) -> Result<()> {
        let clips = self.experiment.train.shard_clips();
        learner.model.prepare_train(clips)?;
        let part = Sharing::among(Some(&mut self.team)).part(&self.dataset, self.experiment);
        // There may be fewer batches than ranks.
        match part.validation.is_empty() {
            true => Ok(()),
            false => {
                evaluation(self.experiment, &part, self.workers, 0).rehearse(&mut learner.model)
            }
        }
    }

    fn evaluate(&mut self, learner: &mut Learner, step: u64, unaveraged: bool) -> Result<()> {
        let whole = evaluation(self.experiment, &self.dataset, self.workers, step);
        let mut sharing = Sharing::among(Some(&mut self.team));
        let mut run = |model: &mut Model| whole.run(model, &mut sharing, &mut |_| Ok(())).map(drop);
        match unaveraged {
            true => run(&mut learner.model),
            false => learner.with_result(run),
        }
    }
}

fn evaluation<'e>(
    experiment: &'e Experiment,
    dataset: &'e Arc<Dataset>,
    workers: usize,
    step: u64,
) -> Evaluation<'e> {
    Evaluation {
        experiment,
        dataset,
        frames: &experiment.eval.frames,
        branches: Branches::Serving,
        workers,
        step,
    }
}

fn ended(ending: Ending) -> Error {
    let kind = match ending.stopped {
        true => Kind::Stopped,
        false => Kind::Device,
    };
    Error::new(kind, format!("rank 0 ended: {}", ending.message))
}
