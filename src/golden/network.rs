//! A model bundle: a case, the tensors that it expects, and the model that computes them.

use std::path::{Path, PathBuf};

use super::case::Case;
use super::compare::{Comparison, Rule, group_of};
use super::compute::compute;
use super::experiment::held_still;
use super::source::{self, Inputs};
use super::taps;
use super::tensors::{self, Tensors, damaged};
use crate::base::Result;
use crate::exec::Executor;
use crate::graph::{Graph, NodeId};
use crate::model::Model;
use crate::program::batch::{every_branch, served};
use crate::program::{TrainOptions, compile_eval, compile_train};
use crate::spec::Experiment;

pub const CASE: &str = "case.json";
pub const EXPECTED: &str = "expected.safetensors";
/// Bytes that the compiled engine may take for a case: four clips of a flexible ResNet-50 at 224 × 224 in training.
const MAX_MEMORY: usize = 8 << 30;

/// A bundle of a model; the expected tensors have been read, nothing has been computed.
pub struct Bundle {
    pub case: Case,
    pub expected: Tensors,
    folder: PathBuf,
}

impl Bundle {
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(CASE);
        let case = Case::read(&path)?;
        check_cost(&case).map_err(|what| damaged(&path, &what))?;
        let expected = tensors::read(&folder.join(EXPECTED))?;
        check_groups(&case, &expected).map_err(|what| damaged(&path, &what))?;
        Ok(Self {
            case,
            expected,
            folder: folder.to_owned(),
        })
    }

    /// The case's model with the case's weights; it observes the case's taps.
    pub fn model(&self, executor: Executor) -> Result<Model> {
        let mut model = Model::new(&self.case.experiment, &self.folder, executor)?;
        source::set_weights(&mut model, &self.case.weights, &self.folder)?;
        let path = self.folder.join(CASE);
        let nodes = taps::nodes(model.graph(), &self.case.taps);
        model.observe(&nodes.map_err(|what| damaged(&path, &what))?);
        Ok(model)
    }

    /// The same weights, inputs and expectations, computed as another experiment says, held still.
    pub fn with_experiment(mut self, experiment: Experiment) -> Result<Self> {
        self.case.experiment = held_still(experiment, self.case.size);
        let path = self.folder.join(CASE);
        check_cost(&self.case).map_err(|what| damaged(&path, &what))?;
        Ok(self)
    }

    /// What the bundle fixes, as this program computes it.
    pub fn compute(&self, executor: Executor) -> Result<Tensors> {
        let inputs = Inputs::open(&self.case, &self.folder)?;
        compute(&self.case, &inputs, &mut self.model(executor)?)
    }

    pub fn verify(&self, executor: Executor) -> Result<Comparison> {
        Ok(self.compare(&self.compute(executor)?))
    }

    /// What was computed beside what is expected.
    pub fn compare(&self, computed: &Tensors) -> Comparison {
        let rule = Rule::Reference {
            errors: &self.case.reference,
            taps: &self.case.taps,
        };
        let name = &self.case.name;
        Comparison::new(name, &self.expected, computed, rule)
    }
}

/// Every group of tensors has a reference error, and every reference error a group.
fn check_groups(case: &Case, expected: &Tensors) -> Result<(), String> {
    for name in expected.keys() {
        let group = group_of(name);
        if !case.reference.contains_key(group) {
            let group = group.escape_default();
            return Err(format!("reference_f32_error has no group `{group}`"));
        }
    }
    let spare = |group: &&String| !expected.keys().any(|name| group_of(name) == *group);
    match case.reference.keys().find(spare) {
        None => Ok(()),
        Some(group) => Err(format!(
            "reference_f32_error has a group `{}` that {EXPECTED} lacks",
            group.escape_default()
        )),
    }
}

/// Refuses what this machine could not hold, before anything is allocated, and taps that the network does not have.
pub fn check_cost(case: &Case) -> Result<(), String> {
    let text = |error: crate::base::Error| error.message;
    let graph = Graph::build(&case.experiment, (case.size, case.size)).map_err(text)?;
    let observed = taps::nodes(&graph, &case.taps)?;
    // Twice in the model; in training also as gradients and momentum.
    let copies = if case.steps.is_some() { 4 } else { 2 };
    let parameters = copies * graph.parameter_count() * size_of::<f32>();
    let bytes = parameters.saturating_add(arena(case, &graph, &observed).map_err(text)?);
    match bytes <= MAX_MEMORY {
        true => Ok(()),
        false => Err(format!(
            "the case needs {:.1} GiB of memory, at most {} are allowed; fewer clips or smaller pictures show the same",
            bytes as f64 / (1u64 << 30) as f64,
            MAX_MEMORY >> 30
        )),
    }
}

fn arena(case: &Case, graph: &Graph, observed: &[NodeId]) -> Result<usize> {
    if case.steps.is_some() {
        let options = TrainOptions::of(&case.experiment);
        let segments = every_branch(graph, case.batch);
        return Ok(compile_train(graph, &segments, &options, observed)?.memory(1));
    }
    let memory = case.frames.iter().map(|&frames| {
        let segment = served(graph, frames, case.batch);
        Ok(compile_eval(graph, &[segment], observed)?.memory(1))
    });
    memory.sum()
}
