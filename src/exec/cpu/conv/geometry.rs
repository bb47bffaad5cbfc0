//! The convolutions that products of matrices compute: of single images, by square windows, without groups.

use super::tiling::{PATCH, STRIP};
use crate::ops::{Conv, Dtype, Shape};
use crate::program::Numerics;

/// A convolution from `from` to `to`; a linear layer is one of a single pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvGeometry {
    pub from: Shape,
    pub to: Shape,
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
    pub algorithm: Algorithm,
}

/// How the products are computed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// Windows as rows of a matrix: [`crate::exec::cpu::product`].
    #[default]
    Direct,
    /// Forward and for the input's gradient by Winograd's algorithm: [`super::winograd`].
    Winograd,
    /// Windows as rows of a matrix, in blocks and in the order of sums of AMX: [`crate::exec::cpu::amx`].
    Amx,
}

/// Lines or columns of a window at most: windows are sets of bits.
const LARGEST_KERNEL: usize = 32;

impl ConvGeometry {
    /// That of an operation, unless it has groups, looks along time, or is not square.
    pub fn of(conv: &Conv, from: Shape, to: Shape) -> Option<Self> {
        let square = |sizes: [usize; 3]| (sizes[1] == sizes[2]).then_some(sizes[1]);
        let is_of_images = conv.kernel[0] == 1 && conv.stride[0] == 1 && conv.padding[0] == 0;
        let geometry = Self {
            from,
            to,
            kernel: square(conv.kernel)?,
            stride: square(conv.stride)?,
            padding: square(conv.padding)?,
            algorithm: Algorithm::Direct,
        };
        let fits = is_of_images && conv.groups == 1 && geometry.kernel <= LARGEST_KERNEL;
        fits.then_some(geometry)
    }

    /// With the algorithm that suits it. Those that shift their input are not computed by Winograd's: its patches would come
    /// from three frames. `None` where terms are taken in pairs of channels, but a side has an odd number of them.
    pub fn suited(self, numerics: Numerics, dtype: Dtype, shifts: bool) -> Option<Self> {
        let is_paired = numerics == Numerics::Bf16 && dtype == Dtype::Bf16;
        let channels = [self.from.channels, self.to.channels];
        if is_paired && channels.iter().any(|n| !n.is_multiple_of(2)) {
            return None;
        }
        let algorithm = match (numerics, dtype) {
            (Numerics::Bf16Amx, Dtype::Bf16) => Algorithm::Amx,
            (Numerics::Bf16Amx, Dtype::Float32) => Algorithm::Direct,
            (Numerics::Float32 | Numerics::Bf16, _) if !shifts && self.suits_winograd() => {
                Algorithm::Winograd
            }
            (Numerics::Float32 | Numerics::Bf16, _) => Algorithm::Direct,
        };
        Some(Self { algorithm, ..self })
    }

    /// Whether the activation itself is the matrix that the weight multiplies.
    pub fn is_pointwise(&self) -> bool {
        self.kernel == 1 && self.stride == 1 && self.padding == 0
    }

    /// Values of the weight.
    pub fn weights(&self) -> usize {
        self.kernel * self.kernel * self.from.channels * self.to.channels
    }

    /// Whether Winograd's algorithm suits it: 3×3 of stride 1 that keeps the image's size, channels that fill vectors. With fewer than
    /// 16 its patches take longer than the products that they save.
    pub fn suits_winograd(&self) -> bool {
        let channels = [self.from.channels, self.to.channels];
        (self.kernel, self.stride, self.padding) == (3, 1, 1)
            && self.kernel + 1 == PATCH
            && channels
                .iter()
                .all(|&count| count >= STRIP && count.is_multiple_of(STRIP / 2))
    }
}
