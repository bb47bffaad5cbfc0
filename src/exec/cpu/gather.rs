//! Windows: where the rows of a convolution's left matrix lie in an activation.
//!
//! Row (frame, r, c) is made of the pixels of one window, one after another, zero outside the picture. Products take
//! pixels where they are; only where a pixel has too few channels to be worth it ([`Gather::is_narrow`]) the rows are
//! gathered first, each line of a window being one copy in NHWC.

use std::ops::Range;

use crate::program::tiling::Gather;

/// The shift in time of an input, in evaluation: channels `[0, C/div)` of a pixel come from the next frame of the
/// clip, `[C/div, 2C/div)` from the previous one.
#[derive(Clone, Copy)]
pub struct Shifted<'a> {
    /// C / div
    pub fold: usize,
    /// For each frame, whether its clip has a previous and a next one.
    pub neighbours: &'a [(bool, bool)],
}

/// Rows `rows` (counted over all frames of `x`) into `out`.
pub fn gather(plan: &Gather, x: &[f32], rows: Range<usize>, out: &mut [f32]) {
    let channels = plan.source.channels;
    let line = plan.taps.1 * channels;
    let width = plan.taps.0 * line;
    for (row, out) in rows.zip(out.chunks_exact_mut(width.max(1))) {
        let window = Window::at(plan, row);
        for (tap, out) in out.chunks_exact_mut(line).enumerate() {
            let Some((first, columns)) = window.line(plan, tap) else {
                out.fill(0.0);
                continue;
            };
            let inside = columns.start * channels..columns.end * channels;
            out[..inside.start].fill(0.0);
            out[inside.end..].fill(0.0);
            let len = inside.len();
            out[inside].copy_from_slice(&x[first..first + len]);
        }
    }
}

/// Where a row's window lies.
#[derive(Debug, Clone, Copy, Default)]
pub struct Window {
    pub frame: usize,
    top: isize,
    left: isize,
}

impl Window {
    pub fn at(plan: &Gather, row: usize) -> Self {
        let (frame, position) = (row / plan.rows(), row % plan.rows());
        let along = |at: usize, first: isize| (at * plan.step) as isize + first;
        Self {
            frame,
            top: along(position / plan.grid.1, plan.first.0),
            left: along(position % plan.grid.1, plan.first.1),
        }
    }

    /// Of tap (y, x): the number of its pixel, counted over all frames, if it lies inside the picture.
    #[inline(always)]
    pub fn pixel(&self, plan: &Gather, tap: (usize, usize)) -> Option<usize> {
        let (y, x) = (self.top + tap.0 as isize, self.left + tap.1 as isize);
        let (height, width) = (plan.source.height, plan.source.width);
        let inside = (y as usize) < height && (x as usize) < width;
        inside.then(|| (self.frame * height + y as usize) * width + x as usize)
    }

    /// Of line `tap` of the window: the index of its first value inside the picture, and which of its columns are inside.
    fn line(&self, plan: &Gather, tap: usize) -> Option<(usize, Range<usize>)> {
        let source = plan.source;
        let y = usize::try_from(self.top + tap as isize).ok()?;
        let first = usize::try_from(-self.left).unwrap_or(0).min(plan.taps.1);
        let end = source
            .width
            .saturating_add_signed(-self.left)
            .min(plan.taps.1);
        if y >= source.height || first >= end {
            return None;
        }
        let x = (self.left + first as isize) as usize;
        let pixel = (self.frame * source.height + y) * source.width + x;
        Some((pixel * source.channels, first..end))
    }
}
