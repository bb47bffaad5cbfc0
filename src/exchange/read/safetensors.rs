//! safetensors: the crate checks offsets, shapes and the file's length; what it does not look at is checked here.

use std::collections::BTreeSet;
use std::fmt;

use ::safetensors::{Dtype as Stored, SafeTensors};
use serde::Deserialize;
use serde::de::{self, IgnoredAny, MapAccess, Visitor};

use super::{Checkpoint, Dtype, Extra, Format, Result, Tensor, fault, printable};

/// Where the format keeps what is no tensor.
const METADATA: &str = "__metadata__";

pub fn read(bytes: &[u8]) -> Result<Checkpoint> {
    let damaged = |what: String| {
        fault(format!(
            "a safetensors file that is damaged or cut off: {what}"
        ))
        .hint("get the file again, and compare its size and hash with those of its source")
    };
    let keys = header(bytes).ok_or_else(|| damaged("its header leaves the file".to_owned()))?;
    let keys: Keys = serde_json::from_slice(keys).map_err(|e| damaged(e.to_string()))?;
    let file = SafeTensors::deserialize(bytes).map_err(|e| damaged(e.to_string()))?;
    let mut tensors = Vec::new();
    for key in keys.0.iter().filter(|key| *key != METADATA) {
        let view = file.tensor(key).map_err(|e| damaged(e.to_string()))?;
        let dtype = dtype(view.dtype()).ok_or_else(|| {
            let (key, found) = (printable(key), view.dtype());
            fault(format!(
                "tensor `{key}` is {found:?}, which PyTorch's checkpoints of networks do not use"
            ))
        })?;
        tensors.push(Tensor::new(
            key,
            view.shape().to_vec(),
            dtype,
            view.data().to_vec(),
        )?);
    }
    let mut names = BTreeSet::new();
    if let Some(twice) = tensors.iter().find(|t| !names.insert(t.name.as_str())) {
        return Err(fault(format!("tensor `{}` is there twice", twice.key)));
    }
    Ok(Checkpoint {
        format: Format::SafeTensors,
        extras: metadata(bytes),
        tensors,
    })
}

/// The JSON text: its length is the first 8 bytes.
fn header(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)
}

fn metadata(bytes: &[u8]) -> Vec<Extra> {
    let read = SafeTensors::read_metadata(bytes).ok();
    let entries = read.and_then(|(_, metadata)| metadata.metadata().clone());
    let extras = entries.into_iter().flatten().map(|(key, value)| Extra {
        path: format!("{METADATA}.{}", printable(&key)),
        what: format!("\"{}\"", printable(&value)),
    });
    let mut extras: Vec<Extra> = extras.collect();
    extras.sort_by(|a, b| a.path.cmp(&b.path));
    extras
}

fn dtype(stored: Stored) -> Option<Dtype> {
    Some(match stored {
        Stored::F64 => Dtype::Float64,
        Stored::F32 => Dtype::Float32,
        Stored::F16 => Dtype::Float16,
        Stored::BF16 => Dtype::BFloat16,
        Stored::I64 => Dtype::Int64,
        Stored::I32 => Dtype::Int32,
        Stored::I16 => Dtype::Int16,
        Stored::I8 => Dtype::Int8,
        Stored::U8 => Dtype::UInt8,
        Stored::BOOL => Dtype::Bool,
        _ => return None,
    })
}

/// The keys of a JSON object in their order. JSON allows a key twice, and the crate would take the last.
struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(KeysVisitor)
    }
}

struct KeysVisitor;

impl<'de> Visitor<'de> for KeysVisitor {
    type Value = Keys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
        let (mut keys, mut seen) = (Vec::new(), BTreeSet::new());
        while let Some((key, _)) = map.next_entry::<String, IgnoredAny>()? {
            if !seen.insert(key.clone()) {
                let key = printable(&key);
                return Err(de::Error::custom(format!("tensor `{key}` is there twice")));
            }
            keys.push(key);
        }
        Ok(Keys(keys))
    }
}
