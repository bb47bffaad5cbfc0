//! Layer norm: each pixel by itself, its sums in lanes whose order no vectors change.
//!
//! Backward the mean and the deviation are computed again, which costs less than to keep them. The gradients of weights and biases
//! are summed by lines of a row in float32, and the rows are combined in float64 in order.

use rayon::prelude::*;

use super::functions::sum;
use super::kernel::{Kernel, by_dtype};
use super::norm::frames_of_task;
use super::plan::Planner;
use super::scalar::Scalar;
use super::simd::wide;
use crate::ops::{Dtype, Extent, LayerNorm, Step};

/// μ and r of one pixel, whose values are copied to `floats`.
#[inline(always)]
fn moments<E: Scalar>(x: &[E], eps: f32, floats: &mut [f32]) -> (f32, f32) {
    for (float, value) in floats.iter_mut().zip(x) {
        *float = value.float();
    }
    let count = floats.len() as f32;
    let mean = sum(floats, floats, |a, _| a) / count;
    let squares = sum(floats, floats, |a, _| (a - mean) * (a - mean));
    (mean, 1.0 / (squares / count + eps).sqrt())
}

pub fn plan_forward(planner: &mut Planner<'_>, step: &Step, op: &LayerNorm) -> Option<()> {
    fn kernel<E: Scalar>(op: LayerNorm, extent: Extent) -> Kernel {
        Kernel::with_scratch(extent.shape.channels, move |buffers, context| {
            let branches = &context.batch.at(extent.rate).branch_of;
            let (row, channels) = (extent.shape.count(), extent.shape.channels);
            let (params, scratch, eps) = (context.params, context.scratch, op.eps as f32);
            let x = buffers.x::<E>(0);
            let rows = buffers.y::<E>().par_chunks_exact_mut(row);
            let rows = rows.zip(x.par_chunks_exact(row)).zip(branches);
            rows.with_min_len(frames_of_task(row))
                .for_each(|((y, x), &branch)| {
                    let of = op.of(branch);
                    let (weight, bias) = (params[of.weight], params[of.bias]);
                    scratch.with(|scratch| {
                        let floats = &mut scratch[..channels];
                        wide(
                            #[inline(always)]
                            || {
                                let pixels = y.chunks_exact_mut(channels);
                                for (y, x) in pixels.zip(x.chunks_exact(channels)) {
                                    let (mean, inverse) = moments(x, eps, floats);
                                    let affine = weight.iter().zip(bias);
                                    let values = y.iter_mut().zip(&*floats).zip(affine);
                                    for ((y, x), (weight, bias)) in values {
                                        *y = E::round((x - mean) * inverse * weight + bias);
                                    }
                                }
                            },
                        );
                    });
                });
        })
    }
    let extent = planner.extent(step.reads[0]);
    let kernel = by_dtype!(planner.common_dtype(step)?, E => kernel::<E>(op.clone(), extent));
    planner.task(step, kernel);
    Some(())
}

/// What a row's backward pass reads.
struct Row<'a, E> {
    dy: &'a [E],
    x: &'a [E],
    weight: &'a [f32],
    eps: f32,
    /// Values of a line.
    line: usize,
}

impl<E: Scalar> Row<'_, E> {
    /// dx, and the row's sums of dy·x̂ and dy. `room`: for four pixels.
    #[inline(always)]
    fn back(&self, dx: &mut [E], sums: &mut [f32], room: &mut [f32]) {
        let channels = self.weight.len();
        let (normal, rest) = room.split_at_mut(channels);
        let (scaled, lines) = rest.split_at_mut(channels);
        let lines = &mut lines[..2 * channels];
        let count = channels as f32;
        sums.fill(0.0);
        let inputs = self
            .dy
            .chunks_exact(self.line)
            .zip(self.x.chunks_exact(self.line));
        for (dx, (dy, x)) in dx.chunks_exact_mut(self.line).zip(inputs) {
            lines.fill(0.0);
            let (weights, biases) = lines.split_at_mut(channels);
            let inputs = dy.chunks_exact(channels).zip(x.chunks_exact(channels));
            for (dx, (dy, x)) in dx.chunks_exact_mut(channels).zip(inputs) {
                let (mean, inverse) = moments(x, self.eps, normal);
                for c in 0..channels {
                    let gradient = dy[c].float();
                    normal[c] = (normal[c] - mean) * inverse;
                    scaled[c] = gradient * self.weight[c];
                    weights[c] += gradient * normal[c];
                    biases[c] += gradient;
                }
                let mean = sum(scaled, scaled, |g, _| g) / count;
                let product = sum(scaled, normal, |g, n| g * n) / count;
                for c in 0..channels {
                    dx[c] = E::round(inverse * (scaled[c] - mean - normal[c] * product));
                }
            }
            sums.iter_mut().zip(&*lines).for_each(|(sum, v)| *sum += v);
        }
    }
}

pub fn plan_back(planner: &mut Planner<'_>, step: &Step, op: &LayerNorm) -> Option<()> {
    fn kernel<E: Scalar>(op: LayerNorm, extent: Extent) -> Kernel {
        let (shape, channels) = (extent.shape, extent.shape.channels);
        Kernel::with_scratch(4 * channels, move |buffers, context| {
            let branches = &context.batch.at(extent.rate).branch_of;
            let (row, params, scratch) = (shape.count(), context.params, context.scratch);
            let (dy, x) = (buffers.x::<E>(0), buffers.x::<E>(1));
            let [dx, partials] = buffers.outputs();
            let (dx, partials) = (dx.of::<E>(), partials.of::<f32>());
            let inputs = dy.par_chunks_exact(row).zip(x.par_chunks_exact(row));
            let outputs = dx.par_chunks_exact_mut(row);
            let outputs = outputs.zip(partials.par_chunks_exact_mut(2 * channels));
            let rows = outputs.zip(inputs).zip(branches);
            rows.with_min_len(frames_of_task(row))
                .for_each(|(((dx, sums), (dy, x)), &branch)| {
                    let row = Row {
                        dy,
                        x,
                        weight: params[op.of(branch).weight],
                        eps: op.eps as f32,
                        line: shape.width * channels,
                    };
                    scratch.with(|scratch| {
                        let room = &mut scratch[..4 * channels];
                        wide(
                            #[inline(always)]
                            || row.back(dx, sums, room),
                        );
                    });
                });
            for (index, of) in op.branches.iter().enumerate() {
                let is_own = |branch: usize| op.branches.len() == 1 || branch == index;
                for (part, param) in [of.weight, of.bias].into_iter().enumerate() {
                    let gradient = &mut *context.grads[param];
                    let rows = partials.chunks_exact(2 * channels).zip(branches);
                    let mut sums = vec![0.0; channels];
                    for (row, _) in rows.filter(|(_, branch)| is_own(**branch)) {
                        let values = &row[part * channels..][..channels];
                        let pairs = sums.iter_mut().zip(values);
                        pairs.for_each(|(sum, &v)| *sum += f64::from(v));
                    }
                    let pairs = gradient.iter_mut().zip(sums);
                    pairs.for_each(|(gradient, sum)| *gradient += sum as f32);
                }
            }
        })
    }
    let x = step.reads[1];
    let extent = planner.extent(x);
    let dtype = planner.common_dtype(step)?;
    let len = planner.layout(x).rows * 2 * extent.shape.channels;
    let partials = planner.workspace(step, "sums", len, Dtype::Float32);
    let kernel = by_dtype!(dtype, E => kernel::<E>(op.clone(), extent));
    planner.task_over(
        step,
        kernel,
        step.reads.clone(),
        vec![step.writes[0], partials],
    );
    Some(())
}
