//! Batch norms over the frames of a group: y = γ·x̂ + β (+ residual), ReLU; x̂ = (x − μ)·r, r = 1/sqrt(σ² + 1e-5).
//!
//! n: values of a channel in a group (frames × pixels). μ = Σx/n, σ² = Σ(x − μ)²/n. The running statistics follow as
//! in PyTorch: r ← 0.9·r + 0.1·new, the new variance with n − 1.
//!
//! Backward, with g = dy where the ReLU passed: dβ = Σg, dγ = Σg·x̂, dx = γ·r·(g − dβ/n − x̂·dγ/n).
//!
//! Sums go by frame: each frame is summed in float32 by blocks of rows (its mean first, then squares around that mean),
//! frames are combined in float64 in order: as exact as two passes over everything, with one pass over memory, and
//! independent of threads. Coefficients of a group: μ, r, γ·r, β, each C values.
//!
//! Check: `cargo test --test engine`; time: `cargo test --release --test engine speed -- --nocapture`.

use rayon::prelude::*;

use super::memory::Scratch;
use super::simd::{positive, wide};
use crate::exec::Statistics;
use crate::graph::NormParams;
use crate::program::{Batch, Mask, Norm};

/// Added to the variance; PyTorch's default.
pub const EPSILON: f64 = 1e-5;
/// Weight of the new statistics in the running ones; PyTorch's default.
pub const MOMENTUM: f64 = 0.1;
/// Rows that are summed in float32 before they join a longer sum.
const BLOCK: usize = 32;

/// A group's coefficients.
#[derive(Clone, Copy)]
struct Coefficients<'a> {
    mean: &'a [f32],
    inverse: &'a [f32],
    scale: &'a [f32],
    bias: &'a [f32],
}

impl<'a> Coefficients<'a> {
    fn of(coefficients: &'a [f32], group: usize, channels: usize) -> Self {
        let row = |i: usize| &coefficients[(4 * group + i) * channels..][..channels];
        Self {
            mean: row(0),
            inverse: row(1),
            scale: row(2),
            bias: row(3),
        }
    }
}

/// Coefficients from running statistics.
pub fn running_coefficients(
    norm: NormParams,
    params: &[&[f32]],
    stats: &Statistics,
    coefficients: &mut [f32],
) {
    let statistics = stats.mean[norm.stat].iter().zip(&stats.var[norm.stat]);
    for (channel, (&mean, &var)) in statistics.enumerate() {
        let (weight, bias) = (params[norm.weight][channel], params[norm.bias][channel]);
        set(
            coefficients,
            channel,
            f64::from(mean),
            f64::from(var),
            weight,
            bias,
        );
    }
}

fn set(coefficients: &mut [f32], channel: usize, mean: f64, var: f64, weight: f32, bias: f32) {
    let channels = coefficients.len() / 4;
    let inverse = 1.0 / (var + EPSILON).sqrt();
    coefficients[channel] = mean as f32;
    coefficients[channels + channel] = inverse as f32;
    coefficients[2 * channels + channel] = (f64::from(weight) * inverse) as f32;
    coefficients[3 * channels + channel] = bias;
}

/// Coefficients of every group from running statistics.
pub fn running(
    norm: &Norm,
    batch: &Batch,
    params: &[&[f32]],
    stats: &Statistics,
    coefficients: &mut [f32],
) {
    let groups = coefficients.chunks_exact_mut(4 * norm.channels);
    for (group, coefficients) in batch.norm_groups.iter().zip(groups) {
        running_coefficients(norm.of(group.branch), params, stats, coefficients);
    }
}

/// Each frame's mean and sum of squares around it: `partials[frame] = [mean; C], [squares; C]`.
pub fn frame_statistics(x: &[f32], channels: usize, partials: &mut [f32], scratch: &Scratch) {
    let frame = x.len() / (partials.len() / (2 * channels));
    let frames = x
        .par_chunks_exact(frame)
        .zip(partials.par_chunks_exact_mut(2 * channels));
    frames
        .with_min_len(frames_of_task(frame))
        .for_each(|(x, partial)| {
            let (mean, squares) = partial.split_at_mut(channels);
            scratch.with(|scratch| {
                wide(
                    #[inline(always)]
                    || {
                        sum_rows(
                            x,
                            mean,
                            &mut scratch[..channels],
                            #[inline(always)]
                            |x, _| x,
                        );
                        let pixels = (frame / channels) as f32;
                        mean.iter_mut().for_each(|mean| *mean /= pixels);
                        let mean = &*mean;
                        sum_rows(
                            x,
                            squares,
                            &mut scratch[..channels],
                            #[inline(always)]
                            |x, c| (x - mean[c]) * (x - mean[c]),
                        );
                    },
                );
            });
        });
}

