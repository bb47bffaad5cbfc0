//! The dfdx module: parameters, forward on dfdx's tape, objective.
//!
//! Logits are dfdx tensors and the objective is written in dfdx operations ([`objective`]). Between frames and logits stands
//! the `trunk`: on the compiled engine one operation of the tape, on the dfdx engine dfdx's own operations. `backward()` of the
//! objective drives the whole. Parameters are on the [`Device`], where the engine computes, and nowhere else.

pub mod difference;
pub mod objective;
pub mod state;
mod init;
mod observation;
mod pretrained;
mod trunk;

use std::path::Path;
use std::rc::Rc;

pub use difference::{Difference, first_difference};
pub use observation::Observation;
pub use state::StateDict;

use self::objective::{Objective, Targets};
use self::trunk::{Plan, Trunk};
use crate::base::{Error, Kind, Result};
use crate::data::clip::evaluation_size;
use crate::exchange::mapping::{Mapping, Purpose};
use crate::exchange::read::Checkpoint;
use crate::exec::{Device, DropoutKey, Executor, Input, Segment, Statistics, TrainOptions, device};
use crate::graph::{Graph, NodeId};
use crate::ops::BATCH_NORM_MOMENTUM;
use crate::program::batch::served;
use crate::program::cost::Cost;
use crate::spec::Experiment;

/// A model of an experiment: parameters, running statistics, and the trunk that computes with them.
pub struct Model {
    plan: Rc<Plan>,
    device: Rc<dyn Device>,
    statistics: Statistics,
    objective: Objective,
    trunk: Box<dyn Trunk>,
}

/// One training step's input.
pub struct StepInput<'a> {
    /// Branches ascending, `Σ clips·T × size × size × 3`.
    pub pixels: Input<'a>,
    /// Of the clips; the same for every branch.
    pub targets: Targets<'a>,
    pub dropout: DropoutKey,
    /// Shards of the step, of which these clips are one; the losses are divided by it.
    pub shards: usize,
}

/// What a forward and backward pass leaves, beside the gradients on the device. Nothing has been updated but the running
/// statistics.
pub struct StepOutput {
    pub total: f64,
    /// The terms of the total by name: `ce`, `kl.4`, `kl.8` (lambda included).
    pub terms: Vec<(String, f64)>,
    /// For each branch: `clips × classes`.
    pub logits: Vec<Vec<f32>>,
}

/// One step of a program, over all its passes.
#[derive(Debug, Clone)]
pub struct StepTime {
    /// The node that the step serves.
    pub name: String,
    /// [`crate::ops::Compute::kind`]
    pub kind: &'static str,
    pub seconds: f64,
    /// Of one pass.
    pub cost: Cost,
}

impl Model {
    /// Builds the graphs for training and for evaluation, and the initial weights, which go where the executor computes.
    /// `base`: folder of the experiment.
    pub fn new(experiment: &Experiment, base: &Path, executor: Executor) -> Result<Self> {
        let train = experiment.train.clips.size;
        let eval = evaluation_size(&experiment.eval);
        let training = Graph::build(experiment, (train, train))?;
        let evaluation = Graph::build(experiment, (eval, eval))?;
        Self::of_graphs(experiment, [training, evaluation], base, executor)
    }

    /// As [`Model::new`] with the graphs for training and for evaluation: golden cases have networks and sizes that no experiment
    /// has.
    pub fn of_graphs(
        experiment: &Experiment,
        [training, evaluation]: [Graph; 2],
        base: &Path,
        executor: Executor,
    ) -> Result<Self> {
        let (values, statistics) = init::initial(experiment, &training, base)?;
        let device = device::place(executor, &training, values)?;
        let plan = Rc::new(Plan {
            evaluation,
            options: TrainOptions::of(experiment),
            training,
            executor,
        });
        Ok(Self {
            statistics,
            objective: Objective::of(&experiment.method),
            trunk: trunk::build(&device, Rc::clone(&plan), &[]),
            device,
            plan,
        })
    }

    /// Has passes of the programs that were built tell what their steps take. A GPU's passes tell nothing else, because
    /// they run as a whole, and slower when they do. `false`: nothing changes.
    pub fn time_steps(&mut self) -> Result<bool> {
        self.trunk.time_steps()
    }

