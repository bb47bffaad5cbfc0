//! Batch norms over the frames of a group: y = γ·x̂ + β (+ residual), ReLU; x̂ = (x − μ)·r, r = 1/sqrt(σ² + eps).
//!
//! n: values of a channel in a group (frames × pixels). μ = Σx/n, σ² = Σ(x − μ)²/n. The running statistics follow as
//! in PyTorch: r ← 0.9·r + 0.1·new, the new variance with n − 1.
//!
//! Sums go by frame: each frame is summed in float32 by blocks of rows (its mean first, then squares around that mean),
//! frames are combined in float64 in order: as exact as two passes over everything, with one pass over memory, and
//! independent of threads. A row is some pixels side by side ([`Norm::row`]); coefficients of a group: μ, r, γ·r, β,
//! each repeated along a row.
//!
//! Check: `cargo test --test engine`; time: `ffn bench train EXPERIMENT --profile`.

mod backward;
pub mod plan;

pub use backward::{Backward, back_data, back_frozen, frame_gradients, group_gradients};

use rayon::prelude::*;

use super::memory::Scratch;
use super::scalar::Scalar;
use super::simd::{positive, wide};
use crate::ops::{self, BATCH_NORM_MOMENTUM as MOMENTUM, Layout, NormParams, Statistics};

/// Rows that are summed in float32 before they join a longer sum.
const BLOCK: usize = 32;

/// Values that a norm's loops take at once, at least: narrow layers put several pixels side by side, so that their few
/// channels fill vectors too.
const ROW: usize = 192;

/// A norm of so many channels.
#[derive(Debug, Clone)]
pub struct Norm {
    pub of: ops::Norm,
    pub channels: usize,
}

impl Norm {
    /// Length of a row of coefficients.
    pub fn row(&self) -> usize {
        row(self.channels)
    }

    pub fn of(&self, branch: usize) -> NormParams {
        self.of.of(branch)
    }
}

/// Length of a row of coefficients: the channels, repeated for each pixel of the row.
pub fn row(channels: usize) -> usize {
    channels * (ROW / channels.max(1)).max(1)
}

/// A group's coefficients.
#[derive(Clone, Copy)]
struct Coefficients<'a> {
    mean: &'a [f32],
    inverse: &'a [f32],
    scale: &'a [f32],
    bias: &'a [f32],
}

impl<'a> Coefficients<'a> {
    fn of(coefficients: &'a [f32], group: usize, row: usize) -> Self {
        let part = |i: usize| &coefficients[(4 * group + i) * row..][..row];
        Self {
            mean: part(0),
            inverse: part(1),
            scale: part(2),
            bias: part(3),
        }
    }

    /// The first `len` of each: equal lengths spare the loops their bounds checks.
    #[inline(always)]
    fn cut(self, len: usize) -> Self {
        Self {
            mean: &self.mean[..len],
            inverse: &self.inverse[..len],
            scale: &self.scale[..len],
            bias: &self.bias[..len],
        }
    }

    /// The gradient behind the ReLU of one value.
    #[inline(always)]
    fn behind_relu(&self, c: usize, dy: f32, x: f32) -> f32 {
        let y = (x - self.mean[c]) * self.scale[c] + self.bias[c];
        if y > 0.0 { dy } else { 0.0 }
    }
}

/// Coefficients of one branch from running statistics.
pub fn running_coefficients(
    norm: &ops::Norm,
    branch: usize,
    params: &[&[f32]],
    stats: &Statistics,
    coefficients: &mut [f32],
) {
    let (norm, eps) = (norm.of(branch), norm.eps);
    let statistics = stats.mean[norm.stat].iter().zip(&stats.var[norm.stat]);
    for (channel, (&mean, &var)) in statistics.enumerate() {
        let statistics = (f64::from(mean), f64::from(var));
        set(coefficients, (norm, eps), channel, statistics, params);
    }
}

/// Sets a channel's coefficients all along the row from its mean and variance.
fn set(
    coefficients: &mut [f32],
    (norm, eps): (NormParams, f64),
    channel: usize,
    (mean, var): (f64, f64),
    params: &[&[f32]],
) {
    let (weight, bias) = (params[norm.weight], params[norm.bias]);
    let (channels, row) = (weight.len(), coefficients.len() / 4);
    let inverse = 1.0 / (var + eps).sqrt();
    let scale = f64::from(weight[channel]) * inverse;
    for at in (channel..row).step_by(channels) {
        coefficients[at] = mean as f32;
        coefficients[row + at] = inverse as f32;
        coefficients[2 * row + at] = scale as f32;
        coefficients[3 * row + at] = bias[channel];
    }
}

