//! What a legal plan is: every call touches buffers of its task alone, inside their lengths, and counts no further than kernels can.

use super::DevicePlan;
use crate::base::{Error, Kind, Result};
use crate::exec::cuda::gpu::Grid;
use crate::exec::cuda::work::{Call, Operand, Work};
use crate::exec::plan::Task;

impl DevicePlan {
    /// `frames`: of the batch, for the message.
    pub(super) fn verify(&self, frames: usize) -> Result<()> {
        for task in self.plan.tasks() {
            for call in &task.kernel {
                self.verify_buffers(task, call)?;
                if !self.counts(call) {
                    return Err(too_large(&task.name, frames));
                }
            }
        }
        Ok(())
    }

    fn verify_buffers(&self, task: &Task<Work>, call: &Call) -> Result<()> {
        for operand in call.operands() {
            let Operand::Buffer { id, first } = operand else {
                continue;
            };
            let is_own = task.reads.contains(&id) || task.writes.contains(&id);
            let place = &self.plan.places[id];
            if !is_own || first > place.len {
                let message = format!(
                    "illegal plan: `{}` touches buffer `{}` from value {first} on",
                    task.name, place.name
                );
                return Err(Error::new(Kind::Device, message));
            }
        }
        Ok(())
    }

    /// Whether kernels and cuDNN, which count in 31 bits, and the device, which counts lines of blocks in 16, can count this.
    fn counts(&self, call: &Call) -> bool {
        let fits = |count: usize| i32::try_from(count).is_ok();
        let ints = call.operands().into_iter().all(|operand| match operand {
            Operand::Int(value) => i32::try_from(value).is_ok(),
            _ => true,
        });
        let grid = match call {
            Call::Launch(launch) => match launch.grid {
                Grid::Values { length, parts } => {
                    parts <= usize::from(u16::MAX) && (parts == 1 || fits(length))
                }
                Grid::Sums { channels, parts } => parts <= usize::from(u16::MAX) && fits(channels),
                Grid::Lines { lines, values } => fits(lines) && fits(values),
                Grid::Blocks(blocks) => fits(blocks),
            },
            Call::Convolve(convolve) => fits(self.products[convolve.product].rows),
            Call::CopyMask { .. } => true,
        };
        ints && grid
    }
}

fn too_large(name: &str, frames: usize) -> Error {
    let message =
        format!("`{name}`: a batch of {frames} frames is more than a GPU's kernels can count");
    Error::new(Kind::Device, message).hint("a smaller `train.batch` or `eval.batch` has fewer")
}
