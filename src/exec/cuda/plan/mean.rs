//! Means, and sums over pixels: `kernels/mean.cu`.

use super::{Planner, wide};
use crate::exec::cuda::gpu::Grid;
use crate::exec::cuda::work::{Call, Operand, Work};
use crate::ops::{BufferId, Mean, Step};

/// y[row] = Σ a / divisor over the row's pixels, or Σ a·b / divisor. y's values are those of as many pixels as it is shorter.
pub fn row_sums(
    planner: &Planner<'_>,
    (a, b): (BufferId, Option<BufferId>),
    divisor: f32,
    y: BufferId,
) -> Option<Call> {
    let dtype = planner.common([a].into_iter().chain(b))?;
    let rows = planner.rows(a);
    let channels = planner.plan.places[y].len / rows.max(1);
    let operands = [
        Operand::buffer(a),
        Operand::maybe(b),
        Operand::int(planner.row(a) / channels.max(1)),
        Operand::int(channels),
        Operand::Float(divisor),
        planner.is_float32(y, dtype)?,
        Operand::buffer(y),
    ];
    let grid = Grid::Sums {
        channels,
        parts: rows,
    };
    Some(Call::launch(
        wide("sum_pixels", dtype, &[channels]),
        grid,
        operands,
    ))
}

/// y = ±Σ x over pixels.
pub fn sum_pixels(planner: &mut Planner<'_>, step: &Step, negated: bool) -> Option<()> {
    let divisor = if negated { -1.0 } else { 1.0 };
    let sums = row_sums(planner, (step.reads[0], None), divisor, step.writes[0])?;
    planner.task(step, vec![sums]);
    Some(())
}

/// y = Σ a·b over pixels.
pub fn sum_products(planner: &mut Planner<'_>, step: &Step) -> Option<()> {
    let (a, b) = (step.reads[0], step.reads[1]);
    let sums = row_sums(planner, (a, Some(b)), 1.0, step.writes[0])?;
    planner.task(step, vec![sums]);
    Some(())
}

pub fn forward(planner: &mut Planner<'_>, step: &Step, mean: Mean) -> Option<()> {
    let (x, y) = (step.reads[0], step.writes[0]);
    let work = match mean {
        Mean::Pixels => {
            let pixels = planner.extent(x).shape.pixels();
            vec![row_sums(planner, (x, None), pixels as f32, y)?]
        }
        Mean::Rows => {
            let (dtype, length) = (planner.dtype(x), planner.row(x));
            let is_float32 = planner.is_float32(y, dtype)?;
            let kernel = wide("mean_rows", dtype, &[length]);
            let launch = |clips: &Clips| {
                let operands = [
                    Operand::from(x, clips.row * length),
                    Operand::int(clips.rows),
                    Operand::int(length),
                    is_float32,
                    Operand::from(y, clips.first * length),
                ];
                let parts = clips.count;
                Call::launch(kernel, Grid::Values { length, parts }, operands)
            };
            clips(planner, x).iter().map(launch).collect::<Work>()
        }
    };
    planner.task(step, work);
    Some(())
}

pub fn back(planner: &mut Planner<'_>, step: &Step, mean: Mean) -> Option<()> {
    let (dy, dx) = (step.reads[0], step.writes[0]);
    let dtype = planner.dtype(dx);
    let is_float32 = planner.is_float32(dy, dtype)?;
    let values = planner.row(dy);
    let parts = match mean {
        Mean::Pixels => vec![Clips {
            row: 0,
            first: 0,
            rows: planner.extent(dx).shape.pixels(),
            count: planner.rows(dx),
        }],
        Mean::Rows => clips(planner, dx),
    };
    let launch = |clips: Clips| {
        let length = clips.rows * values;
        let operands = [
            Operand::from(dy, clips.first * values),
            is_float32,
            Operand::int(clips.rows),
            Operand::int(length),
            Operand::int(values),
            Operand::from(dx, clips.row * values),
        ];
        let parts = clips.count;
        let kernel = wide("mean_back", dtype, &[values]);
        Call::launch(kernel, Grid::Values { length, parts }, operands)
    };
    let work: Work = parts.into_iter().map(launch).collect();
    planner.task(step, work);
    Some(())
}

/// Clips of as many rows each: the first of all rows, of all clips, and how many.
struct Clips {
    row: usize,
    first: usize,
    rows: usize,
    count: usize,
}

fn clips(planner: &Planner<'_>, x: BufferId) -> Vec<Clips> {
    let mut first = 0;
    let clips = planner.layout(x).segments.iter().map(|segment| {
        let clips = Clips {
            row: segment.rows.start,
            first,
            rows: segment.clip,
            count: segment.rows.len() / segment.clip,
        };
        first += clips.count;
        clips
    });
    clips.collect()
}
