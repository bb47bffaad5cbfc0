//! A step of a program, and the buffers that it reads and writes.

use super::{Extent, StepOp};

/// Index into [`crate::program::Program::buffers`].
pub type BufferId = usize;

/// What the values of a buffer are stored as. Sums, statistics and coefficients are float32 in every program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dtype {
    #[default]
    Float32,
    /// The upper half of a float32: 8 bits of exponent, 7 of mantissa.
    Bf16,
}

impl Dtype {
    /// Bytes of a value.
    pub const fn size(self) -> usize {
        match self {
            Self::Float32 => 4,
            Self::Bf16 => 2,
        }
    }
}

/// Values that one step writes and others read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buffer {
    pub name: String,
    pub extent: Extent,
    /// Rows of all clips of the batch.
    pub rows: usize,
    pub dtype: Dtype,
}

impl Buffer {
    /// Values of all rows.
    pub fn len(&self) -> usize {
        self.rows * self.extent.shape.count()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn bytes(&self) -> usize {
        self.len() * self.dtype.size()
    }
}

/// A step under the name of the node that it serves. In what order an operation reads and writes its buffers is part of its
/// documentation.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub name: String,
    pub op: StepOp,
    pub reads: Vec<BufferId>,
    pub writes: Vec<BufferId>,
}
