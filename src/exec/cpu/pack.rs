//! Weights `[out, in, k, k]` as the right matrices of products, packed anew in every step.
//!
//! Forward `[tap, in, out]`; in evaluation with everything folded that stands around the convolution:
//! w'[tap, i, o] = w[o, i, tap]·(1 + a[i])·s[o], b'[o] = β[o] − μ[o]·s[o], where s = γ / sqrt(var + eps).
//! Backward `[tap, out, in]`, taps in the order of the phases.

use rayon::prelude::*;

use super::norm::running_coefficients;
use crate::exec::Statistics;
use crate::graph::ParamId;
use crate::program::{ConvGeometry, Norm};

/// Inputs that are packed together: reads of neighbouring inputs share cache lines.
const INPUTS: usize = 16;

/// What is folded into a packed weight.
#[derive(Clone, Copy)]
pub struct Folded<'a> {
    pub alter: Option<&'a [f32]>,
    /// Factor for each output.
    pub scale: Option<&'a [f32]>,
}

/// One branch's matrix.
pub fn forward(conv: &ConvGeometry, weight: &[f32], folded: Folded<'_>, w: &mut [f32]) {
    let (inputs, outputs) = (conv.from.channels, conv.to.channels);
    let taps = conv.kernel * conv.kernel;
    w.par_chunks_mut(inputs * outputs)
        .enumerate()
        .for_each(|(tap, w)| {
            let blocks = w.par_chunks_mut(INPUTS * outputs).enumerate();
            blocks.for_each(|(block, w)| {
                let first = block * INPUTS;
                for output in 0..outputs {
                    let scale = folded.scale.map_or(1.0, |s| s[output]);
                    for (i, row) in w.chunks_exact_mut(outputs).enumerate() {
                        let input = first + i;
                        let value = weight[(output * inputs + input) * taps + tap];
                        row[output] = value * folded.alter.map_or(1.0, |a| 1.0 + a[input]) * scale;
                    }
                }
            });
        });
}

/// The matrices of all phases.
pub fn backward(conv: &ConvGeometry, weight: &[f32], w: &mut [f32]) {
    let (inputs, outputs) = (conv.from.channels, conv.to.channels);
    let taps = conv.kernel * conv.kernel;
    let mut rest = w;
    for phase in conv.phases() {
        for index in 0..phase.gather.taps.0 * phase.gather.taps.1 {
            let (y, x) = (index / phase.gather.taps.1, index % phase.gather.taps.1);
            let tap = conv.kernel_tap(&phase, y, x);
            let (matrix, others) = std::mem::take(&mut rest).split_at_mut(inputs * outputs);
            rest = others;
            let rows = matrix.par_chunks_mut(inputs).enumerate();
            rows.for_each(|(output, row)| {
                let from = weight[output * inputs * taps..][..inputs * taps].iter();
                let values = from.skip(tap).step_by(taps);
                row.iter_mut().zip(values).for_each(|(to, v)| *to = *v);
            });
        }
    }
}

/// What [`all_branches`] packs.
pub struct Packing<'a> {
    pub conv: &'a ConvGeometry,
    pub weight: &'a [f32],
    pub bias: Option<&'a [f32]>,
    pub alter: &'a [ParamId],
    pub norm: Option<&'a Norm>,
    /// Empty: one matrix without private parts.
    pub branches: &'a [usize],
}

/// A matrix and a bias for each branch.
pub fn all_branches(
    packing: &Packing<'_>,
    params: &[&[f32]],
    stats: &Statistics,
    w: &mut [f32],
    b: &mut [f32],
) {
    let &Packing {
        conv,
        weight,
        bias,
        alter,
        norm,
        branches,
    } = packing;
    let outputs = conv.to.channels;
    let first = [0];
    let branches = if branches.is_empty() {
        &first
    } else {
        branches
    };
    for (i, &branch) in branches.iter().enumerate() {
        let b = b.get_mut(i * outputs..(i + 1) * outputs);
        let mut coefficients = Vec::new();
        if let Some(norm) = norm {
            coefficients.resize(4 * outputs, 0.0);
            running_coefficients(norm.of(branch), params, stats, &mut coefficients);
        }
        let scale = coefficients.get(2 * outputs..3 * outputs);
        match (b, scale) {
            (Some(b), Some(scale)) => {
                for (o, b) in b.iter_mut().enumerate() {
                    let (mean, shift) = (coefficients[o], coefficients[3 * outputs + o]);
                    *b = shift - mean * scale[o];
                }
            }
            (Some(b), None) => b.copy_from_slice(bias.unwrap_or(&[])),
            (None, _) => {}
        }
        let alter = alter.get(branch).map(|&id| params[id]);
        let matrix = &mut w[i * conv.weights()..(i + 1) * conv.weights()];
        forward(conv, weight, Folded { alter, scale }, matrix);
    }
}
