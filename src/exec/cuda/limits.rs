//! What a device can do at most, measured: the floors under every step's time.

use super::cudnn::{Convolution, Direction, Product, Tensors};
use super::gpu::{Gpu, failed};
use super::memory::base;
use crate::base::Result;
use crate::ops::{Dtype, Shape};

/// Tries of each, of which the best counts.
const TRIES: usize = 5;
/// Work is made larger until it takes so long: less would measure how it is started.
const LONG_ENOUGH: f64 = 1e-3;

/// Multiply-adds a second of cuDNN's best case: a product of as many channels in as out, by tensor cores if the dtype has them.
pub fn multiply_adds(gpu: &Gpu, dtype: Dtype) -> Result<f64> {
    const IMAGES: usize = 8;
    let mut rate = 0.0;
    for channels in [64, 256, 1024, 4096] {
        let shape = Shape {
            height: 64,
            width: 64,
            channels,
        };
        let product = Product {
            from: shape,
            to: shape,
            kernel: [1, 1],
            stride: [1, 1],
            padding: [0, 0],
            dtype,
        };
        let seconds = product_seconds(gpu, &product, IMAGES)?;
        rate = (IMAGES * shape.pixels() * product.weights()) as f64 / seconds;
        if seconds > LONG_ENOUGH {
            break;
        }
    }
    Ok(rate)
}

fn product_seconds(gpu: &Gpu, product: &Product, images: usize) -> Result<f64> {
    let convolution = Convolution::new(gpu, product, images, Direction::Forward)?;
    let tensors = Tensors::new(gpu, product, images)?;
    let workspace = gpu.allocate::<u8>("a product's scratch memory", convolution.workspace)?;
    let ([x, w, y], workspace) = (tensors.addresses(gpu), base(gpu, &workspace));
    best(gpu, || {
        // SAFETY: each address leads to what the shapes need.
        unsafe { convolution.run(gpu, [x, w], y, workspace) }
    })
}

/// Bytes read plus bytes written a second, copying blocks larger than the caches.
pub fn bytes(gpu: &Gpu) -> Result<f64> {
    let mut rate = 0.0;
    for len in [1 << 20, 1 << 25, 1 << 28] {
        let from = gpu.allocate::<u8>("a copy", len)?;
        let mut to = gpu.allocate::<u8>("a copy", len)?;
        let seconds = best(gpu, || {
            let copied = gpu.stream.memcpy_dtod(&from, &mut to);
            copied.map_err(|e| failed("copy memory", e))
        })?;
        rate = 2.0 * len as f64 / seconds;
        if seconds > LONG_ENOUGH {
            break;
        }
    }
    Ok(rate)
}

/// Seconds of the fastest try.
fn best(gpu: &Gpu, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let marks = gpu.marks(2)?;
    let mut least = f64::INFINITY;
    for _ in 0..TRIES {
        gpu.mark(&marks[0])?;
        work()?;
        gpu.mark(&marks[1])?;
        gpu.synchronize()?;
        let milliseconds = marks[0].elapsed_ms(&marks[1]);
        let milliseconds = milliseconds.map_err(|e| failed("read an event", e))?;
        least = least.min(f64::from(milliseconds) / 1e3);
    }
    Ok(least)
}
