//! A model case: procedural weights and inputs through the model, in evaluation or for whole training steps.

use std::path::{Path, PathBuf};

use super::case::{Case, Steps};
use super::compare::{Comparison, group_of};
use super::experiment::experiment;
use super::procedural;
use super::tensors::{self, Tensor, Tensors, damaged};
use crate::base::Result;
use crate::exec::{DropoutKey, Executor};
use crate::model::{Model, StepInput, StepOutput};
use crate::spec::Experiment;
use crate::train::{Optimizer, schedule};

pub const CASE: &str = "case.json";
pub const EXPECTED: &str = "expected.safetensors";
/// How many values of a tensor a case holds.
const HEAD: usize = 8;

pub struct Bundle {
    case: Case,
    expected: Tensors,
}

impl Bundle {
    pub fn open(folder: &Path) -> Result<Self> {
        let case = Case::read(&folder.join(CASE))?;
        let expected = tensors::read(&folder.join(EXPECTED))?;
        let path: PathBuf = folder.join(CASE);
        for name in expected.keys() {
            if !case.reference.contains_key(group_of(name)) {
                let group = group_of(name);
                return Err(damaged(
                    &path,
                    &format!("reference_f32_error has no group `{group}`"),
                ));
            }
        }
        for group in case.reference.keys() {
            if !expected.keys().any(|name| group_of(name) == group) {
                let what =
                    format!("reference_f32_error has a group `{group}` that {EXPECTED} lacks");
                return Err(damaged(&path, &what));
            }
        }
        Ok(Self { case, expected })
    }

    pub fn verify(&self, executor: Executor) -> Result<Comparison> {
        let experiment = experiment(&self.case.network);
        let mut model = Model::new(&experiment, Path::new("."), executor)?;
        set_procedural_weights(&mut model)?;
        let computed = match &self.case.steps {
            None => evaluate(&self.case, &mut model)?,
            Some(steps) => train(&self.case, steps, &experiment, &mut model)?,
        };
        Ok(Comparison::new(
            &self.case.name,
            &self.expected,
            &computed,
            Some(&self.case.reference),
        ))
    }
}

fn set_procedural_weights(model: &mut Model) -> Result<()> {
    let mut state = model.state_dict();
    for (name, shape, values) in &mut state.floats {
        *values = procedural::weight(name, shape);
    }
    model.load_state_dict(&state)
}

fn evaluate(case: &Case, model: &mut Model) -> Result<Tensors> {
    let mut computed = Tensors::new();
    for &frames in &case.frames {
        let name = format!("input.{frames}");
        let pixels = procedural::input(&name, case.batch * frames, case.network.size);
        let logits = model.evaluate(frames, case.batch, &pixels)?;
        let shape = vec![case.batch, case.network.classes];
        computed.insert(format!("logits.{frames}"), Tensor::new(shape, &logits));
    }
    Ok(computed)
}

fn train(
    case: &Case,
    steps: &Steps,
    experiment: &Experiment,
    model: &mut Model,
) -> Result<Tensors> {
    let mut optimizer = Optimizer::new(model.graph(), experiment);
    let mut computed = Tensors::new();
    for step in 0..steps.count {
        let inputs = case.frames.iter().map(|&frames| {
            let name = format!("input.{frames}.step{step}");
            procedural::input(&name, case.batch * frames, case.network.size)
        });
        let pixels: Vec<Vec<f32>> = inputs.collect();
        let output = model.train_step(&StepInput {
            pixels: &pixels.concat(),
            labels: &steps.labels,
            dropout: DropoutKey { seed: 0, step },
        })?;
        let rate = schedule::rate(experiment, steps.count, step);
        let norm = optimizer.step(model, &output.gradients, rate);
        record_step(&mut computed, &format!("step{step}"), case, model, &output);
        computed.insert(format!("step{step}.grad_norm.total"), Tensor::scalar(norm));
    }
    for (name, _, values) in model.state_dict().floats {
        record_tensor(&mut computed, "after", "after_norm", &name, &values);
    }
    Ok(computed)
}

fn record_step(
    computed: &mut Tensors,
    step: &str,
    case: &Case,
    model: &Model,
    output: &StepOutput,
) {
    for (frames, logits) in case.frames.iter().zip(&output.logits) {
        let shape = vec![case.batch, case.network.classes];
        computed.insert(
            format!("{step}.logits.{frames}"),
            Tensor::new(shape, logits),
        );
    }
    for (term, value) in &output.terms {
        computed.insert(format!("{step}.loss.{term}"), Tensor::scalar(*value));
    }
    computed.insert(format!("{step}.loss.total"), Tensor::scalar(output.total));
    let (head, norm) = (format!("{step}.grad_head"), format!("{step}.grad_norm"));
    for (param, gradient) in model.graph().params.iter().zip(&output.gradients) {
        record_tensor(computed, &head, &norm, &param.name, gradient);
    }
}

/// The first values of a tensor and its L2 norm.
fn record_tensor(computed: &mut Tensors, head: &str, norm: &str, name: &str, values: &[f32]) {
    let first = &values[..values.len().min(HEAD)];
    let square: f64 = values.iter().map(|&v| f64::from(v).powi(2)).sum();
    computed.insert(
        format!("{head}/{name}"),
        Tensor::new(vec![first.len()], first),
    );
    computed.insert(format!("{norm}/{name}"), Tensor::scalar(square.sqrt()));
}
