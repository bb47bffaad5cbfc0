//! Pooling: 3×3 maxima of stride 2 with padding 1, and means of square windows.
//!
//! The maximum's gradient goes to the first pixel of the window (row by row) that has it, as in PyTorch.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::kernel::{Kernel, by_dtype};
use super::norm::frames_of_task;
use super::plan::Planner;
use super::scalar::Scalar;
use super::simd::{filling, wide};
use crate::ops::{BufferId, Pool, Pooled, Shape, Step};

/// Rows or columns of the input under output `at`.
fn window(at: usize, side: usize) -> Range<usize> {
    (2 * at).saturating_sub(1)..side.min(2 * at + 2)
}

/// Pixels under an output pixel: indices of their first channels, row by row.
struct Under {
    pixels: [usize; 9],
    count: usize,
}

impl Under {
    #[inline(always)]
    fn at(from: Shape, y: usize, x: usize) -> Self {
        let (mut pixels, mut count) = ([0; 9], 0);
        for row in window(y, from.height) {
            for column in window(x, from.width) {
                pixels[count] = (row * from.width + column) * from.channels;
                count += 1;
            }
        }
        Self { pixels, count }
    }

    #[inline(always)]
    fn pixels(&self) -> &[usize] {
        &self.pixels[..self.count]
    }
}

/// Shapes of a maximum's input and output.
#[derive(Clone, Copy)]
pub struct Shapes {
    pub from: Shape,
    pub to: Shape,
}

/// y = maxima of x.
pub fn max<E: Scalar>(shapes: Shapes, x: &[E], y: &mut [E]) {
    let Shapes { from, to } = shapes;
    let frames = x
        .par_chunks_exact(from.count())
        .zip(y.par_chunks_exact_mut(to.count()));
    let frames = frames.with_min_len(frames_of_task(from.count()));
    frames.for_each(|(x, y)| filling(from.channels, MaxFrame { shapes, x, y }));
}

/// dx: each dy goes to its maximum, found again in x.
pub fn max_back<E: Scalar>(shapes: Shapes, x: &[E], dy: &[E], dx: &mut [E]) {
    let Shapes { from, to } = shapes;
    let inputs = x
        .par_chunks_exact(from.count())
        .zip(dy.par_chunks_exact(to.count()));
    let frames = dx.par_chunks_exact_mut(from.count()).zip(inputs);
    let frames = frames.with_min_len(frames_of_task(from.count()));
    frames.for_each(|(dx, (x, dy))| {
        dx.fill(E::default());
        filling(from.channels, MaxBackFrame { shapes, x, dy, dx });
    });
}

struct MaxFrame<'a, E> {
    shapes: Shapes,
    x: &'a [E],
    y: &'a mut [E],
}

impl<E: Scalar> WithSimd for MaxFrame<'_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Shapes { from, to } = self.shapes;
        for (i, y) in self.y.chunks_exact_mut(to.channels).enumerate() {
            let under = Under::at(from, i / to.width, i % to.width);
            for (v, y) in y.chunks_exact_mut(S::F32_LANES).enumerate() {
                let (max, _) = maximum(simd, &under, self.x, v);
                E::store(simd, y, max);
            }
        }
    }
}

struct MaxBackFrame<'a, E> {
    shapes: Shapes,
    x: &'a [E],
    dy: &'a [E],
    dx: &'a mut [E],
}

impl<E: Scalar> WithSimd for MaxBackFrame<'_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Shapes { from, to } = self.shapes;
        for (i, dy) in self.dy.chunks_exact(to.channels).enumerate() {
            let under = Under::at(from, i / to.width, i % to.width);
            for (v, dy) in dy.chunks_exact(S::F32_LANES).enumerate() {
                let dy = E::load(simd, dy);
                let (_, winner) = maximum(simd, &under, self.x, v);
                for (place, &pixel) in under.pixels().iter().enumerate() {
                    let is_winner = simd.equal_f32s(winner, simd.splat_f32s(place as f32));
                    let dy = simd.select_f32s(is_winner, dy, simd.splat_f32s(0.0));
                    let dx = &mut self.dx[pixel + v * S::F32_LANES..][..S::F32_LANES];
                    let sum = simd.add_f32s(E::load(simd, dx), dy);
                    E::store(simd, dx, sum);
                }
            }
        }
    }
}

