//! The compiled trunk as one operation on dfdx's tape: frames and parameters in, the logits of each branch out.
//!
//! Forward runs the compiled program; the operation that it leaves on the tape runs the program backward from the
//! logits' gradients and writes every parameter's gradient into dfdx's [`Gradients`]. Parameters on a card are none of the
//! tape's: their gradients stay beside them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::rc::Rc;

use dfdx::prelude::*;

use super::{Plan, Step, Trunk, failed, learn};
use crate::base::{Error, Result};
use crate::exec::{DropoutKey, Engine, Engines, Input, Segment, Statistics, TaskTime, Weights};
use crate::graph::{Graph, NodeId};
use crate::model::objective::{BranchLogits, Logits, Objective, Recorded, Scalar};
use crate::model::observation::{self, Observation};
use crate::model::parameters::{Parameter, Parameters};
use crate::model::{StepInput, StepTime};
use crate::program::batch::every_branch;

/// The compiled programs of a model: one for training, one for each shape of evaluation batch.
pub struct Compiled {
    plan: Rc<Plan>,
    observed: Vec<NodeId>,
    engines: Rc<Engines>,
    training: Option<Training>,
    /// By branch, frames and clips.
    evaluation: BTreeMap<(usize, usize, usize), Engine>,
    /// The last one, with what it is for.
    statistics: Option<(Segment, Engine)>,
    observations: Vec<Observation>,
}

impl Compiled {
    pub fn new(plan: Rc<Plan>, observed: Vec<NodeId>, engines: Rc<Engines>) -> Self {
        Self {
            plan,
            observed,
            engines,
            training: None,
            evaluation: BTreeMap::new(),
            statistics: None,
            observations: Vec::new(),
        }
    }

    /// The training program for batches of `clips`; another size replaces it.
    fn training(&mut self, clips: usize) -> Result<Training> {
        let graph = &self.plan.training;
        let segments = every_branch(graph, clips);
        match &self.training {
            Some(training) if *training.segments == segments => Ok(training.clone()),
            _ => {
                // The old arena goes before the new one comes.
                self.training = None;
                let options = &self.plan.options;
                let engine = self
                    .engines
                    .train(graph, &segments, options, &self.observed)?;
                let training = Training::new(engine, segments);
                self.training = Some(training.clone());
                Ok(training)
            }
        }
    }

    /// The engine for a shape of evaluation batch, built if there is none yet.
    fn evaluation(&mut self, batch: Segment) -> Result<&mut Engine> {
        let shape = (batch.branch, batch.frames, batch.clips);
        match self.evaluation.entry(shape) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let graph = &self.plan.evaluation;
                let engine = self.engines.eval(graph, &[batch], &self.observed)?;
                Ok(entry.insert(engine))
            }
        }
    }

    /// The engine for the statistics of a shape of batch; another shape replaces it.
    fn statistics(&mut self, batch: Segment) -> Result<&mut Engine> {
        let known = self.statistics.take();
        let engine = match known.filter(|(shape, _)| *shape == batch) {
            Some((_, engine)) => engine,
            None => self.engines.statistics(&self.plan.evaluation, batch)?,
        };
        Ok(&mut self.statistics.insert((batch, engine)).1)
    }
}

impl Trunk for Compiled {
    fn prepare_train(&mut self, clips: usize) -> Result<()> {
        self.training(clips).map(|_| ())
    }

    fn prepare_eval(&mut self, batch: Segment) -> Result<()> {
        self.evaluation(batch).map(|_| ())
    }

    fn train_step(
        &mut self,
        parameters: &Parameters,
        statistics: &mut Statistics,
        objective: &Objective,
        input: &StepInput<'_>,
    ) -> Result<Step> {
        let training = self.training(input.labels.len())?;
        let branches = training.forward(parameters, statistics, input)?;
        self.observations = training.observations(&self.plan.training);
        let step = learn(objective, branches, input.labels, |total| {
            training.differentiate(total, parameters)
        })?;
        let mut program = training.program.borrow_mut();
        program.engine.copy_ahead(input.pixels)?;
        Ok(step)
    }

    fn evaluate(
        &mut self,
        parameters: &Parameters,
        statistics: &mut Statistics,
        batch: Segment,
        pixels: Input<'_>,
    ) -> Result<Vec<f32>> {
        let plan = Rc::clone(&self.plan);
        let engine = self.evaluation(batch)?;
        // Nothing is dropped in evaluation.
        let dropout = DropoutKey { seed: 0, step: 0 };
        let logits = engine.forward(parameters.weights(), statistics, pixels, dropout)?;
        let logits = logits.to_vec();
        let observed = engine.observed().into_iter();
        let observations = observed.flat_map(|(node, values)| {
            observation::split(&plan.evaluation, &[batch], node, &values)
        });
        self.observations = observations.collect();
        Ok(logits)
    }

    fn follow_statistics(
        &mut self,
        parameters: &Parameters,
        statistics: &mut Statistics,
        batch: Segment,
        pixels: Input<'_>,
    ) -> Result<()> {
        let dropout = DropoutKey { seed: 0, step: 0 };
        let engine = self.statistics(batch)?;
        engine.forward(parameters.weights(), statistics, pixels, dropout)?;
        Ok(())
    }

    fn release(&mut self) {
        self.training = None;
        self.evaluation.clear();
        self.statistics = None;
    }

    fn weights_changed(&mut self) {
        self.evaluation
            .values_mut()
            .for_each(Engine::weights_changed);
    }

    fn observations(&self) -> &[Observation] {
        &self.observations
    }

