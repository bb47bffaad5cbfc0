//! Graph → fused steps over planned buffers, forward and backward.
//!
//! [`compile_train`] and [`compile_eval`] read top-down: the graph is lowered one node to one step, named passes fuse
//! steps, the backward steps are derived from the fused forward steps, and every buffer gets its place in one arena.
//! Nothing here touches a value: a program can be planned for batches that no machine could hold.

pub mod batch;
pub mod step;
pub mod tiling;
pub mod blocks;
pub mod cost;
pub mod lower;
pub mod passes;
pub mod differentiate;
pub mod arena;
pub mod verify;

pub use batch::{Batch, Segment, TrainOptions};
pub use step::{
    Algorithm, BufferId, ConvGeometry, Element, Mask, Norm, Numerics, Op, PixelShape, Step,
};

use crate::base::Result;
use crate::graph::{Graph, NodeId};

/// A range of the arena while it is alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buffer {
    pub name: String,
    /// Values.
    pub len: usize,
    pub element: Element,
    /// Where it starts in the arena, in words; set by [`arena::plan`].
    pub offset: usize,
}

impl Buffer {
    /// Words of 32 bits that it takes in the arena.
    pub fn words(&self) -> usize {
        self.bytes().div_ceil(size_of::<f32>())
    }

    pub fn bytes(&self) -> usize {
        self.len * self.element.size()
    }
}

/// Steps over buffers for one shape of batch.
#[derive(Debug, Clone)]
pub struct Program {
    pub batch: Batch,
    pub buffers: Vec<Buffer>,
    /// Evaluation: what depends on parameters and running statistics alone, done once for all passes.
    pub prepare: Vec<Step>,
    pub forward: Vec<Step>,
    pub backward: Vec<Step>,
    pub input: BufferId,
    pub logits: BufferId,
    /// Nodes whose outputs stay readable after a pass: no pass fuses them away and nothing reuses their place.
    pub observed: Vec<(NodeId, BufferId)>,
    /// Where the gradient of the logits is put before the backward steps; `None` in evaluation.
    pub d_logits: Option<BufferId>,
    /// Length of the arena in words of 32 bits.
    pub arena: usize,
}

/// The program of a training step. `observed`: nodes whose outputs somebody will look at.
pub fn compile_train(
    graph: &Graph,
    segments: &[Segment],
    options: &TrainOptions,
    observed: &[NodeId],
    numerics: Numerics,
) -> Result<Program> {
    let batch = Batch::train(graph, segments, options)?;
    let mut program = lower::train(graph, batch, options, observed);
    passes::fuse_norm_with_sum_and_relu(&mut program);
    passes::fuse_shift_with_alteration(&mut program);
    passes::compute_in(numerics, &mut program)?;
    differentiate::differentiate(&mut program);
    passes::recompute_cheap_values(&mut program);
    arena::plan(&mut program);
    program.verify()?;
    Ok(program)
}

/// The program of a forward pass in evaluation: running statistics, no dropout. `observed` as in training.
pub fn compile_eval(
    graph: &Graph,
    segments: &[Segment],
    observed: &[NodeId],
    numerics: Numerics,
) -> Result<Program> {
    let batch = Batch::eval(graph, segments)?;
    let mut program = lower::eval(graph, batch, observed);
    passes::fuse_norm_with_sum_and_relu(&mut program);
    passes::fuse_shift_with_alteration(&mut program);
    passes::fold_norm_into_conv(&mut program);
    passes::fold_shift_and_alteration_into_conv(numerics, &mut program);
    passes::compute_in(numerics, &mut program)?;
    passes::remove_unread(&mut program);
    passes::prepare_weights(&mut program);
    arena::plan(&mut program);
    program.verify()?;
    Ok(program)
}

/// The program of a forward pass without a backward pass whose norms take the statistics of the batch.
pub fn compile_statistics(graph: &Graph, segments: &[Segment]) -> Result<Program> {
    let options = &TrainOptions::BATCH_STATISTICS;
    let batch = Batch::train(graph, segments, options)?;
    let mut program = lower::train(graph, batch, options, &[]);
    passes::fuse_norm_with_sum_and_relu(&mut program);
    passes::fuse_shift_with_alteration(&mut program);
    passes::compute_in(Numerics::Float32, &mut program)?;
    arena::plan(&mut program);
    program.verify()?;
    Ok(program)
}

impl Program {
    /// All steps in the order in which they run.
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = &Step> {
        let passes = self.forward.iter().chain(&self.backward);
        self.prepare.iter().chain(passes)
    }

    /// Whether somebody reads the buffer after the pass: it may neither be fused away nor overwritten.
    pub(crate) fn is_output(&self, id: BufferId) -> bool {
        id == self.logits || self.observed.iter().any(|&(_, buffer)| buffer == id)
    }

    /// A new buffer without a place.
    pub(crate) fn buffer(&mut self, name: impl Into<String>, len: usize) -> BufferId {
        self.buffers.push(Buffer {
            name: name.into(),
            len,
            element: Element::Float32,
            offset: 0,
        });
        self.buffers.len() - 1
    }

    /// A new buffer for values like those of another.
    pub(crate) fn buffer_like(&mut self, name: impl Into<String>, other: BufferId) -> BufferId {
        let id = self.buffer(name, self.buffers[other].len);
        self.buffers[id].element = self.buffers[other].element;
        id
    }

    /// Words of scratch memory that each thread needs.
    pub fn scratch(&self) -> usize {
        self.steps()
            .map(|step| step.op.scratch())
            .max()
            .unwrap_or(0)
    }

    /// Bytes that an engine with `threads` threads holds for this program.
    pub fn memory(&self, threads: usize) -> usize {
        (self.arena + threads * self.scratch()) * size_of::<f32>()
    }
}
