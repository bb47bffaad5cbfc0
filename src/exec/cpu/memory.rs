//! The arena and the threads' scratch memory, allocated once.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::base::{Error, Kind, Result};
use crate::program::{Buffer, BufferId};

/// One cache line: buffers start at multiples of it.
const ALIGNMENT: usize = 64;

/// Every buffer of a program.
pub struct Arena {
    values: Vec<f32>,
    /// Where the first aligned value is.
    start: usize,
    ranges: Vec<Range<usize>>,
}

impl Arena {
    pub fn new(len: usize, buffers: &[Buffer]) -> Result<Self> {
        let values = allocate(len + ALIGNMENT / size_of::<f32>())?;
        let start = values.as_ptr().align_offset(ALIGNMENT);
        let range = |b: &Buffer| start + b.offset..start + b.offset + b.len;
        Ok(Self {
            start,
            ranges: buffers.iter().map(range).collect(),
            values,
        })
    }

    /// Several buffers at once; no buffer gives an empty slice. Live buffers never overlap: `Program::verify`.
    pub fn get<const N: usize>(&mut self, ids: [Option<BufferId>; N]) -> [&mut [f32]; N] {
        let empty = self.start..self.start;
        let ranges = ids.map(|id| id.map_or(empty.clone(), |id| self.ranges[id].clone()));
        match self.values.get_disjoint_mut(ranges) {
            Ok(slices) => slices,
            Err(error) => unreachable!("a verified program's live buffers overlap: {error}"),
        }
    }

    /// As [`Arena::get`], for buffers that are all there.
    pub fn all<const N: usize>(&mut self, ids: [BufferId; N]) -> [&mut [f32]; N] {
        self.get(ids.map(Some))
    }

    pub fn read(&self, id: BufferId) -> &[f32] {
        &self.values[self.ranges[id].clone()]
    }
}

/// Memory of each thread that outlives no step.
pub struct Scratch(Vec<Mutex<Vec<f32>>>);

impl Scratch {
    pub fn new(threads: usize, len: usize) -> Result<Self> {
        let slots = (0..threads).map(|_| allocate(len).map(Mutex::new));
        Ok(Self(slots.collect::<Result<_>>()?))
    }

    /// Runs `task` with the scratch of the thread it runs on. Nobody else ever waits for that thread's slot.
    pub fn with<R>(&self, task: impl FnOnce(&mut [f32]) -> R) -> R {
        let slot = rayon::current_thread_index().unwrap_or(0) % self.0.len();
        task(&mut self.0[slot].lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Zeros, or an error that says how many bytes were wanted.
fn allocate(len: usize) -> Result<Vec<f32>> {
    let mut values = Vec::new();
    values.try_reserve_exact(len).map_err(|_| {
        let bytes = len as f64 * size_of::<f32>() as f64;
        let message = format!("cannot allocate {bytes:.0} bytes ({:.1} GB)", bytes / 1e9);
        Error::new(Kind::Device, message).hint(
            "a smaller `train.batch` or `eval.batch` needs less; `ffn plan` says how much before anything runs",
        )
    })?;
    values.resize(len, 0.0);
    Ok(values)
}
