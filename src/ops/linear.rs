//! A linear layer over the channels of one pixel: y[o] = b[o] + Σ_i w[o, i] · x[i]; weight `[out, in]`.
//!
//! It is lowered to a [`Conv`] of a kernel of one value.

use super::{Conv, Extent, Layer, Lowering, ParamId, Surroundings};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Linear {
    pub weight: ParamId,
    pub bias: ParamId,
}

impl Linear {
    fn as_conv(&self) -> Conv {
        Conv {
            bias: Some(self.bias),
            ..Conv::of_images(self.weight, 1, 1)
        }
    }
}

impl Layer for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn params(&self) -> Vec<ParamId> {
        vec![self.weight, self.bias]
    }

    fn extent(&self, inputs: &[Extent], around: Surroundings<'_>) -> Result<Extent, String> {
        match inputs[0].shape.pixels() {
            1 => self.as_conv().extent(inputs, around),
            _ => Err(format!(
                "a linear layer takes features, not the pixels of {}",
                inputs[0]
            )),
        }
    }

    fn clip_multiply_adds(&self, around: Surroundings<'_>, output: Extent, frames: usize) -> u64 {
        self.as_conv().clip_multiply_adds(around, output, frames)
    }

    fn lower(&self, at: &mut Lowering<'_>) {
        at.single(self.as_conv());
    }
}
