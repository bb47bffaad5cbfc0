//! Named values and where they come from.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use safetensors::{Dtype, SafeTensors, View, tensor::TensorView};
use serde::de::DeserializeOwned;

use crate::base::{Error, Kind, Result, Shown, files};

/// Largest `case.json`, in bytes; a case is a page of text.
const MAX_JSON: u64 = 1 << 20;
/// Largest file of tensors, in bytes.
const MAX_TENSORS: u64 = 1 << 30;

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
    let bytes = read_bytes(path, MAX_TENSORS)?;
    let damaged = |what: String| damaged(path, &what);
    let file = SafeTensors::deserialize(&bytes).map_err(|e| damaged(e.to_string()))?;
    let mut tensors = Tensors::new();
    for (name, view) in file.iter() {
        let Some(values) = to_float64(&view) else {
            let name = name.escape_default();
            let message = format!("`{name}` is {:?}, expected floating point", view.dtype());
            return Err(damaged(message));
        };
        let shape = view.shape().to_vec();
        tensors.insert(name.to_owned(), Tensor { shape, values });
    }
    Ok(tensors)
}

fn to_float64(view: &TensorView<'_>) -> Option<Vec<f64>> {
    let bytes = view.data();
    let values = match view.dtype() {
        Dtype::F64 => chunks(bytes).map(f64::from_le_bytes).collect(),
        Dtype::F32 => chunks(bytes)
            .map(|b| f64::from(f32::from_le_bytes(b)))
            .collect(),
        Dtype::F16 => chunks(bytes)
            .map(|b| half::f16::from_le_bytes(b).to_f64())
            .collect(),
        Dtype::BF16 => chunks(bytes)
            .map(|b| half::bf16::from_le_bytes(b).to_f64())
            .collect(),
        Dtype::U8 => bytes.iter().map(|&b| f64::from(b)).collect(),
        Dtype::I64 => chunks(bytes)
            .map(|b| i64::from_le_bytes(b) as f64)
            .collect(),
        _ => return None,
    };
    Some(values)
}

fn chunks<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
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
    let bytes = read_bytes(path, MAX_JSON)?;
    serde_json::from_slice(&bytes).map_err(|e| damaged(path, &e.to_string()))
}

/// A bundle that cannot be read or understood.
pub fn damaged(path: &Path, what: &str) -> Error {
    Error::new(Kind::Data, format!("`{}`: {what}", path.shown()))
}

/// A file of at most `most` bytes.
fn read_bytes(path: &Path, most: u64) -> Result<Vec<u8>> {
    let refused = |what: String| damaged(path, &what);
    let unreadable = |e: std::io::Error| refused(format!("cannot read it: {e}"));
    let mut bytes = Vec::new();
    let file = files::open(path).map_err(unreadable)?;
    file.take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    match bytes.len() as u64 <= most {
        true => Ok(bytes),
        false => Err(refused(format!("it has more than {most} bytes"))),
    }
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
        let file = SafeTensors::deserialize(&bytes).unwrap();
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
