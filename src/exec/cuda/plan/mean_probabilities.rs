//! Averaged probabilities: `kernels/mean_probabilities.cu`.

use super::{Planner, wide};
use crate::exec::cuda::gpu::Grid;
use crate::exec::cuda::work::{Call, Operand};
use crate::ops::{BufferId, Dtype, Step};

/// ln Σ exp of each pixel of x, in a workspace; pixels of a row; channels.
struct Sums {
    id: BufferId,
    call: Call,
    pixels: usize,
    channels: usize,
}

fn sums(planner: &mut Planner<'_>, step: &Step, x: BufferId) -> Sums {
    let shape = planner.extent(x).shape;
    let (pixels, channels) = (shape.pixels(), shape.channels);
    let lines = planner.rows(x) * pixels;
    let id = planner.workspace(step, "sums", lines, Dtype::Float32);
    let operands = [
        Operand::buffer(x),
        Operand::int(lines),
        Operand::int(channels),
        Operand::buffer(id),
    ];
    let values = channels;
    let kernel = wide("log_sums", planner.dtype(x), &[channels]);
    Sums {
        id,
        call: Call::launch(kernel, Grid::Lines { lines, values }, operands),
        pixels,
        channels,
    }
}

pub fn forward(planner: &mut Planner<'_>, step: &Step) -> Option<()> {
    let (x, y) = (step.reads[0], step.writes[0]);
    let dtype = planner.dtype(x);
    let is_float32 = planner.is_float32(y, dtype)?;
    let sums = sums(planner, step, x);
    let operands = [
        Operand::buffer(x),
        Operand::buffer(sums.id),
        Operand::int(sums.pixels),
        Operand::int(sums.channels),
        is_float32,
        Operand::buffer(y),
    ];
    let kernel = wide("mean_probabilities", dtype, &[sums.channels]);
    let means = Call::launch(kernel, planner.grid(y), operands);
    planner.task_with(step, vec![sums.call, means], vec![sums.id]);
    Some(())
}

pub fn back(planner: &mut Planner<'_>, step: &Step) -> Option<()> {
    let (dy, x, y) = (step.reads[0], step.reads[1], step.reads[2]);
    let dx = step.writes[0];
    let dtype = planner.common([x, dx])?;
    let [of_dy, of_y] = [dy, y].map(|id| planner.is_float32(id, dtype));
    let (of_dy, of_y) = (of_dy?, of_y?);
    let sums = sums(planner, step, x);
    let lines = planner.rows(x) * sums.pixels;
    let operands = [
        Operand::buffer(dy),
        of_dy,
        Operand::buffer(x),
        Operand::buffer(y),
        of_y,
        Operand::buffer(sums.id),
        Operand::int(lines),
        Operand::int(sums.pixels),
        Operand::int(sums.channels),
        Operand::buffer(dx),
    ];
    let values = sums.channels;
    let kernel = wide("mean_probabilities_back", dtype, &[values]);
    let gradients = Call::launch(kernel, Grid::Lines { lines, values }, operands);
    planner.task_with(step, vec![sums.call, gradients], vec![sums.id]);
    Some(())
}