/// For each channel of vector v the maximum under an output pixel, and the first of the pixels that has it. NaN is larger
/// than anything, so that a diverging network is noticed.
#[inline(always)]
fn maximum<S: Simd, E: Scalar>(simd: S, under: &Under, x: &[E], v: usize) -> (S::f32s, S::f32s) {
    let (mut max, mut winner) = (simd.splat_f32s(f32::NEG_INFINITY), simd.splat_f32s(0.0));
    for (place, &pixel) in under.pixels().iter().enumerate() {
        let x = E::load(simd, &x[pixel + v * S::F32_LANES..][..S::F32_LANES]);
        let is_larger = simd.less_than_f32s(max, x);
        winner = simd.select_f32s(is_larger, simd.splat_f32s(place as f32), winner);
        let is_number = simd.equal_f32s(x, x);
        max = simd.select_f32s(is_larger, x, max);
        max = simd.select_f32s(is_number, max, x);
    }
    (max, winner)
}

/// Windows of a mean.
#[derive(Clone, Copy)]
struct Windows {
    shapes: Shapes,
    pool: Pool,
}

impl Windows {
    /// y = Σ of each window of x, divided by the whole window.
    fn mean<E: Scalar>(&self, x: &[E], y: &mut [E]) {
        let Shapes { from, to } = self.shapes;
        let frames = x
            .par_chunks_exact(from.count())
            .zip(y.par_chunks_exact_mut(to.count()));
        let frames = frames.with_min_len(frames_of_task(from.count()));
        frames.for_each(|(x, y)| {
            let mut sums = vec![0.0; from.channels];
            for (at, y) in y.chunks_exact_mut(to.channels).enumerate() {
                let rows = self.seen(at / to.width, from.height);
                let columns = self.seen(at % to.width, from.width);
                self.sum(x, rows, columns, from.width, &mut sums, y);
            }
        });
    }

    /// Inputs along an axis that output `at` sees.
    fn seen(&self, at: usize, side: usize) -> Range<usize> {
        let Pool {
            window,
            stride,
            padding,
            ..
        } = self.pool;
        let end = (at * stride + window).saturating_sub(padding);
        (at * stride).saturating_sub(padding)..end.min(side)
    }

    /// Outputs along an axis that see input `at`.
    fn seeing(&self, at: usize, outputs: usize) -> Range<usize> {
        let Pool {
            window,
            stride,
            padding,
            ..
        } = self.pool;
        let first = (at + padding + 1).saturating_sub(window).div_ceil(stride);
        first..((at + padding) / stride + 1).min(outputs)
    }

    /// dx = Σ dy of the windows that see it, divided by the whole window.
    fn mean_back<E: Scalar>(&self, dy: &[E], dx: &mut [E]) {
        let Shapes { from, to } = self.shapes;
        let frames = dx
            .par_chunks_exact_mut(from.count())
            .zip(dy.par_chunks_exact(to.count()));
        let frames = frames.with_min_len(frames_of_task(from.count()));
        frames.for_each(|(dx, dy)| {
            let mut sums = vec![0.0; from.channels];
            for (at, dx) in dx.chunks_exact_mut(from.channels).enumerate() {
                let rows = self.seeing(at / from.width, to.height);
                let columns = self.seeing(at % from.width, to.width);
                self.sum(dy, rows, columns, to.width, &mut sums, dx);
            }
        });
    }

    /// y = Σ of some pixels of x, `width` pixels a row, divided by the whole window.
    fn sum<E: Scalar>(
        &self,
        x: &[E],
        rows: Range<usize>,
        columns: Range<usize>,
        width: usize,
        sums: &mut [f32],
        y: &mut [E],
    ) {
        let channels = sums.len();
        let area = (self.pool.window * self.pool.window) as f32;
        wide(
            #[inline(always)]
            || {
                sums.fill(0.0);
                for row in rows {
                    let line = (row * width + columns.start) * channels;
                    let line = &x[line..line + columns.len() * channels];
                    for pixel in line.chunks_exact(channels) {
                        let pairs = sums.iter_mut().zip(pixel);
                        pairs.for_each(|(sum, x)| *sum += x.float());
                    }
                }
                let pairs = y.iter_mut().zip(&*sums);
                pairs.for_each(|(y, sum)| *y = E::round(sum / area));
            },
        );
    }
}

