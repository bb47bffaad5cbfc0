//! safetensors: the crate checks offsets, shapes and the file's length; what it does not look at is checked here.
//!
//! [`contents`] is the one way into such a file, whoever wrote it: checkpoints, run folders, golden bundles.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ::safetensors::tensor::TensorView;
use ::safetensors::{Dtype as Stored, SafeTensors};
use serde::Deserialize;
use serde::de::{self, IgnoredAny, MapAccess, Visitor};

use super::{
    Checkpoint, Dtype, Extra, Format, MAX_DIMENSIONS, Result, Tensor, checked_key, fault, printable,
};
use crate::base::{Kind, Shown, limits};

/// Where the format keeps what is no tensor.
const METADATA: &str = "__metadata__";

/// What a file holds.
pub struct Contents<'a> {
    /// In the order of the header; no name twice.
    pub tensors: Vec<(String, TensorView<'a>)>,
    pub metadata: BTreeMap<String, String>,
}

/// What the bytes of a file hold. The header is held against [`limits::WEIGHTS_HEADER`] before it is parsed: for its
/// tables a parser takes twenty times the header's bytes.
pub fn contents(bytes: &[u8]) -> Result<Contents<'_>> {
    let header = header(bytes)?;
    let keys: Keys = serde_json::from_slice(header).map_err(|e| damaged(&e))?;
    let (length, index) = SafeTensors::read_metadata(bytes).map_err(|e| damaged(&e))?;
    let values = bytes.get(size_of::<u64>() + length..).unwrap_or_default();
    let mut tensors = Vec::new();
    for key in keys.0.into_iter().filter(|key| key != METADATA) {
        let Some(info) = index.info(&key) else {
            continue;
        };
        checked_key(&key)?;
        let dimensions = info.shape.len();
        if dimensions > MAX_DIMENSIONS {
            let what = format!(
                "tensor `{key}` has {dimensions} dimensions, expected at most {MAX_DIMENSIONS}"
            );
            return Err(fault(what));
        }
        let (from, to) = info.data_offsets;
        let view = values.get(from..to).unwrap_or_default();
        let view = TensorView::new(info.dtype, info.shape.clone(), view);
        tensors.push((key, view.map_err(|e| damaged(&e))?));
    }
    let metadata = index.metadata().clone().unwrap_or_default();
    Ok(Contents {
        tensors,
        metadata: metadata.into_iter().collect(),
    })
}

/// Whether the first bytes may be those of the format: the length of a header, which has a zero byte as no text has,
/// then the header.
pub fn is(bytes: &[u8]) -> bool {
    let parts = bytes.split_first_chunk::<8>();
    parts.is_some_and(|(length, header)| header.first() == Some(&b'{') && length.contains(&0))
}

pub fn read(bytes: &[u8], take: Option<&str>) -> Result<Checkpoint> {
    let contents = contents(bytes)?;
    let mut tensors = Vec::new();
    for (key, view) in &contents.tensors {
        let shown = printable(key);
        let dtype = dtype(view.dtype()).ok_or_else(|| {
            let found = view.dtype();
            fault(format!(
                "tensor `{shown}` is {found:?}, which PyTorch's checkpoints of networks do not use"
            ))
        })?;
        let values = view.data().iter().copied();
        let values = limits::collected(values, &format!("tensor `{shown}`"))?;
        tensors.push(Tensor::new(key, view.shape().to_vec(), dtype, values)?);
    }
    let mut names = BTreeSet::new();
    if let Some(twice) = tensors.iter().find(|t| !names.insert(t.name.as_str())) {
        return Err(fault(format!("tensor `{}` is there twice", twice.key)));
    }
    let extras = contents.metadata.iter().map(|(key, value)| Extra {
        path: format!("{METADATA}.{}", printable(key)),
        what: format!("\"{}\"", printable(value)),
    });
    Ok(Checkpoint {
        format: Format::SafeTensors,
        extras: extras.collect(),
        tensors,
        taken: String::new(),
        asked: take.map(str::to_owned),
        others: Vec::new(),
        not_tensors: Vec::new(),
    })
}

/// The JSON text: its length is the first 8 bytes.
fn header(bytes: &[u8]) -> Result<&[u8]> {
    let leaves = || damaged(&"its header leaves the file");
    let (length, rest) = bytes.split_first_chunk().ok_or_else(leaves)?;
    let length = u64::from_le_bytes(*length);
    let header = usize::try_from(length).ok().and_then(|n| rest.get(..n));
    let header = header.ok_or_else(leaves)?;
    limits::WEIGHTS_HEADER.check(Kind::Data, "its header", length)?;
    Ok(header)
}

fn damaged(what: &dyn fmt::Display) -> super::Error {
    let what = what.to_string();
    fault(format!(
        "a safetensors file that is damaged or cut off: {}",
        what.shown()
    ))
    .hint("get the file again, and compare its size and hash with those of its source")
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
            let few = limits::WEIGHTS_TENSORS.check(Kind::Data, "its header", keys.len() as u64);
            few.map_err(|error| de::Error::custom(error.message))?;
        }
        Ok(Keys(keys))
    }
}
