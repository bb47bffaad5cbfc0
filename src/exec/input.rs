//! What a pass computes on.

use std::borrow::Cow;
use std::sync::Arc;

use crate::data::Pixels;
use crate::data::normalize::normalize_into;
use crate::spec::Normalize;

/// The frames of a batch: NHWC, the segments one after another, `Σ clips·frames × height × width × 3`.
#[derive(Clone, Copy)]
pub enum Input<'a> {
    /// Normalised.
    Values(&'a [f32]),
    /// Bytes, which the engine normalises as [`normalize_into`] does, to the same bits on every device.
    Pixels {
        bytes: &'a [u8],
        normalize: &'a Normalize,
        next: Next<'a>,
    },
}

/// Asks for the bytes of the pass that will follow, if they are known by then: a GPU copies them while it computes. No
/// result depends on the answer.
pub type Next<'a> = Option<&'a dyn Fn() -> Option<Arc<Pixels>>>;

impl<'a> Input<'a> {
    /// What a loader gives. `next`: of the pass that follows.
    pub fn of(pixels: &'a Pixels, normalize: &'a Normalize, next: Next<'a>) -> Self {
        match pixels {
            Pixels::Values(values) => Self::Values(values),
            Pixels::Bytes(bytes) => Self::Pixels {
                bytes,
                normalize,
                next,
            },
        }
    }

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
            Self::Pixels {
                bytes, normalize, ..
            } => {
                let mut values = vec![0.0; bytes.len()];
                normalize_into(bytes, normalize, &mut values);
                values.into()
            }
        }
    }
}
