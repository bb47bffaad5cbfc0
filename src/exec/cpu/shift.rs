//! The temporal shift and the weight alteration, in one pass: y = (1 + a)·S(x).
//!
//! S: of C channels, `[0, C/div)` come from the next frame of the clip, `[C/div, 2C/div)` from the previous one, zero
//! at the clip's ends (TSM, figure 1). Its adjoint Sᵀ takes the same channels from the other neighbour, so
//! dx = Sᵀ((1 + a)·dy) is the same loop with the neighbours exchanged, and da = Σ dy·S(x).

use rayon::prelude::*;

use super::memory::Scratch;
use super::norm::frames_of_task;
use super::scalar::Scalar;
use super::simd::wide;
use crate::ops::ParamId;
use crate::ops::{Layout, Shape, shift_fold};

/// What is done to each frame.
#[derive(Clone, Copy)]
pub struct Plan<'a> {
    pub layout: &'a Layout,
    pub params: &'a [&'a [f32]],
    pub shape: Shape,
    pub shift: Option<usize>,
    /// One parameter for each branch; empty: no alteration.
    pub alter: &'a [ParamId],
}

impl<'a> Plan<'a> {
    /// Channels that come from the next frame, and as many from the previous one.
    fn fold(&self) -> usize {
        self.shift
            .map_or(0, |div| shift_fold(self.shape.channels, div))
    }

    /// The alteration of a frame.
    fn weights(&self, frame: usize) -> Option<&'a [f32]> {
        let alteration = self.alter.get(self.layout.branch_of[frame]);
        alteration.map(|&id| self.params[id])
    }
}

/// The frames that the channels of one frame come from; `None` where the clip ends.
struct Sources<'a, E> {
    /// Of the first fold of channels, of the second, and of the rest.
    parts: [Option<&'a [E]>; 3],
}

impl<'a, E: Scalar> Sources<'a, E> {
    /// The sources of frame `f`; with `adjoint` those of Sᵀ.
    fn of(x: &'a [E], f: usize, plan: Plan<'_>, adjoint: bool) -> Self {
        let (has_previous, has_next) = plan.layout.neighbours[f];
        let len = plan.shape.count();
        let frame = |f: usize| &x[f * len..][..len];
        let previous = has_previous.then(|| frame(f.saturating_sub(1)));
        let next = has_next.then(|| frame(f + 1));
        let (first, second) = if adjoint {
            (previous, next)
        } else {
            (next, previous)
        };
        Self {
            parts: [first, second, Some(frame(f))],
        }
    }
}

/// y = (1 + a)·S(x).
pub fn forward<E: Scalar>(plan: Plan<'_>, x: &[E], y: &mut [E]) {
    apply(plan, x, None, false, y);
}

/// dx = Sᵀ((1 + a)·dy) (+ add).
pub fn back_data<E: Scalar>(plan: Plan<'_>, dy: &[E], add: Option<&[E]>, dx: &mut [E]) {
    apply(plan, dy, add, true, dx);
}

fn apply<E: Scalar>(plan: Plan<'_>, x: &[E], add: Option<&[E]>, adjoint: bool, y: &mut [E]) {
    let len = plan.shape.count();
    let frames = y.par_chunks_exact_mut(len).enumerate();
    frames.with_min_len(frames_of_task(len)).for_each(|(f, y)| {
        let sources = Sources::of(x, f, plan, adjoint);
        let weights = plan.weights(f);
        let add = add.map(|add| &add[f * len..][..len]);
        wide(
            #[inline(always)]
            || apply_frame(plan, &sources, weights, add, y),
        );
    });
}

#[inline(always)]
fn apply_frame<E: Scalar>(
    plan: Plan<'_>,
    sources: &Sources<'_, E>,
    weights: Option<&[f32]>,
    add: Option<&[E]>,
    y: &mut [E],
) {
    let (channels, fold) = (plan.shape.channels, plan.fold());
    let parts = [(0, fold), (fold, 2 * fold), (2 * fold, channels)];
    for (pixel, y) in y.chunks_exact_mut(channels).enumerate() {
        let at = pixel * channels;
        for ((start, end), source) in parts.into_iter().zip(sources.parts) {
            let y = &mut y[start..end];
            match (source, weights) {
                (None, _) => y.fill(E::default()),
                (Some(x), None) => y.copy_from_slice(&x[at + start..at + end]),
                (Some(x), Some(weights)) => {
                    let pairs = x[at + start..at + end].iter().zip(&weights[start..end]);
                    y.iter_mut()
                        .zip(pairs)
                        .for_each(|(y, (x, a))| *y = E::round((1.0 + a) * x.float()));
                }
            }
        }
        if let Some(add) = add {
            y.iter_mut()
                .zip(&add[at..at + channels])
                .for_each(|(y, a)| *y = E::round(y.float() + a.float()));
        }
    }
}

/// Pixels that are summed in float32 before they join a longer sum.
const BLOCK: usize = 32;

/// da = Σ dy·S(x) of each branch, by frames: `partials[frame]` has C sums.
pub fn back_alteration<E: Scalar>(
    plan: Plan<'_>,
    (x, dy): (&[E], &[E]),
    partials: &mut [f32],
    grads: &mut [&mut [f32]],
    scratch: &Scratch,
) {
    let (len, channels) = (plan.shape.count(), plan.shape.channels);
    let frames = partials.par_chunks_exact_mut(channels).enumerate();
    frames
        .with_min_len(frames_of_task(len))
        .for_each(|(f, sums)| {
            let sources = Sources::of(x, f, plan, false);
            let dy = &dy[f * len..][..len];
            scratch.with(|scratch| {
                wide(
                    #[inline(always)]
                    || sum_frame(plan, &sources, dy, sums, &mut scratch[..channels]),
                );
            });
        });
    for segment in &plan.layout.segments {
        let Some(&param) = plan.alter.get(segment.branch) else {
            continue;
        };
        let frames = &segment.rows;
        let partials = &partials[frames.start * channels..frames.end * channels];
        for (channel, gradient) in grads[param].iter_mut().enumerate() {
            let column = partials.iter().skip(channel).step_by(channels);
            *gradient += column.map(|&v| f64::from(v)).sum::<f64>() as f32;
        }
    }
}

#[inline(always)]
fn sum_frame<E: Scalar>(
    plan: Plan<'_>,
    sources: &Sources<'_, E>,
    dy: &[E],
    sums: &mut [f32],
    block: &mut [f32],
) {
    let (channels, fold) = (plan.shape.channels, plan.fold());
    let parts = [(0, fold), (fold, 2 * fold), (2 * fold, channels)];
    sums.fill(0.0);
    for (i, pixels) in dy.chunks(BLOCK * channels).enumerate() {
        block.fill(0.0);
        for (pixel, dy) in pixels.chunks_exact(channels).enumerate() {
            let at = (i * BLOCK + pixel) * channels;
            for ((start, end), source) in parts.into_iter().zip(sources.parts) {
                let Some(x) = source else { continue };
                let pairs = x[at + start..at + end].iter().zip(&dy[start..end]);
                let sums = block[start..end].iter_mut().zip(pairs);
                sums.for_each(|(sum, (x, dy))| *sum += x.float() * dy.float());
            }
        }
        sums.iter_mut().zip(&*block).for_each(|(sum, b)| *sum += b);
    }
}

pub mod plan;
#[cfg(test)]
mod tests;
