//! SGD with momentum, PyTorch's update, in groups by kind of parameter.

use crate::base::Result;
use crate::graph::Graph;
use crate::model::Model;
use crate::spec::Experiment;

pub struct Optimizer {}

impl Optimizer {
    pub fn new(_graph: &Graph, _experiment: &Experiment) -> Self {
        todo!()
    }

    /// Clips and applies the gradients at the rate `lr`; returns their total L2 norm before clipping.
    pub fn step(&mut self, _model: &mut Model, _gradients: &mut [Vec<f32>], _lr: f64) -> f64 {
        todo!()
    }

    /// Momentum of each parameter by its official name, in the graph's order; empty before the first step.
    pub fn state(&self) -> Vec<(String, Vec<usize>, Vec<f32>)> {
        todo!()
    }

    pub fn load_state(&mut self, _state: &[(String, Vec<usize>, Vec<f32>)]) -> Result<()> {
        todo!()
    }
}