/// Coefficients of every group from running statistics.
pub fn running(
    norm: &Norm,
    layout: &Layout,
    params: &[&[f32]],
    stats: &Statistics,
    coefficients: &mut [f32],
) {
    let groups = coefficients.chunks_exact_mut(4 * norm.row());
    for (group, coefficients) in layout.norm_groups.iter().zip(groups) {
        running_coefficients(&norm.of, group.branch, params, stats, coefficients);
    }
}

/// Each frame's mean and sum of squares around it: `partials[frame] = [mean; C], [squares; C]`.
pub fn frame_statistics<E: Scalar>(norm: &Norm, x: &[E], partials: &mut [f32], scratch: &Scratch) {
    let (channels, row) = (norm.channels, norm.row());
    let frame = x.len() / (partials.len() / (2 * channels));
    let frames = x
        .par_chunks_exact(frame)
        .zip(partials.par_chunks_exact_mut(2 * channels));
    let frames = frames.with_min_len(frames_of_task(frame));
    frames.for_each(|(x, partial)| {
        let (mean, squares) = partial.split_at_mut(channels);
        scratch.with(|scratch| {
            let (tiled, sums) = scratch[..3 * row].split_at_mut(row);
            wide(
                #[inline(always)]
                || {
                    sum_rows(
                        x,
                        sums,
                        mean,
                        #[inline(always)]
                        |x, _| x,
                    );
                    let pixels = (frame / channels) as f32;
                    mean.iter_mut().for_each(|mean| *mean /= pixels);
                    tiled
                        .chunks_exact_mut(channels)
                        .for_each(|t| t.copy_from_slice(mean));
                    let tiled = &tiled[..row];
                    sum_rows(
                        x,
                        sums,
                        squares,
                        #[inline(always)]
                        |x, c| (x - tiled[c]) * (x - tiled[c]),
                    );
                },
            );
        });
    });
}

/// sums[channel] = Σ value(x, place in the row) over a frame; `scratch` holds two rows.
#[inline(always)]
fn sum_rows<E: Scalar>(
    frame: &[E],
    scratch: &mut [f32],
    sums: &mut [f32],
    value: impl Fn(f32, usize) -> f32,
) {
    let row = scratch.len() / 2;
    let (block, all) = scratch.split_at_mut(row);
    all.fill(0.0);
    for rows in frame.chunks(BLOCK * row) {
        block.fill(0.0);
        for x in rows.chunks(row) {
            let sums = &mut block[..x.len()];
            for c in 0..x.len() {
                sums[c] += value(x[c].float(), c);
            }
        }
        all.iter_mut().zip(&*block).for_each(|(sum, b)| *sum += b);
    }
    fold(all, sums);
}

/// Adds up the pixels of a row.
#[inline(always)]
fn fold(row: &[f32], sums: &mut [f32]) {
    sums.fill(0.0);
    for pixel in row.chunks_exact(sums.len()) {
        sums.iter_mut().zip(pixel).for_each(|(sum, v)| *sum += v);
    }
}

/// A norm at its place in the network.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    pub norm: &'a Norm,
    pub layout: &'a Layout,
    /// Of a row of the layout.
    pub pixels: usize,
}

/// Combines the frames of each group; sets its coefficients and lets the running statistics follow.
pub fn group_statistics(
    site: Site<'_>,
    partials: &[f32],
    params: &[&[f32]],
    stats: &mut Statistics,
    coefficients: &mut [f32],
) {
    let Site {
        norm,
        layout,
        pixels,
    } = site;
    let channels = norm.channels;
    let groups = coefficients.chunks_exact_mut(4 * norm.row());
    for (group, coefficients) in layout.norm_groups.iter().zip(groups) {
        let of = norm.of(group.branch);
        let frames = group.rows.start * 2 * channels..group.rows.end * 2 * channels;
        let count = (group.rows.len() * pixels) as f64;
        let moments = combine(&partials[frames], channels, pixels);
        for (channel, (mean, squares)) in moments.enumerate() {
            let moments = (mean, squares / count);
            set(coefficients, (of, norm.of.eps), channel, moments, params);
            if group.updates {
                let follow = |running: &mut f32, new: f64| {
                    let kept = (1.0 - MOMENTUM) * f64::from(*running);
                    *running = (kept + MOMENTUM * new) as f32;
                };
                follow(&mut stats.mean[of.stat][channel], mean);
                follow(
                    &mut stats.var[of.stat][channel],
                    squares / (count - 1.0).max(1.0),
                );
            }
        }
        if group.updates {
            stats.batches[of.stat] += 1;
        }
    }
}

