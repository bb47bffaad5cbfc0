//! Batch norms: `kernels/norm.cu`.

use super::{Planner, flat, wide};
use crate::exec::cuda::gpu::{Grid, Kernel};
use crate::exec::cuda::work::{Call, Operand, Work};
use crate::ops::{BufferId, Dtype, Mask, Norm, NormGroup, Normalize, NormalizeBack, Rate, Step};

/// Rows of coefficients: mean, inverse, scale, bias.
const COEFFICIENTS: usize = 4;

pub fn batch_statistics(planner: &mut Planner<'_>, step: &Step, norm: &Norm) -> Option<()> {
    let (x, coefficients) = (step.reads[0], step.writes[0]);
    let (shape, rows) = (planner.extent(x).shape, planner.rows(x));
    let channels = shape.channels;
    let partials = planner.workspace(step, "statistics", rows * 2 * channels, Dtype::Float32);
    let sizes = [Operand::int(shape.pixels()), Operand::int(channels)];
    let operands = [
        Operand::buffer(x),
        sizes[0],
        sizes[1],
        Operand::buffer(partials),
    ];
    let kernel = wide("row_statistics", planner.dtype(x), &[channels]);
    let grid = Grid::Sums {
        channels,
        parts: rows,
    };
    let mut work = vec![Call::launch(kernel, grid, operands)];
    for (index, group) in groups(planner, x).iter().enumerate() {
        let of = norm.of(group.branch);
        let running = match group.updates {
            true => [Operand::RunningMean(of.stat), Operand::RunningVar(of.stat)],
            false => [Operand::Null; 2],
        };
        if group.updates {
            planner.own.counted.push(of.stat);
        }
        let operands = [
            Operand::from(partials, group.rows.start * 2 * channels),
            Operand::int(group.rows.len()),
            sizes[0],
            sizes[1],
            Operand::Param(of.weight),
            Operand::Param(of.bias),
            Operand::Double(norm.eps),
            running[0],
            running[1],
            Operand::from(coefficients, index * COEFFICIENTS * channels),
        ];
        work.push(of_group("group_statistics", channels, operands));
    }
    planner.task_with(step, work, vec![partials]);
    Some(())
}

fn groups(planner: &Planner<'_>, x: BufferId) -> Vec<NormGroup> {
    planner.layout(x).norm_groups.clone()
}

/// A kernel that sums over the rows of one group.
fn of_group(name: &'static str, channels: usize, operands: impl Into<Vec<Operand>>) -> Call {
    Call::launch(
        Kernel::plain(name),
        Grid::Sums { channels, parts: 1 },
        operands,
    )
}

pub fn running_statistics(planner: &mut Planner<'_>, step: &Step, norm: &Norm) -> Option<()> {
    let coefficients = step.writes[0];
    let channels = planner.extent(coefficients).shape.channels;
    let groups = planner.program.batch.at(Rate::FRAME).norm_groups.iter();
    let launch = |(index, group): (usize, &NormGroup)| {
        let of = norm.of(group.branch);
        let operands = [
            Operand::RunningMean(of.stat),
            Operand::RunningVar(of.stat),
            Operand::Param(of.weight),
            Operand::Param(of.bias),
            Operand::Double(norm.eps),
            Operand::int(channels),
            Operand::from(coefficients, index * COEFFICIENTS * channels),
        ];
        flat(Kernel::plain("running_statistics"), channels, operands)
    };
    let work: Work = groups.enumerate().map(launch).collect();
    planner.task(step, work);
    Some(())
}

pub fn normalize(planner: &mut Planner<'_>, step: &Step, op: &Normalize) -> Option<()> {
    let (x, coefficients, y) = (step.reads[0], step.reads[1], step.writes[0]);
    let residual = if op.residual {
        Some(step.reads[2])
    } else {
        None
    };
    let dtype = planner.common([x, y].into_iter().chain(residual))?;
    let channels = planner.extent(x).shape.channels;
    let operands = [
        Operand::buffer(x),
        Operand::buffer(coefficients),
        planner.groups(x),
        Operand::maybe(residual),
        Operand::flag(op.relu),
        Operand::int(planner.row(y)),
        Operand::int(channels),
        Operand::buffer(y),
    ];
    let kernel = wide("normalize", dtype, &[channels]);
    let launch = Call::launch(kernel, planner.grid(y), operands);
    planner.task(step, vec![launch]);
    Some(())
}

