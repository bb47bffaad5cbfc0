//! What a kernel of the CPU is: everything about its step is decided when the plan is made; a pass gives it the buffers.

use super::memory::Scratch;
use super::scalar::Scalar;
use crate::ops::{Batch, DropoutKey, Statistics};

/// Runs one step. `reads` and `writes` are those of its task.
pub type Run = Box<dyn Fn(Buffers<'_>, &mut Context<'_, '_>) + Send + Sync>;

pub struct Kernel {
    pub run: Run,
    /// Words of scratch memory that each thread needs.
    pub scratch: usize,
}

impl Kernel {
    /// One that needs no scratch memory.
    pub fn new(run: impl Fn(Buffers<'_>, &mut Context<'_, '_>) + Send + Sync + 'static) -> Self {
        Self::with_scratch(0, run)
    }

    pub fn with_scratch(
        scratch: usize,
        run: impl Fn(Buffers<'_>, &mut Context<'_, '_>) + Send + Sync + 'static,
    ) -> Self {
        let run = Box::new(run);
        Self { run, scratch }
    }
}

/// What all steps of a pass share.
pub struct Context<'a, 'g> {
    pub batch: &'a Batch,
    pub params: &'a [&'a [f32]],
    /// Of every parameter; empty in a forward pass.
    pub grads: &'a mut [&'g mut [f32]],
    pub stats: &'a mut Statistics,
    pub dropout: DropoutKey,
    pub scratch: &'a Scratch,
}

/// The memory of a step's buffers.
pub struct Buffers<'a> {
    pub reads: Vec<Read<'a>>,
    pub writes: Vec<Write<'a>>,
}

/// A buffer's memory, before it is known as what.
#[derive(Clone, Copy)]
pub struct Read<'a> {
    pub words: &'a [f32],
    /// Values, of whatever dtype.
    pub len: usize,
}

/// As [`Read`].
pub struct Write<'a> {
    pub words: &'a mut [f32],
    pub len: usize,
}

impl<'a> Read<'a> {
    pub fn of<E: Scalar>(self) -> &'a [E] {
        &bytemuck::cast_slice(self.words)[..self.len]
    }
}

impl<'a> Write<'a> {
    pub fn of<E: Scalar>(self) -> &'a mut [E] {
        &mut bytemuck::cast_slice_mut(self.words)[..self.len]
    }
}

impl<'a> Buffers<'a> {
    /// Input `index`.
    pub fn x<E: Scalar>(&self, index: usize) -> &'a [E] {
        self.reads[index].of()
    }

    /// Input `index`, if there is one.
    pub fn maybe<E: Scalar>(&self, index: usize) -> Option<&'a [E]> {
        self.reads.get(index).map(|read| read.of())
    }

    /// The outputs, of which there are as many as the step says.
    pub fn outputs<const N: usize>(self) -> [Write<'a>; N] {
        match self.writes.try_into() {
            Ok(writes) => writes,
            Err(_) => unreachable!("a plan's task has as many buffers as its kernel"),
        }
    }

    /// The only output.
    pub fn y<E: Scalar>(self) -> &'a mut [E] {
        let [y] = self.outputs();
        y.of()
    }
}

/// An expression for the type behind a dtype.
macro_rules! by_dtype {
    ($dtype:expr, $element:ident => $body:expr) => {
        match $dtype {
            $crate::ops::Dtype::Float32 => {
                type $element = f32;
                $body
            }
            $crate::ops::Dtype::Bf16 => {
                type $element = $crate::exec::cpu::scalar::bf16;
                $body
            }
        }
    };
}
pub(super) use by_dtype;
