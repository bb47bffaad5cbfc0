//! Weights `[out, in, k, k]` as the right matrices of products, in strips of 16 columns ([`packed_index`]): in every
//! step of training, in evaluation once.
//!
//! Forward `[strip of outputs][tap][in][16]`, neighbours' outputs one after another ([`ConvGeometry::neighbours`]); in
//! evaluation with everything folded that stands around the convolution:
//! w'[tap, i, o] = w[o, i, tap]·(1 + a[i])·s[o], b'[o] = β[o] − μ[o]·s[o], where s = γ / sqrt(var + eps).
//! Backward, for each phase, `[strip of inputs][tap][out][16]`, taps in the order of the phase. Columns behind the last
//! are zero.

use rayon::prelude::*;

use super::conv::{Algorithm, ConvGeometry};
use super::norm::running_coefficients;
use super::scalar::Scalar;
use super::simd::wide;
use super::tile::packed_index;
use crate::exec::cpu::conv::tiling::{PATCH, STRIP};
use crate::ops::ParamId;
use crate::ops::{self, Statistics};

/// What is folded into a packed weight.
#[derive(Clone, Copy)]
pub struct Folded<'a> {
    pub alter: Option<&'a [f32]>,
    /// Factor for each output.
    pub scale: Option<&'a [f32]>,
}

impl Folded<'_> {
    /// Of an input channel; of a convolution along time the channels of each row that it sees follow one another.
    #[inline(always)]
    fn factor(&self, input: usize) -> f32 {
        self.alter.map_or(1.0, |a| 1.0 + a[input % a.len()])
    }
}

/// One branch's matrix.
pub fn forward<E: Scalar>(conv: &ConvGeometry, weight: &[f32], folded: Folded<'_>, w: &mut [E]) {
    let (inputs, outputs) = (conv.from.channels, conv.to.channels);
    let taps = conv.kernel * conv.kernel;
    let each = taps * inputs;
    if conv.algorithm == Algorithm::Winograd {
        patches((inputs, outputs), w, |input, output, tap| {
            let factor = folded.factor(input);
            let scale = folded.scale.map_or(1.0, |s| s[output]);
            weight[(output * inputs + input) * taps + tap] * factor * scale
        });
        return;
    }
    let (line, shift) = (conv.line(), conv.stride * inputs);
    let rows = conv.packed_rows(conv.kernel * line);
    let strips = w.par_chunks_mut(rows * STRIP).enumerate();
    strips.for_each(|(strip, w)| {
        w.fill(E::default());
        let columns = strip * STRIP..conv.columns().min((strip + 1) * STRIP);
        let mut rows_of = [0; STRIP];
        let mut scales = [1.0; STRIP];
        for (i, column) in columns.clone().enumerate() {
            rows_of[i] = column / outputs * shift;
            scales[i] = folded.scale.map_or(1.0, |s| s[column % outputs]);
        }
        // A cache line of each output at a time: outputs lie powers of two apart, and would drive each other's out.
        let mut values = [[0.0; STRIP]; BLOCK];
        for first in (0..each).step_by(BLOCK) {
            let count = BLOCK.min(each - first);
            for (i, column) in columns.clone().enumerate() {
                let of = &weight[column % outputs * each + first..][..count];
                let pairs = values.iter_mut().zip(of);
                pairs.for_each(|(values, &v)| values[i] = v);
            }
            for (of, values) in (first..first + count).zip(&values) {
                let (input, tap) = (of / taps, of % taps);
                let row = tap / conv.kernel * line + tap % conv.kernel * inputs + input;
                let factor = folded.factor(input);
                for i in 0..columns.len() {
                    let at = packed_index::<E>(rows, row + rows_of[i], i);
                    w[at] = E::round(values[i] * factor * scales[i]);
                }
            }
        }
    });
}

/// Values of an output that are packed at a time: a cache line.
const BLOCK: usize = 16;

/// G·g·Gᵀ of each kernel g, for minimal filtering: `[strip of columns][place][row][16]`, with `weight(row, column, tap)`.
fn patches<E: Scalar>(
    (rows, columns): (usize, usize),
    w: &mut [E],
    weight: impl Fn(usize, usize, usize) -> f32 + Sync,
) {
    let strips = w.par_chunks_mut(PATCH * PATCH * rows * STRIP).enumerate();
    strips.for_each(|(strip, w)| {
        let of_strip = strip * STRIP..columns.min((strip + 1) * STRIP);
        for row in 0..rows {
            let mut kernels = [[[0.0; STRIP]; 3]; 3];
            for (i, column) in of_strip.clone().enumerate() {
                for tap in 0..9 {
                    kernels[tap / 3][tap % 3][i] = weight(row, column, tap);
                }
            }
            wide(
                #[inline(always)]
                || patch(&kernels, (rows, row), w),
            );
        }
    });
}