    fn time_steps(&mut self) -> Result<bool> {
        let mut changes = false;
        if let Some(training) = &self.training {
            changes |= training.program.borrow_mut().engine.time_steps()?;
        }
        for engine in self.evaluation.values_mut() {
            changes |= engine.time_steps()?;
        }
        Ok(changes)
    }

    fn times(&self) -> Vec<StepTime> {
        let mut times = Vec::new();
        if let Some(training) = &self.training {
            times.extend(step_times(&training.program.borrow().engine));
        }
        times.extend(self.evaluation.values().flat_map(step_times));
        times
    }

    fn memory(&self) -> usize {
        let training = self.training.as_ref().map_or(0, Training::memory);
        let statistics = self.statistics.as_ref().map(|(_, engine)| engine);
        let engines = self.evaluation.values().chain(statistics);
        training + engines.map(Engine::memory).sum::<usize>()
    }
}

fn step_times(engine: &Engine) -> Vec<StepTime> {
    let time = |task: TaskTime<'_>| StepTime {
        name: task.name.to_owned(),
        kind: task.kind,
        seconds: task.time.as_secs_f64(),
        cost: task.cost,
    };
    engine.times().into_iter().map(time).collect()
}

/// The training program of one batch shape, shared with the tape until the backward pass has run.
#[derive(Clone)]
struct Training {
    program: Rc<RefCell<Program>>,
    segments: Rc<[Segment]>,
}

struct Program {
    engine: Engine,
    /// What stopped the backward pass: dfdx's error type has no room for it.
    failure: Option<Error>,
}

impl Training {
    fn new(engine: Engine, segments: Vec<Segment>) -> Self {
        let program = Program {
            engine,
            failure: None,
        };
        Self {
            program: Rc::new(RefCell::new(program)),
            segments: segments.into(),
        }
    }

    fn memory(&self) -> usize {
        self.program.borrow().engine.memory()
    }

    /// What the observed nodes gave in the last pass.
    fn observations(&self, graph: &Graph) -> Vec<Observation> {
        let program = self.program.borrow();
        let observed = program.engine.observed().into_iter();
        let split = observed
            .flat_map(|(node, values)| observation::split(graph, &self.segments, node, &values));
        split.collect()
    }

    /// Logits of each branch, ascending, on one tape.
    fn forward(
        &self,
        parameters: &Parameters,
        statistics: &mut Statistics,
        input: &StepInput<'_>,
    ) -> Result<Vec<BranchLogits>> {
        let mut program = self.program.borrow_mut();
        let weights = parameters.weights().clone();
        let logits = program
            .engine
            .forward(&weights, statistics, input.pixels, input.dropout)?;
        let outputs = self.split(logits)?;

        let mut tape = Recorded::default();
        let trunk = self.clone();
        let (tensors, tracked) = (parameters.tensors(), outputs.clone());
        tape.add_backward_op(move |gradients| {
            trunk.backward(&tensors, &weights, &tracked, gradients)
        });
        // The operation must be on the tape once, whichever branches the objective reads: the largest carries it.
        let mut tape = Some(tape);
        let mut branches: Vec<BranchLogits> = outputs
            .into_iter()
            .zip(self.segments.iter())
            .rev()
            .map(|(logits, segment)| BranchLogits {
                frames: segment.frames,
                logits: logits.put_tape(tape.take().unwrap_or_default()),
            })
            .collect();
        branches.reverse();
        Ok(branches)
    }

    /// Cuts the ragged batch's logits into branches.
    fn split(&self, logits: &[f32]) -> Result<Vec<Logits>> {
        let device = Cpu::default();
        let clips: usize = self.segments.iter().map(|s| s.clips).sum();
        let classes = logits.len() / clips.max(1);
        let mut rest = logits;
        let branches = self.segments.iter().map(|segment| {
            let (branch, tail) = rest.split_at(segment.clips * classes);
            rest = tail;
            device
                .try_tensor_from_vec(branch.to_vec(), (segment.clips, classes))
                .map_err(failed)
        });
        branches.collect()
    }

    fn backward(
        &self,
        tensors: &[Parameter],
        weights: &Weights,
        outputs: &[Logits],
        gradients: &mut Gradients<f32, Cpu>,
    ) -> Result<(), CpuError> {
        let mut d_logits = Vec::new();
        for output in outputs {
            d_logits.extend_from_slice(gradients.get_or_alloc_mut(output)?);
        }
        let mut taken = take(tensors, gradients)?;
        let mut program = self.program.borrow_mut();
        let mut written: Vec<&mut [f32]> = taken.iter_mut().map(Vec::as_mut_slice).collect();
        let outcome = program.engine.backward(weights, &d_logits, &mut written);
        program.failure = outcome.err();
        for (tensor, gradient) in tensors.iter().zip(taken) {
            **gradients.get_or_alloc_mut(tensor)? = gradient;
        }
        Ok(())
    }

    /// The whole backward pass of an objective: the gradient of every parameter on the tape, in the graph's order.
    fn differentiate(&self, total: Scalar, parameters: &Parameters) -> Result<Vec<Vec<f32>>> {
        let mut gradients = total.try_backward().map_err(failed)?;
        match self.program.borrow_mut().failure.take() {
            Some(error) => Err(error),
            None => take(&parameters.tensors(), &mut gradients).map_err(failed),
        }
    }
}

/// Moves the parameters' gradients out, all of them mutable at once and none copied.
fn take(
    tensors: &[Parameter],
    gradients: &mut Gradients<f32, Cpu>,
) -> Result<Vec<Vec<f32>>, CpuError> {
    let taken = tensors
        .iter()
        .map(|tensor| Ok(std::mem::take(&mut **gradients.get_or_alloc_mut(tensor)?)));
    taken.collect()
}
