//! What a pass computes on.

use std::borrow::Cow;

use crate::data::transform::normalize_into;
use crate::spec::Normalize;

/// The frames of a batch: NHWC, the segments one after another, `Σ clips·frames × height × width × 3`.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// Normalised.
    Values(&'a [f32]),
    /// Bytes, which the engine normalises as [`normalize_into`] does, to the same bits on every device.
    Pixels {
        bytes: &'a [u8],
        normalize: &'a Normalize,
    },
}

impl<'a> Input<'a> {
    /// How many values.
    pub fn count(self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Pixels { bytes, .. } => bytes.len(),
        }
    }

    /// Normalised.
    pub fn values(self) -> Cow<'a, [f32]> {
        match self {
            Self::Values(values) => values.into(),
            Self::Pixels { bytes, normalize } => {
                let mut values = vec![0.0; bytes.len()];
                normalize_into(bytes, normalize, &mut values);
                values.into()
            }
        }
    }
}
