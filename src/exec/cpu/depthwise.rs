//! Convolutions with a group for each channel, along time, height and width, of stride 1 with a padding that keeps the size:
//! y[p, c] = Σ_k w[c, k]·x[p + k − padding, c].
//!
//! Lines of y are summed in float32, tap by tap, over as many pixels at once as the line has: a channel's weight is repeated
//! along them. The input's gradient is the same with the kernel turned round. The weight's goes by rows (frames) in float32,
//! and the rows are combined in float64 in order, so that no bit depends on threads.

use rayon::prelude::*;

use super::kernel::{Kernel, by_dtype};
use super::memory::Scratch;
use super::norm::{self, frames_of_task};
use super::plan::Planner;
use super::scalar::Scalar;
use super::simd::wide;
use crate::ops::{BufferId, Conv, Dtype, Extent, Layout, Step};

#[derive(Clone, Copy)]
struct Depthwise {
    conv: Conv,
    extent: Extent,
}

/// A tap: how many rows, lines and pixels from the output it looks.
#[derive(Clone, Copy)]
struct Tap {
    index: usize,
    time: isize,
    line: isize,
    pixel: isize,
}

impl Depthwise {
    fn of(planner: &Planner<'_>, conv: &Conv, x: BufferId) -> Option<Self> {
        let extent = planner.extent(x);
        let keeps = (0..3)
            .all(|axis| conv.stride[axis] == 1 && conv.kernel[axis] == 2 * conv.padding[axis] + 1);
        let fits = keeps && conv.groups == extent.shape.channels;
        (fits && conv.groups > 1).then_some(Self {
            conv: *conv,
            extent,
        })
    }

    fn taps(&self) -> impl Iterator<Item = Tap> + use<> {
        let [_, height, width] = self.conv.kernel;
        let [time, line, pixel] = self.conv.padding.map(|padding| padding as isize);
        (0..self.conv.taps()).map(move |index| Tap {
            index,
            time: (index / (height * width)) as isize - time,
            line: (index / width % height) as isize - line,
            pixel: (index % width) as isize - pixel,
        })
    }

    /// Length of a row of repeated channels.
    fn row(&self) -> usize {
        norm::row(self.extent.shape.channels)
    }

    /// For each tap a row of weights, the channels, again and again; then a row of the bias. `turned`: the kernel turned round, without
    /// a bias.
    fn rows(&self, params: &[&[f32]], turned: bool) -> Vec<f32> {
        let (taps, channels) = (self.conv.taps(), self.extent.shape.channels);
        let weight = params[self.conv.weight];
        let bias = self.conv.bias.filter(|_| !turned).map(|id| params[id]);
        let mut rows = Vec::with_capacity((taps + 1) * self.row());
        for tap in 0..taps {
            let tap = if turned { taps - 1 - tap } else { tap };
            let of_tap = (0..self.row()).map(|at| weight[at % channels * taps + tap]);
            rows.extend(of_tap);
        }
        let of_channel = |at: usize| bias.map_or(0.0, |bias| bias[at % channels]);
        rows.extend((0..self.row()).map(of_channel));
        rows
    }

    /// y = x ∗ w.
    fn run<E: Scalar>(
        &self,
        layout: &Layout,
        rows: &[f32],
        x: &[E],
        y: &mut [E],
        scratch: &Scratch,
    ) {
        let shape = self.extent.shape;
        let (count, line) = (shape.count(), shape.width * shape.channels);
        let images = y.par_chunks_exact_mut(count).enumerate();
        images
            .with_min_len(frames_of_task(count))
            .for_each(|(row, y)| {
                scratch.with(|scratch| {
                    let sums = &mut scratch[..line];
                    for (at, y) in y.chunks_exact_mut(line).enumerate() {
                        wide(
                            #[inline(always)]
                            || self.line(layout, (row, at), rows, x, sums, y),
                        );
                    }
                });
            });
    }

    /// The pixels of a tap that lie inside a line: where they begin in the output, where in the input, and how many values.
    #[inline(always)]
    fn inside(&self, tap: Tap) -> (usize, usize, usize) {
        let (width, channels) = (self.extent.shape.width, self.extent.shape.channels);
        let (left, right) = (
            tap.pixel.min(0).unsigned_abs(),
            tap.pixel.max(0).unsigned_abs(),
        );
        let pixels = width.saturating_sub(left + right);
        (left * channels, right * channels, pixels * channels)
    }

    /// Where the line lies that a tap of line `at` of row `row` sees.
    #[inline(always)]
    fn source(&self, layout: &Layout, (row, at): (usize, usize), tap: Tap) -> Option<usize> {
        let shape = self.extent.shape;
        let row = layout.shifted(row, tap.time)?;
        let line = at.checked_add_signed(tap.line)?;
        (line < shape.height).then(|| (row * shape.height + line) * shape.width * shape.channels)
    }

