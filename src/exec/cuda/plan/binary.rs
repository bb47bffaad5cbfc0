//! Functions of two values: `kernels/binary.cu`.

use super::{Planner, wide};
use crate::exec::cuda::work::{Call, Operand};
use crate::ops::{Binary, Step};

pub fn binary(planner: &mut Planner<'_>, step: &Step, op: Binary) -> Option<()> {
    let name = match op {
        Binary::Add => "add",
        Binary::Subtract => "subtract",
        Binary::Multiply => "multiply",
    };
    let (a, b, y) = (step.reads[0], step.reads[1], step.writes[0]);
    let dtype = planner.common([a, y])?;
    let (length, values) = (planner.row(a), planner.row(b));
    let operands = [
        Operand::buffer(a),
        Operand::buffer(b),
        planner.is_float32(b, dtype)?,
        Operand::int(length),
        Operand::int(values),
        Operand::buffer(y),
    ];
    let launch = Call::launch(wide(name, dtype, &[values]), planner.grid(y), operands);
    planner.task(step, vec![launch]);
    Some(())
}
