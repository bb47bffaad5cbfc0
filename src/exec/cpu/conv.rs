//! Convolutions as products of matrices.
//!
//! With pixels as rows (NHWC), G(x) the gathered windows `[pixels, taps·in]` and W the packed weight `[taps·in, out]`:
//!
//! forward          y  = G(x)·W (+ b) (+ residual), ReLU
//! input's gradient dx = G'(dy)·W', one product for each phase of the stride (`program::tiling::Phase`)
//! weight's         dW = G(x)ᵀ·dy
//!
//! A 1×1 convolution of stride 1 needs no gathering: the activation is the matrix. Forward and dx are cut into tasks
//! of whole frames; within a task, blocks of rows are gathered into the thread's scratch memory and multiplied. dW is
//! cut into tiles of its rows and, where those are few, strips of frames whose partial sums are added in order.
//!
//! Check: `cargo test --lib exec::cpu::conv`; time: `cargo bench --bench engine -- steps`.

use std::ops::Range;

use rayon::prelude::*;

use super::gather::{Shifted, gather, gather_shifted};
use super::gemm::{Matrix, Sizes, gemm};
use super::memory::Scratch;
use super::simd;
use crate::program::ConvGeometry;
use crate::program::tiling::{Gather, Phase};

/// y = x ∗ w + bias + residual, ReLU.
#[derive(Clone, Copy)]
pub struct Forward<'a> {
    pub conv: &'a ConvGeometry,
    pub x: &'a [f32],
    /// `[taps·in, out]`, by [`super::pack::forward`].
    pub w: &'a [f32],
    /// The shift in time of the input, if any.
    pub shifted: Option<Shifted<'a>>,
    pub bias: Option<&'a [f32]>,
    pub residual: Option<&'a [f32]>,
    pub relu: bool,
}

impl Forward<'_> {
    /// The frames `frames` of `y`, which holds all frames, as the residual does.
    pub fn run(&self, frames: Range<usize>, y: &mut [f32], scratch: &Scratch) {
        let plan = self.conv.gather();
        let frame = self.conv.to.count();
        let task = plan.task_frames();
        let tasks = y[frames.start * frame..frames.end * frame].par_chunks_mut(task * frame);
        tasks.enumerate().for_each(|(i, y)| {
            let first = (frames.start + i * task) * plan.rows();
            self.task(&plan, first, y, scratch);
        });
    }

    /// The rows of `y`, of which the first is row `first` of all.
    fn task(&self, plan: &Gather, first: usize, y: &mut [f32], scratch: &Scratch) {
        let (n, k) = (self.conv.to.channels, plan.width());
        let direct = self.conv.is_pointwise() && self.shifted.is_none();
        let block = if direct {
            y.len() / n
        } else {
            plan.block_rows()
        };
        for (i, y) in y.chunks_mut(block * n).enumerate() {
            let start = first + i * block;
            let rows = start..start + y.len() / n;
            let m = rows.len();
            let product = |x: &[f32], y: &mut [f32]| {
                let (x, w) = (Matrix::rows(x, k), Matrix::rows(self.w, n));
                gemm(Sizes { m, n, k }, x, w, y, false);
            };
            if direct {
                product(&self.x[rows.start * k..rows.end * k], y);
            } else {
                scratch.with(|scratch| {
                    let packed = &mut scratch[..m * k];
                    self.pack(plan, rows.clone(), packed);
                    product(packed, y);
                });
            }
            let residual = self.residual.map(|r| &r[rows.start * n..rows.end * n]);
            simd::finish(y, self.bias, residual, self.relu);
        }
    }

    fn pack(&self, plan: &Gather, rows: Range<usize>, packed: &mut [f32]) {
        match self.shifted {
            Some(shifted) => gather_shifted(plan, self.x, rows, shifted, packed),
            None => gather(plan, self.x, rows, 0..plan.source.channels, packed),
        }
    }
}

/// dx from dy.
#[derive(Clone, Copy)]
pub struct DataGradient<'a> {
    pub conv: &'a ConvGeometry,
    pub dy: &'a [f32],
    /// By [`super::pack::backward`].
    pub w: &'a [f32],
}

impl DataGradient<'_> {
    pub fn run(&self, dx: &mut [f32], scratch: &Scratch) {
        let frame = self.conv.from.count();
        let task = self.conv.back_task_frames();
        let tasks = dx.par_chunks_mut(task * frame).enumerate();
        tasks.for_each(|(i, dx)| {
            for phase in self.conv.phases() {
                self.phase(&phase, i * task, dx, scratch);
            }
        });
    }

    /// One phase of the frames from `first` on, as many as `dx` holds.
    fn phase(&self, phase: &Phase, first: usize, dx: &mut [f32], scratch: &Scratch) {
        let plan = &phase.gather;
        let (n, k) = (self.conv.from.channels, plan.width());
        let w = &self.w[phase.first_tap * self.conv.to.channels * n..][..k * n];
        let first = first * plan.rows();
        let rows = dx.len() / self.conv.from.count() * plan.rows();
        let product = |dy: &[f32], dx: &mut [f32]| {
            let m = dx.len() / n;
            let (dy, w) = (Matrix::rows(dy, k), Matrix::rows(w, n));
            gemm(Sizes { m, n, k }, dy, w, dx, false);
        };
        if self.conv.is_pointwise() {
            product(&self.dy[first * k..(first + rows) * k], dx);
            return;
        }
        scratch.with(|scratch| {
            let block = plan.block_rows();
            let (packed, results) = scratch.split_at_mut(block * k);
            for start in (0..rows).step_by(block) {
                let m = block.min(rows - start);
                let (packed, results) = (&mut packed[..m * k], &mut results[..m * n]);
                let rows = first + start..first + start + m;
                gather(plan, self.dy, rows, 0..plan.source.channels, packed);
                if self.conv.stride == 1 {
                    product(packed, &mut dx[start * n..][..m * n]);
                } else {
                    product(packed, results);
                    self.scatter(phase, start, results, dx);
                }
            }
        });
    }

    /// Puts a phase's rows, from row `start` of the task on, at their pixels.
    fn scatter(&self, phase: &Phase, start: usize, results: &[f32], dx: &mut [f32]) {
        let (from, stride) = (self.conv.from, self.conv.stride);
        let columns = phase.gather.grid.1;
        for (row, result) in (start..).zip(results.chunks_exact(from.channels)) {
            let (frame, position) = (row / phase.gather.rows(), row % phase.gather.rows());
            let y = position / columns * stride + phase.at.0;
            let x = position % columns * stride + phase.at.1;
            let pixel = (frame * from.height + y) * from.width + x;
            dx[pixel * from.channels..][..from.channels].copy_from_slice(result);
        }
    }
}

