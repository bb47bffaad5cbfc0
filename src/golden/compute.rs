//! Everything that a case fixes, computed by a model: in evaluation, or in whole training steps.

use std::collections::BTreeMap;

use super::case::{Case, Steps};
use super::source::{Inputs, input_name};
use super::taps;
use super::tensors::{Tensor, Tensors};
use crate::base::Result;
use crate::exec::{DropoutKey, Input};
use crate::model::{self, Observation, StepInput, StepOutput};
use crate::spec::Model;
use crate::train::{Optimizer, schedule};

/// How many values of a gradient or parameter a bundle holds.
const HEAD: usize = 8;

/// The tensors of `expected.safetensors`. The model has the case's weights and observes its taps.
pub fn compute(case: &Case, inputs: &Inputs<'_>, model: &mut model::Model) -> Result<Tensors> {
    match &case.steps {
        None => evaluate(case, inputs, model),
        Some(steps) => train(case, steps, inputs, model),
    }
}

fn evaluate(case: &Case, inputs: &Inputs<'_>, model: &mut model::Model) -> Result<Tensors> {
    let mut computed = Tensors::new();
    for &frames in &case.frames {
        let pixels = inputs.pixels(&input_name(frames, None), frames)?;
        let logits = model.evaluate(frames, case.batch, Input::Values(&pixels))?;
        let shape = vec![case.batch, model.graph().classes];
        if let Model::SlowFast(_) = &case.experiment.model {
            let probabilities = softmax(&logits, model.graph().classes);
            let tensor = Tensor::new(shape.clone(), &probabilities);
            computed.insert(format!("probs.{frames}"), tensor);
        }
        let windows = model.observations().iter().find(|o| o.node == WINDOWS);
        let logits = match windows.filter(|_| case.windows) {
            Some(windows) => channels_last(windows),
            None => Tensor::new(shape, &logits),
        };
        computed.insert(format!("logits.{frames}"), logits);
        record_taps(&mut computed, "", case, model);
    }
    Ok(computed)
}

/// The node whose logits are those of windows.
pub const WINDOWS: &str = "head.projection";

/// (clips, classes, rows, columns) → (clips, rows, columns, classes).
fn channels_last(observation: &Observation) -> Tensor {
    let &[clips, channels, height, width] = &observation.shape[..] else {
        return Tensor::new(observation.shape.clone(), &observation.values);
    };
    let pixels = height * width;
    let value = |i: usize| {
        let (clip, pixel, channel) = (i / (pixels * channels), i / channels % pixels, i % channels);
        observation.values[(clip * channels + channel) * pixels + pixel]
    };
    let values: Vec<f32> = (0..observation.values.len()).map(value).collect();
    Tensor::new(vec![clips, height, width, channels], &values)
}

/// What the official SlowFast gives in evaluation.
fn softmax(logits: &[f32], classes: usize) -> Vec<f32> {
    let row = |row: &[f32]| {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f64> = row
            .iter()
            .map(|&logit| f64::from(logit - largest).exp())
            .collect();
        let sum: f64 = powers.iter().sum();
        powers
            .into_iter()
            .map(move |power| (power / sum) as f32)
            .collect::<Vec<f32>>()
    };
    logits.chunks_exact(classes).flat_map(row).collect()
}

fn train(
    case: &Case,
    steps: &Steps,
    inputs: &Inputs<'_>,
    model: &mut model::Model,
) -> Result<Tensors> {
    let mut optimizer = Optimizer::new(model, &case.experiment)?;
    let mut computed = Tensors::new();
    for step in 0..steps.count {
        let pixels = case.frames.iter().map(|&frames| {
            let name = input_name(frames, Some(step));
            inputs.pixels(&name, frames)
        });
        let pixels: Vec<Vec<f32>> = pixels.collect::<Result<_>>()?;
        let output = model.train_step(&StepInput {
            pixels: Input::Values(&pixels.concat()),
            targets: steps.targets(step, case.batch),
            dropout: DropoutKey {
                seed: 0,
                step,
                first_clip: 0,
            },
            shards: 1,
        })?;
        let rate = schedule::rate(&case.experiment, steps.count, step);
        let norm = optimizer.step(model, rate)?;
        let step = format!("step{step}.");
        record_outputs(&mut computed, &step, case, model, &output);
        let gradients = Recorded {
            head: format!("{step}grad_head"),
            norm: format!("{step}grad_norm"),
        };
        let values = model.device().gradients()?;
        let params = model.graph().params.iter().map(|param| param.name.as_str());
        let tensors = params.zip(values.iter().map(Vec::as_slice));
        gradients.record(&mut computed, steps, tensors);
        record_taps(&mut computed, &step, case, model);
        computed.insert(format!("{step}grad_norm.total"), Tensor::scalar(norm));
    }
    let after = Recorded {
        head: "after".to_owned(),
        norm: "after_norm".to_owned(),
    };
    let floats = model.state_dict()?.floats;
    let tensors = floats
        .iter()
        .map(|(name, _, values)| (name.as_str(), values.as_slice()));
    after.record(&mut computed, steps, tensors);
    Ok(computed)
}

fn record_outputs(
    computed: &mut Tensors,
    step: &str,
    case: &Case,
    model: &model::Model,
    output: &StepOutput,
) {
    for (frames, logits) in case.frames.iter().zip(&output.logits) {
        let shape = vec![case.batch, model.graph().classes];
        computed.insert(format!("{step}logits.{frames}"), Tensor::new(shape, logits));
    }
    for (term, value) in &output.terms {
        computed.insert(format!("{step}loss.{term}"), Tensor::scalar(*value));
    }
    computed.insert(format!("{step}loss.total"), Tensor::scalar(output.total));
}

fn record_taps(computed: &mut Tensors, step: &str, case: &Case, model: &model::Model) {
    let tapped = |o: &&Observation| case.taps.contains(&o.node);
    for observation in model.observations().iter().filter(tapped) {
        let name = taps::name(step, observation.frames, &observation.node);
        let tensor = Tensor::new(observation.shape.clone(), &observation.values);
        computed.insert(name, tensor);
    }
}

/// What is recorded of named tensors: under `head` the first values of each, under `norm` its L2 norm.
struct Recorded {
    head: String,
    norm: String,
}

impl Recorded {
    /// Of a case that records some tensors one by one the norms of all too, in the byte order of their names.
    fn record<'a>(
        &self,
        computed: &mut Tensors,
        steps: &Steps,
        tensors: impl Iterator<Item = (&'a str, &'a [f32])>,
    ) {
        let (head, norm) = (&self.head, &self.norm);
        let mut norms = BTreeMap::new();
        for (name, values) in tensors {
            let square: f64 = values.iter().map(|&v| f64::from(v).powi(2)).sum();
            norms.insert(name, square.sqrt());
            if steps.records(name) {
                let first = &values[..values.len().min(HEAD)];
                let first = Tensor::new(vec![first.len()], first);
                computed.insert(format!("{head}/{name}"), first);
                computed.insert(format!("{norm}/{name}"), Tensor::scalar(square.sqrt()));
            }
        }
        if steps.record.is_some() {
            let all = Tensor {
                shape: vec![norms.len()],
                values: norms.into_values().collect(),
            };
            computed.insert(format!("{norm}.all"), all);
        }
    }
}
