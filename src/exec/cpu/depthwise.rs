//! Convolutions with a group for each channel, along time, height and width, of stride 1 with a padding that keeps the size:
//! y[p, c] = b[c] + Σ_k w[c, k]·x[p + k − padding, c].
//!
//! A vector holds neighbouring channels of one pixel. The sums of some pixels of a line stay in registers while all taps pass by, in
//! the order of the kernel, by fused multiply-adds. The input's gradient is the same with the kernel turned round. The weight's is
//! summed by lines of a row (frame) in registers, by rows in float32, and the rows are combined in float64 in order, so that no bit
//! depends on threads.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::kernel::{Kernel, by_dtype};
use super::norm::frames_of_task;
use super::plan::Planner;
use super::scalar::Scalar;
use super::simd::filling;
use crate::exec::cpu::conv::tiling::STRIP;
use crate::ops::{BufferId, Conv, Dtype, Extent, Layout, Step};

/// Pixels whose sums stay in registers: as many multiply-adds as are under way at a time.
const PIXELS: usize = 8;
/// Taps of a line of the kernel whose gradients do.
const TAPS: usize = 5;

#[derive(Clone, Copy)]
struct Depthwise {
    conv: Conv,
    extent: Extent,
}

/// A line of x, as the lines of the kernel see it: where it begins; `None` outside the image or the clip.
type Seen = Option<usize>;

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

    fn channels(&self) -> usize {
        self.extent.shape.channels
    }

    /// Values of a line.
    fn line(&self) -> usize {
        self.extent.shape.width * self.channels()
    }

    /// From one tap's weights to the next: whole vectors.
    fn pitch(&self) -> usize {
        self.channels().next_multiple_of(STRIP)
    }

    /// For each tap the channels' weights, then the biases. `turned`: the kernel turned round, without biases.
    fn weights(&self, params: &[&[f32]], turned: bool) -> Vec<f32> {
        let (taps, pitch) = (self.conv.taps(), self.pitch());
        let weight = params[self.conv.weight];
        let mut weights = vec![0.0; (taps + 1) * pitch];
        for (tap, to) in weights.chunks_exact_mut(pitch).enumerate().take(taps) {
            let tap = if turned { taps - 1 - tap } else { tap };
            let of_tap = weight.iter().skip(tap).step_by(taps);
            to.iter_mut().zip(of_tap).for_each(|(to, &w)| *to = w);
        }
        if let (Some(bias), false) = (self.conv.bias, turned) {
            weights[taps * pitch..][..self.channels()].copy_from_slice(params[bias]);
        }
        weights
    }

    /// The lines of x that a line of y sees: one for each line of the kernel.
    fn seen(&self, layout: &Layout, (row, line): (usize, usize), seen: &mut Vec<Seen>) {
        let [times, lines, _] = self.conv.kernel;
        let [before, above, _] = self.conv.padding;
        let height = self.extent.shape.height;
        let from = |at: usize, padding: usize| at as isize - padding as isize;
        seen.clear();
        for index in 0..times * lines {
            let row = layout.shifted(row, from(index / lines, before));
            let line = line.checked_add_signed(from(index % lines, above));
            let place = row.zip(line.filter(|&line| line < height));
            seen.push(place.map(|(row, line)| (row * height + line) * self.line()));
        }
    }

    /// y = x ∗ w + b.
    fn run<E: Scalar>(&self, layout: &Layout, weights: &[f32], x: &[E], y: &mut [E]) {
        let count = self.extent.shape.count();
        let images = y.par_chunks_exact_mut(count).enumerate();
        let images = images.with_min_len(frames_of_task(self.conv.taps() * count));
        images.for_each_init(Vec::new, |seen, (row, y)| {
            for (line, y) in y.chunks_exact_mut(self.line()).enumerate() {
                self.seen(layout, (row, line), seen);
                let of = self;
                let line = Line {
                    of,
                    seen,
                    weights,
                    x,
                    y,
                };
                filling(STRIP, line);
            }
        });
    }

    /// dw; `partials`: for each row of the batch and each tap the channels' sums.
    fn weight_gradient<E: Scalar>(
        &self,
        layout: &Layout,
        (x, dy): (&[E], &[E]),
        partials: &mut [f32],
        gradient: &mut [f32],
    ) {
        let (taps, channels) = (self.conv.taps(), self.channels());
        let images = partials.par_chunks_exact_mut(taps * channels).enumerate();
        let images = images.with_min_len(frames_of_task(taps * self.extent.shape.count()));
        images.for_each_init(Vec::new, |seen, (row, sums)| {
            sums.fill(0.0);
            let height = self.extent.shape.height;
            let lines = dy.chunks_exact(self.line()).skip(row * height);
            for (line, dy) in lines.take(height).enumerate() {
                self.seen(layout, (row, line), seen);
                let of = self;
                let sums = &mut *sums;
                let line = LineGradient {
                    of,
                    seen,
                    x,
                    dy,
                    sums,
                };
                filling(STRIP, line);
            }
        });
        let channels = gradient.par_chunks_exact_mut(taps).enumerate();
        channels.for_each(|(channel, gradient)| {
            for (tap, gradient) in gradient.iter_mut().enumerate() {
                let sums = partials.iter().skip(tap * self.channels() + channel);
                let sums = sums.step_by(taps * self.channels());
                *gradient += sums.map(|&sum| f64::from(sum)).sum::<f64>() as f32;
            }
        });
    }

    /// The vector of a pixel's channels from `first` on, zeros behind the last. `WHOLE`: there are as many as it holds.
    ///
    /// # Safety
    /// `line` is one whole line, `pixel` lies in it, and if `WHOLE`, `first + S::F32_LANES` is at most the number of channels.
    #[inline(always)]
    unsafe fn vector<E: Scalar, S: Simd, const WHOLE: bool>(
        &self,
        simd: S,
        line: &[E],
        (pixel, first): (usize, usize),
    ) -> S::f32s {
        let channels = self.channels();
        let at = pixel * channels + first;
        match WHOLE {
            // SAFETY: the caller's promise. A check for each vector would take as long as what it checks.
            true => E::load(simd, unsafe { line.get_unchecked(at..at + S::F32_LANES) }),
            false => E::load(simd, &line[at..at + channels - first]),
        }
    }
}

