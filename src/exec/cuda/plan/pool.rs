//! Pooling over windows: `kernels/pool.cu`.

use super::{Planner, wide};
use crate::exec::cuda::work::{Call, Operand};
use crate::ops::{Pool, Pooled, Shape, Step};

/// A window, as the kernels take it.
fn window(pool: &Pool) -> [Operand; 3] {
    [pool.window, pool.stride, pool.padding].map(Operand::int)
}

pub fn forward(planner: &mut Planner<'_>, step: &Step, pool: &Pool) -> Option<()> {
    let (x, y) = (step.reads[0], step.writes[0]);
    let dtype = planner.common_dtype(step)?;
    let [from, to] = [x, y].map(|id| planner.extent(id).shape);
    let name = match pool.pooled {
        Pooled::Max => "max_pool",
        Pooled::Mean => "mean_pool",
    };
    let sizes = [from.height, from.width, to.width, to.count(), from.channels];
    let mut operands = vec![Operand::buffer(x)];
    operands.extend(window(pool));
    operands.extend(sizes.map(Operand::int));
    operands.push(Operand::buffer(y));
    let kernel = wide(name, dtype, &[from.channels]);
    let launch = Call::launch(kernel, planner.grid(y), operands);
    planner.task(step, vec![launch]);
    Some(())
}

pub fn back(planner: &mut Planner<'_>, step: &Step, pool: &Pool) -> Option<()> {
    let (dy, dx) = (step.reads[0], step.writes[0]);
    let dtype = planner.common_dtype(step)?;
    let [from, to] = [dx, dy].map(|id| planner.extent(id).shape);
    let (name, x) = match pool.pooled {
        Pooled::Max => ("max_pool_back", Some(step.reads[1])),
        Pooled::Mean => ("mean_pool_back", None),
    };
    let Shape {
        channels,
        height,
        width,
    } = from;
    let mut operands = vec![Operand::buffer(dy)];
    operands.extend(x.map(Operand::buffer));
    operands.extend(window(pool));
    operands.extend([height, width, to.height, to.width, channels].map(Operand::int));
    operands.push(Operand::buffer(dx));
    let launch = Call::launch(wide(name, dtype, &[channels]), planner.grid(dx), operands);
    planner.task(step, vec![launch]);
    Some(())
}
