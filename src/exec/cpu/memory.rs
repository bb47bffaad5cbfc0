//! The arena and the threads' scratch memory, allocated once.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::element::Element;
use crate::base::{Error, Kind, Result};
use crate::program::{Buffer, BufferId};

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

/// A buffer's memory, before it is known as what.
pub struct Values<'a> {
    words: &'a mut [f32],
    len: usize,
}

impl<'a> Values<'a> {
    pub fn of<E: Element>(self) -> &'a mut [E] {
        E::view(self.words, self.len)
    }

    pub fn float32(self) -> &'a mut [f32] {
        self.of()
    }
}

impl Arena {
    pub fn new(len: usize, buffers: &[Buffer]) -> Result<Self> {
        let place = |b: &Buffer| Place {
            words: b.offset..b.offset + b.words(),
            len: b.len,
        };
        Ok(Self {
            places: buffers.iter().map(place).collect(),
            words: Words::new(len)?,
        })
    }

    /// Several buffers at once; no buffer gives no values. Live buffers never overlap: `Program::verify`.
    pub fn get<const N: usize>(&mut self, ids: [Option<BufferId>; N]) -> [Values<'_>; N] {
        let nowhere = Place {
            words: 0..0,
            len: 0,
        };
        let places = ids.map(|id| id.map_or(&nowhere, |id| &self.places[id]));
        let mut lens = places.iter().map(|place| place.len);
        let ranges = places.map(|p| p.words.clone());
        match self.words.aligned().get_disjoint_mut(ranges) {
            Ok(slices) => slices.map(|words| Values {
                words,
                len: lens.next().unwrap_or(0),
            }),
            Err(error) => unreachable!("a verified program's live buffers overlap: {error}"),
        }
    }

    /// As [`Arena::get`], for buffers that are all there.
    pub fn all<const N: usize>(&mut self, ids: [BufferId; N]) -> [Values<'_>; N] {
        self.get(ids.map(Some))
    }

    /// A buffer of float32.
    pub fn float32(&self, id: BufferId) -> &[f32] {
        &self.words.values[self.words.start..][self.places[id].words.clone()]
    }

    /// A buffer of any element, as float32.
    pub fn to_float32<E: Element>(&self, id: BufferId) -> Vec<f32> {
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
            "a smaller `train.batch` or `eval.batch` needs less; `ffn plan` says how much before anything runs",
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
fn available() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
