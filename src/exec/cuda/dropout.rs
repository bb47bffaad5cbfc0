//! Dropout masks: drawn here as on every device, and copied where their step stands.

use cudarc::driver::{DriverError, PinnedHostSlice, result};

use super::gpu::{Gpu, failed};
use super::plan::{self, DevicePlan};
use crate::base::{Error, Result};
use crate::ops::{Batch, DropoutKey, draw};

/// The masks of a pass, as [`DevicePlan::masks`] lists them.
pub struct Masks(Vec<Mask>);

/// In pinned memory: to queue its copy waits for nothing.
struct Mask {
    of: plan::Mask,
    drawn: PinnedHostSlice<f32>,
    /// Where that is. The slice itself waits for an event before it tells, which a pass that is captured must not.
    at: *const f32,
}

impl Masks {
    pub fn new(gpu: &Gpu, plan: &DevicePlan) -> Result<Self> {
        let mask = |&of: &plan::Mask| {
            let drawn = gpu.pinned("a dropout mask", of.len)?;
            let at = drawn.as_ptr().map_err(failed_to_copy)?;
            Ok(Mask { of, drawn, at })
        };
        plan.masks.iter().map(mask).collect::<Result<_>>().map(Self)
    }

    /// Draws those of a pass. The copies of the one before must be done.
    pub fn draw(&mut self, batch: &Batch, key: DropoutKey) -> Result<()> {
        for mask in &mut self.0 {
            let drawn = mask.drawn.as_mut_slice().map_err(failed_to_copy)?;
            draw(mask.of.dropout, key, batch, mask.of.extent, |at, kept| {
                drawn[at] = kept
            });
        }
        Ok(())
    }

    /// Queues the copy of a mask.
    ///
    /// # Safety
    /// `to` is the address of as many values on the device as the mask has.
    pub unsafe fn copy(&self, gpu: &Gpu, mask: usize, to: u64) -> Result<()> {
        let Mask { of, at, .. } = &self.0[mask];
        // SAFETY: the slice is there; masks are drawn again, and go, when the pass that copies them is done. The rest is the
        // caller's promise.
        let copied = unsafe {
            let drawn = std::slice::from_raw_parts(*at, of.len);
            result::memcpy_htod_async(to, drawn, gpu.stream.cu_stream())
        };
        copied.map_err(failed_to_copy)
    }
}

fn failed_to_copy(error: DriverError) -> Error {
    failed("copy a dropout mask to the GPU", error)
}
