//! Which rows an operation reads: windows in time and space.

use dfdx::prelude::*;

use super::{Real, Rows};
use crate::graph::Shape;

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

/// Frames of an activation, one after another, of which `period` at a time are what operations along time take as one
/// clip.
#[derive(Debug, Clone, Copy)]
pub struct Frames {
    pub count: usize,
    pub period: usize,
    pub shape: Shape,
}

impl Frames {
    /// The frame that is `offset` later in the same clip.
    fn later(&self, frame: usize, offset: isize) -> Option<usize> {
        let first = frame - frame % self.period;
        let later = (frame - first).checked_add_signed(offset)?;
        (later < self.period).then_some(first + later)
    }

    /// For each pixel the row of the same pixel `offset` frames later.
    pub fn moved(&self, offset: isize) -> impl Iterator<Item = Option<usize>> + '_ {
        let pixels = self.shape.pixels();
        (0..self.count).flat_map(move |frame| {
            let source = self.later(frame, offset);
            (0..pixels).map(move |pixel| Some(source? * pixels + pixel))
        })
    }
}

/// A window that moves over the frames of each clip and the pixels of each frame. Kernel, stride and padding are along
/// time, height and width.
pub struct Windows {
    pub from: Frames,
    pub to: Frames,
    pub kernel: [usize; 3],
    pub stride: [usize; 3],
    pub padding: [usize; 3],
}

impl Windows {
    /// For each pixel that comes out, the rows that go in, row-major over the kernel; `None` where they are outside.
    pub fn rows(&self) -> impl Iterator<Item = Option<usize>> + '_ {
        let shape = self.to.shape;
        (0..self.to.count).flat_map(move |frame| {
            pixels(shape.height, shape.width)
                .flat_map(move |pixel| self.taps().map(move |tap| self.row(frame, pixel, tap)))
        })
    }

    fn taps(&self) -> impl Iterator<Item = [usize; 3]> + use<> {
        let [time, height, width] = self.kernel;
        (0..time).flat_map(move |t| pixels(height, width).map(move |(i, j)| [t, i, j]))
    }

    fn row(&self, frame: usize, (y, x): (usize, usize), tap: [usize; 3]) -> Option<usize> {
        let (clip, time) = (frame / self.to.period, frame % self.to.period);
        let Shape { height, width, .. } = self.from.shape;
        let side = |axis: usize, at: usize, side: usize| {
            let padded = at * self.stride[axis] + tap[axis];
            inside(padded, self.padding[axis], side)
        };
        let time = side(0, time, self.from.period)?;
        let (y, x) = (side(1, y, height)?, side(2, x, width)?);
        Some(((clip * self.from.period + time) * height + y) * width + x)
    }

    /// Values of a kernel.
    pub fn area(&self) -> usize {
        self.kernel.iter().product()
    }

    /// Whether every output pixel reads the input pixel at its own index, and no other.
    pub fn is_pointwise(&self) -> bool {
        (self.kernel, self.stride, self.padding) == ([1; 3], [1; 3], [0; 3])
    }
}

/// (y, x) in row-major order.
fn pixels(height: usize, width: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
    (0..height).flat_map(move |y| (0..width).map(move |x| (y, x)))
}

/// An index into a padded axis as an index into the axis.
fn inside(index: usize, padding: usize, side: usize) -> Option<usize> {
    index.checked_sub(padding).filter(|&index| index < side)
}
