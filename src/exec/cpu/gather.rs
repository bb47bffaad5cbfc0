//! Windows: where the rows of a convolution's left matrix lie in an activation.
//!
//! Row (frame, r, c) is made of the values that one window sees, tap by tap, zero outside the image. Products take
//! them where they are.

use crate::exec::cpu::conv::tiling::Gather;

/// The shift in time of an input, in evaluation: channels `[0, C/div)` of a pixel come from the next frame of the
/// clip, `[C/div, 2C/div)` from the previous one.
#[derive(Clone, Copy)]
pub struct Shifted<'a> {
    /// C / div
    pub fold: usize,
    /// For each frame, whether its clip has a previous and a next one.
    pub neighbours: &'a [(bool, bool)],
}

/// Where a row's window lies.
#[derive(Debug, Clone, Copy, Default)]
pub struct Window {
    pub frame: usize,
    /// Index of the first value of tap (0, 0), counted over all frames; negative or in another line where that tap lies outside
    /// the image.
    pub first: isize,
    /// Bit i: whether line i of the window lies inside the image; the same for columns.
    lines: u32,
    columns: u32,
}

impl Window {
    #[inline(always)]
    pub fn at(plan: &Gather, row: usize) -> Self {
        let (frame, position) = (row / plan.rows(), row % plan.rows());
        let along = |at: usize, step: usize, first: isize| (at * step) as isize + first;
        let top = along(position / plan.grid.1, plan.step.0, plan.first.0);
        let left = along(position % plan.grid.1, plan.step.1, plan.first.1);
        let (height, width) = (plan.source.height as isize, plan.source.width as isize);
        let pixel = (frame as isize * height + top) * width + left;
        Self {
            frame,
            first: pixel * plan.source.channels as isize,
            lines: inside(top, plan.taps.0, height),
            columns: inside(left, plan.taps.1, width),
        }
    }

    /// Whether tap (y, x) lies inside the image.
    #[inline(always)]
    pub fn sees(&self, tap: (usize, usize)) -> bool {
        (self.lines >> tap.0) & (self.columns >> tap.1) & 1 != 0
    }
}

/// Bit i: whether `first + i` lies in `0..side`.
#[inline(always)]
fn inside(first: isize, taps: usize, side: isize) -> u32 {
    let taps = taps as isize;
    let (start, end) = ((-first).clamp(0, taps), (side - first).clamp(0, taps));
    // Ones below the end, less those below the start.
    let below = |tap: isize| (1u64 << tap) as u32;
    below(end).wrapping_sub(below(start.min(end)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::inside;

    proptest! {
        #[test]
        fn bits_are_those_of_taps_inside(first in -40isize..40, taps in 0usize..=32, side in 0isize..40) {
            let is_inside = |tap: usize| (0..side).contains(&(first + tap as isize));
            let expected = (0..taps).fold(0u32, |bits, tap| bits | u32::from(is_inside(tap)) << tap);
            prop_assert_eq!(inside(first, taps, side), expected);
        }
    }
}
