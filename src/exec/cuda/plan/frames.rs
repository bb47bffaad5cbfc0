//! Rows along time: `kernels/frames.cu`.

use super::{Planner, wide};
use crate::exec::cuda::gpu::Grid;
use crate::exec::cuda::work::{Call, Operand};
use crate::ops::{BufferId, Conv, Step, TakeFrames};

/// For each row that comes out the rows of x that lie side by side in it.
pub struct Gathered {
    /// How many.
    pub time: usize,
    sources: Vec<Option<usize>>,
}

impl Gathered {
    /// What the windows of a convolution along time see.
    pub fn by(planner: &Planner<'_>, conv: &Conv, x: BufferId, y: BufferId) -> Self {
        Self {
            time: conv.kernel[0],
            sources: conv.source_rows(planner.layout(x), planner.layout(y)),
        }
    }

    fn taken(planner: &Planner<'_>, rule: TakeFrames, x: BufferId, y: BufferId) -> Self {
        let [from, to] = [x, y].map(|id| planner.extent(id).rate);
        Self {
            time: 1,
            sources: rule.sources(&planner.program.batch, from, to),
        }
    }

    /// Rows that come out.
    pub fn rows(&self) -> usize {
        self.sources.len() / self.time
    }

    /// y from x, of the same dtype.
    pub fn gather(&self, planner: &mut Planner<'_>, x: BufferId, y: BufferId) -> Call {
        let (shape, length) = (planner.extent(x).shape, self.time * planner.row(x));
        let number = |source: &Option<usize>| source.map_or(-1, |row| row as i32);
        let sources = self.sources.iter().map(number).collect();
        let operands = [
            Operand::buffer(x),
            Operand::Table(planner.own.tables.of(sources)),
            Operand::int(self.time),
            Operand::int(length),
            Operand::int(shape.channels),
            Operand::buffer(y),
        ];
        let grid = Grid::Values {
            length,
            parts: self.rows(),
        };
        let kernel = wide("gather_rows", planner.dtype(x), &[shape.channels]);
        Call::launch(kernel, grid, operands)
    }

    /// dx from dy, of the same dtype.
    pub fn add_up(&self, planner: &mut Planner<'_>, dy: BufferId, dx: BufferId) -> Call {
        let shape = planner.extent(dx).shape;
        let readers = self.readers(planner.rows(dx));
        let operands = [
            Operand::buffer(dy),
            Operand::Table(planner.own.tables.of(readers)),
            Operand::int(self.time),
            Operand::int(shape.count()),
            Operand::int(shape.channels),
            Operand::buffer(dx),
        ];
        let kernel = wide("add_readers", planner.dtype(dx), &[shape.channels]);
        Call::launch(kernel, planner.grid(dx), operands)
    }

    /// For each of x's rows where its readers begin in this table, then where the last's end, then the readers.
    fn readers(&self, rows: usize) -> Vec<i32> {
        let mut readers = vec![Vec::new(); rows];
        for (reader, source) in self.sources.iter().enumerate() {
            if let Some(readers) = source.and_then(|row| readers.get_mut(row)) {
                readers.push(reader as i32);
            }
        }
        let mut end = rows as i32 + 1;
        let mut table = vec![end];
        for readers in &readers {
            end += readers.len() as i32;
            table.push(end);
        }
        table.extend(readers.into_iter().flatten());
        table
    }
}

pub fn forward(planner: &mut Planner<'_>, step: &Step, rule: TakeFrames) -> Option<()> {
    let (x, y) = (step.reads[0], step.writes[0]);
    planner.common_dtype(step)?;
    let call = Gathered::taken(planner, rule, x, y).gather(planner, x, y);
    planner.task(step, vec![call]);
    Some(())
}

pub fn back(planner: &mut Planner<'_>, step: &Step, rule: TakeFrames) -> Option<()> {
    let (dy, dx) = (step.reads[0], step.writes[0]);
    planner.common_dtype(step)?;
    let call = Gathered::taken(planner, rule, dx, dy).add_up(planner, dy, dx);
    planner.task(step, vec![call]);
    Some(())
}
