//! Functions of single values: `kernels/each.cu`.

use super::{Planner, flat, wide};
use crate::exec::cuda::work::Operand;
use crate::ops::{Each, EachBack, Step};

pub fn each(planner: &mut Planner<'_>, step: &Step, op: Each) -> Option<()> {
    let (name, constant) = match op {
        Each::Relu => ("relu", None),
        Each::Sigmoid => ("sigmoid", None),
        Each::Gelu => ("gelu", None),
        Each::Add(constant) => ("add_constant", Some(Operand::Float(constant as f32))),
    };
    queue(planner, step, name, constant)
}

pub fn each_back(planner: &mut Planner<'_>, step: &Step, op: EachBack) -> Option<()> {
    let name = match op {
        EachBack::Relu => "relu_back",
        EachBack::Sigmoid => "sigmoid_back",
        EachBack::Gelu => "gelu_back",
    };
    queue(planner, step, name, None)
}

fn queue(
    planner: &mut Planner<'_>,
    step: &Step,
    name: &'static str,
    constant: Option<Operand>,
) -> Option<()> {
    let dtype = planner.common_dtype(step)?;
    let y = step.writes[0];
    let length = planner.plan.places[y].len;
    let mut operands: Vec<Operand> = step.reads.iter().copied().map(Operand::buffer).collect();
    operands.extend(constant);
    operands.extend([Operand::Count(length), Operand::buffer(y)]);
    let launch = flat(wide(name, dtype, &[length]), length, operands);
    planner.task(step, vec![launch]);
    Some(())
}
