//! Layer norms: `kernels/layer_norm.cu`.

use std::ops::Range;

use super::{Planner, wide};
use crate::exec::cuda::gpu::Grid;
use crate::exec::cuda::work::{Call, Operand};
use crate::ops::{Affine, BufferId, Dtype, LayerNorm, Step};

/// The rows that share a weight, and it.
fn normed(planner: &Planner<'_>, norm: &LayerNorm, x: BufferId) -> Vec<(Range<usize>, Affine)> {
    let rows = planner.of_branches(x, norm.branches.len() == 1).into_iter();
    rows.map(|(rows, branch)| (rows, norm.of(branch))).collect()
}

/// Values of a pixel, and pixels of a row.
fn sizes(planner: &Planner<'_>, x: BufferId) -> (usize, usize) {
    let shape = planner.extent(x).shape;
    (shape.channels, shape.pixels())
}

pub fn forward(planner: &mut Planner<'_>, step: &Step, norm: &LayerNorm) -> Option<()> {
    let (x, y) = (step.reads[0], step.writes[0]);
    let kernel = wide(
        "layer_norm",
        planner.common_dtype(step)?,
        &[planner.extent(x).shape.channels],
    );
    let (channels, pixels) = sizes(planner, x);
    let launch = |(rows, affine): (Range<usize>, Affine)| {
        let (first, lines) = (rows.start * pixels * channels, rows.len() * pixels);
        let operands = [
            Operand::from(x, first),
            Operand::Param(affine.weight),
            Operand::Param(affine.bias),
            Operand::Double(norm.eps),
            Operand::int(lines),
            Operand::int(channels),
            Operand::from(y, first),
        ];
        let values = channels;
        Call::launch(kernel, Grid::Lines { lines, values }, operands)
    };
    let work = normed(planner, norm, x).into_iter().map(launch).collect();
    planner.task(step, work);
    Some(())
}

/// dx, and the gradients of weights and biases.
pub fn back(planner: &mut Planner<'_>, step: &Step, norm: &LayerNorm) -> Option<()> {
    let (dy, x, dx) = (step.reads[0], step.reads[1], step.writes[0]);
    let dtype = planner.common_dtype(step)?;
    let (channels, pixels) = sizes(planner, x);
    let rows = planner.rows(x);
    let mut own = |what, len| planner.workspace(step, what, len, Dtype::Float32);
    let moments = own("moments", 2 * rows * pixels);
    let d_weight = own("weight.partials", rows * channels);
    let d_bias = own("bias.partials", rows * channels);
    let kernel = wide("layer_norm_back", dtype, &[channels]);
    let launch = |(rows, affine): &(Range<usize>, Affine)| {
        let (pixel, lines) = (rows.start * pixels, rows.len() * pixels);
        let operands = [
            Operand::from(dy, pixel * channels),
            Operand::from(x, pixel * channels),
            Operand::Param(affine.weight),
            Operand::Double(norm.eps),
            Operand::int(lines),
            Operand::int(channels),
            Operand::from(moments, 2 * pixel),
            Operand::from(dx, pixel * channels),
        ];
        let values = channels;
        Call::launch(kernel, Grid::Lines { lines, values }, operands)
    };
    let normed = normed(planner, norm, x);
    let mut work: Vec<Call> = normed.iter().map(launch).collect();
    let operands = [
        Operand::buffer(dy),
        Operand::buffer(x),
        Operand::buffer(moments),
        Operand::int(pixels),
        Operand::int(channels),
        Operand::buffer(d_bias),
        Operand::buffer(d_weight),
    ];
    let grid = Grid::Sums {
        channels,
        parts: rows,
    };
    work.push(Call::launch(
        wide("row_affine", dtype, &[channels]),
        grid,
        operands,
    ));
    for (rows, affine) in normed {
        for (partials, param) in [(d_bias, affine.bias), (d_weight, affine.weight)] {
            let from = Operand::from(partials, rows.start * channels);
            let gradient = Operand::Gradient(param);
            work.push(super::shift::add_rows(from, rows.len(), channels, gradient));
        }
    }
    planner.task_with(step, work, vec![moments, d_weight, d_bias]);
    Some(())
}
