//! Named tensors ↔ safetensors. The bytes depend on names, shapes and values alone.

use std::path::Path;

use safetensors::Dtype;

use crate::base::{Error, Kind, Result, Shown, files, limits};
use crate::exchange::read::safetensors::contents;
use crate::exchange::write::{self, Notes};
use crate::model::StateDict;

/// A model's parameters and running statistics. Counters are scalars of 64-bit integers, as PyTorch writes them.
pub fn encode(state: &StateDict) -> Result<Vec<u8>> {
    write::safetensors::encode(&state.entries(), &Notes::new())
}

/// What [`encode`] wrote, by name.
pub fn decode(path: &Path) -> Result<StateDict> {
    let bytes = files::read(path, limits::WEIGHTS)?;
    let damaged =
        |what: String| Error::new(Kind::Run, format!("`{}` is damaged: {what}", path.shown()));
    let contents = contents(&bytes).map_err(|e| damaged(e.message))?;
    let mut state = StateDict {
        floats: Vec::new(),
        counters: Vec::new(),
    };
    for (name, view) in contents.tensors {
        match (view.dtype(), <[u8; 8]>::try_from(view.data())) {
            (Dtype::F32, _) => {
                let values = view.data().as_chunks().0.iter();
                let values = values.map(|bytes| f32::from_le_bytes(*bytes));
                let values = limits::collected(values, &format!("tensor `{}`", name.shown()))?;
                state.floats.push((name, view.shape().to_vec(), values));
            }
            (Dtype::I64, Ok(bytes)) => {
                state.counters.push((name, u64::from_le_bytes(bytes)));
            }
            (other, _) => {
                let what = format!("tensor `{}` has type {other:?}", name.shown());
                return Err(damaged(what));
            }
        }
    }
    // The file has them by type.
    state.floats.sort_by(|a, b| a.0.cmp(&b.0));
    state.counters.sort();
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> StateDict {
        StateDict {
            floats: vec![
                ("b".into(), vec![2, 1], vec![f32::MIN_POSITIVE, -0.0]),
                ("a".into(), vec![0], vec![]),
            ],
            counters: vec![("a.num_batches_tracked".into(), u64::MAX >> 1)],
        }
    }

    #[test]
    fn a_state_comes_back_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let bytes = encode(&state()).unwrap();
        std::fs::write(&path, &bytes).unwrap();
        let back = decode(&path).unwrap();
        assert_eq!(back.counters, state().counters);
        assert_eq!(encode(&back).unwrap(), bytes);
        let tensor = back.floats.iter().find(|t| t.0 == "b").unwrap();
        assert_eq!(tensor.2[1].to_bits(), (-0.0f32).to_bits());
    }

    #[test]
    fn the_order_of_the_tensors_does_not_matter() {
        let mut other = state();
        other.floats.reverse();
        assert_eq!(encode(&other).unwrap(), encode(&state()).unwrap());
    }

    #[test]
    fn a_truncated_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let bytes = encode(&state()).unwrap();
        for end in 0..bytes.len() {
            std::fs::write(&path, &bytes[..end]).unwrap();
            assert!(decode(&path).is_err(), "{end} bytes");
        }
    }
}