pub fn back(planner: &mut Planner<'_>, step: &Step, op: &NormalizeBack) -> Option<()> {
    let back = Back::of(planner, step, op)?;
    let (rows, channels) = (planner.rows(back.x), back.channels);
    let groups = groups(planner, back.x);
    // Behind the rows' sums come each group's means of both.
    let means = 2 * rows * channels;
    let len = means + 2 * groups.len() * channels;
    let partials = planner.workspace(step, "gradient.partials", len, Dtype::Float32);
    let table = planner.groups(back.x);
    let mut work = vec![back.row_gradients(rows, table, partials)];
    if !op.norm.frozen {
        for (index, group) in groups.iter().enumerate() {
            let of = op.norm.of(group.branch);
            let operands = [
                Operand::from(partials, group.rows.start * 2 * channels),
                Operand::int(group.rows.len()),
                Operand::int(back.pixels),
                Operand::int(channels),
                Operand::Gradient(of.bias),
                Operand::Gradient(of.weight),
                Operand::from(partials, means + index * 2 * channels),
            ];
            work.push(of_group("group_gradients", channels, operands));
        }
    }
    let means = match op.norm.frozen {
        true => Operand::Null,
        false => Operand::from(partials, means),
    };
    work.push(back.normalize_back(planner.grid(back.dx), table, means));
    planner.task_with(step, work, vec![partials]);
    Some(())
}

/// The buffers of a norm's gradient.
struct Back {
    dy: BufferId,
    x: BufferId,
    coefficients: BufferId,
    /// The output, whose sign is the mask.
    y: Option<BufferId>,
    /// Whether the mask is computed again.
    recomputed: bool,
    dx: BufferId,
    /// What passed the ReLU.
    kept: Option<BufferId>,
    dtype: Dtype,
    pixels: usize,
    channels: usize,
}

impl Back {
    fn of(planner: &Planner<'_>, step: &Step, op: &NormalizeBack) -> Option<Self> {
        let y = match op.mask {
            Mask::Output => Some(step.reads[3]),
            Mask::All | Mask::Recomputed => None,
        };
        let kept = if op.keeps { Some(step.writes[1]) } else { None };
        let (dy, x, dx) = (step.reads[0], step.reads[1], step.writes[0]);
        let shape = planner.extent(x).shape;
        Some(Self {
            dtype: planner.common([dy, x, dx].into_iter().chain(y).chain(kept))?,
            coefficients: step.reads[2],
            recomputed: op.mask == Mask::Recomputed,
            pixels: shape.pixels(),
            channels: shape.channels,
            dy,
            x,
            y,
            dx,
            kept,
        })
    }

    /// The sums of each row, and what passed the ReLU where somebody keeps it.
    fn row_gradients(&self, rows: usize, groups: Operand, partials: BufferId) -> Call {
        let operands = [
            Operand::buffer(self.dy),
            Operand::buffer(self.x),
            Operand::buffer(self.coefficients),
            groups,
            Operand::maybe(self.y),
            Operand::flag(self.recomputed),
            Operand::int(self.pixels),
            Operand::int(self.channels),
            Operand::maybe(self.kept),
            Operand::buffer(partials),
        ];
        let grid = Grid::Sums {
            channels: self.channels,
            parts: rows,
        };
        let kernel = wide("row_gradients", self.dtype, &[self.channels]);
        Call::launch(kernel, grid, operands)
    }

    fn normalize_back(&self, grid: Grid, groups: Operand, means: Operand) -> Call {
        // What passed the ReLU is written by now, where there is a buffer for it.
        let (dy, y, recomputed) = match self.kept {
            Some(kept) => (kept, None, false),
            None => (self.dy, self.y, self.recomputed),
        };
        let operands = [
            Operand::buffer(dy),
            Operand::buffer(self.x),
            Operand::buffer(self.coefficients),
            means,
            groups,
            Operand::maybe(y),
            Operand::flag(recomputed),
            Operand::int(self.pixels * self.channels),
            Operand::int(self.channels),
            Operand::buffer(self.dx),
        ];
        let kernel = wide("normalize_back", self.dtype, &[self.channels]);
        Call::launch(kernel, grid, operands)
    }
}
