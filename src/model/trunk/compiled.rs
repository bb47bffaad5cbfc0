//! The compiled trunk as one operation on dfdx's tape: frames in, the logits of each branch out.
//!
//! Forward runs the compiled program; the operation that it leaves on the tape runs the program backward from the
//! logits' gradients. Parameters are none of the tape's: they and their gradients are the device's.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::rc::Rc;

use dfdx::prelude::*;

use super::{Plan, Trunk, failed, learn};
use crate::base::{Error, Result};
use crate::exec::{Device, DropoutKey, Engine, Input, Segment, Statistics, TaskTime};
use crate::graph::{Graph, NodeId};
use crate::model::objective::{BranchLogits, Logits, Objective, Recorded, Scalar};
use crate::model::observation::{self, Observation};
use crate::model::{StepInput, StepOutput, StepTime};
use crate::program::batch::every_branch;
use crate::program::{compile_eval, compile_statistics, compile_train};

/// The compiled programs of a model: one for training, one for each shape of evaluation batch.
pub struct Compiled {
    device: Rc<dyn Device>,
    plan: Rc<Plan>,
    observed: Vec<NodeId>,
    training: Option<Training>,
    /// By branch, frames and clips.
    evaluation: BTreeMap<(usize, usize, usize), Box<dyn Engine>>,
    /// The last one, with what it is for.
    statistics: Option<(Segment, Box<dyn Engine>)>,
    observations: Vec<Observation>,
}

impl Compiled {
    pub fn new(device: Rc<dyn Device>, plan: Rc<Plan>, observed: Vec<NodeId>) -> Self {
        Self {
            device,
            plan,
            observed,
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
                let (options, style) = (&self.plan.options, self.plan.executor.style());
                let program = compile_train(graph, &segments, options, &self.observed, style)?;
                let engine = self.device.engine(graph, program)?;
                let training = Training::new(engine, segments);
                self.training = Some(training.clone());
                Ok(training)
            }
        }
    }

    /// The engine for a shape of evaluation batch, built if there is none yet.
    fn evaluation(&mut self, batch: Segment) -> Result<&mut dyn Engine> {
        let shape = (batch.branch, batch.frames, batch.clips);
        match self.evaluation.entry(shape) {
            Entry::Occupied(entry) => Ok(&mut **entry.into_mut()),
            Entry::Vacant(entry) => {
                let (graph, style) = (&self.plan.evaluation, self.plan.executor.style());
                let program = compile_eval(graph, &[batch], &self.observed, style)?;
                Ok(&mut **entry.insert(self.device.engine(graph, program)?))
            }
        }
    }

    /// The engine for the statistics of a shape of batch; another shape replaces it.
    fn statistics(&mut self, batch: Segment) -> Result<&mut dyn Engine> {
        let known = self.statistics.take();
        let engine = match known.filter(|(shape, _)| *shape == batch) {
            Some((_, engine)) => engine,
            None => {
                let (graph, fusions) = (&self.plan.evaluation, self.plan.executor.fusions);
                let program = compile_statistics(graph, &[batch], fusions)?;
                self.device.engine(graph, program)?
            }
        };
        Ok(&mut *self.statistics.insert((batch, engine)).1)
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
        statistics: &mut Statistics,
        objective: &Objective,
        input: &StepInput<'_>,
    ) -> Result<StepOutput> {
        let training = self.training(input.targets.clips())?;
        let branches = training.forward(statistics, input)?;
        self.observations = training.observations(&self.plan.training);
        let step = learn(
            objective,
            branches,
            (input.targets, input.shards),
            |total| training.differentiate(total),
        )?;
        let mut program = training.program.borrow_mut();
        program.engine.copy_ahead(input.pixels)?;
        Ok(step)
    }

    fn evaluate(
        &mut self,
        statistics: &mut Statistics,
        batch: Segment,
        pixels: Input<'_>,
    ) -> Result<Vec<f32>> {
        let plan = Rc::clone(&self.plan);
        let engine = self.evaluation(batch)?;
        // Nothing is dropped in evaluation.
        let dropout = DropoutKey::default();
        let logits = engine.forward(statistics, pixels, dropout)?;
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
        statistics: &mut Statistics,
        batch: Segment,
        pixels: Input<'_>,
    ) -> Result<()> {
        let dropout = DropoutKey::default();
        let engine = self.statistics(batch)?;
        engine.forward(statistics, pixels, dropout)?;
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
            .for_each(|engine| engine.weights_changed());
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
            times.extend(step_times(&*training.program.borrow().engine));
        }
        times.extend(
            self.evaluation
                .values()
                .flat_map(|engine| step_times(&**engine)),
        );
        times
    }

    fn memory(&self) -> usize {
        let training = self.training.as_ref().map_or(0, Training::memory);
        let statistics = self.statistics.as_ref().map(|(_, engine)| engine);
        let engines = self.evaluation.values().chain(statistics);
        training + engines.map(|engine| engine.memory()).sum::<usize>()
    }
}

fn step_times(engine: &dyn Engine) -> Vec<StepTime> {
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
    engine: Box<dyn Engine>,
    /// What stopped the backward pass: dfdx's error type has no room for it.
    failure: Option<Error>,
}

impl Training {
    fn new(engine: Box<dyn Engine>, segments: Vec<Segment>) -> Self {
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
        statistics: &mut Statistics,
        input: &StepInput<'_>,
    ) -> Result<Vec<BranchLogits>> {
        let mut program = self.program.borrow_mut();
        let logits = program
            .engine
            .forward(statistics, input.pixels, input.dropout)?;
        let outputs = self.split(logits)?;

        let mut tape = Recorded::default();
        let (trunk, tracked) = (self.clone(), outputs.clone());
        tape.add_backward_op(move |gradients| trunk.backward(&tracked, gradients));
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
        outputs: &[Logits],
        gradients: &mut Gradients<f32, Cpu>,
    ) -> Result<(), CpuError> {
        let mut d_logits = Vec::new();
        for output in outputs {
            d_logits.extend_from_slice(gradients.get_or_alloc_mut(output)?);
        }
        let mut program = self.program.borrow_mut();
        program.failure = program.engine.backward(&d_logits).err();
        Ok(())
    }

    /// The whole backward pass of an objective.
    fn differentiate(&self, total: Scalar) -> Result<()> {
        total.try_backward().map_err(failed)?;
        match self.program.borrow_mut().failure.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}