/// The kernel of a pooling: maxima of 3×3 windows of stride 2 with padding 1, and every mean.
pub fn plan_pool(planner: &mut Planner<'_>, step: &Step, pool: &Pool) -> Option<()> {
    fn kernel<E: Scalar>(windows: Windows) -> Kernel {
        Kernel::new(move |buffers, _| {
            let x = buffers.x::<E>(0);
            match windows.pool.pooled {
                Pooled::Max => max(windows.shapes, x, buffers.y()),
                Pooled::Mean => windows.mean(x, buffers.y()),
            }
        })
    }
    let windows = windows(planner, *pool, (step.reads[0], step.writes[0]))?;
    let kernel = by_dtype!(planner.common_dtype(step)?, E => kernel::<E>(windows));
    planner.task(step, kernel);
    Some(())
}

/// The kernel of its gradient.
pub fn plan_back(planner: &mut Planner<'_>, step: &Step, pool: &Pool) -> Option<()> {
    fn kernel<E: Scalar>(windows: Windows) -> Kernel {
        Kernel::new(move |buffers, _| {
            let dy = buffers.x::<E>(0);
            match windows.pool.pooled {
                Pooled::Max => {
                    let x = buffers.x::<E>(1);
                    max_back(windows.shapes, x, dy, buffers.y());
                }
                Pooled::Mean => windows.mean_back(dy, buffers.y()),
            }
        })
    }
    let windows = windows(planner, *pool, (step.writes[0], step.reads[0]))?;
    let kernel = by_dtype!(planner.common_dtype(step)?, E => kernel::<E>(windows));
    planner.task(step, kernel);
    Some(())
}

fn windows(planner: &Planner<'_>, pool: Pool, (x, y): (BufferId, BufferId)) -> Option<Windows> {
    if pool.pooled == Pooled::Max && pool != Pool::of_three(Pooled::Max, 2) {
        return None;
    }
    let [from, to] = [x, y].map(|id| planner.extent(id).shape);
    let shapes = Shapes { from, to };
    Some(Windows { shapes, pool })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPES: Shapes = Shapes { from: FROM, to: TO };
    const FROM: Shape = Shape {
        channels: 2,
        height: 3,
        width: 5,
    };
    const TO: Shape = Shape {
        channels: 2,
        height: 2,
        width: 3,
    };

    /// The second channel is the first one's negative.
    fn image(values: [i8; 15]) -> Vec<f32> {
        let both = values
            .into_iter()
            .flat_map(|v| [f32::from(v), -f32::from(v)]);
        both.collect()
    }

    #[test]
    fn maxima_of_windows() {
        let x = image([1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5]);
        let mut y = vec![0.0; TO.count()];
        max(SHAPES, &x, &mut y);
        let first: Vec<f32> = y.iter().step_by(2).copied().collect();
        let second: Vec<f32> = y.iter().skip(1).step_by(2).copied().collect();
        assert_eq!(first, [7.0, 9.0, 9.0, 7.0, 9.0, 9.0]);
        assert_eq!(second, [-1.0, -2.0, 0.0, -1.0, -2.0, 0.0]);
    }

    #[test]
    fn gradient_goes_to_the_first_maximum() {
        let x = image([0; 15]);
        let dy: Vec<f32> = (1..=12).map(|i| i as f32).collect();
        let mut dx = vec![f32::NAN; FROM.count()];
        max_back(SHAPES, &x, &dy, &mut dx);
        let at = |y: usize, x: usize| dx[(y * 5 + x) * 2];
        // Windows begin at rows 0 and 1, columns 0, 1 and 3.
        let found = [at(0, 0), at(0, 1), at(0, 3), at(1, 0), at(1, 1), at(1, 3)];
        assert_eq!(found, [1.0, 3.0, 5.0, 7.0, 9.0, 11.0]);
        assert_eq!(dx.iter().sum::<f32>(), dy.iter().sum::<f32>());
    }

    #[test]
    fn maxima_keep_nan() {
        let mut x = image([0; 15]);
        x[0] = f32::NAN;
        let mut y = vec![0.0; TO.count()];
        max(SHAPES, &x, &mut y);
        assert!(y[0].is_nan());
    }
}
