//! Runs a program.

pub mod cpu;

pub use crate::program::{Segment, TrainOptions};

/// What computes a model, and with how much of the machine. No result depends on the threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Executor {
    pub engine: EngineKind,
    pub threads: usize,
}

impl Executor {
    /// The compiled engine.
    pub fn compiled(threads: usize) -> Self {
        Self {
            engine: EngineKind::Compiled,
            threads,
        }
    }
}

/// Which engine computes the trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EngineKind {
    /// The compiled program.
    #[default]
    Compiled,
}

/// Running statistics, in the order of [`crate::graph::Graph::stats`].
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    pub mean: Vec<Vec<f32>>,
    pub var: Vec<Vec<f32>>,
    pub batches: Vec<u64>,
}

impl Statistics {
    /// PyTorch's initial ones: mean 0, variance 1, no batch seen.
    pub fn initial(graph: &crate::graph::Graph) -> Self {
        let all = |value: f32| {
            let stats = graph.stats.iter();
            stats.map(|stat| vec![value; stat.channels]).collect()
        };
        Self {
            mean: all(0.0),
            var: all(1.0),
            batches: vec![0; graph.stats.len()],
        }
    }
}

/// Key of a step's dropout masks: `Stream::new(seed, Purpose::Dropout, &[step, branch])`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DropoutKey {
    pub seed: u64,
    pub step: u64,
}
