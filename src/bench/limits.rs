//! What the machine can do at most, measured: the floors under every step's time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde::Serialize;

use super::process::processor_seconds;
use crate::base::Result;
use crate::exec::{DeviceId, EngineKind, Executor, cpu, cuda};
use crate::program::cost::Cost;

/// Of all threads that compute together, or of a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Limits {
    /// What multiplies so fast.
    pub products_by: &'static str,
    /// Multiply-adds a second: of threads in float32 on registers alone, of AMX on its tiles, of a GPU in the engine's precision.
    pub multiply_adds: f64,
    /// Bytes read plus bytes written a second, copying blocks far larger than the caches.
    pub bytes: f64,
}

/// Tries of each, of which the best counts: the limit is what the machine can, not what it does beside other work.
const TRIES: usize = 5;
/// Of multiply-adds on a thread's registers, whatever each does.
const ROUNDS: usize = 4_000_000;
/// Values of a thread's block.
const BLOCK: usize = 16 << 20;

impl Limits {
    /// Of the device that an executor computes on.
    pub fn measure(executor: Executor) -> Result<Self> {
        match executor.device {
            DeviceId::Cpu => Ok(Self::of_threads(executor.threads, executor.engine)),
            DeviceId::Cuda(ordinal) => {
                let gpu = cuda::Gpu::open(ordinal)?;
                let dtype = executor.engine.numerics().dtype();
                gpu.prepare(dtype)?;
                Ok(Self {
                    products_by: "cuDNN on a square product",
                    multiply_adds: cuda::limits::multiply_adds(&gpu, dtype)?,
                    bytes: cuda::limits::bytes(&gpu)?,
                })
            }
        }
    }

    /// With more threads than the machine has cores, those of its cores.
    fn of_threads(threads: usize, engine: EngineKind) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = threads.min(cores);
        let (products_by, multiply_adds) = match engine {
            EngineKind::CompiledAmx if cpu::has_amx() => {
                let tiles = || cpu::multiply_tiles(ROUNDS).unwrap_or(0);
                ("threads on AMX's tiles", rate(threads, &tiles))
            }
            _ => {
                let vectors = || cpu::multiply_vectors(ROUNDS);
                ("threads on registers", rate(threads, &vectors))
            }
        };
        let from = vec![1.0f32; BLOCK];
        // Written before they are timed: the system hands out memory at its first use.
        let to: Vec<_> = (0..threads).map(|_| Mutex::new(from.clone())).collect();
        let copied = best(threads, &|thread| {
            if let Ok(mut to) = to[thread].lock() {
                std::hint::black_box(&mut **to).copy_from_slice(std::hint::black_box(&from));
            }
        });
        Self {
            products_by,
            multiply_adds,
            bytes: (2 * BLOCK * size_of::<f32>() * threads) as f64 / copied,
        }
    }

    /// The least time for a step.
    pub fn floor(&self, cost: Cost) -> f64 {
        (cost.multiply_adds as f64 / self.multiply_adds).max(cost.bytes as f64 / self.bytes)
    }
}

/// Multiply-adds a second of threads that each do some on registers, and say how many.
fn rate(threads: usize, multiply: &(dyn Fn() -> u64 + Sync)) -> f64 {
    let work = AtomicU64::new(0);
    let seconds = best(threads, &|_| work.store(multiply(), Ordering::Relaxed));
    work.load(Ordering::Relaxed) as f64 * threads as f64 / seconds
}

/// Least time of `work` on each of several threads at once: wall time, or where others use the machine too what the
/// processor time says it would have been.
fn best(threads: usize, work: &(dyn Fn(usize) + Sync)) -> f64 {
    let run = |_| {
        let (start, processor) = (Instant::now(), processor_seconds());
        std::thread::scope(|scope| {
            (0..threads).for_each(|thread| {
                scope.spawn(move || work(thread));
            });
        });
        let wall = start.elapsed().as_secs_f64();
        let processor = processor_seconds()
            .zip(processor)
            .map(|(end, start)| (end - start) / threads as f64);
        // Ticks are hundredths of a second: too coarse for less.
        wall.min(processor.filter(|&seconds| seconds > 0.2).unwrap_or(wall))
    };
    (0..TRIES).map(run).fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No machine multiplies faster than some vectors at a few gigahertz: a loop that the compiler removed would.
    #[test]
    fn limits_are_those_of_a_machine() {
        for engine in [EngineKind::Compiled, EngineKind::CompiledAmx] {
            let limits = Limits::of_threads(1, engine);
            assert!((1e8..1e13).contains(&limits.multiply_adds), "{limits:?}");
            assert!((1e8..1e12).contains(&limits.bytes), "{limits:?}");
        }
    }
}
