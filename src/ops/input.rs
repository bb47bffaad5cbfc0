//! The input of a network: normalised frames, 3 × height × width, a row for each frame.

use super::{Extent, Layer, Lowering, Rate, Shape, Surroundings};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input;

impl Layer for Input {
    fn name(&self) -> &'static str {
        "input"
    }

    fn takes(&self, inputs: usize) -> bool {
        inputs == 0
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

    /// The caller writes it.
    fn lower(&self, at: &mut Lowering<'_>) {
        at.output();
    }
}
