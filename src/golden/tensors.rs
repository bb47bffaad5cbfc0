//! Named values and where they come from.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use safetensors::{Dtype, View, tensor::TensorView};
use serde::de::DeserializeOwned;

use crate::base::limits::{self, Bound, collected};
use crate::base::{Error, Kind, Result, Shown, files};
use crate::exchange::read::safetensors::contents;

/// Values under a name; float64 holds every value of the bundles exactly.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

pub type Tensors = BTreeMap<String, Tensor>;

impl Tensor {
    pub fn new(shape: Vec<usize>, values: &[f32]) -> Self {
        Self {
            shape,
            values: values.iter().map(|&v| f64::from(v)).collect(),
        }
    }

    pub fn scalar(value: f64) -> Self {
        Self {
            shape: vec![1],
            values: vec![value],
        }
    }
}

/// Every tensor of a safetensors file: floating point of any width, bytes, and 64-bit integers.
pub fn read(path: &Path) -> Result<Tensors> {
    let bytes = read_bytes(path, limits::BUNDLE)?;
    let at = |error: Error| Error {
        kind: error.kind,
        ..damaged(path, &error.message)
    };
    let mut tensors = Tensors::new();
    for (name, view) in contents(&bytes).map_err(at)?.tensors {
        let shown = name.shown();
        let values = to_float64(&view, &format!("`{shown}`")).map_err(at)?;
        let values = values.ok_or_else(|| {
            let found = view.dtype();
            damaged(
                path,
                &format!("`{shown}` is {found:?}, expected floating point"),
            )
        })?;
        let shape = view.shape().to_vec();
        tensors.insert(name, Tensor { shape, values });
    }
    Ok(tensors)
}

fn to_float64(view: &TensorView<'_>, what: &str) -> Result<Option<Vec<f64>>> {
    let bytes = view.data();
    let values = match view.dtype() {
        Dtype::F64 => collected(chunks(bytes).map(f64::from_le_bytes), what),
        Dtype::F32 => collected(
            chunks(bytes).map(|b| f64::from(f32::from_le_bytes(b))),
            what,
        ),
        Dtype::F16 => collected(
            chunks(bytes).map(|b| half::f16::from_le_bytes(b).to_f64()),
            what,
        ),
        Dtype::BF16 => collected(
            chunks(bytes).map(|b| half::bf16::from_le_bytes(b).to_f64()),
            what,
        ),
        Dtype::U8 => collected(bytes.iter().map(|&b| f64::from(b)), what),
        Dtype::I64 => collected(chunks(bytes).map(|b| i64::from_le_bytes(b) as f64), what),
        _ => return Ok(None),
    };
    values.map(Some)
}

fn chunks<const N: usize>(bytes: &[u8]) -> impl ExactSizeIterator<Item = [u8; N]> {
    bytes.as_chunks::<N>().0.iter().copied()
}

/// As a safetensors file: float32 where that holds every value of a tensor, else float64.
pub fn encode(tensors: &Tensors) -> Result<Vec<u8>> {
    let stored = tensors
        .iter()
        .map(|(name, tensor)| (name, Stored::of(tensor)));
    safetensors::serialize(stored, None)
        .map_err(|e| Error::new(Kind::Data, format!("cannot write as safetensors: {e}")))
}

/// A tensor as it lies in a file.
struct Stored<'a> {
    dtype: Dtype,
    shape: &'a [usize],
    bytes: Vec<u8>,
}

impl<'a> Stored<'a> {
    fn of(tensor: &'a Tensor) -> Self {
        let values = tensor.values.iter();
        let fits = values
            .clone()
            .all(|&v| f64::from(v as f32) == v || v.is_nan());
        let (dtype, bytes) = match fits {
            true => (
                Dtype::F32,
                values.flat_map(|&v| (v as f32).to_le_bytes()).collect(),
            ),
            false => (Dtype::F64, values.flat_map(|&v| v.to_le_bytes()).collect()),
        };
        let shape = &tensor.shape;
        Self {
            dtype,
            shape,
            bytes,
        }
    }
}

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// A JSON file whose every field is known.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = read_bytes(path, limits::CASE)?;
    serde_json::from_slice(&bytes).map_err(|e| damaged(path, &e.to_string()))
}

/// A bundle that cannot be read or understood.
pub fn damaged(path: &Path, what: &str) -> Error {
    Error::new(Kind::Data, format!("`{}`: {what}", path.shown()))
}

/// A file within its bound; whatever is wrong with it is wrong with the bundle.
fn read_bytes(path: &Path, bound: Bound) -> Result<Vec<u8>> {
    files::read(path, bound).map_err(|error| match error.kind {
        Kind::Io => Error {
            kind: Kind::Data,
            ..error
        },
        _ => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(bytes: &[u8]) -> Result<Tensors> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        read(file.path())
    }

    #[test]
    fn what_is_written_is_read_exactly() {
        let tensor = |values: &[f64]| Tensor {
            shape: vec![values.len()],
            values: values.to_vec(),
        };
        let tensors = Tensors::from([
            (
                "single".to_owned(),
                tensor(&[0.1f32.into(), -0.0, 1e30f32.into()]),
            ),
            ("double".to_owned(), tensor(&[0.1, 1.0 / 3.0, 1e300])),
            ("empty".to_owned(), tensor(&[])),
        ]);
        let bytes = encode(&tensors).unwrap();
        assert_eq!(written(&bytes).unwrap(), tensors);
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.tensor("single").unwrap().dtype(), Dtype::F32);
        assert_eq!(file.tensor("double").unwrap().dtype(), Dtype::F64);
    }

    #[test]
    fn narrow_types_are_converted_and_others_refused() {
        let read = |dtype, bytes: &[u8]| {
            let view = TensorView::new(dtype, vec![1], bytes).unwrap();
            written(&safetensors::serialize([("a", view)], None).unwrap())
        };
        let value = |dtype, bytes: &[u8]| read(dtype, bytes).unwrap()["a"].values[0];
        assert_eq!(
            value(Dtype::F16, &half::f16::from_f32(0.1).to_le_bytes()),
            0.099_975_585_937_5
        );
        assert_eq!(
            value(Dtype::BF16, &half::bf16::from_f32(0.1).to_le_bytes()),
            0.100_097_656_25
        );
        assert_eq!(value(Dtype::I64, &7i64.to_le_bytes()), 7.0);
        assert_eq!(value(Dtype::U8, &[255]), 255.0);
        let refused = read(Dtype::I32, &[0; 4]).unwrap_err();
        assert!(
            refused
                .message
                .ends_with("`a` is I32, expected floating point"),
            "{refused}"
        );
    }
}
