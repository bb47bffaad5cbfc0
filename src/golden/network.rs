//! A model bundle: a case, the tensors that it expects, and the model that computes them.

use std::path::{Path, PathBuf};

use super::case::Case;
use super::compare::{BF16_FLOOR, Comparison, FLOOR, Rule, group_of};
use super::compute::{WINDOWS, compute};
use super::source::{self, Inputs};
use super::taps;
use super::tensors::{self, Tensors, damaged};
use crate::base::{Error, Kind, Result};
use crate::exec::{EngineKind, Executor, cpu};
use crate::graph::{Graph, NodeId};
use crate::model::Model;
use crate::program::batch::{every_branch, served};
use crate::program::{Numerics, Program, TrainOptions, compile_eval, compile_train};
use crate::spec::Experiment;
use crate::spec::network::held_still;

pub const CASE: &str = "case.json";
pub const EXPECTED: &str = "expected.safetensors";
/// Bytes that the compiled engine may take for a case: four clips of a flexible ResNet-50 at 224 × 224 in training.
const MAX_MEMORY: usize = 8 << 30;
/// Bytes that the dfdx engine may take, which keeps every value of a step.
const MAX_DFDX_MEMORY: usize = 32 << 30;

/// A bundle of a model; the expected tensors have been read, nothing has been computed.
pub struct Bundle {
    pub case: Case,
    pub expected: Tensors,
    folder: PathBuf,
    /// Bytes that the compiled engine takes.
    memory: usize,
}

impl Bundle {
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(CASE);
        let case = Case::read(&path)?;
        let memory = memory(&case).map_err(|what| damaged(&path, &what))?;
        let expected = tensors::read(&folder.join(EXPECTED))?;
        check_groups(&case, &expected).map_err(|what| damaged(&path, &what))?;
        Ok(Self {
            case,
            expected,
            folder: folder.to_owned(),
            memory,
        })
    }

    /// The case's model with the case's weights; it observes the case's taps.
    pub fn model(&self, executor: Executor) -> Result<Model> {
        self.check_memory(executor.engine)?;
        let graphs = [self.case.graph()?, self.case.graph()?];
        let mut model = Model::of_graphs(&self.case.experiment, graphs, &self.folder, executor)?;
        source::set_weights(&mut model, &self.case.weights, &self.folder)?;
        let path = self.folder.join(CASE);
        let mut names = self.case.taps.clone();
        if self.case.windows {
            names.push(WINDOWS.to_owned());
        }
        let nodes = taps::nodes(model.graph(), &names);
        model.observe(&nodes.map_err(|what| damaged(&path, &what))?);
        Ok(model)
    }

    /// The same weights, inputs and expectations, computed as another experiment says, held still.
    pub fn with_experiment(mut self, experiment: Experiment) -> Result<Self> {
        self.case.experiment = held_still(experiment, self.case.input.0);
        let path = self.folder.join(CASE);
        self.memory = memory(&self.case).map_err(|what| damaged(&path, &what))?;
        Ok(self)
    }

    /// The dfdx engine was measured to take about 5 times the compiled engine's memory, 10 times in float64.
    fn check_memory(&self, engine: EngineKind) -> Result<()> {
        let times = match engine {
            EngineKind::Compiled | EngineKind::CompiledBf16 | EngineKind::CompiledAmx => {
                return Ok(());
            }
            EngineKind::Dfdx => 5,
            EngineKind::DfdxF64 => 10,
        };
        let bytes = self.memory.saturating_mul(times);
        if bytes <= MAX_DFDX_MEMORY {
            return Ok(());
        }
        let (name, engine) = (&self.case.name, engine.name());
        let message = format!(
            "the engine `{engine}` would take about {:.0} GiB of memory for the case `{name}`, at most {} are allowed",
            gibibytes(bytes),
            MAX_DFDX_MEMORY >> 30
        );
        Err(Error::new(Kind::Device, message)
            .hint("fewer clips or smaller images show the same; `--engine compiled` takes less"))
    }

    /// What the bundle fixes, as this program computes it.
    pub fn compute(&self, executor: Executor) -> Result<Tensors> {
        let inputs = Inputs::open(&self.case, &self.folder)?;
        compute(&self.case, &inputs, &mut self.model(executor)?)
    }

    pub fn verify(&self, executor: Executor) -> Result<Comparison> {
        self.compare(&self.compute(executor)?, executor.engine)
    }

    /// What an engine computed beside what is expected.
    pub fn compare(&self, computed: &Tensors, engine: EngineKind) -> Result<Comparison> {
        let name = &self.case.name;
        let (errors, floor) = match engine {
            EngineKind::CompiledBf16 | EngineKind::CompiledAmx => {
                (self.case.reference_bf16.as_ref(), BF16_FLOOR)
            }
            _ => (Some(&self.case.reference), FLOOR),
        };
        let errors = errors.ok_or_else(|| {
            let message = format!("the case `{name}` has no reference_bf16_error to measure by");
            Error::new(Kind::Usage, message)
                .hint("`python golden/pytorch/bundle.py --bf16 DIR` computes it and adds it")
        })?;
        let rule = Rule::Reference {
            errors,
            floor,
            taps: &self.case.taps,
        };
        Ok(Comparison::new(name, &self.expected, computed, rule))
    }
}

