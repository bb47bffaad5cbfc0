//! Weights and inputs of a case, from their names or from files of the bundle.

use std::path::{Path, PathBuf};

use super::case::Case;
use super::procedural;
use super::raw::Source;
use super::tensors::{self, Tensors, damaged};
use crate::base::{Kind, Mistakes, Result};
use crate::exchange::read;
use crate::model::Model;

/// Gives a model the weights of a case, from a file by the rules of `ffn import`: none missing and none left over. What a
/// file counts, `num_batches_tracked`, changes no value and may be missing.
pub fn set_weights(model: &mut Model, source: &Source, folder: &Path) -> Result<()> {
    match source {
        Source::File(file) => {
            let path = folder.join(file);
            let checkpoint = read::open(&path)?;
            let loaded = model.load_checkpoint("file of weights", &checkpoint);
            loaded
                .map(drop)
                .map_err(|error| damaged(&path, &error.message))
        }
        Source::Procedural(version) => {
            let architecture = model.graph().architecture;
            let mut state = model.state_dict()?;
            for (name, shape, values) in &mut state.floats {
                *values = version.weight(architecture, name, shape);
            }
            model.load_state_dict(&state)
        }
    }
}

/// Inputs by name: `input.T` in evaluation, `input.T.step{s}` in training.
pub struct Inputs<'a> {
    case: &'a Case,
    /// Where they come from a file: its path and its tensors.
    file: Option<(PathBuf, Tensors)>,
}

impl<'a> Inputs<'a> {
    /// Every input of the case is there with its shape, and nothing is left over.
    pub fn open(case: &'a Case, folder: &Path) -> Result<Self> {
        let Source::File(name) = &case.inputs else {
            return Ok(Self { case, file: None });
        };
        let path = folder.join(name);
        let tensors = tensors::read(&path)?;
        check(case, &tensors).map_err(|error| damaged(&path, &error.message))?;
        Ok(Self {
            case,
            file: Some((path, tensors)),
        })
    }

    /// Pixels as a model takes them: frames one after another, NHWC.
    pub fn pixels(&self, name: &str, frames: usize) -> Result<Vec<f32>> {
        let (images, input) = (self.case.batch * frames, self.case.input);
        let Some((path, tensors)) = &self.file else {
            return Ok(procedural::input(name, images, input));
        };
        let tensor = tensors.get(name);
        let tensor = tensor.ok_or_else(|| damaged(path, &format!("`{name}` is missing")))?;
        let planes = tensor.values.iter().map(|&v| v as f32);
        Ok(procedural::channels_last(planes, images, input))
    }
}

/// The name of an input. `step`: `None` in evaluation.
pub fn input_name(frames: usize, step: Option<u64>) -> String {
    match step {
        None => format!("input.{frames}"),
        Some(step) => format!("input.{frames}.step{step}"),
    }
}

fn check(case: &Case, found: &Tensors) -> Result<()> {
    let mut mistakes = Mistakes::default();
    let mut expected = std::collections::BTreeSet::new();
    let steps: Vec<Option<u64>> = match &case.steps {
        None => vec![None],
        Some(steps) => (0..steps.count).map(Some).collect(),
    };
    for step in steps {
        for &frames in &case.frames {
            let (name, (height, width)) = (input_name(frames, step), case.input);
            let shape = [case.batch, frames, 3, height, width];
            match found.get(&name) {
                None => mistakes.add("missing", &name),
                Some(tensor) if tensor.shape != shape => {
                    let text = format!("{name}: expected {shape:?}, found {:?}", tensor.shape);
                    mistakes.add("shape", &text);
                }
                Some(_) => {}
            }
            expected.insert(name);
        }
    }
    for name in found.keys().filter(|name| !expected.contains(*name)) {
        mistakes.add("unexpected", &name.escape_default().to_string());
    }
    mistakes.into_result(Kind::Data, "file of inputs")
}
