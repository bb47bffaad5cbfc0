//! The trained values and what a training step leaves of their gradients.

use std::borrow::Cow;
use std::rc::Rc;

use dfdx::prelude::*;

use crate::base::{Error, Kind, Result};
use crate::exec::{Momentum, Update, Weights, elsewhere};

/// A parameter on the tape: its values in the graph's layout, in one dimension.
pub type Parameter = Tensor<(usize,), f32, Cpu>;

/// All parameters of a model in the graph's order: on the host dfdx tensors, or on a card, where tape and host know
/// nothing of them.
///
/// dfdx 0.13 copies a tensor's values in and out but lends no slice of them, and the engine reads slices: so the
/// values of the host are here twice, and [`Parameters::change`] is the only place that writes them. Both are shared with
/// the tape between a forward pass and its backward pass.
pub struct Parameters {
    /// None of weights on a card.
    tensors: Rc<Vec<Parameter>>,
    weights: Weights,
    /// Of weights on the host, as the last training step left them. Those of a card stay there.
    gradients: Vec<Vec<f32>>,
}

impl Parameters {
    pub fn new(weights: Weights) -> Self {
        let device = Cpu::default();
        let tensor = |v: &Vec<f32>| device.tensor_from_vec(v.clone(), (v.len(),));
        let tensors = match &weights {
            Weights::Host(values) => values.iter().map(tensor).collect(),
            Weights::Card(_) => Vec::new(),
        };
        Self {
            tensors: Rc::new(tensors),
            weights,
            gradients: Vec::new(),
        }
    }

    pub fn tensors(&self) -> Rc<Vec<Parameter>> {
        Rc::clone(&self.tensors)
    }

    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Takes now what training needs beside the weights.
    pub fn prepare_training(&self) -> Result<()> {
        match &self.weights {
            Weights::Host(_) => Ok(()),
            Weights::Card(weights) => weights.prepare_gradients(),
        }
    }

    /// Puts other values in the place of all, which are as many.
    pub fn replace(&mut self, all: &[&[f32]]) -> Result<()> {
        if let Weights::Card(weights) = &self.weights {
            return weights.write(all);
        }
        for (index, values) in all.iter().enumerate() {
            self.change(index, |own| own.copy_from_slice(values));
        }
        Ok(())
    }

    /// Changes the values of one parameter on the host. No tape may hold the parameters: it would keep the old ones.
    fn change(&mut self, index: usize, change: impl FnOnce(&mut [f32])) {
        let Weights::Host(values) = &mut self.weights else {
            return;
        };
        let values = Rc::make_mut(values);
        let tensors = Rc::make_mut(&mut self.tensors);
        if let (Some(values), Some(tensor)) = (values.get_mut(index), tensors.get_mut(index)) {
            change(values);
            tensor.copy_from(values);
        }
    }

    /// Keeps the gradients that a training step left on the host.
    pub fn keep(&mut self, gradients: Vec<Vec<f32>>) {
        self.gradients = gradients;
    }

    /// What the last training step left: for each parameter its gradient; from a card in one copy.
    pub fn gradients(&self) -> Result<Cow<'_, [Vec<f32>]>> {
        match &self.weights {
            Weights::Host(_) => self.of_host().map(Cow::from),
            Weights::Card(weights) => weights.read_gradients().map(Cow::from),
        }
    }

    fn of_host(&self) -> Result<&[Vec<f32>]> {
        match self.gradients.is_empty() {
            true => Err(Error::new(
                Kind::Usage,
                "no training step has left gradients",
            )),
            false => Ok(&self.gradients),
        }
    }

    /// [`Momentum::square`] of the last step's gradients.
    pub fn gradient_square(&self, momentum: &Momentum) -> Result<f64> {
        let gradients = match &self.weights {
            Weights::Host(_) => self.of_host()?,
            Weights::Card(_) => &[],
        };
        momentum.square(&self.weights, gradients)
    }

    /// Updates every trained parameter from the last step's gradients, where it is.
    pub fn learn(&mut self, update: &Update, momentum: &mut Momentum) -> Result<()> {
        match (momentum, &self.weights) {
            (Momentum::Host(all), Weights::Host(_)) => {
                self.of_host()?;
                let gradients = std::mem::take(&mut self.gradients);
                for (index, (velocity, gradient)) in all.iter_mut().zip(&gradients).enumerate() {
                    if let Some(velocity) = velocity {
                        self.change(index, |values| {
                            update.apply(index, gradient, velocity, values);
                        });
                    }
                }
                self.gradients = gradients;
                Ok(())
            }
            (Momentum::Card(momentum), Weights::Card(weights)) => momentum.update(weights, update),
            _ => Err(elsewhere()),
        }
    }
}