    /// Time and cost of each step of the programs that ran so far; nothing from engines without programs.
    pub fn times(&self) -> Vec<StepTime> {
        self.trunk.times()
    }

    /// The graph at the size of training.
    pub fn graph(&self) -> &Graph {
        &self.plan.training
    }

    /// The graph at the size of evaluation.
    pub fn evaluation_graph(&self) -> &Graph {
        &self.plan.evaluation
    }

    /// What computes the model.
    pub fn executor(&self) -> Executor {
        self.plan.executor
    }

    /// From now on every pass also leaves the outputs of these nodes in [`Model::observations`]. Nothing else changes,
    /// but for rounding: what is observed is not fused away.
    pub fn observe(&mut self, nodes: &[NodeId]) {
        self.trunk = trunk::build(&self.device, Rc::clone(&self.plan), nodes);
    }

    /// Of the last pass: the observed nodes in the order asked for, each with its segments in the batch's order.
    pub fn observations(&self) -> &[Observation] {
        self.trunk.observations()
    }

    /// Builds the training program for batches of `clips`, so that nothing can be found wrong with it later.
    pub fn prepare_train(&mut self, clips: usize) -> Result<()> {
        self.device.prepare_training()?;
        self.trunk.prepare_train(clips)
    }

    /// Builds the evaluation program for batches of `clips` of `frames` frames.
    pub fn prepare_eval(&mut self, frames: usize, clips: usize) -> Result<()> {
        let batch = served(&self.plan.evaluation, frames, clips);
        self.trunk.prepare_eval(batch)
    }

    /// Where the parameters are, with all that training changes of them. Who changes them there calls [`Model::changed`].
    pub fn device(&self) -> &dyn Device {
        &*self.device
    }

    /// The parameters are no longer those of the last pass.
    pub fn changed(&mut self) {
        self.trunk.weights_changed();
    }

    /// Bytes that the engine holds between passes by now, and the device with it.
    pub fn memory(&self) -> usize {
        self.trunk.memory() + self.device.memory()
    }

    /// Forward of every branch, objective and backward on dfdx's tape. The gradients are left on the device.
    pub fn train_step(&mut self, input: &StepInput<'_>) -> Result<StepOutput> {
        let graph = &self.plan.training;
        let frames = graph.branches.iter().sum::<usize>() * input.targets.clips();
        check_pixels(graph, frames, input.pixels)?;
        self.device.prepare_training()?;
        self.trunk.weights_changed();
        self.trunk
            .train_step(&mut self.statistics, &self.objective, input)
    }

    /// Logits (`clips × classes`) in evaluation, by the branch that serves `frames`.
    pub fn evaluate(&mut self, frames: usize, clips: usize, pixels: Input<'_>) -> Result<Vec<f32>> {
        self.evaluate_batch(served(&self.plan.evaluation, frames, clips), pixels)
    }

    /// As [`Model::evaluate`], by the branch that the batch names.
    pub fn evaluate_batch(&mut self, batch: Segment, pixels: Input<'_>) -> Result<Vec<f32>> {
        check_pixels(&self.plan.evaluation, batch.frames * batch.clips, pixels)?;
        self.trunk.evaluate(&mut self.statistics, batch, pixels)
    }

    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Puts other statistics in the place of the running ones.
    pub fn replace_statistics(&mut self, statistics: Statistics) -> Result<()> {
        let shape = |s: &Statistics| -> Vec<(usize, usize)> {
            s.mean
                .iter()
                .map(Vec::len)
                .zip(s.var.iter().map(Vec::len))
                .collect()
        };
        if shape(&statistics) != shape(&self.statistics) {
            return Err(Error::new(
                Kind::Usage,
                "the statistics are those of another network",
            ));
        }
        self.trunk.weights_changed();
        self.statistics = statistics;
        Ok(())
    }

