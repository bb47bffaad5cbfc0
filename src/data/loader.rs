//! Worker threads decode ahead into a bounded queue. What they deliver depends on (experiment, step) alone.

use std::sync::Arc;

use super::Dataset;
use crate::base::Result;
use crate::spec::Experiment;

/// The clips of one training step.
#[derive(Debug, Clone)]
pub struct TrainBatch {
    /// Global step, from 0.
    pub step: u64,
    pub ids: Vec<String>,
    pub labels: Vec<usize>,
    /// The ragged batch: for each frame count T of the method, ascending: `clips × T × size × size × 3` bytes.
    pub pixels: Vec<u8>,
    /// Videos left out under `Unreadable::Skip`, with the reason.
    pub skipped: Vec<(String, String)>,
}

/// Clips for evaluation at several frame counts: one decode serves all.
#[derive(Debug, Clone)]
pub struct EvalBatch {
    pub ids: Vec<String>,
    pub labels: Vec<usize>,
    /// Views of each clip (temporal clips × crops); their logits are averaged.
    pub views: usize,
    /// For each frame count T asked for: `clips × views × T × size × size × 3` bytes.
    pub pixels: Vec<Vec<u8>>,
}

/// How the loader keeps up.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoaderReport {
    pub clips: u64,
    /// Seconds that the consumer waited.
    pub waited: f64,
    /// Batches ready in the queue, now.
    pub depth: usize,
}

/// Steps of one epoch: the last, incomplete batch is dropped, as in the official code.
pub fn steps_per_epoch(clips: usize, batch: usize) -> u64 {
    (clips / batch.max(1)) as u64
}

pub struct TrainLoader {}

impl TrainLoader {
    /// Starts workers that prepare the steps from `first_step` to the last of the last epoch.
    pub fn start(
        _dataset: Arc<Dataset>,
        _experiment: &Experiment,
        _workers: usize,
        _first_step: u64,
    ) -> Self {
        todo!()
    }

    /// The next step's batch; `None` after the last.
    pub fn next_batch(&mut self) -> Option<Result<TrainBatch>> {
        todo!()
    }

    pub fn report(&self) -> LoaderReport {
        todo!()
    }
}

pub struct EvalLoader {}

impl EvalLoader {
    /// Workers that prepare the validation split, in its order, at each of `frames`, `eval.batch` views at a time.
    pub fn start(
        _dataset: Arc<Dataset>,
        _experiment: &Experiment,
        _frames: &[usize],
        _workers: usize,
    ) -> Self {
        todo!()
    }

    pub fn next_batch(&mut self) -> Option<Result<EvalBatch>> {
        todo!()
    }

    pub fn report(&self) -> LoaderReport {
        todo!()
    }
}
