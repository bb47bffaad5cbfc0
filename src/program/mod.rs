//! Graph → the steps of one shape of batch, forward and backward.
//!
//! [`compile_train`] and [`compile_eval`] read top-down: every node is lowered to its plain steps, the backward steps are derived
//! from those, and then named patterns over both are fused ([`fuse`]), each of which can be left out. The program says what is
//! computed, not how: every device makes its own plan of it (`exec::cpu::plan`, `exec::cuda`).
//! Nothing here touches a value: a program can be made for batches that no machine could hold.

pub mod batch;
pub mod cost;
pub mod lower;
pub mod differentiate;
pub mod dtypes;
pub mod fuse;
pub mod verify;

pub use batch::TrainOptions;
pub use fuse::{Fusion, Fusions};

use crate::base::Result;
use crate::graph::{Graph, NodeId};
use crate::ops::StepOp;
pub use crate::ops::{Batch, Buffer, BufferId, Dtype, Segment, Step};

/// What a program computes in: the dtype of its activations, and the order in which products are summed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Numerics {
    #[default]
    Float32,
    /// bf16, sums two terms at a time.
    Bf16,
    /// bf16, sums 32 terms at a time, as AMX takes them.
    Bf16Amx,
}

impl Numerics {
    /// Of activations, their gradients and packed weights.
    pub fn dtype(self) -> Dtype {
        match self {
            Self::Float32 => Dtype::Float32,
            Self::Bf16 | Self::Bf16Amx => Dtype::Bf16,
        }
    }
}

/// How a program is made, besides what it computes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Style {
    pub numerics: Numerics,
    pub fusions: Fusions,
}

impl From<Numerics> for Style {
    /// With every fusion.
    fn from(numerics: Numerics) -> Self {
        Self {
            numerics,
            fusions: Fusions::ALL,
        }
    }
}

/// What a program is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Forward and backward; norms take the statistics of the batch.
    Training,
    /// Forward with running statistics; parameters change rarely, so that a device may prepare what depends on them alone.
    Evaluation,
    /// Forward with the statistics of the batch.
    Statistics,
}

/// Steps over buffers for one shape of batch.
#[derive(Debug, Clone)]
pub struct Program {
    pub batch: Batch,
    pub purpose: Purpose,
    pub numerics: Numerics,
    pub buffers: Vec<Buffer>,
    pub forward: Vec<Step>,
    pub backward: Vec<Step>,
    pub input: BufferId,
    pub logits: BufferId,
    /// Nodes whose outputs stay readable after a pass: no fusion removes them and nothing reuses their memory.
    pub observed: Vec<(NodeId, BufferId)>,
    /// Where the gradient of the logits is put before the backward steps; `None` without a backward pass.
    pub d_logits: Option<BufferId>,
    /// Name and shape of every parameter of the graph, and whether training changes it.
    pub params: Vec<Parameter>,
}

/// A parameter as a program sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    pub name: String,
    pub shape: Vec<usize>,
    pub trained: bool,
}

/// The program of a training step. `observed`: nodes whose outputs somebody will look at.
pub fn compile_train(
    graph: &Graph,
    segments: &[Segment],
    options: &TrainOptions,
    observed: &[NodeId],
    style: impl Into<Style>,
) -> Result<Program> {
    let style = style.into();
    let batch = Batch::train(graph, segments, options)?;
    let mut program = lower::train(graph, batch, options, observed);
    dtypes::assign(style.numerics, &mut program);
    differentiate::differentiate(&mut program)?;
    fuse::training(style, &mut program);
    program.verify()?;
    Ok(program)
}

/// The program of a forward pass in evaluation: running statistics, no dropout. `observed` as in training.
pub fn compile_eval(
    graph: &Graph,
    segments: &[Segment],
    observed: &[NodeId],
    style: impl Into<Style>,
) -> Result<Program> {
    let style = style.into();
    let batch = Batch::eval(graph, segments)?;
    let mut program = lower::eval(graph, batch, observed);
    dtypes::assign(style.numerics, &mut program);
    fuse::evaluation(style, &mut program);
    program.verify()?;
    Ok(program)
}

/// The program of a forward pass without a backward pass whose norms take the statistics of the batch.
pub fn compile_statistics(
    graph: &Graph,
    segments: &[Segment],
    fusions: Fusions,
) -> Result<Program> {
    let options = &TrainOptions::BATCH_STATISTICS;
    let batch = Batch::train(graph, segments, options)?;
    let mut program = lower::train(graph, batch, options, &[]);
    program.purpose = Purpose::Statistics;
    let style = Style {
        numerics: Numerics::Float32,
        fusions,
    };
    fuse::training(style, &mut program);
    program.verify()?;
    Ok(program)
}

impl Program {
    /// Whether a step takes frames of the input.
    pub fn takes_images(&self, step: &Step) -> bool {
        matches!(step.op, StepOp::TakeFrames(_)) && step.reads == [self.input]
    }

    /// All steps in the order in which they run.
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = &Step> {
        self.forward.iter().chain(&self.backward)
    }

    /// Whether somebody reads the buffer after the pass: it may neither be fused away nor overwritten.
    pub(crate) fn is_output(&self, id: BufferId) -> bool {
        id == self.logits || self.observed.iter().any(|&(_, buffer)| buffer == id)
    }

    /// A new buffer for values like those of another.
    pub(crate) fn buffer_like(&mut self, name: String, other: BufferId) -> BufferId {
        let like = Buffer {
            name,
            ..self.buffers[other].clone()
        };
        self.buffers.push(like);
        self.buffers.len() - 1
    }
}