/// A line of y.
struct Line<'a, E> {
    of: &'a Depthwise,
    seen: &'a [Seen],
    weights: &'a [f32],
    x: &'a [E],
    y: &'a mut [E],
}

impl<E: Scalar> WithSimd for Line<'_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let (width, edge) = (self.of.extent.shape.width, self.of.conv.padding[2]);
        for first in (0..self.of.channels()).step_by(S::F32_LANES) {
            let is_whole = first + S::F32_LANES <= self.of.channels();
            for start in (0..width).step_by(PIXELS) {
                let is_inside = start >= edge && start + PIXELS + edge <= width;
                match (is_inside, is_whole) {
                    (true, true) => self.block::<S, true, true>(simd, first, start),
                    (false, true) => self.block::<S, false, true>(simd, first, start),
                    (_, false) => self.block::<S, false, false>(simd, first, start),
                }
            }
        }
    }
}

impl<E: Scalar> Line<'_, E> {
    #[inline(always)]
    fn weight<S: Simd>(&self, simd: S, tap: usize, first: usize) -> S::f32s {
        let at = tap * self.of.pitch() + first;
        f32::load(simd, &self.weights[at..at + S::F32_LANES])
    }

    /// Some pixels from `start` on, a vector of channels from `first` on. `INSIDE`: no tap leaves the line. `WHOLE`: there are as
    /// many channels as a vector holds.
    #[inline(always)]
    fn block<S: Simd, const INSIDE: bool, const WHOLE: bool>(
        &mut self,
        simd: S,
        first: usize,
        start: usize,
    ) {
        let of = self.of;
        let (edge, end) = (of.conv.padding[2], start + PIXELS + of.conv.padding[2]);
        assert!(!WHOLE || first + S::F32_LANES <= of.channels());
        assert!(!INSIDE || (edge <= start && end <= of.extent.shape.width));
        let (width, kernel) = (of.extent.shape.width, of.conv.kernel[2]);
        let mut sums = [self.weight(simd, of.conv.taps(), first); PIXELS];
        for (line, seen) in self.seen.iter().enumerate() {
            let Some(seen) = *seen else { continue };
            let x = &self.x[seen..seen + of.line()];
            for tap in 0..kernel {
                let weight = self.weight(simd, line * kernel + tap, first);
                for (pixel, sum) in sums.iter_mut().enumerate() {
                    // Left of the line it wraps round, and is beyond its end as well.
                    let at = (start + pixel + tap).wrapping_sub(of.conv.padding[2]);
                    if INSIDE || at < width {
                        // SAFETY: `x` is a line, `at` lies in it, whole vectors have their channels: as asserted.
                        let x = unsafe { of.vector::<E, S, WHOLE>(simd, x, (at, first)) };
                        *sum = simd.mul_add_f32s(weight, x, *sum);
                    }
                }
            }
        }
        let channels = of.channels();
        let vector = first..channels.min(first + S::F32_LANES);
        for (pixel, sum) in sums.into_iter().enumerate() {
            if INSIDE || start + pixel < width {
                let y = &mut self.y[(start + pixel) * channels..][vector.clone()];
                E::store(simd, y, sum);
            }
        }
    }
}