/// Mean and sum of squares around it of each channel over frames of `pixels` values each.
fn combine(
    partials: &[f32],
    channels: usize,
    pixels: usize,
) -> impl Iterator<Item = (f64, f64)> + use<> {
    let frames = partials.chunks_exact(2 * channels);
    let count = frames.len() as f64;
    let mut means = vec![0.0; channels];
    add_rows(&mut means, frames.clone().map(|frame| &frame[..channels]));
    means.iter_mut().for_each(|mean| *mean /= count);
    let mut within = vec![0.0; channels];
    add_rows(&mut within, frames.clone().map(|frame| &frame[channels..]));
    let mut between = vec![0.0; channels];
    for frame in frames {
        for ((sum, m), mean) in between.iter_mut().zip(frame).zip(&means) {
            let distance = f64::from(*m) - mean;
            *sum += distance * distance;
        }
    }
    let squares = within.into_iter().zip(between);
    let squares = squares.map(move |(within, between)| within + between * pixels as f64);
    means.into_iter().zip(squares)
}

/// Adds rows to sums, in order.
fn add_rows<'a>(sums: &mut [f64], rows: impl Iterator<Item = &'a [f32]>) {
    for row in rows {
        let pairs = sums.iter_mut().zip(row);
        pairs.for_each(|(sum, &v)| *sum += f64::from(v));
    }
}

/// y = norm(x) (+ residual), ReLU.
#[derive(Clone, Copy)]
pub struct Forward<'a, E> {
    pub norm: &'a Norm,
    pub x: &'a [E],
    pub coefficients: &'a [f32],
    pub residual: Option<&'a [E]>,
    pub relu: bool,
}

impl<E: Scalar> Forward<'_, E> {
    pub fn run(&self, layout: &Layout, y: &mut [E]) {
        let frame = y.len() / layout.rows;
        let frames = y.par_chunks_exact_mut(frame).enumerate();
        frames
            .with_min_len(frames_of_task(frame))
            .for_each(|(f, y)| {
                let of = Coefficients::of(self.coefficients, layout.group_of[f], self.norm.row());
                let x = &self.x[f * frame..][..frame];
                let residual = self.residual.map(|r| &r[f * frame..][..frame]);
                wide(
                    #[inline(always)]
                    || match residual {
                        None => normalize_frame(of, self.relu, x, y),
                        Some(residual) => normalize_and_add_frame(of, self.relu, x, residual, y),
                    },
                );
            });
    }
}

#[inline(always)]
fn normalize_frame<E: Scalar>(of: Coefficients<'_>, relu: bool, x: &[E], y: &mut [E]) {
    let row = of.mean.len();
    for (y, x) in y.chunks_mut(row).zip(x.chunks(row)) {
        let (x, of) = (&x[..y.len()], of.cut(y.len()));
        for c in 0..y.len() {
            let v = (x[c].float() - of.mean[c]) * of.scale[c] + of.bias[c];
            y[c] = E::round(if relu { positive(v) } else { v });
        }
    }
}

#[inline(always)]
fn normalize_and_add_frame<E: Scalar>(
    of: Coefficients<'_>,
    relu: bool,
    x: &[E],
    residual: &[E],
    y: &mut [E],
) {
    let row = of.mean.len();
    let inputs = x.chunks(row).zip(residual.chunks(row));
    for (y, (x, r)) in y.chunks_mut(row).zip(inputs) {
        let (x, r, of) = (&x[..y.len()], &r[..y.len()], of.cut(y.len()));
        for c in 0..y.len() {
            let v = (x[c].float() - of.mean[c]) * of.scale[c] + of.bias[c] + r[c].float();
            y[c] = E::round(if relu { positive(v) } else { v });
        }
    }
}

/// Values that a task of these loops has at least.
const TASK_VALUES: usize = 1 << 15;

/// Frames that a task has at least.
pub fn frames_of_task(frame: usize) -> usize {
    TASK_VALUES.div_ceil(frame.max(1))
}
