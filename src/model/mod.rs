//! The dfdx module: parameters, forward on dfdx's tape, objective.

pub mod objective;

use std::path::Path;

use crate::base::Result;
use crate::exec::{DropoutKey, Statistics};
use crate::graph::Graph;
use crate::spec::Experiment;

/// A model of an experiment: dfdx parameters, running statistics, and the compiled programs that run it.
pub struct Model {}

/// One training step's input.
pub struct StepInput<'a> {
    /// Normalised, NHWC, branches ascending, `Σ clips·T × size × size × 3`.
    pub pixels: &'a [f32],
    /// One for each clip; the same for every branch.
    pub labels: &'a [usize],
    pub dropout: DropoutKey,
}

/// What a forward and backward pass leaves. Nothing has been updated but the running statistics.
pub struct StepOutput {
    pub total: f64,
    /// The terms of the total by name: `ce`, `kl.4`, `kl.8` (lambda included).
    pub terms: Vec<(String, f64)>,
    /// For each branch: `clips × classes`.
    pub logits: Vec<Vec<f32>>,
    /// For each parameter, in the graph's order.
    pub gradients: Vec<Vec<f32>>,
}

/// Named tensors of a checkpoint, in the official names and the graph's order.
pub struct StateDict {
    pub floats: Vec<(String, Vec<usize>, Vec<f32>)>,
    /// `num_batches_tracked`
    pub counters: Vec<(String, u64)>,
}

impl Model {
    /// Builds the graphs for training and for evaluation, and the initial weights. `base`: folder of the experiment.
    pub fn new(_experiment: &Experiment, _base: &Path, _threads: usize) -> Result<Self> {
        todo!()
    }

    pub fn graph(&self) -> &Graph {
        todo!()
    }

    /// Forward of every branch, objective and backward on dfdx's tape.
    pub fn train_step(&mut self, _input: &StepInput<'_>) -> Result<StepOutput> {
        todo!()
    }

    /// Logits (`clips × classes`) in evaluation, by the branch that serves `frames`.
    pub fn evaluate(&mut self, _frames: usize, _clips: usize, _pixels: &[f32]) -> Result<Vec<f32>> {
        todo!()
    }

    pub fn statistics(&self) -> &Statistics {
        todo!()
    }

    /// The values of parameter `index` of the graph, changed in place.
    pub fn update(&mut self, _index: usize, _change: &mut dyn FnMut(&mut [f32])) {
        todo!()
    }

    pub fn state_dict(&self) -> StateDict {
        todo!()
    }

    /// Every name must be there with its shape, and none be left over.
    pub fn load_state_dict(&mut self, _state: &StateDict) -> Result<()> {
        todo!()
    }
}
