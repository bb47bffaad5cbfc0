//! `optimizer.safetensors`: the state of the optimiser in a checkpoint, whatever its rule.
//!
//! The state is named tensors and a step count. A tensor is `QUANTITY/PARAMETER`, for each quantity that the rule keeps
//! of a parameter and each parameter that is trained: `momentum/base_model.conv1.weight` of SGD. The count is in the
//! file's metadata, in the JSON object under `ffn`: `{"steps":"12"}`. Before the first step there are no tensors.
//!
//! Checkpoints of earlier versions have `momentum.safetensors` instead: the momentum under the parameters' names, and
//! no count, which is then that of the checkpoint. [`read`] gives both in the form of today.

use std::path::Path;

use safetensors::Dtype;

use crate::base::{Error, Kind, Result, Shown, files, limits};
use crate::exchange::read::safetensors::{Contents, contents};
use crate::exchange::write::safetensors::{NOTES, encode as encode_entries};
use crate::exchange::write::{Entry, Notes};
use crate::model::state::{Named, entry};

pub const OPTIMIZER: &str = "optimizer.safetensors";
/// What earlier versions wrote instead of [`OPTIMIZER`].
pub const MOMENTUM: &str = "momentum.safetensors";

/// The quantity that SGD keeps of a parameter: PyTorch's `momentum_buffer`.
pub const SGD_MOMENTUM: &str = "momentum";

/// What AdamW keeps, PyTorch's names: the first and the second moment.
pub const ADAM_MOMENTS: [&str; 2] = ["exp_avg", "exp_avg_sq"];

/// The note that has the step count.
const STEPS: &str = "steps";

/// What the next step of the optimiser reads, besides the parameters.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OptimizerState {
    /// Steps that were done.
    pub steps: u64,
    /// `QUANTITY/PARAMETER` with the parameter's shape, in the graph's order; none before the first step.
    pub tensors: Vec<Named>,
}

/// The name of the tensor of a parameter's quantity.
pub fn tensor_name(quantity: &str, parameter: &str) -> String {
    format!("{quantity}/{parameter}")
}

/// The bytes of [`OPTIMIZER`].
pub fn encode(state: &OptimizerState) -> Result<Vec<u8>> {
    let entries: Vec<Entry<'_>> = state.tensors.iter().map(entry).collect();
    let notes = Notes::from([(STEPS.to_owned(), state.steps.to_string())]);
    encode_entries(&entries, &notes)
}

/// The optimiser's state in `file` of a checkpoint that was written after `step` steps, in the form of today whichever of
/// the two it is. Whether its tensors are those of the model is for the optimiser to say.
pub fn read(checkpoint: &Path, file: &str, step: u64) -> Result<OptimizerState> {
    let path = checkpoint.join(file);
    let bytes = files::read(&path, limits::WEIGHTS)?;
    let contents = contents(&bytes).map_err(|e| damaged(&path, &e.message))?;
    let mut tensors = tensors(&path, &contents)?;
    if file == MOMENTUM {
        for (name, ..) in &mut tensors {
            *name = tensor_name(SGD_MOMENTUM, name);
        }
        return Ok(OptimizerState {
            steps: step,
            tensors,
        });
    }
    let steps = steps(&path, &contents)?;
    match steps == step {
        true => Ok(OptimizerState { steps, tensors }),
        false => {
            let what = format!(
                "its step count is not the checkpoint's\n  expected {step}\n  found    {steps}"
            );
            Err(damaged(&path, &what))
        }
    }
}

/// What to do about an optimiser's state that is of no use.
pub const HINT: &str = "bring the checkpoint back from a copy, or take its folder away: the run goes on from the one before it, \
    or from the beginning";

fn damaged(path: &Path, what: &str) -> Error {
    let message = format!("`{}` is damaged: {what}", path.shown());
    Error::new(Kind::Run, message).hint(HINT)
}

fn tensors(path: &Path, contents: &Contents<'_>) -> Result<Vec<Named>> {
    let mut tensors = Vec::new();
    for (name, view) in &contents.tensors {
        if view.dtype() != Dtype::F32 {
            let what = format!(
                "tensor `{}` has another dtype\n  expected F32\n  found    {:?}",
                name.shown(),
                view.dtype()
            );
            return Err(damaged(path, &what));
        }
        let values = view.data().as_chunks().0.iter();
        let values = values.map(|bytes| f32::from_le_bytes(*bytes));
        let values = limits::collected(values, &format!("tensor `{}`", name.shown()))?;
        tensors.push((name.clone(), view.shape().to_vec(), values));
    }
    Ok(tensors)
}

