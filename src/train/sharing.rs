//! Work on batches that ranks share: each batch is computed by one of them, and all hear what comes of it, in the batches' order. So
//! what is made of it is the same bytes on every rank, whatever their number.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::circumstances::Circumstances;
use super::team::Team;
use super::wire::{Reader, Writer};
use crate::base::Result;
use crate::data::Dataset;
use crate::data::clip::evaluation_batch;
use crate::spec::Experiment;

/// The ranks that batches are dealt to; a process that is alone has them all.
pub struct Sharing<'t>(Option<&'t mut Team>);

/// What comes of a batch, as ranks tell it to one another.
pub trait Part: Sized {
    fn write(&self, to: &mut Writer);

    fn read(from: &mut Reader<'_>) -> Result<Self>;
}

impl<'t> Sharing<'t> {
    pub fn alone() -> Self {
        Self(None)
    }

    pub fn among(team: Option<&'t mut Team>) -> Self {
        Self(team)
    }

    /// Who writes and times.
    pub fn is_first(&self) -> bool {
        self.0.as_ref().is_none_or(|team| team.is_first())
    }

    /// Refuses ranks that have another run, other data or other weights before them, on all of them.
    pub fn introduce(&mut self, own: impl FnOnce() -> Result<Circumstances>) -> Result<()> {
        match &mut self.0 {
            None => Ok(()),
            Some(team) => team.introduce(&own()?),
        }
    }

    /// The data of an evaluation with this rank's validation clips: of every `size` batches one, whole, so that a clip is computed beside
    /// the same others whatever the number of ranks.
    pub fn part(&self, dataset: &Arc<Dataset>, experiment: &Experiment) -> Arc<Dataset> {
        let Some(team) = &self.0 else {
            return Arc::clone(dataset);
        };
        let batch = evaluation_batch(&experiment.eval).max(1);
        let batches = dataset.validation.chunks(batch);
        let own = batches.skip(team.ranks.rank()).step_by(team.ranks.size());
        Arc::new(Dataset {
            validation: own.flatten().cloned().collect(),
            ..Dataset::clone(dataset)
        })
    }

    /// `compute` makes the part of the next of this rank's own batches, `None` behind the last; `take` is given those of all `batches`, in
    /// their order, on every rank.
    pub fn each<T: Part>(
        &mut self,
        batches: usize,
        compute: &mut dyn FnMut() -> Result<Option<T>>,
        take: &mut dyn FnMut(T) -> Result<()>,
    ) -> Result<()> {
        let Some(team) = &mut self.0 else {
            while let Some(part) = compute()? {
                take(part)?;
            }
            return Ok(());
        };
        // Of a round every rank computes one: the last has fewer.
        for _ in 0..batches.div_ceil(team.ranks.size()) {
            let mut own = Writer::default();
            if let Some(part) = compute()? {
                part.write(&mut own);
            }
            for said in team.exchange(own.0)?.iter().filter(|said| !said.is_empty()) {
                take(T::read(&mut Reader(said))?)?;
            }
        }
        team.is_waited_for = false;
        Ok(())
    }

    /// What the first rank has, on every rank.
    pub fn tell<T: Serialize + DeserializeOwned>(
        &mut self,
        own: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        match &mut self.0 {
            None => own(),
            Some(team) if team.is_first() => {
                let own = own()?;
                team.tell(Some(&own)).map(|_| own)
            }
            Some(team) => team.tell(None),
        }
    }
}
