//! Gathered rows: the left matrix of a convolution.
//!
//! Row (frame, r, c) holds the pixels of one window one after another, `taps × channels` values, zero outside the
//! picture. NHWC makes each line of a window one copy. In evaluation the shift in time happens here: channels
//! `[0, C/div)` of a pixel come from the next frame of the clip, `[C/div, 2C/div)` from the previous one.

use std::ops::Range;

use crate::program::tiling::Gather;

/// The shift in time during gathering.
#[derive(Clone, Copy)]
pub struct Shifted<'a> {
    /// C / div
    pub fold: usize,
    /// For each frame, whether its clip has a previous and a next one.
    pub neighbours: &'a [(bool, bool)],
}

/// Rows `rows` (counted over all frames of `x`), of each pixel the channels `channels`, into `out`.
pub fn gather(
    plan: &Gather,
    x: &[f32],
    rows: Range<usize>,
    channels: Range<usize>,
    out: &mut [f32],
) {
    let line = plan.taps.1 * channels.len();
    let width = plan.taps.0 * line;
    for (row, out) in rows.zip(out.chunks_exact_mut(width.max(1))) {
        let window = Window::at(plan, row);
        for (tap, out) in out.chunks_exact_mut(line).enumerate() {
            let Some((first, columns)) = window.line(plan, tap) else {
                out.fill(0.0);
                continue;
            };
            let inside = columns.start * channels.len()..columns.end * channels.len();
            out[..inside.start].fill(0.0);
            out[inside.end..].fill(0.0);
            copy_pixels(plan, &x[first..], &channels, &mut out[inside]);
        }
    }
}

/// As [`gather`] with all channels, shifted in time.
pub fn gather_shifted(
    plan: &Gather,
    x: &[f32],
    rows: Range<usize>,
    shifted: Shifted<'_>,
    out: &mut [f32],
) {
    let channels = plan.source.channels;
    let line = plan.taps.1 * channels;
    for (row, out) in rows.zip(out.chunks_exact_mut(plan.taps.0 * line)) {
        let window = Window::at(plan, row);
        for (tap, out) in out.chunks_exact_mut(line).enumerate() {
            out.fill(0.0);
            if let Some((first, columns)) = window.line(plan, tap) {
                let inside = &mut out[columns.start * channels..columns.end * channels];
                for (i, pixel) in inside.chunks_exact_mut(channels).enumerate() {
                    shift_pixel(
                        plan,
                        x,
                        (window.frame, first + i * channels),
                        shifted,
                        pixel,
                    );
                }
            }
        }
    }
}

/// The pixel at `at` (its frame, the index of its first value) with its shifted channels.
fn shift_pixel(
    plan: &Gather,
    x: &[f32],
    at: (usize, usize),
    shifted: Shifted<'_>,
    out: &mut [f32],
) {
    let (frame, first) = at;
    let fold = shifted.fold;
    let (has_previous, has_next) = shifted.neighbours[frame];
    let length = plan.source.count();
    if has_next {
        out[..fold].copy_from_slice(&x[first + length..][..fold]);
    }
    if has_previous {
        out[fold..2 * fold].copy_from_slice(&x[first - length + fold..][..fold]);
    }
    let rest = 2 * fold..plan.source.channels;
    out[rest.clone()].copy_from_slice(&x[first..][rest]);
}

fn copy_pixels(plan: &Gather, x: &[f32], channels: &Range<usize>, out: &mut [f32]) {
    let stride = plan.source.channels;
    if channels.len() == stride {
        out.copy_from_slice(&x[..out.len()]);
        return;
    }
    for (pixel, out) in x.chunks(stride).zip(out.chunks_exact_mut(channels.len())) {
        out.copy_from_slice(&pixel[channels.clone()]);
    }
}

/// Where a row's window lies.
struct Window {
    frame: usize,
    top: isize,
    left: isize,
}

impl Window {
    fn at(plan: &Gather, row: usize) -> Self {
        let (frame, position) = (row / plan.rows(), row % plan.rows());
        let along = |at: usize, first: isize| (at * plan.step) as isize + first;
        Self {
            frame,
            top: along(position / plan.grid.1, plan.first.0),
            left: along(position % plan.grid.1, plan.first.1),
        }
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
