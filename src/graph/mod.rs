//! Architecture builders → graph of layers with shapes. FFN is a transformation of a graph, not a second architecture.

use crate::base::Result;
use crate::spec::Experiment;

/// What a parameter is, for its optimiser group and its initial value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ParamKind {
    FirstConv,
    Conv,
    Alteration,
    NormWeight,
    NormBias,
    ClassifierWeight,
    ClassifierBias,
}

/// A trained tensor under its official name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    pub name: String,
    /// As in PyTorch: `[out, in, height, width]` for a convolution.
    pub shape: Vec<usize>,
    pub kind: ParamKind,
}

/// Running statistics of one batch norm: `NAME.running_mean`, `NAME.running_var`, `NAME.num_batches_tracked`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    pub name: String,
    pub channels: usize,
}

/// A network as nodes with shapes.
#[derive(Debug, Clone)]
pub struct Graph {
    pub params: Vec<Param>,
    pub stats: Vec<Stat>,
    /// Frame counts with private parts, ascending; one for a vanilla model.
    pub branches: Vec<usize>,
    pub classes: usize,
    /// Height and width of the input.
    pub input: (usize, usize),
}

impl Graph {
    /// The graph of an experiment at `input` pixels (training and evaluation may differ).
    pub fn build(_experiment: &Experiment, _input: (usize, usize)) -> Result<Self> {
        todo!()
    }

    /// Index of the branch that serves a frame count: its own, else the nearest, ties to the larger.
    pub fn branch_for(&self, _frames: usize) -> usize {
        todo!()
    }
}
