//! What an engine holds on the card, all of it taken before the first step.

use cudarc::driver::{CudaSlice, DevicePtr};

use super::gpu::{Arg, Gpu, failed};
use super::input::Staging;
use crate::base::Result;
use crate::exec::Statistics;
use crate::exec::lengths::Lengths;
use crate::program::{BufferId, Program};

pub struct Memory {
    arena: CudaSlice<f32>,
    pub params: Bank,
    pub gradients: Bank,
    pub means: Bank,
    pub variances: Bank,
    /// For each frame its norm group, then for each frame its neighbours as `kernels/shift.cu` wants them.
    tables: CudaSlice<i32>,
    frames: usize,
    pub staging: Staging,
    /// Scratch memory of convolutions.
    workspace: CudaSlice<u8>,
    /// The input of a convolution that shifts it.
    shifted: CudaSlice<f32>,
}

impl Memory {
    /// `workspace`: bytes; `shifted`: values.
    pub fn new(
        gpu: &Gpu,
        lengths: &Lengths,
        program: &Program,
        workspace: usize,
        shifted: usize,
    ) -> Result<Self> {
        let Lengths { params, stats, .. } = lengths;
        let gradients = program.d_logits.map_or(&[][..], |_| params);
        let batch = &program.batch;
        let groups = batch.group_of.iter().map(|&group| group as i32);
        let neighbours = batch.neighbours.iter();
        let neighbours = neighbours.map(|&(previous, next)| previous as i32 | (next as i32) << 1);
        let tables: Vec<i32> = groups.chain(neighbours).collect();
        let copied = gpu.stream.clone_htod(&tables);
        gpu.synchronize()?;
        Ok(Self {
            arena: gpu.allocate("the program's buffers", program.arena)?,
            params: Bank::new(gpu, "the parameters", params)?,
            gradients: Bank::new(gpu, "the gradients", gradients)?,
            means: Bank::new(gpu, "the running means", stats)?,
            variances: Bank::new(gpu, "the running variances", stats)?,
            tables: copied.map_err(|e| failed("copy the batch's tables", e))?,
            frames: batch.frames,
            staging: Staging::new(gpu, program.buffers[program.input].len)?,
            workspace: gpu.allocate("the convolutions' scratch memory", workspace)?,
            shifted: gpu.allocate("shifted inputs", shifted)?,
        })
    }

    /// Bytes on the card.
    pub fn bytes(&self) -> usize {
        let banks = [&self.params, &self.gradients, &self.means, &self.variances];
        let banks = banks.iter().map(|bank| bank.values.num_bytes());
        let rest = [
            self.arena.num_bytes(),
            self.tables.num_bytes(),
            self.shifted.num_bytes(),
            self.staging.bytes(),
        ];
        banks.chain(rest).sum::<usize>() + self.workspace.num_bytes()
    }

    /// Where a buffer's value `index` is.
    pub fn address(&self, gpu: &Gpu, program: &Program, id: BufferId, index: usize) -> u64 {
        base(gpu, &self.arena) + ((program.buffers[id].offset + index) * size_of::<f32>()) as u64
    }

    pub fn read(&self, gpu: &Gpu, program: &Program, id: BufferId, to: &mut [f32]) -> Result<()> {
        let from = self
            .arena
            .slice(program.buffers[id].offset..)
            .slice(..to.len());
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

    pub fn shifted(&self, gpu: &Gpu) -> u64 {
        base(gpu, &self.shifted)
    }

    pub fn write_statistics(&mut self, gpu: &Gpu, stats: &Statistics) -> Result<()> {
        self.means
            .write(gpu, stats.mean.iter().map(Vec::as_slice))?;
        self.variances
            .write(gpu, stats.var.iter().map(Vec::as_slice))
    }

    pub fn read_statistics(&self, gpu: &Gpu, stats: &mut Statistics) -> Result<()> {
        self.means
            .read(gpu, stats.mean.iter_mut().map(Vec::as_mut_slice))?;
        self.variances
            .read(gpu, stats.var.iter_mut().map(Vec::as_mut_slice))
    }
}

/// Vectors of fixed lengths, one after another.
pub struct Bank {
    values: CudaSlice<f32>,
    /// Where each begins.
    starts: Vec<usize>,
}

impl Bank {
    fn new(gpu: &Gpu, what: &str, lens: &[usize]) -> Result<Self> {
        /// Vectors begin at multiples of this many values: what cuDNN and wide loads like.
        const ALIGNMENT: usize = 64;
        let mut end = 0;
        let starts = lens.iter().map(|len| {
            let start = end;
            end = (start + len).next_multiple_of(ALIGNMENT);
            start
        });
        let starts = starts.collect();
        let values = gpu.allocate(what, end)?;
        Ok(Self { values, starts })
    }

    pub fn address(&self, gpu: &Gpu, index: usize) -> Arg {
        Arg::Address(base(gpu, &self.values) + (self.starts[index] * size_of::<f32>()) as u64)
    }

    pub fn clear(&mut self, gpu: &Gpu) -> Result<()> {
        let cleared = gpu.stream.memset_zeros(&mut self.values);
        cleared.map_err(|e| failed("clear the gradients", e))
    }

    pub fn write<'a>(&mut self, gpu: &Gpu, all: impl Iterator<Item = &'a [f32]>) -> Result<()> {
        for (&start, from) in self.starts.iter().zip(all) {
            let mut to = self.values.slice_mut(start..start + from.len());
            let copied = gpu.stream.memcpy_htod(from, &mut to);
            copied.map_err(|e| failed("copy parameters to the card", e))?;
        }
        Ok(())
    }

    pub fn read<'a>(&self, gpu: &Gpu, all: impl Iterator<Item = &'a mut [f32]>) -> Result<()> {
        for (&start, to) in self.starts.iter().zip(all) {
            let from = self.values.slice(start..start + to.len());
            let copied = gpu.stream.memcpy_dtoh(&from, to);
            copied.map_err(|e| failed("copy results from the card", e))?;
        }
        Ok(())
    }
}

pub fn base<T>(gpu: &Gpu, values: &CudaSlice<T>) -> u64 {
    // Nothing waits for what the second part records: there is one stream.
    values.device_ptr(&gpu.stream).0
}
