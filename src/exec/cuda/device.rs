//! A model on a GPU.

use std::cell::RefCell;
use std::rc::Rc;

use super::{Engine, Gpu, Moments, Weights};
use crate::base::{Error, Kind, Result};
use crate::exec::device::{self, Device, TaskTime};
use crate::exec::{DropoutKey, Input, Statistics, Update};
use crate::graph::{Graph, NodeId};
use crate::program::Program;

/// Parameters, gradients and moments on one GPU; the host has no copy.
pub struct Cuda {
    gpu: Rc<Gpu>,
    weights: Rc<Weights>,
    moments: RefCell<Option<Moments>>,
}

impl Cuda {
    /// Takes memory for parameters and running statistics, and copies the parameters.
    pub fn new(gpu: Rc<Gpu>, graph: &Graph, params: &[Vec<f32>]) -> Result<Self> {
        Ok(Self {
            weights: Rc::new(Weights::new(Rc::clone(&gpu), graph, params)?),
            moments: RefCell::new(None),
            gpu,
        })
    }

    fn with_moments<T>(&self, act: impl FnOnce(&mut Moments) -> Result<T>) -> Result<T> {
        let mut moments = self.moments.borrow_mut();
        let none = || Error::new(Kind::Usage, "there is no optimiser");
        act(moments.as_mut().ok_or_else(none)?)
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
        self.with_moments(|moments| moments.square(&self.weights))
    }

    fn clamp_gradients(&self, most: f32) -> Result<()> {
        self.with_moments(|moments| moments.clamp(&self.weights, most))
    }

    fn reset_moments(&self, trained: &[bool], count: usize) -> Result<()> {
        let mut moments = self.moments.borrow_mut();
        // The old ones' memory goes first.
        *moments = None;
        *moments = Some(Moments::new(&self.weights, trained, count)?);
        Ok(())
    }

    fn moments(&self) -> Result<Vec<Vec<f32>>> {
        self.with_moments(|moments| moments.read())
    }

    fn write_moments(&self, all: &[&[f32]]) -> Result<()> {
        self.with_moments(|moments| moments.write(all))
    }

    fn learn(&self, update: &Update) -> Result<()> {
        self.with_moments(|moments| moments.update(&self.weights, update))
    }

    fn memory(&self) -> usize {
        let moments = self.moments.borrow();
        self.weights.memory() + moments.as_ref().map_or(0, Moments::memory)
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
