//! Convolutions as products of matrices.
//!
//! With pixels as rows (NHWC), G(x) the windows `[pixels, taps·in]` and W the weight `[taps·in, out]`:
//!
//! forward          y  = G(x)·W (+ b) (+ residual), ReLU
//! input's gradient dx = G'(dy)·W', one product for each phase of the stride ([`tiling::Phase`])
//! weight's         dW = G(x)ᵀ·dy (`weight_gradient`)
//!
//! G is not made: [`super::product`] reads windows where they lie. Images of few channels have a border of zeros
//! ([`ConvGeometry::bordered`]), so that a line of a window is one piece. Each row of a product is computed by itself, so cuts
//! into tasks change no bit.
//!
//! Check: `cargo test --lib exec::cpu::conv`; time: `ffn bench train EXPERIMENT --profile`.

pub mod geometry;
pub mod plan;
pub mod tiling;
mod weight_gradient;
mod winograd;

pub use geometry::{Algorithm, ConvGeometry};
pub use weight_gradient::{WeightGradient, back_bias};

use std::ops::Range;

use rayon::prelude::*;

use self::winograd::Winograd;
use super::amx;
use super::gather::Shifted;
use super::memory::Scratch;
use super::product::{Finish, Product, Target};
use super::scalar::{PackAs, Scalar, bf16};
use crate::exec::cpu::amx::blocks;
use crate::exec::cpu::conv::tiling::{Phase, task_rows};

/// y = x ∗ w + bias + residual, ReLU.
#[derive(Clone, Copy)]
pub struct Forward<'a, X, Y> {
    pub conv: &'a ConvGeometry,
    pub x: &'a [X],
    /// By [`super::pack::forward`].
    pub w: &'a [X],
    /// The shift in time of the input, if any.
    pub shifted: Option<Shifted<'a>>,
    /// The residual holds all frames, as y does.
    pub finish: Finish<'a, Y>,
}

impl<X: Scalar, Y: Scalar> Forward<'_, X, Y> {
    /// The frames `frames` of `y`, which holds all frames.
    pub fn run<P: Products<X, Y>>(&self, frames: Range<usize>, y: &mut [Y], scratch: &Scratch) {
        if self.conv.algorithm == Algorithm::Winograd {
            let product = Winograd {
                source: self.conv.from,
                columns: self.conv.to.channels,
                x: self.x,
                w: self.w,
                finish: self.finish,
            };
            return product.run(frames, y, scratch);
        }
        let (plan, columns) = (self.conv.gather(), self.conv.columns());
        let (neighbours, mut finish) = (self.conv.neighbours(), self.finish);
        let bias = finish.bias.filter(|_| neighbours > 1);
        let bias = bias.map(|bias| bias.repeat(neighbours));
        finish.bias = bias.as_deref().or(finish.bias);
        let rows = frames.start * plan.rows()..frames.end * plan.rows();
        let task = P::task_rows(rows.len());
        let tasks = y[rows.start * columns..rows.end * columns].par_chunks_mut(task * columns);
        tasks.enumerate().for_each(|(i, y)| {
            let first = rows.start + i * task;
            let rows = first..first + y.len() / columns;
            let product = Product {
                plan: &plan,
                x: self.x,
                shifted: self.shifted,
                w: self.w,
                columns,
                finish,
            };
            let place = |row: usize| (row - first) * columns;
            scratch.with(|scratch| P::run(&product, rows, Target { y, place, scratch }));
        });
    }
}

/// dx from dy.
#[derive(Clone, Copy)]
pub struct DataGradient<'a, E> {
    pub conv: &'a ConvGeometry,
    pub dy: &'a [E],
    /// By [`super::pack::backward`].
    pub w: &'a [E],
}

