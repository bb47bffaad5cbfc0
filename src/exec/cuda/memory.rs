//! What an engine holds on the card beside the weights, all of it taken before the first step.

use cudarc::driver::{CudaSlice, DevicePtr};

use super::gpu::{Arg, Gpu, failed};
use super::input::Staging;
use super::needs::Needs;
use crate::base::Result;
use crate::program::{BufferId, Program};

pub struct Memory {
    arena: CudaSlice<f32>,
    /// For each frame its norm group, then for each frame its neighbours as `kernels/shift.cu` wants them.
    tables: CudaSlice<i32>,
    frames: usize,
    pub staging: Staging,
    /// Scratch memory of convolutions.
    workspace: CudaSlice<u8>,
    /// The input of a convolution that shifts or widens it.
    staged_input: CudaSlice<u8>,
    /// The widened weight of one, or its gradient.
    staged_weight: CudaSlice<u8>,
    needs: Needs,
}

impl Memory {
    pub fn new(gpu: &Gpu, program: &Program, needs: Needs) -> Result<Self> {
        let batch = &program.batch;
        let groups = batch.group_of.iter().map(|&group| group as i32);
        let neighbours = batch.neighbours.iter();
        let neighbours = neighbours.map(|&(previous, next)| previous as i32 | (next as i32) << 1);
        let tables: Vec<i32> = groups.chain(neighbours).collect();
        let copied = gpu.stream.clone_htod(&tables);
        gpu.synchronize()?;
        Ok(Self {
            arena: gpu.allocate("the program's buffers", needs.buffers / size_of::<f32>())?,
            tables: copied.map_err(|e| failed("copy the batch's tables", e))?,
            frames: batch.frames,
            staging: Staging::new(gpu, needs.pixels)?,
            workspace: gpu.allocate("the convolutions' scratch memory", needs.workspace)?,
            staged_input: gpu.allocate("the convolutions' inputs", needs.staged_input)?,
            staged_weight: gpu.allocate("a convolution's weight", needs.staged_weight)?,
            needs,
        })
    }

    /// Bytes on the card.
    pub fn bytes(&self) -> usize {
        self.needs.total()
    }

    /// Where a buffer's value `index` is.
    pub fn address(&self, gpu: &Gpu, program: &Program, id: BufferId, index: usize) -> u64 {
        let buffer = &program.buffers[id];
        let first = buffer.offset * size_of::<f32>() + index * buffer.element.size();
        base(gpu, &self.arena) + first as u64
    }

    /// The words of a buffer, as it has them.
    pub fn read(&self, gpu: &Gpu, program: &Program, id: BufferId, to: &mut [f32]) -> Result<()> {
        let first = program.buffers[id].offset;
        let from = self.arena.slice(first..first + to.len());
        let copied = gpu.stream.memcpy_dtoh(&from, to);
        copied.map_err(|e| failed("copy a result from the card", e))
    }

    pub fn write(
        &mut self,
        gpu: &Gpu,
        program: &Program,
        id: BufferId,
        from: &[f32],
    ) -> Result<()> {
        let first = program.buffers[id].offset;
        let mut to = self.arena.slice_mut(first..first + from.len());
        let copied = gpu.stream.memcpy_htod(from, &mut to);
        copied.map_err(|e| failed("copy an input to the card", e))
    }

    /// The norm groups of frames from `frame` on.
    pub fn groups(&self, gpu: &Gpu, frame: usize) -> Arg {
        Arg::Address(base(gpu, &self.tables) + (frame * size_of::<i32>()) as u64)
    }

    /// The neighbours of frames from `frame` on.
    pub fn neighbours(&self, gpu: &Gpu, frame: usize) -> Arg {
        self.groups(gpu, self.frames + frame)
    }

    pub fn workspace(&self, gpu: &Gpu) -> u64 {
        base(gpu, &self.workspace)
    }

    pub fn staged_input(&self, gpu: &Gpu) -> u64 {
        base(gpu, &self.staged_input)
    }

    pub fn staged_weight(&self, gpu: &Gpu) -> u64 {
        base(gpu, &self.staged_weight)
    }
}

/// Where values on the card begin.
pub fn base<T>(gpu: &Gpu, values: &CudaSlice<T>) -> u64 {
    // The second part records nothing: event tracking is off.
    values.device_ptr(&gpu.stream).0
}