/// Every group of tensors has its reference errors, and every reference error a group.
fn check_groups(case: &Case, expected: &Tensors) -> Result<(), String> {
    let float32 = ("reference_f32_error", &case.reference);
    let bf16 = case.reference_bf16.iter();
    let bf16 = bf16.map(|errors| ("reference_bf16_error", errors));
    for (field, errors) in [float32].into_iter().chain(bf16) {
        let lacking = |group: &&str| !errors.contains_key(*group);
        if let Some(group) = expected.keys().map(|name| group_of(name)).find(lacking) {
            let group = group.escape_default();
            return Err(format!("{field} has no group `{group}`"));
        }
        let spare = |group: &&String| !expected.keys().any(|name| group_of(name) == *group);
        if let Some(group) = errors.keys().find(spare) {
            let group = group.escape_default();
            return Err(format!(
                "{field} has a group `{group}` that {EXPECTED} lacks"
            ));
        }
    }
    Ok(())
}

/// What the compiled engine will take, before it takes anything. Refuses what is too much, and taps that the network
/// does not have.
fn memory(case: &Case) -> Result<usize, String> {
    let text = |error: crate::base::Error| error.message;
    let graph = case.graph().map_err(text)?;
    check_record(case, &graph)?;
    let observed = taps::nodes(&graph, &case.taps)?;
    // In training also as gradients and moments.
    let moments = case.experiment.optimizer.moments();
    let copies = if case.steps.is_some() { 2 + moments } else { 1 };
    let parameters = copies * graph.parameter_count() * size_of::<f32>();
    let bytes = parameters.saturating_add(arena(case, &graph, &observed).map_err(text)?);
    match bytes <= MAX_MEMORY {
        true => Ok(bytes),
        false => Err(format!(
            "the case needs {:.1} GiB of memory, at most {} are allowed; fewer clips or smaller images show the same",
            gibibytes(bytes),
            MAX_MEMORY >> 30
        )),
    }
}

/// What is recorded must be there.
fn check_record(case: &Case, graph: &Graph) -> Result<(), String> {
    let begins = |begin: &str| {
        let params = graph.params.iter().map(|param| &param.name);
        let mut names = params.chain(graph.stats.iter().map(|stat| &stat.name));
        names.any(|name| name.starts_with(begin))
    };
    let record = case.steps.as_ref().and_then(|steps| steps.record.as_ref());
    match record.into_iter().flatten().find(|begin| !begins(begin)) {
        None => Ok(()),
        Some(begin) => {
            let begin = begin.escape_default();
            Err(format!(
                "record: no name of the network begins with `{begin}`"
            ))
        }
    }
}

/// Bytes that the compiled engine holds for a program, on one thread of the CPU.
fn held(program: &Program) -> Result<usize> {
    Ok(cpu::plan::memory(&cpu::plan::plan(program)?, 1))
}

fn gibibytes(bytes: usize) -> f64 {
    bytes as f64 / (1u64 << 30) as f64
}

fn arena(case: &Case, graph: &Graph, observed: &[NodeId]) -> Result<usize> {
    if case.steps.is_some() {
        let options = TrainOptions::of(&case.experiment);
        let segments = every_branch(graph, case.batch);
        return held(&compile_train(
            graph,
            &segments,
            &options,
            observed,
            Numerics::Float32,
        )?);
    }
    let memory = case.frames.iter().map(|&frames| {
        let segment = served(graph, frames, case.batch);
        held(&compile_eval(
            graph,
            &[segment],
            observed,
            Numerics::Float32,
        )?)
    });
    memory.sum()
}
