//! A rank that is not the first: does its part of what it is told, and touches no run folder.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use super::evaluate::{Branches, Evaluation};
use super::learner::{Learner, Place};
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

    /// Its part of the validation clips; none where there are fewer batches than ranks.
    fn evaluation<'e>(&'e self, part: &'e Arc<Dataset>, step: u64) -> Option<Evaluation<'e>> {
        (!part.validation.is_empty()).then_some(Evaluation {
            experiment: self.experiment,
            dataset: part,
            frames: &self.experiment.eval.frames,
            branches: Branches::Serving,
            workers: self.workers,
            step,
        })
    }

    fn rehearse(&self, learner: &mut Learner) -> Result<()> {
        let clips = self.experiment.train.shard_clips();
        learner.model.prepare_train(clips)?;
        let part = self.team.part(&self.dataset, self.experiment);
        match self.evaluation(&part, 0) {
            Some(evaluation) => evaluation.rehearse(&mut learner.model),
            None => Ok(()),
        }
    }

    fn evaluate(&mut self, learner: &mut Learner, step: u64, unaveraged: bool) -> Result<()> {
        let part = self.team.part(&self.dataset, self.experiment);
        let tallies = match self.evaluation(&part, step) {
            None => Vec::new(),
            Some(evaluation) => {
                let run = |model: &mut Model| evaluation.tally(model, &mut |_| Ok(()));
                match unaveraged {
                    true => run(&mut learner.model),
                    false => learner.with_result(run),
                }?
            }
        };
        self.team.gather(tallies).map(drop)
    }
}

fn ended(ending: Ending) -> Error {
    let kind = match ending.stopped {
        true => Kind::Stopped,
        false => Kind::Device,
    };
    Error::new(kind, format!("rank 0 ended: {}", ending.message))
}
