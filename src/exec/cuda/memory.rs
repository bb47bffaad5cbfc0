//! What an engine holds on the device beside the weights, all of it taken before the first pass.

use cudarc::driver::{CudaSlice, DevicePtr};

use super::gpu::{Arg, Gpu, failed};
use super::input::Staging;
use super::needs::Needs;
use super::plan::DevicePlan;
use crate::base::Result;
use crate::exec::plan::Place;

pub struct Memory {
    arena: CudaSlice<f32>,
    /// [`DevicePlan::tables`].
    tables: CudaSlice<i32>,
    pub staging: Staging,
    /// Scratch memory of convolutions.
    workspace: CudaSlice<u8>,
    needs: Needs,
}

impl Memory {
    pub fn new(gpu: &Gpu, plan: &DevicePlan, needs: Needs) -> Result<Self> {
        let copied = gpu.stream.clone_htod(&plan.tables);
        gpu.synchronize()?;
        Ok(Self {
            arena: gpu.allocate("the program's buffers", needs.buffers / size_of::<f32>())?,
            tables: copied.map_err(|e| failed("copy the batch's tables", e))?,
            staging: Staging::new(gpu, needs.pixels)?,
            workspace: gpu.allocate("the convolutions' scratch memory", needs.workspace)?,
            needs,
        })
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> usize {
        self.needs.total()
    }

    /// Where a buffer's value `index` is.
    pub fn address(&self, gpu: &Gpu, place: &Place, index: usize) -> u64 {
        let first = place.offset * size_of::<f32>() + index * place.dtype.size();
        base(gpu, &self.arena) + first as u64
    }

    /// The words of a buffer, as it has them.
    pub fn read(&self, gpu: &Gpu, place: &Place, to: &mut [f32]) -> Result<()> {
        let from = self.arena.slice(place.offset..place.offset + to.len());
        let copied = gpu.stream.memcpy_dtoh(&from, to);
        copied.map_err(|e| failed("copy a result from the GPU", e))
    }

    /// Puts the words of a buffer there.
    pub fn write(&mut self, gpu: &Gpu, place: &Place, from: &[f32]) -> Result<()> {
        let mut to = self
            .arena
            .slice_mut(place.offset..place.offset + from.len());
        let copied = gpu.stream.memcpy_htod(from, &mut to);
        copied.map_err(|e| failed("copy an input to the GPU", e))
    }

    /// The tables from number `index` on.
    pub fn table(&self, gpu: &Gpu, index: usize) -> Arg {
        Arg::Address(base(gpu, &self.tables) + (index * size_of::<i32>()) as u64)
    }

    pub fn workspace(&self, gpu: &Gpu) -> u64 {
        base(gpu, &self.workspace)
    }
}

/// Where values on the device begin.
pub fn base<T>(gpu: &Gpu, values: &CudaSlice<T>) -> u64 {
    // The second part records nothing: event tracking is off.
    values.device_ptr(&gpu.stream).0
}