    #[inline(always)]
    fn line<E: Scalar>(
        &self,
        layout: &Layout,
        at: (usize, usize),
        rows: &[f32],
        x: &[E],
        sums: &mut [f32],
        y: &mut [E],
    ) {
        let row = self.row();
        let bias = &rows[self.conv.taps() * row..][..row];
        for sums in sums.chunks_mut(row) {
            sums.copy_from_slice(&bias[..sums.len()]);
        }
        for tap in self.taps() {
            let Some(first) = self.source(layout, at, tap) else {
                continue;
            };
            let (to, from, len) = self.inside(tap);
            let weights = &rows[tap.index * row..][..row];
            let x = &x[first + from..][..len];
            let pieces = sums[to..to + len].chunks_mut(row).zip(x.chunks(row));
            for (sums, x) in pieces {
                let (x, weights) = (&x[..sums.len()], &weights[..sums.len()]);
                for c in 0..sums.len() {
                    sums[c] += weights[c] * x[c].float();
                }
            }
        }
        let pairs = y.iter_mut().zip(&*sums);
        pairs.for_each(|(y, sum)| *y = E::round(*sum));
    }

    /// dw; `partials`: for each row of the batch and each tap the channels' sums.
    fn weight_gradient<E: Scalar>(
        &self,
        layout: &Layout,
        (x, dy): (&[E], &[E]),
        partials: &mut [f32],
        gradient: &mut [f32],
        scratch: &Scratch,
    ) {
        let shape = self.extent.shape;
        let (taps, channels) = (self.conv.taps(), shape.channels);
        let images = partials.par_chunks_exact_mut(taps * channels).enumerate();
        let images = images.with_min_len(frames_of_task(taps * shape.count()));
        images.for_each(|(row, partials)| {
            scratch.with(|scratch| {
                let sums = &mut scratch[..self.row()];
                for (tap, partial) in self.taps().zip(partials.chunks_exact_mut(channels)) {
                    wide(
                        #[inline(always)]
                        || self.tap_gradient(layout, row, tap, (x, dy), sums, partial),
                    );
                }
            });
        });
        for (channel, gradient) in gradient.chunks_exact_mut(taps).enumerate() {
            for (tap, gradient) in gradient.iter_mut().enumerate() {
                let sums = partials.iter().skip(tap * channels + channel);
                let sums = sums.step_by(taps * channels);
                *gradient += sums.map(|&sum| f64::from(sum)).sum::<f64>() as f32;
            }
        }
    }

    #[inline(always)]
    fn tap_gradient<E: Scalar>(
        &self,
        layout: &Layout,
        row: usize,
        tap: Tap,
        (x, dy): (&[E], &[E]),
        sums: &mut [f32],
        partial: &mut [f32],
    ) {
        let shape = self.extent.shape;
        let length = shape.width * shape.channels;
        let (to, from, len) = self.inside(tap);
        partial.fill(0.0);
        for at in 0..shape.height {
            let Some(first) = self.source(layout, (row, at), tap) else {
                continue;
            };
            // A line's sums join the row's: sums of few terms stay exact.
            sums.fill(0.0);
            let dy = &dy[(row * shape.height + at) * length + to..][..len];
            let x = &x[first + from..][..len];
            for (dy, x) in dy.chunks(sums.len()).zip(x.chunks(sums.len())) {
                let (x, sums) = (&x[..dy.len()], &mut sums[..dy.len()]);
                for c in 0..dy.len() {
                    sums[c] += dy[c].float() * x[c].float();
                }
            }
            for pixel in sums.chunks_exact(shape.channels) {
                partial.iter_mut().zip(pixel).for_each(|(sum, v)| *sum += v);
            }
        }
    }
}

pub fn plan_forward(planner: &mut Planner<'_>, step: &Step, conv: &Conv) -> Option<()> {
    line_by_line(planner, step, conv, false)
}

/// dx from dy.
pub fn plan_back_input(planner: &mut Planner<'_>, step: &Step, conv: &Conv) -> Option<()> {
    line_by_line(planner, step, conv, true)
}

fn line_by_line(planner: &mut Planner<'_>, step: &Step, conv: &Conv, turned: bool) -> Option<()> {
    fn kernel<E: Scalar>(of: Depthwise, turned: bool) -> Kernel {
        let shape = of.extent.shape;
        Kernel::with_scratch(shape.width * shape.channels, move |buffers, context| {
            let rows = of.rows(context.params, turned);
            let layout = context.batch.at(of.extent.rate);
            let x = buffers.x::<E>(0);
            of.run(layout, &rows, x, buffers.y(), context.scratch);
        })
    }
    let of = Depthwise::of(planner, conv, step.reads[0])?;
    let kernel = by_dtype!(planner.common_dtype(step)?, E => kernel::<E>(of, turned));
    planner.task(step, kernel);
    Some(())
}

/// dw from x and dy.
pub fn plan_back_weight(planner: &mut Planner<'_>, step: &Step, conv: &Conv) -> Option<()> {
    fn kernel<E: Scalar>(of: Depthwise) -> Kernel {
        Kernel::with_scratch(of.row(), move |buffers, context| {
            let layout = context.batch.at(of.extent.rate);
            let inputs = (buffers.x::<E>(0), buffers.x(1));
            let gradient = &mut *context.grads[of.conv.weight];
            of.weight_gradient(layout, inputs, buffers.y(), gradient, context.scratch);
        })
    }
    let of = Depthwise::of(planner, conv, step.reads[0])?;
    let dtype = planner.common_dtype(step)?;
    let len = planner.layout(step.reads[0]).rows * of.conv.taps() * of.extent.shape.channels;
    let kernel = by_dtype!(dtype, E => kernel::<E>(of));
    let partials = planner.workspace(step, "weight.partials", len, Dtype::Float32);
    planner.task_over(step, kernel, step.reads.clone(), vec![partials]);
    Some(())
}