/// sums[c] = Σ value(row[c], c) over rows, in blocks.
#[inline(always)]
fn sum_rows(rows: &[f32], sums: &mut [f32], block: &mut [f32], value: impl Fn(f32, usize) -> f32) {
    let channels = sums.len();
    let block = &mut block[..channels];
    sums.fill(0.0);
    for rows in rows.chunks(BLOCK * channels) {
        block.fill(0.0);
        for row in rows.chunks_exact(channels) {
            for c in 0..channels {
                block[c] += value(row[c], c);
            }
        }
        sums.iter_mut().zip(&*block).for_each(|(sum, b)| *sum += b);
    }
}

/// Combines the frames of each group; sets its coefficients and lets the running statistics follow.
pub fn group_statistics(
    norm: &Norm,
    batch: &Batch,
    pixels: usize,
    partials: &[f32],
    params: &[&[f32]],
    stats: &mut Statistics,
    coefficients: &mut [f32],
) {
    let channels = norm.channels;
    let groups = coefficients.chunks_exact_mut(4 * channels);
    for (group, coefficients) in batch.norm_groups.iter().zip(groups) {
        let NormParams { weight, bias, stat } = norm.of(group.branch);
        let partials =
            &partials[group.frames.start * 2 * channels..group.frames.end * 2 * channels];
        for channel in 0..channels {
            let (mean, squares) = combine(partials, channels, channel, pixels);
            let count = (group.frames.len() * pixels) as f64;
            let (weight, bias) = (params[weight][channel], params[bias][channel]);
            set(coefficients, channel, mean, squares / count, weight, bias);
            if group.updates {
                let follow = |running: &mut f32, new: f64| {
                    *running = ((1.0 - MOMENTUM) * f64::from(*running) + MOMENTUM * new) as f32;
                };
                follow(&mut stats.mean[stat][channel], mean);
                follow(
                    &mut stats.var[stat][channel],
                    squares / (count - 1.0).max(1.0),
                );
            }
        }
        if group.updates {
            stats.batches[stat] += 1;
        }
    }
}

/// Mean and sum of squares around it of one channel over frames of `pixels` values each.
fn combine(partials: &[f32], channels: usize, channel: usize, pixels: usize) -> (f64, f64) {
    let frames = partials.chunks_exact(2 * channels);
    let count = frames.len() as f64;
    let means = frames.clone().map(|frame| f64::from(frame[channel]));
    let mean = means.clone().sum::<f64>() / count;
    let within = frames
        .map(|frame| f64::from(frame[channels + channel]))
        .sum::<f64>();
    let between = means.map(|m| (m - mean) * (m - mean)).sum::<f64>();
    (mean, within + between * pixels as f64)
}

/// y = norm(x) (+ residual), ReLU.
pub fn normalize(
    batch: &Batch,
    relu: bool,
    x: &[f32],
    coefficients: &[f32],
    residual: Option<&[f32]>,
    y: &mut [f32],
) {
    let frame = y.len() / batch.frames;
    let channels = coefficients.len() / (4 * batch.norm_groups.len());
    let frames = y.par_chunks_exact_mut(frame).enumerate();
    frames
        .with_min_len(frames_of_task(frame))
        .for_each(|(f, y)| {
            let of = Coefficients::of(coefficients, batch.group_of[f], channels);
            let x = &x[f * frame..][..frame];
            let residual = residual.map(|r| &r[f * frame..][..frame]);
            wide(
                #[inline(always)]
                || normalize_frame(of, relu, x, residual, y),
            );
        });
}