/// dW from x and dy.
#[derive(Clone, Copy)]
pub struct WeightGradient<'a> {
    pub conv: &'a ConvGeometry,
    pub frames: usize,
    pub x: &'a [f32],
    pub dy: &'a [f32],
}

impl WeightGradient<'_> {
    /// The gradient as `[out, in, k, k]`; `partials` holds `weight_strips × taps·in × out`.
    pub fn run(&self, partials: &mut [f32], gradient: &mut [f32], scratch: &Scratch) {
        let tiles = self.conv.weight_tiles();
        let strips = self.conv.weight_strips(self.frames);
        let strip = self.frames.div_ceil(strips);
        let tile = tiles.taps * tiles.channels * self.conv.to.channels;
        partials
            .par_chunks_mut(tile)
            .enumerate()
            .for_each(|(i, sum)| {
                let (index, tile) = (i / tiles.count, i % tiles.count);
                let frames = index * strip..self.frames.min((index + 1) * strip);
                self.tile(frames, tile, sum, scratch);
            });
        self.unpack(partials, gradient);
    }

    /// One tile summed over the frames of one strip.
    fn tile(&self, frames: Range<usize>, tile: usize, sum: &mut [f32], scratch: &Scratch) {
        let tiles = self.conv.weight_tiles();
        let width = self.conv.from.channels;
        let parts = width / tiles.channels;
        let channels = tile % parts * tiles.channels..(tile % parts + 1) * tiles.channels;
        let plan = match tiles.taps {
            1 => self.conv.gather().tap(tile / parts),
            _ => self.conv.gather(),
        };
        let (m, n) = (tiles.taps * tiles.channels, self.conv.to.channels);
        let rows = frames.start * plan.rows()..frames.end * plan.rows();
        let product = |x: Matrix<'_>, rows: Range<usize>, sum: &mut [f32], accumulate: bool| {
            let k = rows.len();
            let dy = Matrix::rows(&self.dy[rows.start * n..rows.end * n], n);
            gemm(Sizes { m, n, k }, x.transposed(), dy, sum, accumulate);
        };
        if self.conv.is_pointwise() {
            let x = &self.x[rows.start * width + channels.start..];
            product(Matrix::rows(x, width), rows, sum, false);
            return;
        }
        let block = self.conv.gather().block_rows();
        scratch.with(|scratch| {
            for start in rows.clone().step_by(block) {
                let part = start..rows.end.min(start + block);
                let packed = &mut scratch[..part.len() * m];
                gather(&plan, self.x, part.clone(), channels.clone(), packed);
                product(Matrix::rows(packed, m), part, sum, start > rows.start);
            }
        });
    }

    /// Adds up the strips, in order, into the layout of the parameter.
    fn unpack(&self, partials: &[f32], gradient: &mut [f32]) {
        let (inputs, outputs) = (self.conv.from.channels, self.conv.to.channels);
        let taps = self.conv.kernel * self.conv.kernel;
        let each = inputs * taps;
        let chunks = gradient.par_chunks_mut(OUTPUTS * each).enumerate();
        chunks.for_each(|(i, gradient)| {
            let first = i * OUTPUTS;
            let count = gradient.len() / each;
            for row in 0..each {
                let (tap, input) = (row / inputs, row % inputs);
                let mut sums = [0.0; OUTPUTS];
                for strip in partials.chunks_exact(self.conv.weights()) {
                    let part = &strip[row * outputs + first..][..count];
                    sums.iter_mut().zip(part).for_each(|(sum, v)| *sum += v);
                }
                for (output, sum) in sums.iter().enumerate().take(count) {
                    gradient[output * each + input * taps + tap] = *sum;
                }
            }
        });
    }
}

/// Outputs whose gradients are written together.
const OUTPUTS: usize = 16;

/// The bias's gradient: the sum of dy's rows.
pub fn back_bias(dy: &[f32], gradient: &mut [f32]) {
    let channels = gradient.len();
    for (channel, gradient) in gradient.iter_mut().enumerate() {
        let column = dy.iter().skip(channel).step_by(channels);
        *gradient = column.map(|&v| f64::from(v)).sum::<f64>() as f32;
    }
}

#[cfg(test)]
mod tests;