/// What a line of dy adds to the gradient's sums.
struct LineGradient<'a, E> {
    of: &'a Depthwise,
    seen: &'a [Seen],
    x: &'a [E],
    dy: &'a [E],
    /// `[tap][channel]`
    sums: &'a mut [f32],
}

impl<E: Scalar> WithSimd for LineGradient<'_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let kernel = self.of.conv.kernel[2];
        for first in (0..self.of.channels()).step_by(S::F32_LANES) {
            for line in 0..self.seen.len() {
                for tap in (0..kernel).step_by(TAPS) {
                    let at = (first, line, tap);
                    match first + S::F32_LANES <= self.of.channels() {
                        true => self.some_taps::<S, true>(simd, at, kernel - tap),
                        false => self.some_taps::<S, false>(simd, at, kernel - tap),
                    }
                }
            }
        }
    }
}

impl<E: Scalar> LineGradient<'_, E> {
    /// At most `count` taps.
    #[inline(always)]
    fn some_taps<S: Simd, const WHOLE: bool>(
        &mut self,
        simd: S,
        at: (usize, usize, usize),
        count: usize,
    ) {
        match count {
            1 => self.taps::<S, WHOLE, 1>(simd, at),
            2 => self.taps::<S, WHOLE, 2>(simd, at),
            3 => self.taps::<S, WHOLE, 3>(simd, at),
            4 => self.taps::<S, WHOLE, 4>(simd, at),
            _ => self.taps::<S, WHOLE, TAPS>(simd, at),
        }
    }

    /// N taps of a line of the kernel from `tap` on, a vector of channels from `first` on. `WHOLE`: as many as it holds.
    #[inline(always)]
    fn taps<S: Simd, const WHOLE: bool, const N: usize>(
        &mut self,
        simd: S,
        (first, line, tap): (usize, usize, usize),
    ) {
        let of = self.of;
        assert!(!WHOLE || first + S::F32_LANES <= of.channels());
        let Some(seen) = self.seen[line] else { return };
        let (x, dy) = (&self.x[seen..seen + of.line()], &self.dy[..of.line()]);
        let width = of.extent.shape.width;
        // The first pixel of x that the first of the taps sees, and so on; left of the line it wraps round.
        let shift = tap.wrapping_sub(of.conv.padding[2]);
        let mut sums = [simd.splat_f32s(0.0); N];
        for pixel in 0..width {
            // SAFETY: `dy` is a line, the pixel lies in it, whole vectors have their channels: as asserted.
            let dy = unsafe { of.vector::<E, S, WHOLE>(simd, dy, (pixel, first)) };
            for (n, sum) in sums.iter_mut().enumerate() {
                let at = pixel.wrapping_add(shift).wrapping_add(n);
                if at < width {
                    // SAFETY: the same of `x`.
                    let x = unsafe { of.vector::<E, S, WHOLE>(simd, x, (at, first)) };
                    *sum = simd.mul_add_f32s(dy, x, *sum);
                }
            }
        }
        let channels = of.channels();
        let vector = first..channels.min(first + S::F32_LANES);
        for (n, sum) in sums.into_iter().enumerate() {
            let tap = line * of.conv.kernel[2] + tap + n;
            let total = &mut self.sums[tap * channels..][vector.clone()];
            let before = f32::load(simd, total);
            f32::store(simd, total, simd.add_f32s(before, sum));
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
        Kernel::new(move |buffers, context| {
            let weights = of.weights(context.params, turned);
            let layout = context.batch.at(of.extent.rate);
            of.run(layout, &weights, buffers.x::<E>(0), buffers.y());
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
        Kernel::new(move |buffers, context| {
            let layout = context.batch.at(of.extent.rate);
            let inputs = (buffers.x::<E>(0), buffers.x(1));
            let gradient = &mut *context.grads[of.conv.weight];
            of.weight_gradient(layout, inputs, buffers.y(), gradient);
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