#[inline(always)]
fn normalize_frame(
    of: Coefficients<'_>,
    relu: bool,
    x: &[f32],
    residual: Option<&[f32]>,
    y: &mut [f32],
) {
    let channels = of.mean.len();
    let rows = y.chunks_exact_mut(channels).zip(x.chunks_exact(channels));
    match residual {
        Some(residual) => {
            for ((y, x), r) in rows.zip(residual.chunks_exact(channels)) {
                for c in 0..channels {
                    let v = (x[c] - of.mean[c]) * of.scale[c] + of.bias[c] + r[c];
                    y[c] = if relu { positive(v) } else { v };
                }
            }
        }
        None => {
            for (y, x) in rows {
                for c in 0..channels {
                    let v = (x[c] - of.mean[c]) * of.scale[c] + of.bias[c];
                    y[c] = if relu { positive(v) } else { v };
                }
            }
        }
    }
}

/// What the backward pass of a norm reads.
#[derive(Clone, Copy)]
pub struct Backward<'a> {
    pub dy: &'a [f32],
    pub x: &'a [f32],
    pub coefficients: &'a [f32],
    pub mask: Mask,
    /// The output, where `mask` needs it; else empty.
    pub y: &'a [f32],
}

/// Each frame's Σg and Σg·x̂; the gradient behind the ReLU goes to `masked` where there is one.
pub fn frame_gradients(
    batch: &Batch,
    back: Backward<'_>,
    masked: &mut [f32],
    partials: &mut [f32],
    scratch: &Scratch,
) {
    let channels = back.coefficients.len() / (4 * batch.norm_groups.len());
    let frame = back.dy.len() / batch.frames;
    let partials = partials[..batch.frames * 2 * channels].par_chunks_exact_mut(2 * channels);
    let task = |f: usize, masked: &mut [f32], partial: &mut [f32]| {
        let of = Coefficients::of(back.coefficients, batch.group_of[f], channels);
        let part = |values: &'_ [f32]| f * frame..(f * frame + frame).min(values.len());
        let (dy, x) = (&back.dy[part(back.dy)], &back.x[part(back.x)]);
        let y = back.y.get(part(back.y)).unwrap_or(&[]);
        scratch.with(|scratch| {
            wide(
                #[inline(always)]
                || {
                    if masked.is_empty() {
                        sum_gradients(of, back.mask, dy, x, partial, scratch);
                    } else {
                        mask_by(dy, y, masked);
                        sum_gradients(of, Mask::All, masked, x, partial, scratch);
                    }
                },
            );
        });
    };
    let least = frames_of_task(frame);
    if masked.is_empty() {
        let frames = partials.enumerate().with_min_len(least);
        frames.for_each(|(f, partial)| task(f, &mut [], partial));
    } else {
        let frames = partials.zip(masked.par_chunks_exact_mut(frame)).enumerate();
        let frames = frames.with_min_len(least);
        frames.for_each(|(f, (partial, masked))| task(f, masked, partial));
    }
}

/// masked = dy where y is positive.
#[inline(always)]
pub fn mask_by(dy: &[f32], y: &[f32], masked: &mut [f32]) {
    for ((masked, dy), y) in masked.iter_mut().zip(dy).zip(y) {
        *masked = if *y > 0.0 { *dy } else { 0.0 };
    }
}

/// The gradient behind the ReLU of one value.
#[inline(always)]
fn behind_relu(of: &Coefficients<'_>, c: usize, dy: f32, x: f32) -> f32 {
    let y = (x - of.mean[c]) * of.scale[c] + of.bias[c];
    if y > 0.0 { dy } else { 0.0 }
}

#[inline(always)]
fn sum_gradients(
    of: Coefficients<'_>,
    mask: Mask,
    dy: &[f32],
    x: &[f32],
    sums: &mut [f32],
    scratch: &mut [f32],
) {
    let channels = of.mean.len();
    let (sum, product) = sums.split_at_mut(channels);
    let (block_sum, rest) = scratch.split_at_mut(channels);
    let block_product = &mut rest[..channels];
    let recomputed = mask == Mask::Recomputed;
    sum.fill(0.0);
    product.fill(0.0);
    let blocks = dy.chunks(BLOCK * channels).zip(x.chunks(BLOCK * channels));
    for (dy, x) in blocks {
        block_sum.fill(0.0);
        block_product.fill(0.0);
        for (dy, x) in dy.chunks_exact(channels).zip(x.chunks_exact(channels)) {
            for c in 0..channels {
                let g = if recomputed {
                    behind_relu(&of, c, dy[c], x[c])
                } else {
                    dy[c]
                };
                block_sum[c] += g;
                block_product[c] += g * ((x[c] - of.mean[c]) * of.inverse[c]);
            }
        }
        for c in 0..channels {
            sum[c] += block_sum[c];
            product[c] += block_product[c];
        }
    }
}

