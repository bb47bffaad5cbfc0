//! One side while it is computed, and what is asked of it at several stages.

use std::sync::Arc;

use super::compare::{Measure, place};
use super::report::{Difference, Outcome};
use super::side::Side;
use super::{Halt, Pair, samples};
use crate::base::{Error, Kind, Result};
use crate::data::Dataset;
use crate::data::loader::steps_per_epoch;
use crate::model::{Model, StateDict};
use crate::spec::Experiment;
use crate::train::learner::Learner;

/// One side while it is computed.
pub struct Replayed<'a> {
    pub experiment: &'a Experiment,
    pub dataset: &'a Arc<Dataset>,
    pub learner: Learner,
    pub steps_per_epoch: u64,
}

/// A side with its model.
pub fn replayed<'a>(
    ((side, dataset), model): ((&'a Side, &'a Arc<Dataset>), Model),
) -> Result<Replayed<'a>> {
    let experiment = &side.experiment;
    Ok(Replayed {
        experiment,
        dataset,
        learner: Learner::new(model, experiment)?,
        steps_per_epoch: steps_per_epoch(dataset.train.len(), &experiment.train),
    })
}

/// The first tensor of two states that differs, in the graph's order.
pub fn weights(states: &Pair<StateDict>, measure: Measure) -> Outcome {
    let names = |state: &StateDict| -> Vec<String> {
        let floats = state.floats.iter();
        floats
            .map(|(name, shape, _)| format!("{name} {shape:?}"))
            .collect()
    };
    let names = states.as_ref().map(names);
    let difference = samples::first_apart(&names, "tensor").or_else(|| {
        let pairs = states.a.floats.iter().zip(&states.b.floats);
        let mut differences = pairs.filter_map(|((name, shape, a), (_, _, b))| {
            let apart = measure.apart(a, b)?;
            let place = format!("{name}{}", place(apart.index, shape));
            Some(Difference::new(place, apart.a, apart.b).note(apart.to_string()))
        });
        differences.next()
    });
    let values = || states.a.floats.iter().map(|t| t.2.len()).sum::<usize>();
    Outcome::of(difference, || {
        format!("{} tensors, {} values", states.a.floats.len(), values())
    })
}

/// That a side cannot be computed.
pub fn untold(error: Error) -> Result<Outcome, Halt> {
    match error.kind {
        Kind::Data | Kind::Device | Kind::Usage | Kind::Diverged => {
            Ok(Outcome::NotCompared(error.message))
        }
        _ => Err(Halt::Failed(error)),
    }
}
