//! Dropout masks: drawn here, whose streams are the CPU's, and copied where their step stands.

use std::collections::BTreeMap;

use cudarc::driver::{DriverError, PinnedHostSlice, result};

use super::gpu::{Gpu, failed};
use super::run::Pass;
use crate::base::{Error, Result};
use crate::exec::DropoutKey;
use crate::exec::cpu::Dropout;
use crate::program::{BufferId, Op, Program};

/// The masks of a pass, by their buffers.
pub struct Masks(BTreeMap<BufferId, Mask>);

/// In pinned memory: to queue its copy waits for nothing.
struct Mask {
    drawn: PinnedHostSlice<f32>,
    /// Where that is. The slice itself waits for an event before it tells, which a pass that is captured must not.
    at: *const f32,
}

impl Masks {
    pub fn new(gpu: &Gpu, program: &Program) -> Result<Self> {
        let mut masks = BTreeMap::new();
        for (_, mask) in drawings(program) {
            let len = program.buffers[mask].len;
            let drawn = gpu.pinned("a dropout mask", len)?;
            let at = drawn.as_ptr().map_err(failed_to_copy)?;
            masks.insert(mask, Mask { drawn, at });
        }
        Ok(Self(masks))
    }

    /// Draws those of a pass. The copies of the one before must be done. `branches`: the frame count of each.
    pub fn draw(&mut self, program: &Program, branches: &[usize], key: DropoutKey) -> Result<()> {
        for ((channels, probability), mask) in drawings(program) {
            let drawing = Dropout {
                channels,
                probability,
                key,
                branches,
            };
            if let Some(mask) = self.0.get_mut(&mask) {
                let drawn = mask.drawn.as_mut_slice().map_err(failed_to_copy)?;
                drawing.draw(&program.batch, drawn);
            }
        }
        Ok(())
    }
}

fn failed_to_copy(error: DriverError) -> Error {
    failed("copy a dropout mask to the card", error)
}

/// Channels and probability of each dropout step, and the buffer of its mask.
fn drawings(program: &Program) -> impl Iterator<Item = ((usize, f32), BufferId)> {
    program.forward.iter().filter_map(|step| match step.op {
        Op::Dropout {
            channels,
            probability,
            mask,
            ..
        } => Some(((channels, probability), mask)),
        _ => None,
    })
}

impl Pass<'_> {
    pub(super) fn dropout(&self, op: &Op) -> Result<()> {
        let &Op::Dropout { x, mask, y, .. } = op else {
            return Ok(());
        };
        if let Some(Mask { drawn, at }) = self.masks.0.get(&mask) {
            let stream = self.gpu.stream.cu_stream();
            // SAFETY: the slice is there, and the mask's buffer is as long. Masks are drawn again, and go, when the pass that
            // copies them is done.
            let copied = unsafe {
                let drawn = std::slice::from_raw_parts(*at, drawn.len());
                result::memcpy_htod_async(self.address(mask, 0), drawn, stream)
            };
            copied.map_err(failed_to_copy)?;
        }
        self.each("multiply", [x, mask, y])
    }
}
