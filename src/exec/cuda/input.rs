//! The frames' way to the card: bytes through pinned memory, normalised there.

use cudarc::driver::{CudaSlice, PinnedHostSlice};

use super::gpu::{Arg, Gpu, Grid, failed};
use super::memory::base;
use super::run::Pass;
use crate::base::Result;
use crate::exec::Input;
use crate::spec::Normalize;

/// The bytes of one batch, here and on the card.
pub struct Staging {
    /// Pinned: the card reads it by itself, without a copy of the driver's between.
    here: PinnedHostSlice<u8>,
    there: CudaSlice<u8>,
}

impl Staging {
    pub fn new(gpu: &Gpu, len: usize) -> Result<Self> {
        // As `kernels/input.cu` reads it.
        let there = len.next_multiple_of(4);
        Ok(Self {
            here: gpu.pinned("the pixels", len)?,
            there: gpu.allocate("the pixels", there)?,
        })
    }

    /// Bytes on the card.
    pub fn bytes(&self) -> usize {
        self.there.num_bytes()
    }

    /// Queues the copy of a batch. The one before it must be done.
    fn copy(&mut self, gpu: &Gpu, bytes: &[u8]) -> Result<()> {
        let copy = |e| failed("copy pixels to the card", e);
        let here = self.here.as_mut_slice().map_err(copy)?;
        here.copy_from_slice(bytes);
        gpu.stream
            .memcpy_htod(&*here, &mut self.there)
            .map_err(copy)
    }
}

impl Pass<'_> {
    /// Queues what fills the program's input.
    pub fn input(&mut self, input: Input<'_>) -> Result<()> {
        let to = self.program.input;
        match input {
            Input::Values(values) => self.memory.write(self.gpu, self.program, to, values),
            Input::Pixels { bytes, normalize } => {
                self.memory.staging.copy(self.gpu, bytes)?;
                self.normalize_pixels(normalize)
            }
        }
    }

    fn normalize_pixels(&self, normalize: &Normalize) -> Result<()> {
        let to = self.program.input;
        let length = self.len(to);
        let from = base(self.gpu, &self.memory.staging.there);
        let mut args = vec![Arg::Address(from), Arg::Count(length as u64)];
        let channels = normalize.mean.into_iter().chain(normalize.std);
        args.extend(channels.map(|value| Arg::Float(value as f32)));
        args.push(self.at(to));
        let grid = Grid::Values {
            length: length.div_ceil(4),
            parts: 1,
        };
        self.launch("normalize_pixels", grid, &args)
    }
}
