//! Which rows an operation reads: windows in space.

use dfdx::prelude::*;

use super::{Real, Rows};
use crate::graph::Shape as FrameShape;

/// The rows of x at `index`, in that order; `fill` where there is none. A row of `fill` is put behind x, so that
/// padding is a row like any other.
pub fn gather<E: Real, T: Tape<E, E::On>>(
    x: Rows<E, T>,
    fill: E,
    index: impl Iterator<Item = Option<usize>>,
) -> Result<Rows<E, T>, CpuError> {
    let device = E::On::default();
    let (rows, columns) = *x.shape();
    let outside: Rows<E> = device.try_tensor_from_vec(vec![fill; columns], (1, columns))?;
    let index: Vec<usize> = index.map(|row| row.unwrap_or(rows)).collect();
    let len = index.len();
    let index: Tensor<(usize,), usize, E::On> = device.try_tensor_from_vec(index, (len,))?;
    let padded = (x, outside).try_concat_along(Axis::<0>)?;
    padded.try_gather(index)
}

/// A window that moves over each frame.
pub struct Windows {
    pub frames: usize,
    pub from: FrameShape,
    pub to: FrameShape,
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
}

impl Windows {
    /// For each pixel that comes out, the kernel × kernel rows that go in, row-major; `None` where they are outside.
    pub fn rows(&self) -> impl Iterator<Item = Option<usize>> + '_ {
        let outputs = pixels(self.to.height, self.to.width);
        let row = move |frame: usize, (y, x): (usize, usize), (i, j): (usize, usize)| {
            let y = inside(y * self.stride + i, self.padding, self.from.height)?;
            let x = inside(x * self.stride + j, self.padding, self.from.width)?;
            Some((frame * self.from.height + y) * self.from.width + x)
        };
        (0..self.frames).flat_map(move |frame| {
            outputs.clone().flat_map(move |pixel| {
                let taps = pixels(self.kernel, self.kernel);
                taps.map(move |tap| row(frame, pixel, tap))
            })
        })
    }

    /// Whether every output pixel reads the input pixel at its own place, and no other.
    pub fn is_pointwise(&self) -> bool {
        (self.kernel, self.stride, self.padding) == (1, 1, 0)
    }
}

/// (y, x) in row-major order.
fn pixels(height: usize, width: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
    (0..height).flat_map(move |y| (0..width).map(move |x| (y, x)))
}

/// A place in the padded picture as a place in the picture.
fn inside(place: usize, padding: usize, side: usize) -> Option<usize> {
    place.checked_sub(padding).filter(|&place| place < side)
}
