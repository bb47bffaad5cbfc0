//! What the tasks of the device's plan are made of: launches of kernels, convolutions of cuDNN, copies of dropout masks. All of it is
//! decided when the plan is made, but for the addresses, which an operand names by what lies there.

use super::gpu::{Grid, Kernel};
use crate::ops::{BufferId, ParamId, StatId};

/// What a task queues, in order.
pub type Work = Vec<Call>;

/// One thing that is queued.
#[derive(Debug, Clone)]
pub enum Call {
    Launch(Launch),
    Convolve(Convolve),
    /// Copies a mask of [`super::plan::DevicePlan::masks`] into a buffer.
    CopyMask {
        mask: usize,
        to: BufferId,
    },
}

/// A kernel with its arguments, in the order of its signature.
#[derive(Debug, Clone)]
pub struct Launch {
    pub kernel: Kernel,
    pub grid: Grid,
    pub operands: Vec<Operand>,
}

/// One of [`super::plan::DevicePlan::products`], with what it reads in the order in which its direction names them.
#[derive(Debug, Clone)]
pub struct Convolve {
    pub product: usize,
    pub reads: [Operand; 2],
    pub write: Operand,
}

/// An argument.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Operand {
    Null,
    Int(i64),
    Count(usize),
    Float(f32),
    Double(f64),
    /// A buffer from value `first` on.
    Buffer {
        id: BufferId,
        first: usize,
    },
    Param(ParamId),
    Gradient(ParamId),
    RunningMean(StatId),
    RunningVar(StatId),
    /// [`super::plan::DevicePlan::tables`] from this number on.
    Table(usize),
}

impl Operand {
    pub fn int(value: usize) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }

    pub fn flag(value: bool) -> Self {
        Self::Int(i64::from(value))
    }

    pub fn buffer(id: BufferId) -> Self {
        Self::Buffer { id, first: 0 }
    }

    pub fn from(id: BufferId, first: usize) -> Self {
        Self::Buffer { id, first }
    }

    /// Null where there is none.
    pub fn maybe(id: Option<BufferId>) -> Self {
        id.map_or(Self::Null, Self::buffer)
    }

    pub fn param(id: Option<ParamId>) -> Self {
        id.map_or(Self::Null, Self::Param)
    }
}

impl Call {
    pub fn launch(kernel: Kernel, grid: Grid, operands: impl Into<Vec<Operand>>) -> Self {
        let operands = operands.into();
        Self::Launch(Launch {
            kernel,
            grid,
            operands,
        })
    }

    pub fn operands(&self) -> Vec<Operand> {
        match self {
            Self::Launch(launch) => launch.operands.clone(),
            Self::Convolve(Convolve { reads, write, .. }) => vec![reads[0], reads[1], *write],
            Self::CopyMask { to, .. } => vec![Operand::buffer(*to)],
        }
    }
}