impl<E: Scalar> DataGradient<'_, E> {
    pub fn run<P: Products<E, E>>(&self, dx: &mut [E], scratch: &Scratch) {
        if self.conv.algorithm == Algorithm::Winograd {
            let product = Winograd {
                source: self.conv.to,
                columns: self.conv.from.channels,
                x: self.dy,
                w: self.w,
                finish: Finish::NONE,
            };
            let frames = dx.len() / self.conv.from.count();
            return product.run(0..frames, dx, scratch);
        }
        let channels = self.conv.from.channels;
        if self.conv.stride > 1 {
            self.by_phases::<P>(dx, scratch);
            return;
        }
        for phase in self.conv.phases() {
            let task = P::task_rows(dx.len() / channels);
            let tasks = dx.par_chunks_mut(task * channels).enumerate();
            tasks.for_each(|(i, dx)| {
                let rows = i * task..i * task + dx.len() / channels;
                let place = |row: usize| (row - i * task) * channels;
                let product = self.product(&phase);
                scratch.with(|scratch| {
                    let y = &mut *dx;
                    P::run(&product, rows, Target { y, place, scratch });
                });
            });
        }
    }

    /// Each task takes whole frames, whose pixels the phases share among them.
    fn by_phases<P: Products<E, E>>(&self, dx: &mut [E], scratch: &Scratch) {
        let (from, stride) = (self.conv.from, self.conv.stride);
        let frames = self.conv.back_task_frames();
        let tasks = dx.par_chunks_mut(frames * from.count()).enumerate();
        tasks.for_each(|(i, dx)| {
            let count = dx.len() / from.count();
            for phase in self.conv.phases() {
                let plan = &phase.gather;
                let first = i * frames * plan.rows();
                let place = |row: usize| {
                    let (frame, position) = ((row - first) / plan.rows(), row % plan.rows());
                    let y = position / plan.grid.1 * stride + phase.at.0;
                    let x = position % plan.grid.1 * stride + phase.at.1;
                    ((frame * from.height + y) * from.width + x) * from.channels
                };
                let rows = first..first + count * plan.rows();
                let product = self.product(&phase);
                scratch.with(|scratch| {
                    let y = &mut *dx;
                    P::run(&product, rows, Target { y, place, scratch });
                });
            }
        });
    }

    fn product<'a>(&'a self, phase: &'a Phase) -> Product<'a, E, E> {
        Product {
            plan: &phase.gather,
            x: self.dy,
            shifted: None,
            w: &self.w[phase.offset..],
            columns: self.conv.from.channels,
            finish: Finish::NONE,
        }
    }
}

/// How a convolution's products are computed, those by minimal filtering apart.
pub trait Products<X, Y> {
    /// Rows of one task of a product of `rows` rows.
    fn task_rows(rows: usize) -> usize;

    /// Some rows; row r goes to `y[place(r)..]`.
    fn run<P: Fn(usize) -> usize>(
        product: &Product<'_, X, Y>,
        rows: Range<usize>,
        target: Target<'_, Y, P>,
    );

    /// The weight's gradient as `[out, in, k, k]`; `partials`: room for [`ConvGeometry::weight_partials`].
    fn weight_gradient(
        product: &WeightGradient<'_, X, Y>,
        partials: &mut [f32],
        gradient: &mut [f32],
        scratch: &Scratch,
    );
}

/// [`Algorithm::Direct`]
pub struct Direct;

impl<X: PackAs<X>, Y: PackAs<X>> Products<X, Y> for Direct {
    fn task_rows(rows: usize) -> usize {
        task_rows(rows)
    }

    fn run<P: Fn(usize) -> usize>(
        product: &Product<'_, X, Y>,
        rows: Range<usize>,
        target: Target<'_, Y, P>,
    ) {
        product.run(rows, target);
    }

    fn weight_gradient(
        product: &WeightGradient<'_, X, Y>,
        partials: &mut [f32],
        gradient: &mut [f32],
        scratch: &Scratch,
    ) {
        product.run(partials, gradient, scratch);
    }
}

/// [`Algorithm::Amx`]
pub struct Blocks;

impl Products<bf16, bf16> for Blocks {
    fn task_rows(rows: usize) -> usize {
        blocks::task_rows(rows)
    }

    fn run<P: Fn(usize) -> usize>(
        product: &Product<'_, bf16, bf16>,
        rows: Range<usize>,
        target: Target<'_, bf16, P>,
    ) {
        amx::product::run(product, rows, target);
    }

    fn weight_gradient(
        product: &WeightGradient<'_, bf16, bf16>,
        partials: &mut [f32],
        gradient: &mut [f32],
        scratch: &Scratch,
    ) {
        amx::weight_gradient::run(product, partials, gradient, scratch);
    }
}

#[cfg(test)]
mod tests;
