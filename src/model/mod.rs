//! The dfdx module: parameters, forward on dfdx's tape, objective.
//!
//! Parameters and logits are dfdx tensors and the objective is written in dfdx operations ([`objective`]); everything
//! between frames and logits is one operation on the tape, the compiled program (`trunk`). `backward()` of the
//! objective drives the whole.

pub mod objective;
pub mod state;
mod init;
mod observation;
mod parameters;
mod pretrained;
mod trunk;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;

use dfdx::nn::ModuleMut;
use dfdx::prelude::AsArray;

pub use observation::Observation;
pub use state::StateDict;

use self::objective::{BranchLogits, Objective};
use self::parameters::{Parameters, slices};
use self::trunk::{Input, Trunk};
use crate::base::{Error, Kind, Result};
use crate::data::clip::evaluation_size;
use crate::exec::cpu::Engine;
use crate::exec::{DropoutKey, Executor, Statistics, TrainOptions};
use crate::graph::{Graph, NodeId};
use crate::program::batch::{every_branch, served};
use crate::spec::Experiment;

/// A model of an experiment: dfdx parameters, running statistics, and the compiled programs that run it.
pub struct Model {
    /// At the size of training; that of evaluation has the same parameters.
    graph: Graph,
    evaluation_graph: Graph,
    parameters: Parameters,
    statistics: Statistics,
    objective: Objective,
    options: TrainOptions,
    executor: Executor,
    training: Option<Trunk>,
    evaluation: Evaluation,
    observed: Vec<NodeId>,
    observations: Vec<Observation>,
}

/// One training step's input.
pub struct StepInput<'a> {
    /// Normalised, NHWC, branches ascending, `Σ clips·T × size × size × 3`.
    pub pixels: &'a [f32],
    /// One for each clip; the same for every branch.
    pub labels: &'a [usize],
    pub dropout: DropoutKey,
}

/// What a forward and backward pass leaves. Nothing has been updated but the running statistics.
pub struct StepOutput {
    pub total: f64,
    /// The terms of the total by name: `ce`, `kl.4`, `kl.8` (lambda included).
    pub terms: Vec<(String, f64)>,
    /// For each branch: `clips × classes`.
    pub logits: Vec<Vec<f32>>,
    /// For each parameter, in the graph's order.
    pub gradients: Vec<Vec<f32>>,
}

impl Model {
    /// Builds the graphs for training and for evaluation, and the initial weights. `base`: folder of the experiment.
    pub fn new(experiment: &Experiment, base: &Path, executor: Executor) -> Result<Self> {
        let train = experiment.train.clips.size;
        let eval = evaluation_size(&experiment.eval);
        let graph = Graph::build(experiment, (train, train))?;
        let (values, statistics) = init::initial(experiment, &graph, base)?;
        Ok(Self {
            evaluation_graph: Graph::build(experiment, (eval, eval))?,
            parameters: Parameters::new(values),
            statistics,
            objective: Objective::of(&experiment.method),
            options: TrainOptions::of(experiment),
            executor,
            training: None,
            evaluation: Evaluation {
                executor,
                engines: BTreeMap::new(),
            },
            observed: Vec::new(),
            observations: Vec::new(),
            graph,
        })
    }

    /// The graph at the size of training.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// From now on every pass also leaves the outputs of these nodes in [`Model::observations`]. Nothing else changes,
    /// but for rounding: what is observed is not fused away.
    pub fn observe(&mut self, nodes: &[NodeId]) {
        self.observed = nodes.to_vec();
        self.observations.clear();
        self.training = None;
        self.evaluation.engines.clear();
    }

    /// Of the last pass: the observed nodes in the order asked for, each with its segments in the batch's order.
    pub fn observations(&self) -> &[Observation] {
        &self.observations
    }

    /// Builds the training program for batches of `clips`, so that nothing can be found wrong with it later.
    pub fn prepare_train(&mut self, clips: usize) -> Result<()> {
        self.training_trunk(clips).map(|_| ())
    }

    /// Builds the evaluation program for batches of `clips` of `frames` frames.
    pub fn prepare_eval(&mut self, frames: usize, clips: usize) -> Result<()> {
        self.evaluation
            .engine(&self.evaluation_graph, frames, clips, &self.observed)
            .map(|_| ())
    }

    /// Bytes that the compiled programs hold by now.
    pub fn memory(&self) -> usize {
        let training = self.training.as_ref().map_or(0, Trunk::memory);
        training + self.evaluation.memory()
    }

    /// Forward of every branch, objective and backward on dfdx's tape.
    pub fn train_step(&mut self, input: &StepInput<'_>) -> Result<StepOutput> {
        let branches = self.try_forward_mut(input)?;
        let logits = branches.iter().map(|b| b.logits.as_vec()).collect();
        let loss = self.objective.loss(branches, input.labels)?;
        let total = f64::from(loss.total.array());
        let trunk = self.training_trunk(input.labels.len())?;
        let gradients = trunk.differentiate(loss.total, &self.parameters)?;
        Ok(StepOutput {
            total,
            terms: loss.terms,
            logits,
            gradients,
        })
    }

