//! A model on a GPU.

use std::cell::RefCell;
use std::rc::Rc;

use super::{Engine, Gpu, Momentum, Weights};
use crate::base::{Error, Kind, Result};
use crate::exec::device::{self, Device, TaskTime};
use crate::exec::{DropoutKey, Input, Statistics, Update};
use crate::graph::{Graph, NodeId};
use crate::program::Program;

/// Parameters, gradients and momentum on one GPU; the host has no copy.
pub struct Cuda {
    gpu: Rc<Gpu>,
    weights: Rc<Weights>,
    momentum: RefCell<Option<Momentum>>,
}

impl Cuda {
    /// Takes memory for parameters and running statistics, and copies the parameters.
    pub fn new(gpu: Rc<Gpu>, graph: &Graph, params: &[Vec<f32>]) -> Result<Self> {
        Ok(Self {
            weights: Rc::new(Weights::new(Rc::clone(&gpu), graph, params)?),
            momentum: RefCell::new(None),
            gpu,
        })
    }

    fn with_momentum<T>(&self, act: impl FnOnce(&mut Momentum) -> Result<T>) -> Result<T> {
        let mut momentum = self.momentum.borrow_mut();
        let none = || Error::new(Kind::Usage, "there is no optimiser");
        act(momentum.as_mut().ok_or_else(none)?)
    }
}

impl Device for Cuda {
    fn engine(&self, graph: &Graph, program: Program) -> Result<Box<dyn device::Engine>> {
        Ok(Box::new(Bound {
            engine: Engine::new(graph, program, Rc::clone(&self.gpu))?,
            weights: Rc::clone(&self.weights),
        }))
    }

    fn parameters(&self) -> Result<Vec<Vec<f32>>> {
        self.weights.read()
    }

    fn write_parameters(&self, all: &[&[f32]]) -> Result<()> {
        self.weights.write(all)
    }

    fn prepare_training(&self) -> Result<()> {
        self.weights.prepare_gradients()
    }

    fn gradients(&self) -> Result<Vec<Vec<f32>>> {
        self.weights.read_gradients()
    }

    fn write_gradients(&self, all: &[Vec<f32>]) -> Result<()> {
        self.weights.prepare_gradients()?;
        let slices = all.iter().map(Vec::as_slice);
        self.weights.gradients()?.write(&self.gpu, slices)
    }

    fn gradient_square(&self) -> Result<f64> {
        self.with_momentum(|momentum| momentum.square(&self.weights))
    }

    fn reset_momentum(&self, trained: &[bool]) -> Result<()> {
        let mut momentum = self.momentum.borrow_mut();
        // The old one's memory goes first.
        *momentum = None;
        *momentum = Some(Momentum::new(&self.weights, trained)?);
        Ok(())
    }

    fn momentum(&self) -> Result<Vec<Vec<f32>>> {
        self.with_momentum(|momentum| momentum.read())
    }

    fn write_momentum(&self, all: &[&[f32]]) -> Result<()> {
        self.with_momentum(|momentum| momentum.write(all))
    }

    fn learn(&self, update: &Update) -> Result<()> {
        self.with_momentum(|momentum| momentum.update(&self.weights, update))
    }

    fn memory(&self) -> usize {
        let momentum = self.momentum.borrow();
        self.weights.memory() + momentum.as_ref().map_or(0, Momentum::memory)
    }
}

/// An engine with the model that it computes.
struct Bound {
    engine: Engine,
    weights: Rc<Weights>,
}

impl device::Engine for Bound {
    fn forward(
        &mut self,
        stats: &mut Statistics,
        input: Input<'_>,
        dropout: DropoutKey,
    ) -> Result<&[f32]> {
        self.engine.forward(&self.weights, stats, input, dropout)
    }

    fn backward(&mut self, d_logits: &[f32]) -> Result<()> {
        self.weights.prepare_gradients()?;
        self.engine.backward(&self.weights, d_logits)
    }

    fn weights_changed(&mut self) {
        self.engine.weights_changed();
    }

    fn observed(&self) -> Vec<(NodeId, Vec<f32>)> {
        self.engine.observed().collect()
    }

    fn memory(&self) -> usize {
        self.engine.memory()
    }

    fn copy_ahead(&mut self, input: Input<'_>) -> Result<()> {
        self.engine.copy_ahead(input)
    }

    fn time_steps(&mut self) -> Result<bool> {
        self.engine.time_steps().map(|()| true)
    }

    fn times(&self) -> Vec<TaskTime<'_>> {
        self.engine.times().map(TaskTime::of).collect()
    }

    fn program(&self) -> &Program {
        self.engine.program()
    }
}
