//! Named values and where they come from.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use serde::de::DeserializeOwned;

use crate::base::{Error, Kind, Result};

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

/// Every tensor of a safetensors file, float32 or bytes.
pub fn read(path: &Path) -> Result<Tensors> {
    let bytes = read_bytes(path)?;
    let damaged = |what: String| damaged(path, &what);
    let file = SafeTensors::deserialize(&bytes).map_err(|e| damaged(e.to_string()))?;
    let mut tensors = Tensors::new();
    for (name, view) in file.iter() {
        let values = match view.dtype() {
            Dtype::F32 => {
                let (chunks, _) = view.data().as_chunks::<4>();
                chunks
                    .iter()
                    .map(|&b| f64::from(f32::from_le_bytes(b)))
                    .collect()
            }
            Dtype::U8 => view.data().iter().map(|&b| f64::from(b)).collect(),
            other => {
                return Err(damaged(format!("{name} is {other:?}, expected F32 or U8")));
            }
        };
        let shape = view.shape().to_vec();
        tensors.insert(name.to_owned(), Tensor { shape, values });
    }
    Ok(tensors)
}

/// A JSON file whose every field is known.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = read_bytes(path)?;
    serde_json::from_slice(&bytes).map_err(|e| damaged(path, &e.to_string()))
}

/// A bundle that cannot be read or understood.
pub fn damaged(path: &Path, what: &str) -> Error {
    Error::new(Kind::Data, format!("`{}`: {what}", path.display()))
}

fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| damaged(path, &format!("cannot read it: {e}")))
}
