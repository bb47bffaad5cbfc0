//! A device's plan of a program: its kernels in order, over buffers that each have their range of one arena.
//!
//! A device may add buffers (packed weights, partial sums) and kernels (packing), and store what is between steps in lengths of its
//! own; what is written and read in which order is then the plan's.

use super::arena;
use crate::base::Result;
use crate::ops::{BufferId, Dtype};
use crate::program::Program;
use crate::program::cost::Cost;

/// A range of the arena while it is alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub name: String,
    /// Values.
    pub len: usize,
    pub dtype: Dtype,
    /// Where it starts in the arena, in words; set by [`arena::plan`].
    pub offset: usize,
}

impl Place {
    /// Words of 32 bits that it takes in the arena.
    pub fn words(&self) -> usize {
        self.bytes().div_ceil(size_of::<f32>())
    }

    pub fn bytes(&self) -> usize {
        self.len * self.dtype.size()
    }
}

/// One kernel's work.
pub struct Task<K> {
    /// Of the node that it serves.
    pub name: String,
    /// [`crate::ops::Compute::kind`], or what the device does besides.
    pub kind: &'static str,
    pub cost: Cost,
    pub kernel: K,
    pub reads: Vec<BufferId>,
    pub writes: Vec<BufferId>,
}

/// The tasks of a program on a device.
pub struct Plan<K> {
    /// Those of the program first, under their ids.
    pub places: Vec<Place>,
    /// In evaluation: what depends on parameters and running statistics alone, done once for all passes.
    pub prepare: Vec<Task<K>>,
    pub forward: Vec<Task<K>>,
    pub backward: Vec<Task<K>>,
    /// Buffers that the caller writes before the first task, and before the first backward task.
    pub input: BufferId,
    pub d_logits: Option<BufferId>,
    /// Buffers that are read after the forward pass, and after the whole pass.
    pub logits: BufferId,
    pub observed: Vec<BufferId>,
    /// Length of the arena in words of 32 bits.
    pub arena: usize,
}

impl<K> Plan<K> {
    /// The program's buffers, and no task yet.
    pub fn new(program: &Program) -> Self {
        let place = |buffer: &crate::ops::Buffer| Place {
            name: buffer.name.clone(),
            len: buffer.len(),
            dtype: buffer.dtype,
            offset: 0,
        };
        Self {
            places: program.buffers.iter().map(place).collect(),
            prepare: Vec::new(),
            forward: Vec::new(),
            backward: Vec::new(),
            input: program.input,
            d_logits: program.d_logits,
            logits: program.logits,
            observed: program.observed.iter().map(|&(_, id)| id).collect(),
            arena: 0,
        }
    }

    /// Gives every buffer its range, and checks that no two that are alive at the same time overlap.
    pub fn arrange(&mut self) -> Result<()> {
        arena::plan(self);
        arena::verify(self)
    }

    pub fn place(&mut self, name: String, len: usize, dtype: Dtype) -> BufferId {
        self.places.push(Place {
            name,
            len,
            dtype,
            offset: 0,
        });
        self.places.len() - 1
    }

    /// All tasks in the order in which they run.
    pub fn tasks(&self) -> impl DoubleEndedIterator<Item = &Task<K>> {
        let passes = self.forward.iter().chain(&self.backward);
        self.prepare.iter().chain(passes)
    }

    /// Bytes that the buffers of a task take, read or written once.
    pub fn bytes(&self, reads: &[BufferId], writes: &[BufferId]) -> usize {
        let ids = reads.iter().chain(writes);
        ids.map(|&id| self.places[id].bytes()).sum()
    }
}
