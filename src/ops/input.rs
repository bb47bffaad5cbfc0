//! The input of a network: normalised frames, 3 × height × width, a row for each frame.

use super::{Extent, Layer, Lowering, ParamId, Rate, Shape, StatId, Surroundings};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input;

impl Layer for Input {
    fn name(&self) -> &'static str {
        "input"
    }

    fn takes(&self, inputs: usize) -> bool {
        inputs == 0
    }

    fn params(&self) -> Vec<ParamId> {
        Vec::new()
    }

    fn stats(&self) -> Vec<StatId> {
        Vec::new()
    }

    fn extent(&self, _: &[Extent], around: Surroundings<'_>) -> Result<Extent, String> {
        let (height, width) = around.input;
        let shape = Shape {
            channels: 3,
            height,
            width,
        };
        Ok(Extent {
            rate: Rate::FRAME,
            shape,
        })
    }

    fn row_multiply_adds(&self, _: Surroundings<'_>, _: Extent) -> u64 {
        0
    }

    /// The caller writes it.
    fn lower(&self, at: &mut Lowering<'_>) {
        at.output();
    }
}
