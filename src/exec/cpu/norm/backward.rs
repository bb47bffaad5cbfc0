//! The norm backward. With g = dy where the ReLU passed: dβ = Σg, dγ = Σg·x̂, dx = γ·r·(g − dβ/n − x̂·dγ/n).
//!
//! Two passes over memory: the sums of each frame (and g itself, where a residual needs it), then dx. Where the ReLU
//! follows the norm directly, its mask is computed again from x rather than read from y.

use rayon::prelude::*;

use super::Norm;
use super::{BLOCK, Coefficients, Site, add_rows, fold, frames_of_task};
use crate::exec::cpu::memory::Scratch;
use crate::exec::cpu::scalar::Scalar;
use crate::exec::cpu::simd::wide;
use crate::ops::NormParams;
use crate::ops::{Layout, Mask};

/// What the backward pass of a norm reads.
#[derive(Clone, Copy)]
pub struct Backward<'a, E> {
    pub norm: &'a Norm,
    pub dy: &'a [E],
    pub x: &'a [E],
    pub coefficients: &'a [f32],
    pub mask: Mask,
    /// The output, where `mask` needs it; else empty.
    pub y: &'a [E],
}

/// One frame of it.
#[derive(Clone, Copy)]
struct BackwardFrame<'a, E> {
    of: Coefficients<'a>,
    dy: &'a [E],
    x: &'a [E],
    y: &'a [E],
    /// Whether g is dy where the normalised value is positive; else g is dy.
    recomputed: bool,
}

impl<'a, E: Scalar> Backward<'a, E> {
    fn frame(&self, layout: &Layout, f: usize) -> BackwardFrame<'a, E> {
        let len = self.dy.len() / layout.rows;
        let frame = f * len..(f + 1) * len;
        BackwardFrame {
            of: Coefficients::of(self.coefficients, layout.group_of[f], self.norm.row()),
            dy: &self.dy[frame.clone()],
            x: &self.x[frame.clone()],
            y: self.y.get(frame).unwrap_or(&[]),
            recomputed: self.mask == Mask::Recomputed,
        }
    }
}

impl<E: Scalar> BackwardFrame<'_, E> {
    /// g of one value.
    #[inline(always)]
    fn gradient(&self, of: Coefficients<'_>, c: usize, dy: E, x: f32) -> f32 {
        match self.recomputed {
            true => of.behind_relu(c, dy.float(), x),
            false => dy.float(),
        }
    }
}

/// Each frame's Σg and Σg·x̂; the gradient behind the ReLU goes to `masked` where there is one.
pub fn frame_gradients<E: Scalar>(
    layout: &Layout,
    back: Backward<'_, E>,
    masked: &mut [E],
    partials: &mut [f32],
    scratch: &Scratch,
) {
    let channels = back.norm.channels;
    let frame = back.dy.len() / layout.rows;
    let partials = partials[..layout.rows * 2 * channels].par_chunks_exact_mut(2 * channels);
    let task = |f: usize, masked: Option<&mut [E]>, sums: &mut [f32]| {
        let back = back.frame(layout, f);
        scratch.with(|scratch| {
            wide(
                #[inline(always)]
                || match masked {
                    None => sum_gradients(back, scratch, sums),
                    Some(masked) => {
                        mask_by(back.dy, back.y, masked);
                        sum_gradients(BackwardFrame { dy: masked, ..back }, scratch, sums);
                    }
                },
            );
        });
    };
    let least = frames_of_task(frame);
    if masked.is_empty() {
        let frames = partials.enumerate().with_min_len(least);
        frames.for_each(|(f, sums)| task(f, None, sums));
    } else {
        let frames = partials.zip(masked.par_chunks_exact_mut(frame)).enumerate();
        let frames = frames.with_min_len(least);
        frames.for_each(|(f, (sums, masked))| task(f, Some(masked), sums));
    }
}

/// masked = dy where y is positive.
#[inline(always)]
fn mask_by<E: Scalar>(dy: &[E], y: &[E], masked: &mut [E]) {
    for ((masked, dy), y) in masked.iter_mut().zip(dy).zip(y) {
        *masked = if y.float() > 0.0 { *dy } else { E::default() };
    }
}

