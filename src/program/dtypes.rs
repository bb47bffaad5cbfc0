//! How activations are stored.

use super::{Numerics, Program};
use crate::ops::{Dtype, Mean, Rate, StepOp};

/// Activations are stored in the numerics' dtype; the input, frames of it, what is pooled to one pixel a row, what follows from that
/// alone, and coefficients stay float32.
pub fn assign(numerics: Numerics, program: &mut Program) {
    program.numerics = numerics;
    let mut pooled = vec![false; program.buffers.len()];
    for step in &program.forward {
        let is_pooling = matches!(step.op, StepOp::Mean(Mean::Pixels));
        // Coefficients of running statistics follow from nothing.
        let follows = step.reads.iter().any(|&x| pooled[x])
            && step
                .reads
                .iter()
                .all(|&x| pooled[x] || is_float32(program, x));
        let is_input = program.takes_images(step);
        for &y in &step.writes {
            pooled[y] = is_pooling || follows;
            program.buffers[y].dtype = match pooled[y] || is_input || is_float32(program, y) {
                true => Dtype::Float32,
                false => numerics.dtype(),
            };
        }
    }
}

fn is_float32(program: &Program, id: usize) -> bool {
    program.buffers[id].extent.rate == Rate::Group
}
