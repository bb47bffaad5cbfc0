//! Shift and alteration: `kernels/shift.cu`.

use std::ops::Range;

use super::{Planner, wide};
use crate::exec::cuda::gpu::{Grid, Kernel};
use crate::exec::cuda::work::{Call, Operand, Work};
use crate::ops::{BufferId, Dtype, ParamId, Shape, Step, shift_fold};

/// The shift of rows of a shape; with `adjoint` the transposed one.
#[derive(Clone, Copy)]
struct Shift {
    shape: Shape,
    /// Channels that come from the next row, and as many from the previous one.
    fold: usize,
    adjoint: bool,
    dtype: Dtype,
}

impl Shift {
    fn of(shape: Shape, div: Option<usize>, dtype: Dtype) -> Self {
        Self {
            shape,
            fold: div.map_or(0, |div| shift_fold(shape.channels, div)),
            adjoint: false,
            dtype,
        }
    }

    /// A thread's values come from one row: neither a pixel nor a fold may end within them.
    fn kernel(&self, name: &'static str) -> Kernel {
        wide(name, self.dtype, &[self.shape.channels, self.fold])
    }

    /// Some rows. `operands`: x, the rows' spans, the alteration, what is added, and y, all from the first of the rows on.
    fn rows(&self, rows: usize, [x, spans, alter, add, y]: [Operand; 5]) -> Call {
        let length = self.shape.count();
        let operands = [
            x,
            spans,
            alter,
            add,
            Operand::flag(self.adjoint),
            Operand::int(self.fold),
            Operand::int(length),
            Operand::int(self.shape.channels),
            y,
        ];
        let grid = Grid::Values {
            length,
            parts: rows,
        };
        Call::launch(self.kernel("shift_alter"), grid, operands)
    }

    /// All rows, those of each branch by its own alteration.
    fn branches(
        &self,
        planner: &mut Planner<'_>,
        alter: &[ParamId],
        [x, y]: [BufferId; 2],
        add: Option<BufferId>,
    ) -> Work {
        let mut work = Work::new();
        for (rows, alter) in altered(planner, alter, x) {
            let first = rows.start * self.shape.count();
            let operands = [
                Operand::from(x, first),
                planner.spans(x, rows.start),
                Operand::param(alter),
                add.map_or(Operand::Null, |add| Operand::from(add, first)),
                Operand::from(y, first),
            ];
            work.push(self.rows(rows.len(), operands));
        }
        work
    }
}

/// The rows that share an alteration, and it.
fn altered(
    planner: &Planner<'_>,
    alter: &[ParamId],
    x: BufferId,
) -> Vec<(Range<usize>, Option<ParamId>)> {
    let rows = planner.of_branches(x, alter.is_empty()).into_iter();
    rows.map(|(rows, branch)| (rows, alter.get(branch).copied()))
        .collect()
}

/// A shifted copy.
pub fn copy(planner: &mut Planner<'_>, div: usize, (x, y): (BufferId, BufferId)) -> Call {
    let shift = Shift::of(planner.extent(x).shape, Some(div), planner.dtype(x));
    let spans = planner.spans(x, 0);
    let [from, to] = [x, y].map(Operand::buffer);
    shift.rows(
        planner.rows(x),
        [from, spans, Operand::Null, Operand::Null, to],
    )
}

/// y = (1 + a)·S(x), either of which may be missing.
pub fn forward(
    planner: &mut Planner<'_>,
    step: &Step,
    div: Option<usize>,
    alter: &[ParamId],
) -> Option<()> {
    let (x, y) = (step.reads[0], step.writes[0]);
    let shift = Shift::of(planner.extent(x).shape, div, planner.common_dtype(step)?);
    let work = shift.branches(planner, alter, [x, y], None);
    planner.task(step, work);
    Some(())
}

/// dx from dy, x if there is an alteration, and what is added if the step reads more.
pub fn back(
    planner: &mut Planner<'_>,
    step: &Step,
    div: Option<usize>,
    alter: &[ParamId],
) -> Option<()> {
    let (dy, dx) = (step.reads[0], step.writes[0]);
    let shift = Shift::of(planner.extent(dy).shape, div, planner.common_dtype(step)?);
    let (mut work, mut workspaces) = (Work::new(), Vec::new());
    if !alter.is_empty() {
        let len = planner.rows(dy) * shift.shape.channels;
        let partials = planner.workspace(step, "gradient.partials", len, Dtype::Float32);
        let buffers = [step.reads[1], dy, partials];
        work = alteration_gradients(planner, shift, alter, buffers);
        workspaces.push(partials);
    }
    let added = step.reads.get(1 + usize::from(!alter.is_empty())).copied();
    let adjoint = Shift {
        adjoint: true,
        ..shift
    };
    work.extend(adjoint.branches(planner, alter, [dy, dx], added));
    planner.task_with(step, work, workspaces);
    Some(())
}

fn alteration_gradients(
    planner: &mut Planner<'_>,
    shift: Shift,
    alter: &[ParamId],
    [x, dy, partials]: [BufferId; 3],
) -> Work {
    let (channels, pixels) = (shift.shape.channels, shift.shape.pixels());
    let operands = [
        Operand::buffer(x),
        Operand::buffer(dy),
        planner.spans(x, 0),
        Operand::int(shift.fold),
        Operand::int(pixels),
        Operand::int(channels),
        Operand::buffer(partials),
    ];
    let grid = Grid::Sums {
        channels,
        parts: planner.rows(x),
    };
    let mut work = vec![Call::launch(
        shift.kernel("row_alterations"),
        grid,
        operands,
    )];
    for (rows, alter) in altered(planner, alter, x) {
        if let Some(alter) = alter {
            let from = Operand::from(partials, rows.start * channels);
            work.push(add_rows(
                from,
                rows.len(),
                channels,
                Operand::Gradient(alter),
            ));
        }
    }
    work
}

/// gradient += Σ rows, which are float32.
pub fn add_rows(rows: Operand, count: usize, channels: usize, gradient: Operand) -> Call {
    let operands = [rows, Operand::int(count), Operand::int(channels), gradient];
    let grid = Grid::Sums { channels, parts: 1 };
    Call::launch(Kernel::plain("add_rows"), grid, operands)
}
