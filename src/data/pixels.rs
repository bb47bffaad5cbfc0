//! What the network is given of images, before or after normalising.

use super::normalize::normalize_into;
use crate::spec::Normalize;

/// Rows of pixels of three channels. All that one rule makes is of one kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Pixels {
    /// The engine normalises them.
    Bytes(Vec<u8>),
    /// Normalised: what no byte can hold.
    Values(Vec<f32>),
}

impl Pixels {
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Values(values) => values.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory of `count` of them.
    pub fn memory(values: bool, count: usize) -> usize {
        match values {
            false => count,
            true => count.saturating_mul(size_of::<f32>()),
        }
    }

    /// All of them one after another, in memory that is there.
    ///
    /// # Panics
    /// If they are not of one kind.
    pub fn concat<'a>(parts: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let len = parts.clone().map(Self::len).sum();
        let mut all = match parts.clone().next() {
            Some(Self::Values(_)) => Self::Values(Vec::with_capacity(len)),
            Some(Self::Bytes(_)) | None => Self::Bytes(Vec::with_capacity(len)),
        };
        for part in parts {
            match (&mut all, part) {
                (Self::Bytes(all), Self::Bytes(part)) => all.extend_from_slice(part),
                (Self::Values(all), Self::Values(part)) => all.extend_from_slice(part),
                _ => unreachable!("one rule makes all pixels of a batch"),
            }
        }
        all
    }

    /// As the network reads them.
    pub fn values(&self, normalize: &Normalize) -> Vec<f32> {
        match self {
            Self::Values(values) => values.clone(),
            Self::Bytes(bytes) => {
                let mut values = vec![0.0; bytes.len()];
                normalize_into(bytes, normalize, &mut values);
                values
            }
        }
    }

    /// Parts of `len` each.
    pub fn split(self, len: usize) -> Vec<Self> {
        match self {
            Self::Bytes(bytes) if bytes.len() == len => vec![Self::Bytes(bytes)],
            Self::Values(values) if values.len() == len => vec![Self::Values(values)],
            Self::Bytes(bytes) => {
                let parts = bytes.chunks(len.max(1));
                parts.map(|part| Self::Bytes(part.to_vec())).collect()
            }
            Self::Values(values) => {
                let parts = values.chunks(len.max(1));
                parts.map(|part| Self::Values(part.to_vec())).collect()
            }
        }
    }
}
