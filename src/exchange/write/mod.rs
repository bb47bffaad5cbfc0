//! Named tensors → files of other programs. The bytes depend on names, values and notes alone: no file holds a time.

mod pickle;
pub mod pth;
pub mod safetensors;

use std::borrow::Cow;
use std::collections::BTreeMap;

/// What a file says of itself, besides its tensors: key → text.
pub type Notes = BTreeMap<String, String>;

/// A tensor to be written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry<'a> {
    pub name: &'a str,
    pub shape: &'a [usize],
    pub values: Values<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Values<'a> {
    /// In row-major order.
    Float32(&'a [f32]),
    /// A scalar: PyTorch counts a norm's batches in one.
    Int64(i64),
}

impl Values<'_> {
    fn count(&self) -> usize {
        match self {
            Values::Float32(values) => values.len(),
            Values::Int64(_) => 1,
        }
    }

    /// Little-endian.
    fn bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Values::Float32(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Values::Int64(value) => Cow::Owned(value.to_le_bytes().to_vec()),
        }
    }
}
