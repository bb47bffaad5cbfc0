//! Channels taken apart and put together: `kernels/channels.cu`.

use super::{Planner, wide};
use crate::exec::cuda::gpu::Grid;
use crate::exec::cuda::work::{Call, Operand, Work};
use crate::ops::{BufferId, Dtype, Step};

/// `count` channels from `from` on in x go to y from `to` on.
#[derive(Clone, Copy)]
struct Copy {
    x: BufferId,
    y: BufferId,
    from: usize,
    to: usize,
    count: usize,
}

impl Copy {
    fn launch(self, planner: &Planner<'_>, dtype: Dtype) -> Call {
        let [inputs, outputs] = [self.x, self.y].map(|id| planner.extent(id).shape.channels);
        let length = planner.extent(self.x).shape.pixels() * self.count;
        let operands = [
            Operand::buffer(self.x),
            Operand::int(inputs),
            Operand::int(self.from),
            Operand::int(self.count),
            Operand::int(length),
            Operand::int(outputs),
            Operand::int(self.to),
            Operand::buffer(self.y),
        ];
        let counts = [inputs, outputs, self.from, self.to, self.count];
        let parts = planner.rows(self.x);
        let kernel = wide("copy_channels", dtype, &counts);
        Call::launch(kernel, Grid::Values { length, parts }, operands)
    }
}

pub fn slice(planner: &mut Planner<'_>, step: &Step, first: usize) -> Option<()> {
    let (x, y) = (step.reads[0], step.writes[0]);
    let dtype = planner.common_dtype(step)?;
    let copy = Copy {
        x,
        y,
        from: first,
        to: 0,
        count: planner.extent(y).shape.channels,
    };
    let launch = copy.launch(planner, dtype);
    planner.task(step, vec![launch]);
    Some(())
}

pub fn concat(planner: &mut Planner<'_>, step: &Step) -> Option<()> {
    let dtype = planner.common_dtype(step)?;
    let (mut work, mut to) = (Work::new(), 0);
    for &x in &step.reads {
        let count = planner.extent(x).shape.channels;
        let copy = Copy {
            x,
            y: step.writes[0],
            from: 0,
            to,
            count,
        };
        work.push(copy.launch(planner, dtype));
        to += count;
    }
    planner.task(step, work);
    Some(())
}

pub fn pad(planner: &mut Planner<'_>, step: &Step, first: usize) -> Option<()> {
    let (x, y) = (step.reads[0], step.writes[0]);
    let dtype = planner.common_dtype(step)?;
    let [count, channels] = [x, y].map(|id| planner.extent(id).shape.channels);
    let operands = [
        Operand::buffer(x),
        Operand::int(first),
        Operand::int(count),
        Operand::int(planner.row(y)),
        Operand::int(channels),
        Operand::buffer(y),
    ];
    let kernel = wide("pad_channels", dtype, &[first, count, channels]);
    let launch = Call::launch(kernel, planner.grid(y), operands);
    planner.task(step, vec![launch]);
    Some(())
}
