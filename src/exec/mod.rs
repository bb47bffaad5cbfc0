//! Runs a program.

pub mod cpu;

/// Clips of one branch within the ragged batch; segments follow one another in the batch's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Segment {
    /// Index into [`crate::graph::Graph::branches`].
    pub branch: usize,
    pub frames: usize,
    pub clips: usize,
}

/// Running statistics, in the order of [`crate::graph::Graph::stats`].
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    pub mean: Vec<Vec<f32>>,
    pub var: Vec<Vec<f32>>,
    pub batches: Vec<u64>,
}

/// What a training program needs to know besides the graph.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainOptions {
    pub shift_segments: crate::spec::ShiftSegments,
    pub norm_clips: Option<usize>,
    pub frozen_norms: crate::spec::FrozenNorms,
    pub dropout: f32,
}

/// Key of a step's dropout masks: `Stream::new(seed, Purpose::Dropout, &[step, branch])`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DropoutKey {
    pub seed: u64,
    pub step: u64,
}
