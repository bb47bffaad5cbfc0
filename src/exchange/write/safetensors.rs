//! Named tensors → safetensors.

use std::borrow::Cow;
use std::collections::HashMap;

use safetensors::{Dtype, View};

use super::{Entry, Notes, Values};
use crate::base::{Error, Kind, Result};

/// The key of the file's metadata under which the notes are, as one JSON object. One key alone, since the metadata of
/// the format's own library are a hash map and several would come in any order.
pub const NOTES: &str = "ffn";

/// The file's bytes. The format orders tensors by type and name, whatever the order here.
pub fn encode(entries: &[Entry<'_>], notes: &Notes) -> Result<Vec<u8>> {
    let failed = |e: &dyn std::fmt::Display| {
        Error::new(Kind::Run, format!("cannot write as safetensors: {e}"))
    };
    let metadata = match notes.is_empty() {
        true => None,
        false => {
            let text = serde_json::to_string(notes).map_err(|e| failed(&e))?;
            Some(HashMap::from([(NOTES.to_owned(), text)]))
        }
    };
    let tensors = entries.iter().map(|entry| (entry.name, entry));
    ::safetensors::serialize(tensors, metadata).map_err(|e| failed(&e))
}

impl View for &Entry<'_> {
    fn dtype(&self) -> Dtype {
        match self.values {
            Values::Float32(_) => Dtype::F32,
            Values::Int64(_) => Dtype::I64,
        }
    }

    fn shape(&self) -> &[usize] {
        self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.values.bytes()
    }

    fn data_len(&self) -> usize {
        match self.values {
            Values::Float32(values) => size_of_val(values),
            Values::Int64(value) => size_of_val(&value),
        }
    }
}
