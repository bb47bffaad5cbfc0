//! A model in this machine's memory.

use std::cell::RefCell;
use std::rc::Rc;

use super::Engine;
use crate::base::{Error, Kind, Result};
use crate::exec::device::{self, Device, TaskTime, no_gradients};
use crate::exec::{DropoutKey, Input, Statistics, Update};
use crate::graph::{Graph, NodeId};
use crate::program::Program;

/// Parameters, gradients and momentum as plain vectors.
pub struct Cpu {
    threads: usize,
    held: Rc<Held>,
}

/// What a model's engines share. It is borrowed for the time of a pass or an update alone.
struct Held {
    params: RefCell<Vec<Vec<f32>>>,
    /// None before the first training step.
    gradients: RefCell<Vec<Vec<f32>>>,
    /// `None` of a parameter that is not trained; none at all before there is an optimiser.
    momentum: RefCell<Vec<Option<Vec<f32>>>>,
}

impl Cpu {
    pub fn new(threads: usize, params: Vec<Vec<f32>>) -> Self {
        let held = Held {
            params: RefCell::new(params),
            gradients: RefCell::default(),
            momentum: RefCell::default(),
        };
        Self {
            threads,
            held: Rc::new(held),
        }
    }
}

impl Held {
    /// Takes the gradients' memory, unless that is done.
    fn prepare_gradients(&self) {
        let mut gradients = self.gradients.borrow_mut();
        if gradients.is_empty() {
            *gradients = zeros(&self.params.borrow());
        }
    }
}

impl Device for Cpu {
    fn engine(&self, graph: &Graph, program: Program) -> Result<Box<dyn device::Engine>> {
        Ok(Box::new(Bound {
            engine: Engine::new(graph, program, self.threads)?,
            held: Rc::clone(&self.held),
        }))
    }

    fn parameters(&self) -> Result<Vec<Vec<f32>>> {
        Ok(self.held.params.borrow().clone())
    }

    fn write_parameters(&self, all: &[&[f32]]) -> Result<()> {
        let mut params = self.held.params.borrow_mut();
        overwrite("parameters", params.iter_mut(), all)
    }

    /// Takes nothing: the process's memory is taken as it is needed.
    fn prepare_training(&self) -> Result<()> {
        Ok(())
    }

    fn gradients(&self) -> Result<Vec<Vec<f32>>> {
        let gradients = self.held.gradients.borrow();
        match gradients.is_empty() {
            true => Err(no_gradients()),
            false => Ok(gradients.clone()),
        }
    }

    fn write_gradients(&self, all: &[Vec<f32>]) -> Result<()> {
        self.held.prepare_gradients();
        let all: Vec<&[f32]> = all.iter().map(Vec::as_slice).collect();
        let mut gradients = self.held.gradients.borrow_mut();
        overwrite("gradients", gradients.iter_mut(), &all)
    }

    fn gradient_square(&self) -> Result<f64> {
        let (gradients, momentum) = (self.held.gradients.borrow(), self.held.momentum.borrow());
        if gradients.is_empty() {
            return Err(no_gradients());
        }
        let trained = gradients
            .iter()
            .zip(&*momentum)
            .filter(|(_, v)| v.is_some());
        let square = |g: &Vec<f32>| g.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>();
        Ok(trained.map(|(gradient, _)| square(gradient)).sum())
    }

    fn reset_momentum(&self, trained: &[bool]) -> Result<()> {
        let params = self.held.params.borrow();
        let params = params.iter().zip(trained);
        let zero = params.map(|(values, trained)| trained.then(|| vec![0.0; values.len()]));
        *self.held.momentum.borrow_mut() = zero.collect();
        Ok(())
    }

    fn momentum(&self) -> Result<Vec<Vec<f32>>> {
        Ok(self
            .held
            .momentum
            .borrow()
            .iter()
            .flatten()
            .cloned()
            .collect())
    }

    fn write_momentum(&self, all: &[&[f32]]) -> Result<()> {
        let mut momentum = self.held.momentum.borrow_mut();
        overwrite("momentum", momentum.iter_mut().flatten(), all)
    }

    fn learn(&self, update: &Update) -> Result<()> {
        let Held {
            params,
            gradients,
            momentum,
        } = &*self.held;
        let gradients = gradients.borrow();
        if gradients.is_empty() {
            return Err(no_gradients());
        }
        let (mut params, mut momentum) = (params.borrow_mut(), momentum.borrow_mut());
        let all = params.iter_mut().zip(&*gradients).zip(&mut *momentum);
        for (index, ((values, gradient), velocity)) in all.enumerate() {
            if let Some(velocity) = velocity {
                update.apply(index, gradient, velocity, values);
            }
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        0
    }
}

/// An engine with the model that it computes.
struct Bound {
    engine: Engine,
    held: Rc<Held>,
}

impl device::Engine for Bound {
    fn forward(
        &mut self,
        stats: &mut Statistics,
        input: Input<'_>,
        dropout: DropoutKey,
    ) -> Result<&[f32]> {
        let params = self.held.params.borrow();
        self.engine.forward(&slices(&params), stats, input, dropout)
    }

    fn backward(&mut self, d_logits: &[f32]) -> Result<()> {
        self.held.prepare_gradients();
        let params = self.held.params.borrow();
        let mut gradients = self.held.gradients.borrow_mut();
        let mut to: Vec<&mut [f32]> = gradients.iter_mut().map(Vec::as_mut_slice).collect();
        self.engine.backward(&slices(&params), d_logits, &mut to)
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

    fn times(&self) -> Vec<TaskTime<'_>> {
        self.engine.times().map(TaskTime::of).collect()
    }

    fn program(&self) -> &Program {
        self.engine.program()
    }
}

fn slices(values: &[Vec<f32>]) -> Vec<&[f32]> {
    values.iter().map(Vec::as_slice).collect()
}

fn zeros(like: &[Vec<f32>]) -> Vec<Vec<f32>> {
    like.iter().map(|values| vec![0.0; values.len()]).collect()
}

/// Copies vectors of the same number and lengths.
fn overwrite<'a>(
    what: &str,
    own: impl Iterator<Item = &'a mut Vec<f32>>,
    all: &[&[f32]],
) -> Result<()> {
    let own: Vec<_> = own.collect();
    if !own
        .iter()
        .map(|own| own.len())
        .eq(all.iter().map(|values| values.len()))
    {
        let message = format!("{what} of another network");
        return Err(Error::new(Kind::Usage, message));
    }
    for (own, values) in own.into_iter().zip(all) {
        own.copy_from_slice(values);
    }
    Ok(())
}
