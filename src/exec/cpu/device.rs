//! A model in this machine's memory.

use std::cell::RefCell;
use std::rc::Rc;

use super::Engine;
use crate::base::{Error, Kind, Result};
use crate::exec::device::{self, Device, TaskTime, no_gradients};
use crate::exec::{DropoutKey, Input, Statistics, Update};
use crate::graph::{Graph, NodeId};
use crate::program::Program;

/// Parameters, gradients and moments as plain vectors.
pub struct Cpu {
    threads: usize,
    held: Rc<Held>,
}

/// What a model's engines share. It is borrowed for the time of a pass or an update alone.
struct Held {
    params: RefCell<Vec<Vec<f32>>>,
    /// None before the first training step.
    gradients: RefCell<Vec<Vec<f32>>>,
    /// Of each parameter, none if it is not trained; none at all before there is an optimiser.
    moments: RefCell<Vec<Vec<Vec<f32>>>>,
}

impl Cpu {
    pub fn new(threads: usize, params: Vec<Vec<f32>>) -> Self {
        let held = Held {
            params: RefCell::new(params),
            gradients: RefCell::default(),
            moments: RefCell::default(),
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
        let (gradients, moments) = (self.held.gradients.borrow(), self.held.moments.borrow());
        if gradients.is_empty() {
            return Err(no_gradients());
        }
        let trained = gradients
            .iter()
            .zip(&*moments)
            .filter(|(_, of)| !of.is_empty());
        let square = |g: &Vec<f32>| g.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>();
        Ok(trained.map(|(gradient, _)| square(gradient)).sum())
    }

    fn clamp_gradients(&self, most: f32) -> Result<()> {
        let mut gradients = self.held.gradients.borrow_mut();
        if gradients.is_empty() {
            return Err(no_gradients());
        }
        // `clamp` leaves what is no number as it is.
        let values = gradients.iter_mut().flatten();
        values.for_each(|gradient| *gradient = gradient.clamp(-most, most));
        Ok(())
    }

    fn reset_moments(&self, trained: &[bool], count: usize) -> Result<()> {
        let params = self.held.params.borrow();
        let params = params.iter().zip(trained);
        let zero = params.map(|(values, &trained)| {
            let count = if trained { count } else { 0 };
            vec![vec![0.0; values.len()]; count]
        });
        *self.held.moments.borrow_mut() = zero.collect();
        Ok(())
    }

    fn moments(&self) -> Result<Vec<Vec<f32>>> {
        let moments = self.held.moments.borrow();
        let number = |number: usize| moments.iter().filter_map(move |of| of.get(number));
        Ok((0..count(&moments)).flat_map(number).cloned().collect())
    }

    fn write_moments(&self, all: &[&[f32]]) -> Result<()> {
        let mut moments = self.held.moments.borrow_mut();
        let mut rest = all;
        for number in 0..count(&moments) {
            let own: Vec<_> = moments
                .iter_mut()
                .filter_map(|of| of.get_mut(number))
                .collect();
            let Some((own_values, tail)) = rest.split_at_checked(own.len()) else {
                return Err(others("moments"));
            };
            overwrite("moments", own.into_iter(), own_values)?;
            rest = tail;
        }
        Ok(())
    }

    fn learn(&self, update: &Update) -> Result<()> {
        let Held {
            params,
            gradients,
            moments,
        } = &*self.held;
        let gradients = gradients.borrow();
        if gradients.is_empty() {
            return Err(no_gradients());
        }
        let (mut params, mut moments) = (params.borrow_mut(), moments.borrow_mut());
        let all = params.iter_mut().zip(&*gradients).zip(&mut *moments);
        for (index, ((values, gradient), moments)) in all.enumerate() {
            update.apply(index, gradient, moments, values);
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
        return Err(others(what));
    }
    for (own, values) in own.into_iter().zip(all) {
        own.copy_from_slice(values);
    }
    Ok(())
}

/// How many moments there are of each trained parameter.
fn count(moments: &[Vec<Vec<f32>>]) -> usize {
    moments.iter().map(Vec::len).max().unwrap_or(0)
}

fn others(what: &str) -> Error {
    Error::new(Kind::Usage, format!("{what} of another network"))
}