/// Combines the frames' sums: gradients of weights and biases, and behind the frames' partial sums each group's
/// Σg/n and Σg·x̂/n.
pub fn group_gradients(
    norm: &Norm,
    batch: &Batch,
    pixels: usize,
    partials: &mut [f32],
    grads: &mut [&mut [f32]],
) {
    let channels = norm.channels;
    let (frames, groups) = partials.split_at_mut(batch.frames * 2 * channels);
    for (group, means) in batch
        .norm_groups
        .iter()
        .zip(groups.chunks_exact_mut(2 * channels))
    {
        let NormParams { weight, bias, .. } = norm.of(group.branch);
        let frames = &frames[group.frames.start * 2 * channels..group.frames.end * 2 * channels];
        let count = (group.frames.len() * pixels) as f64;
        for column in 0..2 * channels {
            let column_values = frames.iter().skip(column).step_by(2 * channels);
            let sum = column_values.map(|&v| f64::from(v)).sum::<f64>();
            means[column] = (sum / count) as f32;
            let (param, channel) = match column.checked_sub(channels) {
                None => (bias, column),
                Some(channel) => (weight, channel),
            };
            grads[param][channel] += sum as f32;
        }
    }
}

/// dx = γ·r·(g − Σg/n − x̂·Σg·x̂/n) with the means that [`group_gradients`] left in `partials`.
pub fn back_data(batch: &Batch, back: Backward<'_>, partials: &[f32], dx: &mut [f32]) {
    let channels = back.coefficients.len() / (4 * batch.norm_groups.len());
    let means = &partials[batch.frames * 2 * channels..];
    let recomputed = back.mask == Mask::Recomputed;
    for_frames(batch, back, dx, |f, of, dy, x, dx| {
        let group = batch.group_of[f];
        let (mean, product) = means[group * 2 * channels..][..2 * channels].split_at(channels);
        let rows = dy.chunks_exact(channels).zip(x.chunks_exact(channels));
        for (dx, (dy, x)) in dx.chunks_exact_mut(channels).zip(rows) {
            for c in 0..channels {
                let g = if recomputed {
                    behind_relu(&of, c, dy[c], x[c])
                } else {
                    dy[c]
                };
                let normalized = (x[c] - of.mean[c]) * of.inverse[c];
                dx[c] = of.scale[c] * (g - mean[c] - normalized * product[c]);
            }
        }
    });
}

/// dx = γ·r·g for a frozen norm.
pub fn back_frozen(batch: &Batch, back: Backward<'_>, dx: &mut [f32]) {
    let channels = back.coefficients.len() / (4 * batch.norm_groups.len());
    let recomputed = back.mask == Mask::Recomputed;
    for_frames(batch, back, dx, |_, of, dy, x, dx| {
        let rows = dy.chunks_exact(channels).zip(x.chunks_exact(channels));
        for (dx, (dy, x)) in dx.chunks_exact_mut(channels).zip(rows) {
            for c in 0..channels {
                let g = if recomputed {
                    behind_relu(&of, c, dy[c], x[c])
                } else {
                    dy[c]
                };
                dx[c] = of.scale[c] * g;
            }
        }
    });
}

#[inline(always)]
fn for_frames(
    batch: &Batch,
    back: Backward<'_>,
    dx: &mut [f32],
    run: impl Fn(usize, Coefficients<'_>, &[f32], &[f32], &mut [f32]) + Sync,
) {
    let channels = back.coefficients.len() / (4 * batch.norm_groups.len());
    let frame = dx.len() / batch.frames;
    let frames = dx.par_chunks_exact_mut(frame).enumerate();
    frames
        .with_min_len(frames_of_task(frame))
        .for_each(|(f, dx)| {
            let of = Coefficients::of(back.coefficients, batch.group_of[f], channels);
            let (dy, x) = (
                &back.dy[f * frame..][..frame],
                &back.x[f * frame..][..frame],
            );
            wide(
                #[inline(always)]
                || run(f, of, dy, x, dx),
            );
        });
}

/// Values that a task of these loops has at least.
const TASK_VALUES: usize = 1 << 15;

/// Frames that a task has at least.
pub fn frames_of_task(frame: usize) -> usize {
    TASK_VALUES.div_ceil(frame.max(1))
}
