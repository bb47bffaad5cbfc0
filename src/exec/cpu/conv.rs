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
//! Check: `cargo test --test engine conv`.

use std::ops::Range;

use rayon::prelude::*;

use super::gather::{Shifted, gather, gather_shifted};
use super::gemm::{Matrix, Sizes, gemm};
use super::memory::Scratch;
use super::simd;
use crate::program::ConvGeometry;
use crate::program::tiling::{Gather, Phase};

/// What follows a forward product while its rows are in the cache.
#[derive(Clone, Copy)]
pub struct Epilogue<'a> {
    pub bias: Option<&'a [f32]>,
    pub residual: Option<&'a [f32]>,
    pub relu: bool,
}

/// y = x ∗ w for the frames `frames`; `y` and the residual are those of all frames.
pub fn forward(
    conv: &ConvGeometry,
    frames: Range<usize>,
    tensors: Forward<'_>,
    y: &mut [f32],
    scratch: &Scratch,
) {
    let plan = conv.gather();
    let frame = conv.to.count();
    let task = plan.task_frames();
    let y = &mut y[frames.start * frame..frames.end * frame];
    y.par_chunks_mut(task * frame)
        .enumerate()
        .for_each(|(i, y)| {
            let first = (frames.start + i * task) * plan.rows();
            forward_task(conv, &plan, first, tensors, y, scratch);
        });
}

/// What a forward product reads.
#[derive(Clone, Copy)]
pub struct Forward<'a> {
    pub x: &'a [f32],
    /// `[taps·in, out]`
    pub w: &'a [f32],
    pub shifted: Option<Shifted<'a>>,
    pub epilogue: Epilogue<'a>,
}

fn forward_task(
    conv: &ConvGeometry,
    plan: &Gather,
    first: usize,
    tensors: Forward<'_>,
    y: &mut [f32],
    scratch: &Scratch,
) {
    let Forward {
        x,
        w,
        shifted,
        epilogue,
    } = tensors;
    let (n, k) = (conv.to.channels, plan.width());
    let direct = conv.is_pointwise() && shifted.is_none();
    let block = if direct {
        y.len() / n
    } else {
        plan.block_rows()
    };
    for (i, y) in y.chunks_mut(block * n).enumerate() {
        let rows = first + i * block..first + i * block + y.len() / n;
        let sizes = Sizes {
            m: rows.len(),
            n,
            k,
        };
        let w = Matrix::rows(w, n);
        if direct {
            let x = &x[rows.start * k..rows.end * k];
            gemm(sizes, Matrix::rows(x, k), w, y, false);
        } else {
            scratch.with(|scratch| {
                let packed = &mut scratch[..rows.len() * k];
                match shifted {
                    Some(shifted) => gather_shifted(plan, x, rows.clone(), shifted, packed),
                    None => gather(plan, x, rows.clone(), 0..plan.source.channels, packed),
                }
                gemm(sizes, Matrix::rows(packed, k), w, y, false);
            });
        }
        let residual = epilogue.residual.map(|r| &r[rows.start * n..rows.end * n]);
        simd::finish(y, epilogue.bias, residual, epilogue.relu);
    }
}

/// dx from dy; `w` packed by [`super::pack::backward`].
pub fn back_data(conv: &ConvGeometry, dy: &[f32], w: &[f32], dx: &mut [f32], scratch: &Scratch) {
    let frame = conv.from.count();
    let task = conv.back_task_frames();
    dx.par_chunks_mut(task * frame)
        .enumerate()
        .for_each(|(i, dx)| {
            for phase in conv.phases() {
                back_phase(conv, &phase, i * task, dy, w, dx, scratch);
            }
        });
}

/// One phase of the frames from `first` on, as many as `dx` holds.
fn back_phase(
    conv: &ConvGeometry,
    phase: &Phase,
    first: usize,
    dy: &[f32],
    w: &[f32],
    dx: &mut [f32],
    scratch: &Scratch,
) {
    let plan = &phase.gather;
    let (n, k) = (conv.from.channels, plan.width());
    let w = &w[phase.first_tap * conv.to.channels * n..][..k * n];
    let rows = dx.len() / conv.from.count() * plan.rows();
    if conv.is_pointwise() {
        let sizes = Sizes { m: rows, n, k };
        let dy = &dy[first * plan.rows() * k..][..rows * k];
        gemm(sizes, Matrix::rows(dy, k), Matrix::rows(w, n), dx, false);
        return;
    }
    scratch.with(|scratch| {
        let block = plan.block_rows();
        let (packed, results) = scratch.split_at_mut(block * k);
        for start in (0..rows).step_by(block) {
            let m = block.min(rows - start);
            let from = first * plan.rows() + start;
            let packed = &mut packed[..m * k];
            gather(plan, dy, from..from + m, 0..plan.source.channels, packed);
            let (a, b) = (Matrix::rows(packed, k), Matrix::rows(w, n));
            let sizes = Sizes { m, n, k };
            match conv.stride {
                1 => gemm(sizes, a, b, &mut dx[start * n..][..m * n], false),
                _ => {
                    let results = &mut results[..m * n];
                    gemm(sizes, a, b, results, false);
                    scatter(conv, phase, start, results, dx);
                }
            }
        }
    });
}

