//! The frames' way to the device: bytes through pinned memory, normalised there. Those of the pass that follows are copied
//! while this one is computed, on a stream of their own.

use std::sync::Arc;

use cudarc::driver::{CudaEvent, CudaSlice, DriverError, PinnedHostSlice};

use super::gpu::{Arg, Gpu, Grid, Kernel, failed};
use super::memory::base;
use super::run::Pass;
use crate::base::{Error, Result};
use crate::data::Pixels;
use crate::exec::Input;
use crate::exec::plan::Place;
use crate::spec::Normalize;

/// The bytes of one batch, here and on the device.
pub struct Staging {
    /// Pinned: the device reads it by itself, without a copy of the driver's between.
    here: PinnedHostSlice<u8>,
    there: CudaSlice<u8>,
    /// After the last copy from here to there.
    copied: CudaEvent,
    /// After the last kernel that reads what is there.
    read: CudaEvent,
    /// What was copied ahead. It is held, so no other bytes can be at its address.
    ahead: Option<Arc<Pixels>>,
}

impl Staging {
    /// For `len` bytes.
    pub fn new(gpu: &Gpu, len: usize) -> Result<Self> {
        let there = gpu.allocate("the pixels", len)?;
        let read = gpu.event()?;
        // The memory belongs to the stream that computes, and is there for others from here on.
        read.record(&gpu.stream).map_err(failed_to_copy)?;
        Ok(Self {
            here: gpu.pinned("the pixels", len)?,
            there,
            copied: gpu.event()?,
            read,
            ahead: None,
        })
    }

    /// Begins to copy the pixels of the pass that follows, if they are known and of this shape.
    pub fn copy_ahead(&mut self, gpu: &Gpu, input: Input<'_>) -> Result<()> {
        let Input::Pixels {
            next: Some(next), ..
        } = input
        else {
            return Ok(());
        };
        if let Some(pixels) = next()
            && let Pixels::Bytes(bytes) = &*pixels
            && bytes.len() == self.here.len()
        {
            self.copy(gpu, bytes)?;
            self.ahead = Some(pixels);
        }
        Ok(())
    }

    /// Has the computing stream wait for the pixels.
    fn put(&mut self, gpu: &Gpu, bytes: &[u8]) -> Result<()> {
        let ahead = self.ahead.take();
        let is_ahead = ahead.is_some_and(
            |ahead| matches!(&*ahead, Pixels::Bytes(ahead) if std::ptr::eq(ahead.as_slice(), bytes)),
        );
        if !is_ahead {
            self.copy(gpu, bytes)?;
        }
        gpu.stream.wait(&self.copied).map_err(failed_to_copy)
    }

    fn copy(&mut self, gpu: &Gpu, bytes: &[u8]) -> Result<()> {
        let mut copy = || {
            self.copied.synchronize()?;
            self.here.as_mut_slice()?.copy_from_slice(bytes);
            gpu.copies.wait(&self.read)?;
            gpu.copies
                .memcpy_htod(self.here.as_slice()?, &mut self.there)?;
            self.copied.record(&gpu.copies)
        };
        copy().map_err(failed_to_copy)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Neither memory may go before the copy is done. A copy that failed needs neither.
        let _ = self.copied.synchronize();
    }
}

fn failed_to_copy(error: DriverError) -> Error {
    failed("copy pixels to the GPU", error)
}

impl Pass<'_> {
    /// Queues what fills the program's input.
    pub fn input(&mut self, input: Input<'_>) -> Result<()> {
        let to = &self.plan.plan.places[self.plan.plan.input];
        match input {
            Input::Values(values) => self.memory.write(self.gpu, to, values),
            Input::Pixels {
                bytes, normalize, ..
            } => {
                self.memory.staging.put(self.gpu, bytes)?;
                self.normalize_pixels(to, normalize)?;
                let read = self.memory.staging.read.record(&self.gpu.stream);
                read.map_err(failed_to_copy)
            }
        }
    }

    fn normalize_pixels(&self, to: &Place, normalize: &Normalize) -> Result<()> {
        let length = to.len;
        let from = base(self.gpu, &self.memory.staging.there);
        let mut args = vec![Arg::Address(from), Arg::Count(length as u64)];
        let channels = normalize.mean.into_iter().chain(normalize.std);
        args.extend(channels.map(|value| Arg::Float(value as f32)));
        args.push(Arg::Address(self.memory.address(self.gpu, to, 0)));
        let grid = Grid::Values { length, parts: 1 };
        let kernel = Kernel::of("normalize_pixels", to.dtype, length);
        // SAFETY: the arguments are in the order of the kernel's signature; as many bytes are staged as the input has values.
        unsafe { self.gpu.launch(kernel, grid, &args) }
    }
}