    /// Logits (`clips × classes`) in evaluation, by the branch that serves `frames`.
    pub fn evaluate(&mut self, frames: usize, clips: usize, pixels: &[f32]) -> Result<Vec<f32>> {
        check_pixels(&self.evaluation_graph, frames * clips, pixels)?;
        let engine =
            self.evaluation
                .engine(&self.evaluation_graph, frames, clips, &self.observed)?;
        let values = self.parameters.values();
        // Nothing is dropped in evaluation.
        let dropout = DropoutKey { seed: 0, step: 0 };
        let logits = engine.forward(&slices(&values), &mut self.statistics, pixels, dropout)?;
        let logits = logits.to_vec();
        let segment = served(&self.evaluation_graph, frames, clips);
        let observed = engine.observed();
        let observations = observed.flat_map(|(node, values)| {
            observation::split(&self.evaluation_graph, &[segment], node, values)
        });
        self.observations = observations.collect();
        Ok(logits)
    }

    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// The values of parameter `index` of the graph, changed in place.
    pub fn update(&mut self, index: usize, change: &mut dyn FnMut(&mut [f32])) {
        self.parameters.change(index, change);
    }

    pub fn state_dict(&self) -> StateDict {
        let values = self.parameters.values();
        let params = self.graph.params.iter().zip(values.iter());
        let params = params.map(|(p, v)| (p.name.clone(), p.shape.clone(), v.clone()));
        let stats = self.graph.stats.iter().enumerate().flat_map(|(i, stat)| {
            let named = |kind: &str, values: &[Vec<f32>]| {
                let name = format!("{}.{kind}", stat.name);
                (name, vec![stat.channels], values[i].clone())
            };
            [
                named("running_mean", &self.statistics.mean),
                named("running_var", &self.statistics.var),
            ]
        });
        let counters = self.counter_names().zip(&self.statistics.batches);
        StateDict {
            floats: params.chain(stats).collect(),
            counters: counters.map(|(name, &count)| (name, count)).collect(),
        }
    }

    /// Every name must be there with its shape, and none be left over.
    pub fn load_state_dict(&mut self, state: &StateDict) -> Result<()> {
        let own = self.state_dict();
        let expected = own
            .floats
            .iter()
            .map(|(n, s, _)| (n.as_str(), s.as_slice()));
        let floats = state::in_order("state dictionary", expected, &state.floats)?;
        let batches = state::counters_in_order(self.counter_names(), &state.counters)?;

        let (params, stats) = floats.split_at(self.graph.params.len());
        for (index, values) in params.iter().enumerate() {
            self.parameters
                .change(index, &mut |own| own.copy_from_slice(values));
        }
        let owned = |offset: usize| stats.iter().skip(offset).step_by(2).map(|v| v.to_vec());
        self.statistics = Statistics {
            mean: owned(0).collect(),
            var: owned(1).collect(),
            batches,
        };
        Ok(())
    }

    fn counter_names(&self) -> impl Iterator<Item = String> {
        let stats = self.graph.stats.iter();
        stats.map(|stat| format!("{}.num_batches_tracked", stat.name))
    }

    /// The training program for batches of `clips`; another size replaces it.
    fn training_trunk(&mut self, clips: usize) -> Result<Trunk> {
        let segments = every_branch(&self.graph, clips);
        match &self.training {
            Some(trunk) if trunk.segments() == segments => Ok(trunk.clone()),
            _ => {
                // The old arena goes before the new one comes.
                self.training = None;
                let engine = Engine::train(
                    &self.graph,
                    &segments,
                    &self.options,
                    &self.observed,
                    self.executor.threads,
                )?;
                let trunk = Trunk::new(engine, segments);
                self.training = Some(trunk.clone());
                Ok(trunk)
            }
        }
    }
}

impl ModuleMut<&StepInput<'_>> for Model {
    type Output = Vec<BranchLogits>;
    type Error = Error;

    /// Logits of each branch, ascending, on a tape that leads to the parameters.
    fn try_forward_mut(&mut self, input: &StepInput<'_>) -> Result<Self::Output> {
        let clips = input.labels.len();
        let frames = self.graph.branches.iter().sum::<usize>() * clips;
        check_pixels(&self.graph, frames, input.pixels)?;
        let trunk = self.training_trunk(clips)?;
        let input = Input {
            pixels: input.pixels,
            dropout: input.dropout,
        };
        let logits = trunk.forward(&self.parameters, &mut self.statistics, &input)?;
        self.observations = trunk.observations(&self.graph);
        Ok(logits)
    }
}

/// Compiled evaluation programs by (frames, clips).
struct Evaluation {
    executor: Executor,
    engines: BTreeMap<(usize, usize), Engine>,
}

impl Evaluation {
    /// The engine for a shape of batch, built if there is none yet.
    fn engine(
        &mut self,
        graph: &Graph,
        frames: usize,
        clips: usize,
        observed: &[NodeId],
    ) -> Result<&mut Engine> {
        match self.engines.entry((frames, clips)) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let segment = served(graph, frames, clips);
                let threads = self.executor.threads;
                Ok(entry.insert(Engine::eval(graph, &[segment], observed, threads)?))
            }
        }
    }

    fn memory(&self) -> usize {
        self.engines.values().map(Engine::memory).sum()
    }
}

fn check_pixels(graph: &Graph, frames: usize, pixels: &[f32]) -> Result<()> {
    let (height, width) = graph.input;
    let expected = frames * height * width * 3;
    if pixels.len() == expected {
        return Ok(());
    }
    let message = format!(
        "expected {frames} frames of {height}×{width} pixels ({expected} values), found {} values",
        pixels.len()
    );
    Err(Error::new(Kind::Data, message))
}