/// Puts a phase's rows, from row `start` of the task on, at their pixels.
fn scatter(conv: &ConvGeometry, phase: &Phase, start: usize, results: &[f32], dx: &mut [f32]) {
    let channels = conv.from.channels;
    let (grid, stride) = (phase.gather.grid, conv.stride);
    for (row, result) in (start..).zip(results.chunks_exact(channels)) {
        let (frame, position) = (row / phase.gather.rows(), row % phase.gather.rows());
        let y = position / grid.1 * stride + phase.at.0;
        let x = position % grid.1 * stride + phase.at.1;
        let pixel = (frame * conv.from.height + y) * conv.from.width + x;
        dx[pixel * channels..][..channels].copy_from_slice(result);
    }
}

/// The weight's gradient as `[out, in, k, k]`. `partials`: `weight_strips × taps·in × out`.
pub fn back_weight(
    conv: &ConvGeometry,
    frames: usize,
    x: &[f32],
    dy: &[f32],
    partials: &mut [f32],
    gradient: &mut [f32],
    scratch: &Scratch,
) {
    let tiles = conv.weight_tiles();
    let strips = conv.weight_strips(frames);
    let strip = frames.div_ceil(strips);
    let tile_len = tiles.taps * tiles.channels * conv.to.channels;
    partials
        .par_chunks_mut(tile_len)
        .enumerate()
        .for_each(|(i, sum)| {
            let (index, tile) = (i / tiles.count, i % tiles.count);
            let frames = index * strip..frames.min((index + 1) * strip);
            weight_tile(conv, frames, tile, x, dy, sum, scratch);
        });
    unpack(conv, partials, gradient);
}

/// One tile summed over the frames of one strip.
fn weight_tile(
    conv: &ConvGeometry,
    frames: Range<usize>,
    tile: usize,
    x: &[f32],
    dy: &[f32],
    sum: &mut [f32],
    scratch: &Scratch,
) {
    let tiles = conv.weight_tiles();
    let parts = conv.from.channels / tiles.channels;
    let channels = tile % parts * tiles.channels..(tile % parts + 1) * tiles.channels;
    let plan = match tiles.taps {
        1 => conv.gather().tap(tile / parts),
        _ => conv.gather(),
    };
    let (m, n) = (tiles.taps * tiles.channels, conv.to.channels);
    let rows = frames.start * plan.rows()..frames.end * plan.rows();
    let dy = |rows: &Range<usize>| Matrix::rows(&dy[rows.start * n..rows.end * n], n);
    if conv.is_pointwise() {
        let width = conv.from.channels;
        let x = Matrix::rows(&x[rows.start * width + channels.start..], width).transposed();
        let k = rows.len();
        gemm(Sizes { m, n, k }, x, dy(&rows), sum, false);
        return;
    }
    let block = conv.gather().block_rows();
    scratch.with(|scratch| {
        for start in rows.clone().step_by(block) {
            let part = start..rows.end.min(start + block);
            let packed = &mut scratch[..part.len() * m];
            gather(&plan, x, part.clone(), channels.clone(), packed);
            let k = part.len();
            let a = Matrix::rows(packed, m).transposed();
            gemm(Sizes { m, n, k }, a, dy(&part), sum, start > rows.start);
        }
    });
}

/// Outputs whose gradients are written together.
const OUTPUTS: usize = 16;

/// Adds up the strips, in order, into the layout of the parameter.
fn unpack(conv: &ConvGeometry, partials: &[f32], gradient: &mut [f32]) {
    let (inputs, outputs) = (conv.from.channels, conv.to.channels);
    let taps = conv.kernel * conv.kernel;
    let each = inputs * taps;
    let chunks = gradient.par_chunks_mut(OUTPUTS * each).enumerate();
    chunks.for_each(|(i, gradient)| {
        let first = i * OUTPUTS;
        let count = gradient.len() / each;
        for row in 0..each {
            let (tap, input) = (row / inputs, row % inputs);
            let mut sums = [0.0; OUTPUTS];
            for strip in partials.chunks_exact(conv.weights()) {
                let part = &strip[row * outputs + first..][..count];
                sums.iter_mut().zip(part).for_each(|(sum, v)| *sum += v);
            }
            for (output, sum) in sums.iter().enumerate().take(count) {
                gradient[output * each + input * taps + tap] = *sum;
            }
        }
    });
}

/// The bias's gradient: the sum of dy's rows.
pub fn back_bias(dy: &[f32], gradient: &mut [f32]) {
    let channels = gradient.len();
    for (channel, gradient) in gradient.iter_mut().enumerate() {
        let column = dy.iter().skip(channel).step_by(channels);
        *gradient = column.map(|&v| f64::from(v)).sum::<f64>() as f32;
    }
}
