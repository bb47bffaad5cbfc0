//! Learning rates.

use crate::spec::Experiment;

/// The base learning rate of a global step (from 0).
pub fn rate(_experiment: &Experiment, _steps_per_epoch: u64, _step: u64) -> f64 {
    todo!()
}