/// A row of G·g·Gᵀ at all places.
#[inline(always)]
fn patch<E: Scalar>(&[a, b, c]: &[[[f32; STRIP]; 3]; 3], (rows, row): (usize, usize), w: &mut [E]) {
    let [a, b, c] = [spread(a), spread(b), spread(c)];
    for x in 0..PATCH {
        for (y, values) in spread([a[x], b[x], c[x]]).iter().enumerate() {
            let to = (y * PATCH + x) * rows + row;
            for (column, &value) in values.iter().enumerate() {
                let to = packed_index::<E>(PATCH * PATCH * rows, to, column);
                w[to] = E::round(value);
            }
        }
    }
}

/// G·g, of as many kernels as a strip has columns.
#[inline(always)]
fn spread([a, b, c]: [[f32; STRIP]; 3]) -> [[f32; STRIP]; PATCH] {
    let mut places = [a, [0.0; STRIP], [0.0; STRIP], c];
    for i in 0..STRIP {
        let outer = 0.5 * (a[i] + c[i]);
        places[1][i] = outer + 0.5 * b[i];
        places[2][i] = outer - 0.5 * b[i];
    }
    places
}

/// The matrices of all phases.
pub fn backward<E: Scalar>(conv: &ConvGeometry, weight: &[f32], w: &mut [E]) {
    let (inputs, outputs) = (conv.from.channels, conv.to.channels);
    let taps = conv.kernel * conv.kernel;
    if conv.algorithm == Algorithm::Winograd {
        // The gradient sees the kernel turned round.
        patches((outputs, inputs), w, |output, input, tap| {
            weight[(output * inputs + input) * taps + taps - 1 - tap]
        });
        return;
    }
    for phase in conv.phases() {
        let (lines, columns) = phase.gather.taps;
        let rows = conv.packed_rows(lines * columns * outputs);
        let matrix = &mut w[phase.offset..][..rows * inputs.next_multiple_of(STRIP)];
        let strips = matrix.par_chunks_mut((rows * STRIP).max(1));
        strips.enumerate().for_each(|(strip, w)| {
            w.fill(E::default());
            let of_strip = strip * STRIP..inputs.min((strip + 1) * STRIP);
            for output in 0..outputs {
                for index in 0..lines * columns {
                    let tap = conv.kernel_tap(&phase, index / columns, index % columns);
                    for (column, input) in of_strip.clone().enumerate() {
                        let value = weight[(output * inputs + input) * taps + tap];
                        let row = index * outputs + output;
                        let at = packed_index::<E>(rows, row, column);
                        w[at] = E::round(value);
                    }
                }
            }
        });
    }
}

/// The branch of each matrix that [`all_branches`] makes: without private parts the first stands for all.
fn matrices(branches: &[usize]) -> &[usize] {
    match branches {
        [] => &[0],
        branches => branches,
    }
}

/// What [`all_branches`] packs.
pub struct Packing<'a> {
    pub conv: &'a ConvGeometry,
    pub weight: &'a [f32],
    pub alter: &'a [ParamId],
    pub norm: Option<&'a ops::Norm>,
    /// Empty: one matrix without private parts.
    pub branches: &'a [usize],
}

/// A matrix and a bias for each branch.
pub fn all_branches<E: Scalar>(
    packing: &Packing<'_>,
    params: &[&[f32]],
    stats: &Statistics,
    w: &mut [E],
    b: &mut [f32],
) {
    let &Packing {
        conv,
        weight,
        alter,
        norm,
        branches,
    } = packing;
    let outputs = conv.to.channels;
    for (i, &branch) in matrices(branches).iter().enumerate() {
        let b = b.get_mut(i * outputs..(i + 1) * outputs);
        let mut coefficients = Vec::new();
        if let Some(norm) = norm {
            coefficients.resize(4 * outputs, 0.0);
            running_coefficients(norm, branch, params, stats, &mut coefficients);
        }
        let scale = coefficients.get(2 * outputs..3 * outputs);
        if let (Some(b), Some(scale)) = (b, scale) {
            for (o, b) in b.iter_mut().enumerate() {
                let (mean, shift) = (coefficients[o], coefficients[3 * outputs + o]);
                *b = shift - mean * scale[o];
            }
        }
        let alter = alter.get(branch).map(|&id| params[id]);
        let matrix = &mut w[i * conv.packed_forward()..(i + 1) * conv.packed_forward()];
        forward(conv, weight, Folded { alter, scale }, matrix);
    }
}