fn steps(path: &Path, contents: &Contents<'_>) -> Result<u64> {
    let text = contents.metadata.get(NOTES);
    let notes = text.and_then(|text| serde_json::from_str::<Notes>(text).ok());
    let count = notes.and_then(|notes| notes.get(STEPS)?.parse().ok());
    count.ok_or_else(|| {
        let found = text.map_or("nothing".to_owned(), |text| text.shown());
        let what = format!(
            "it has no step count\n  expected {{\"{STEPS}\":\"<number>\"}} under `{NOTES}` in its metadata\n  found    {found}"
        );
        damaged(path, &what)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> OptimizerState {
        OptimizerState {
            steps: 3,
            tensors: vec![
                (
                    "momentum/a".into(),
                    vec![2, 1],
                    vec![f32::MIN_POSITIVE, -0.0],
                ),
                ("momentum/b".into(), vec![1], vec![0.5]),
            ],
        }
    }

    /// A file of tensors without a count.
    fn encode_floats(tensors: &[Named]) -> Vec<u8> {
        let entries: Vec<_> = tensors.iter().map(entry).collect();
        encode_entries(&entries, &Notes::new()).unwrap()
    }

    /// What is read from a folder that has these bytes.
    fn read_from(name: &str, bytes: &[u8], step: u64) -> Result<OptimizerState, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), bytes).unwrap();
        let place = folder.path().to_str().unwrap().to_owned();
        read(folder.path(), name, step).map_err(|error| {
            assert_eq!(error.kind, Kind::Run);
            error.to_string().replace(&place, "step")
        })
    }

    #[test]
    fn a_state_comes_back_bit_for_bit() {
        for state in [state(), OptimizerState::default()] {
            let bytes = encode(&state).unwrap();
            let back = read_from(OPTIMIZER, &bytes, state.steps).unwrap();
            assert_eq!(back, state);
            assert_eq!(encode(&back).unwrap(), bytes);
        }
    }

    #[test]
    fn the_momentum_of_earlier_versions_is_the_same_state() {
        let mut old = state().tensors;
        for (name, ..) in &mut old {
            *name = name.strip_prefix("momentum/").unwrap().to_owned();
        }
        let back = read_from(MOMENTUM, &encode_floats(&old), 3).unwrap();
        assert_eq!(back, state());
        let none = read_from(MOMENTUM, &encode_floats(&[]), 0);
        assert_eq!(none.unwrap(), OptimizerState::default());
    }

    #[test]
    fn a_truncated_file_is_an_error() {
        let bytes = encode(&state()).unwrap();
        for end in 0..bytes.len() {
            let read = read_from(OPTIMIZER, &bytes[..end], 3);
            assert!(read.unwrap_err().contains("is damaged"), "{end} bytes");
        }
    }

    #[test]
    fn mistakes_say_what_was_expected_and_found() {
        let bytes = encode(&state()).unwrap();
        insta::assert_snapshot!(read_from(OPTIMIZER, &bytes, 4).unwrap_err(), @r#"
        `step/optimizer.safetensors` is damaged: its step count is not the checkpoint's
          expected 4
          found    3

        hint: bring the checkpoint back from a copy, or take its folder away: the run goes on from the one before it, or from the beginning
        "#);

        let without = encode_floats(&state().tensors);
        insta::assert_snapshot!(read_from(OPTIMIZER, &without, 3).unwrap_err(), @r#"
        `step/optimizer.safetensors` is damaged: it has no step count
          expected {"steps":"<number>"} under `ffn` in its metadata
          found    nothing

        hint: bring the checkpoint back from a copy, or take its folder away: the run goes on from the one before it, or from the beginning
        "#);

        let entry = Entry {
            name: "count",
            shape: &[],
            values: crate::exchange::write::Values::Int64(3),
        };
        let integer = encode_entries(&[entry], &Notes::new()).unwrap();
        insta::assert_snapshot!(read_from(OPTIMIZER, &integer, 3).unwrap_err(), @r#"
        `step/optimizer.safetensors` is damaged: tensor `count` has another dtype
          expected F32
          found    I64

        hint: bring the checkpoint back from a copy, or take its folder away: the run goes on from the one before it, or from the beginning
        "#);
    }
}