#[inline(always)]
fn sum_gradients<E: Scalar>(back: BackwardFrame<'_, E>, scratch: &mut [f32], sums: &mut [f32]) {
    let row = back.of.mean.len();
    let (block, rest) = scratch.split_at_mut(row);
    let (block_product, rest) = rest.split_at_mut(row);
    let (all, rest) = rest.split_at_mut(row);
    let all_product = &mut rest[..row];
    all.fill(0.0);
    all_product.fill(0.0);
    let blocks = back.dy.chunks(BLOCK * row).zip(back.x.chunks(BLOCK * row));
    for (dy, x) in blocks {
        block.fill(0.0);
        block_product.fill(0.0);
        for (dy, x) in dy.chunks(row).zip(x.chunks(row)) {
            let len = dy.len();
            let (x, of) = (&x[..len], back.of.cut(len));
            let (sum, product) = (&mut block[..len], &mut block_product[..len]);
            for c in 0..len {
                let x = x[c].float();
                let g = back.gradient(of, c, dy[c], x);
                sum[c] += g;
                product[c] += g * ((x - of.mean[c]) * of.inverse[c]);
            }
        }
        all.iter_mut().zip(&*block).for_each(|(sum, b)| *sum += b);
        let products = all_product.iter_mut().zip(&*block_product);
        products.for_each(|(sum, b)| *sum += b);
    }
    let (sum, product) = sums.split_at_mut(sums.len() / 2);
    fold(all, sum);
    fold(all_product, product);
}

/// Combines the frames' sums: gradients of weights and biases, and behind the frames' partial sums each group's
/// rows of Σg/n and Σg·x̂/n.
pub fn group_gradients(site: Site<'_>, partials: &mut [f32], grads: &mut [&mut [f32]]) {
    let Site {
        norm,
        layout,
        pixels,
    } = site;
    let (channels, row) = (norm.channels, norm.row());
    let (frames, groups) = partials.split_at_mut(layout.rows * 2 * channels);
    for (group, means) in layout
        .norm_groups
        .iter()
        .zip(groups.chunks_exact_mut(2 * row))
    {
        let NormParams { weight, bias, .. } = norm.of(group.branch);
        let frames = &frames[group.rows.start * 2 * channels..group.rows.end * 2 * channels];
        let count = (group.rows.len() * pixels) as f64;
        let parts = [bias, weight].into_iter().zip(means.chunks_exact_mut(row));
        for (part, (param, means)) in parts.enumerate() {
            let mut sums = vec![0.0; channels];
            let rows = frames.chunks_exact(2 * channels);
            add_rows(
                &mut sums,
                rows.map(|row| &row[part * channels..][..channels]),
            );
            for (channel, sum) in sums.into_iter().enumerate() {
                grads[param][channel] += sum as f32;
                let tiled = means[channel..].iter_mut().step_by(channels);
                tiled.for_each(|mean| *mean = (sum / count) as f32);
            }
        }
    }
}

/// dx = γ·r·(g − Σg/n − x̂·Σg·x̂/n) with the means that [`group_gradients`] left in `partials`.
pub fn back_data<E: Scalar>(
    layout: &Layout,
    back: Backward<'_, E>,
    partials: &[f32],
    dx: &mut [E],
) {
    let row = back.norm.row();
    let means = &partials[layout.rows * 2 * back.norm.channels..];
    for_frames(
        layout,
        back,
        dx,
        #[inline(always)]
        |f, back, dx| {
            let (mean, product) = means[layout.group_of[f] * 2 * row..][..2 * row].split_at(row);
            let inputs = back.dy.chunks(row).zip(back.x.chunks(row));
            for (dx, (dy, x)) in dx.chunks_mut(row).zip(inputs) {
                let len = dx.len();
                let (dy, x, of) = (&dy[..len], &x[..len], back.of.cut(len));
                let (mean, product) = (&mean[..len], &product[..len]);
                for c in 0..len {
                    let x = x[c].float();
                    let g = back.gradient(of, c, dy[c], x);
                    let normalized = (x - of.mean[c]) * of.inverse[c];
                    dx[c] = E::round(of.scale[c] * (g - mean[c] - normalized * product[c]));
                }
            }
        },
    );
}

/// dx = γ·r·g for a frozen norm.
pub fn back_frozen<E: Scalar>(layout: &Layout, back: Backward<'_, E>, dx: &mut [E]) {
    let row = back.norm.row();
    for_frames(
        layout,
        back,
        dx,
        #[inline(always)]
        |_, back, dx| {
            let inputs = back.dy.chunks(row).zip(back.x.chunks(row));
            for (dx, (dy, x)) in dx.chunks_mut(row).zip(inputs) {
                let len = dx.len();
                let (dy, x, of) = (&dy[..len], &x[..len], back.of.cut(len));
                for c in 0..len {
                    let g = back.gradient(of, c, dy[c], x[c].float());
                    dx[c] = E::round(of.scale[c] * g);
                }
            }
        },
    );
}

#[inline(always)]
fn for_frames<E: Scalar>(
    layout: &Layout,
    back: Backward<'_, E>,
    dx: &mut [E],
    run: impl Fn(usize, BackwardFrame<'_, E>, &mut [E]) + Sync,
) {
    let frame = dx.len() / layout.rows;
    let frames = dx.par_chunks_exact_mut(frame).enumerate();
    frames
        .with_min_len(frames_of_task(frame))
        .for_each(|(f, dx)| {
            let back = back.frame(layout, f);
            wide(
                #[inline(always)]
                || run(f, back, dx),
            );
        });
}
