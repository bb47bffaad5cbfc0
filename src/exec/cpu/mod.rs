//! The compiled program on the CPU.

use super::{DropoutKey, Segment, Statistics, TrainOptions};
use crate::base::Result;
use crate::graph::Graph;

/// A program for one shape of batch, with its arena. Nothing is allocated after it is built.
pub struct Engine {}

impl Engine {
    /// For training steps on batches of these segments.
    pub fn train(
        _graph: &Graph,
        _segments: &[Segment],
        _options: &TrainOptions,
        _threads: usize,
    ) -> Result<Self> {
        todo!()
    }

    /// For evaluation: running statistics, norms and alteration folded.
    pub fn eval(_graph: &Graph, _segments: &[Segment], _threads: usize) -> Result<Self> {
        todo!()
    }

    /// `params` in the order and layout of `graph.params`; `input` normalised, NHWC, the segments one after another:
    /// `Σ clips·frames × height × width × 3`. Training updates `stats`. Returns `Σ clips × classes` logits.
    pub fn forward(
        &mut self,
        _params: &[&[f32]],
        _stats: &mut Statistics,
        _input: &[f32],
        _dropout: DropoutKey,
    ) -> Result<&[f32]> {
        todo!()
    }

    /// After a training forward pass with the same `params`: writes the gradient of every parameter.
    pub fn backward(
        &mut self,
        _params: &[&[f32]],
        _d_logits: &[f32],
        _grads: &mut [&mut [f32]],
    ) -> Result<()> {
        todo!()
    }

    /// Bytes that the engine holds.
    pub fn memory(&self) -> usize {
        todo!()
    }
}