    /// Mean and unbiased variance of what each norm of the batch's branch reads in a pass whose norms take the
    /// statistics of the batch, at the size of evaluation. `batches` is 1 for those norms and 0 for the others. The model
    /// stays as it is.
    ///
    /// Running statistics that begin at 0 are, after one batch, [`BATCH_NORM_MOMENTUM`] times those of the batch: exact but
    /// for a rounding of 6e-8.
    pub fn batch_statistics(&mut self, batch: Segment, pixels: Input<'_>) -> Result<Statistics> {
        check_pixels(&self.plan.evaluation, batch.frames * batch.clips, pixels)?;
        let mut statistics = Statistics::initial(self.graph());
        statistics.var.iter_mut().for_each(|var| var.fill(0.0));
        self.trunk
            .follow_statistics(&mut statistics, batch, pixels)?;
        for values in statistics.mean.iter_mut().chain(&mut statistics.var) {
            for value in values {
                *value = (f64::from(*value) / BATCH_NORM_MOMENTUM) as f32;
            }
        }
        Ok(statistics)
    }

    /// Frees what the engine holds between passes; the next pass builds it again.
    pub fn release(&mut self) {
        self.trunk.release();
    }

    /// Every parameter and statistic; parameters come from a GPU in one copy.
    pub fn state_dict(&self) -> Result<StateDict> {
        let parameters = self.device.parameters()?;
        let Statistics { mean, var, batches } = &self.statistics;
        let statistics = mean.iter().zip(var).flat_map(|(mean, var)| [mean, var]);
        let values = parameters.into_iter().chain(statistics.cloned());
        let floats = self.float_names().into_iter().zip(values);
        let counters = self.counter_names().zip(batches);
        Ok(StateDict {
            floats: floats.map(|((name, shape), v)| (name, shape, v)).collect(),
            counters: counters.map(|(name, &count)| (name, count)).collect(),
        })
    }

    /// Every name must be there with its shape, and none be left over.
    pub fn load_state_dict(&mut self, state: &StateDict) -> Result<()> {
        let own = self.float_names();
        let expected = own.iter().map(|(n, s)| (n.as_str(), s.as_slice()));
        let floats = state::in_order("state dictionary", expected, &state.floats)?;
        let batches = state::counters_in_order(self.counter_names(), &state.counters)?;

        self.trunk.weights_changed();
        let (params, stats) = floats.split_at(self.plan.training.params.len());
        self.device.write_parameters(params)?;
        let owned = |offset: usize| stats.iter().skip(offset).step_by(2).map(|v| v.to_vec());
        self.statistics = Statistics {
            mean: owned(0).collect(),
            var: owned(1).collect(),
            batches,
        };
        Ok(())
    }

    /// Every parameter and statistic from a checkpoint of another program; `what` is for the message. Counters that it
    /// lacks stay. Gives what a person should know of the weights that were taken: [`Mapping::choice`].
    pub fn load_checkpoint(&mut self, what: &str, checkpoint: &Checkpoint) -> Result<Vec<String>> {
        let graph = self.graph();
        let mapping = Mapping::new(what, graph, checkpoint, Purpose::Whole, &[])?;
        mapping.check_whole(what)?;
        let choice = mapping.choice(checkpoint);
        let loaded = mapping.load(false)?;
        let (floats, mut counters) = (loaded.floats, loaded.counters);
        if counters.is_empty() {
            let own = self.counter_names().zip(self.statistics.batches.clone());
            counters = own.collect();
        }
        self.load_state_dict(&StateDict { floats, counters })?;
        Ok(choice)
    }

    /// Names and shapes of all parameters, then of the mean and variance of each norm.
    fn float_names(&self) -> Vec<(String, Vec<usize>)> {
        let Graph { params, stats, .. } = &self.plan.training;
        let params = params.iter().map(|p| (p.name.clone(), p.shape.clone()));
        let stats = stats.iter().flat_map(|stat| {
            ["running_mean", "running_var"]
                .map(|kind| (format!("{}.{kind}", stat.name), vec![stat.channels]))
        });
        params.chain(stats).collect()
    }

    fn counter_names(&self) -> impl Iterator<Item = String> {
        let stats = self.plan.training.stats.iter();
        stats.map(|stat| format!("{}.num_batches_tracked", stat.name))
    }
}

fn check_pixels(graph: &Graph, frames: usize, pixels: Input<'_>) -> Result<()> {
    let (height, width) = graph.input;
    let expected = frames * height * width * 3;
    if pixels.count() == expected {
        return Ok(());
    }
    let message = format!(
        "expected {frames} frames of {height}×{width} pixels ({expected} values), found {} values",
        pixels.count()
    );
    Err(Error::new(Kind::Data, message))
}
