//! The arena and the threads' scratch memory, allocated once.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::kernel::{Buffers, Read, Write};
use super::scalar::Scalar;
use crate::base::{Error, Kind, Result};
use crate::exec::plan;
use crate::ops::BufferId;

/// One cache line: buffers start at multiples of it.
const ALIGNMENT: usize = 64;

/// Words from the beginning of a cache line on: vectors and tiles that lie across two lines take twice as long.
struct Words {
    values: Vec<f32>,
    start: usize,
}

impl Words {
    fn new(len: usize) -> Result<Self> {
        let values = allocate(len + ALIGNMENT / size_of::<f32>())?;
        let start = values.as_ptr().align_offset(ALIGNMENT);
        Ok(Self { values, start })
    }

    fn aligned(&mut self) -> &mut [f32] {
        &mut self.values[self.start..]
    }
}

/// Every buffer of a program.
pub struct Arena {
    words: Words,
    places: Vec<Place>,
}

/// Where a buffer lies.
#[derive(Clone)]
struct Place {
    words: Range<usize>,
    /// Values, of whatever element.
    len: usize,
}

impl Arena {
    pub fn new(len: usize, places: &[plan::Place]) -> Result<Self> {
        let place = |place: &plan::Place| Place {
            words: place.offset..place.offset + place.words(),
            len: place.len,
        };
        Ok(Self {
            places: places.iter().map(place).collect(),
            words: Words::new(len)?,
        })
    }

    /// The buffers of a task. Those that are alive at the same time never overlap: `exec::arena::verify`.
    pub fn split(&mut self, reads: &[BufferId], writes: &[BufferId]) -> Buffers<'_> {
        let mut ids: Vec<BufferId> = reads.iter().chain(writes).copied().collect();
        ids.sort_by_key(|&id| (self.places[id].words.start, id));
        ids.dedup();
        let mut slices: Vec<(BufferId, &mut [f32])> = Vec::with_capacity(ids.len());
        let (mut rest, mut at) = (self.words.aligned(), 0);
        for id in ids {
            let words = &self.places[id].words;
            let Some((slice, tail)) = words
                .start
                .checked_sub(at)
                .and_then(|gap| rest.split_at_mut(gap).1.split_at_mut_checked(words.len()))
            else {
                unreachable!("a verified plan's live buffers overlap");
            };
            (rest, at) = (tail, words.end);
            slices.push((id, slice));
        }
        let mut written = Vec::with_capacity(writes.len());
        for id in writes {
            if let Some(index) = slices.iter().position(|(other, _)| other == id) {
                let (_, words) = slices.swap_remove(index);
                let len = self.places[*id].len;
                written.push(Write { words, len });
            }
        }
        let shared = slices.into_iter().map(|(id, words)| (id, &*words));
        let shared: Vec<(BufferId, &[f32])> = shared.collect();
        let read = |id: &BufferId| {
            let words = shared.iter().find(|(other, _)| other == id);
            let (words, len) = (
                words.map_or(&[][..], |(_, words)| words),
                self.places[*id].len,
            );
            Read { words, len }
        };
        Buffers {
            reads: reads.iter().map(read).collect(),
            writes: written,
        }
    }

    /// The memory of one buffer, to be written.
    pub fn write(&mut self, id: BufferId) -> &mut [f32] {
        let words = self.places[id].words.clone();
        &mut self.words.aligned()[words]
    }

    /// A buffer of float32.
    pub fn float32(&self, id: BufferId) -> &[f32] {
        &self.words.values[self.words.start..][self.places[id].words.clone()]
    }

    /// A buffer of any element, as float32.
    pub fn to_float32<E: Scalar>(&self, id: BufferId) -> Vec<f32> {
        let place = &self.places[id];
        let values: &[E] = &bytemuck::cast_slice(self.float32(id))[..place.len];
        values.iter().map(|value| value.float()).collect()
    }
}

/// Memory of each thread that outlives no step.
pub struct Scratch(Vec<Mutex<Words>>);

impl Scratch {
    pub fn new(threads: usize, len: usize) -> Result<Self> {
        let slots = (0..threads).map(|_| Words::new(len).map(Mutex::new));
        Ok(Self(slots.collect::<Result<_>>()?))
    }

    /// Runs `task` with the scratch of the thread it runs on. Nobody else ever waits for that thread's slot.
    pub fn with<R>(&self, task: impl FnOnce(&mut [f32]) -> R) -> R {
        let slot = rayon::current_thread_index().unwrap_or(0) % self.0.len();
        let mut words = self.0[slot].lock().unwrap_or_else(PoisonError::into_inner);
        task(words.aligned())
    }
}

/// Zeros, or an error that says how much was wanted. Systems promise more memory than they have and end the process
/// that takes them at their word, so what is available is asked first, where the system tells.
fn allocate(len: usize) -> Result<Vec<f32>> {
    let bytes = len.saturating_mul(size_of::<f32>());
    let refuse = |found: String| {
        let message = format!("the arena needs {:.1} GB, but {found}", bytes as f64 / 1e9);
        Error::new(Kind::Device, message).hint(
            "more `train.shards`, or a smaller `train.batch` or `eval.batch`, need less; `ffn plan FILE --shards` says how much",
        )
    };
    if let Some(available) = available().filter(|&available| bytes > available) {
        let available = available as f64 / 1e9;
        return Err(refuse(format!("{available:.1} GB of memory are available")));
    }
    let mut values = Vec::new();
    let reserved = values.try_reserve_exact(len);
    reserved.map_err(|_| refuse("the system refuses them".to_owned()))?;
    #[cfg(target_os = "linux")]
    wish_for_large_pages(&mut values);
    values.resize(len, 0.0);
    Ok(values)
}

/// Asks the system to hold memory that has not been touched yet in pages of 2 MiB: passes over large activations then look
/// up fewer addresses. Nothing depends on whether it does.
#[cfg(target_os = "linux")]
fn wish_for_large_pages(values: &mut Vec<f32>) {
    use std::ffi::{c_int, c_void};
    unsafe extern "C" {
        fn madvise(start: *mut c_void, length: usize, advice: c_int) -> c_int;
    }
    const PAGE: usize = 2 << 20;
    const MADV_HUGEPAGE: c_int = 14;
    let bytes = values.capacity() * size_of::<f32>();
    let start = values.as_mut_ptr().cast::<u8>();
    let skipped = start.align_offset(PAGE);
    let length = bytes.saturating_sub(skipped) / PAGE * PAGE;
    if length > 0 {
        // SAFETY: the range lies within the memory that `values` owns; the advice changes where the system keeps it, not
        // what it holds.
        unsafe { madvise(start.wrapping_add(skipped).cast(), length, MADV_HUGEPAGE) };
    }
}

/// Bytes that can be used without swapping, where the system tells.
pub fn available() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
