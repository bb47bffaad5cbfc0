//! The update of SGD with momentum, where the weights are: on the CPU here, on a card in `cuda/update.rs`. What the numbers
//! of an update are is the optimiser's (`train/optimizer.rs`).

use super::weights::elsewhere;
use super::{Weights, cuda};
use crate::base::Result;

/// The numbers of one update, of every parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    pub momentum: f32,
    /// The factor by which gradients are clipped.
    pub scale: f32,
    /// For each parameter in the graph's order; those of frozen ones are not read.
    pub rates: Vec<Rates>,
}

/// Learning rate and weight decay of one parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    pub rate: f32,
    pub decay: f32,
}

impl Update {
    /// Updates parameter `index` from its gradient:
    ///
    /// ```text
    /// v ← momentum·v + (scale·g + decay·p)
    /// p ← p − rate·v
    /// ```
    ///
    /// Elementwise, each operation rounded to float32: a card gives the same bits.
    pub fn apply(&self, index: usize, gradient: &[f32], velocity: &mut [f32], values: &mut [f32]) {
        let Some(&Rates { rate, decay }) = self.rates.get(index) else {
            return;
        };
        let Self {
            momentum, scale, ..
        } = *self;
        for ((p, v), g) in values.iter_mut().zip(velocity).zip(gradient) {
            *v = momentum * *v + (g * scale + decay * *p);
            *p -= rate * *v;
        }
    }
}

/// The momentum of every trained parameter, beside the weights.
pub enum Momentum {
    /// In the graph's order; `None` for a frozen parameter.
    Host(Vec<Option<Vec<f32>>>),
    Card(Box<cuda::Momentum>),
}

impl Momentum {
    /// Zero. `trained`: whether each parameter is.
    pub fn new(weights: &Weights, trained: &[bool]) -> Result<Self> {
        match weights {
            Weights::Host(values) => {
                let zeros = |(values, trained): (&Vec<f32>, &bool)| {
                    trained.then(|| vec![0.0; values.len()])
                };
                Ok(Self::Host(values.iter().zip(trained).map(zeros).collect()))
            }
            Weights::Card(weights) => {
                let momentum = cuda::Momentum::new(weights, trained)?;
                Ok(Self::Card(Box::new(momentum)))
            }
        }
    }

    /// Σ g² over the gradients of all trained parameters, in float64. `gradients`: those of weights on the host.
    pub fn square(&self, weights: &Weights, gradients: &[Vec<f32>]) -> Result<f64> {
        match (self, weights) {
            (Self::Host(all), Weights::Host(_)) => {
                let trained = all.iter().zip(gradients).filter(|(v, _)| v.is_some());
                let square = |g: &Vec<f32>| g.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>();
                Ok(trained.map(|(_, gradient)| square(gradient)).sum())
            }
            (Self::Card(momentum), Weights::Card(weights)) => momentum.square(weights),
            _ => Err(elsewhere()),
        }
    }

    /// That of each trained parameter, in the graph's order.
    pub fn read(&self) -> Result<Vec<Vec<f32>>> {
        match self {
            Self::Host(all) => Ok(all.iter().flatten().cloned().collect()),
            Self::Card(momentum) => momentum.read(),
        }
    }

    /// What [`Momentum::read`] gave.
    pub fn write(&mut self, values: &[&[f32]]) -> Result<()> {
        match self {
            Self::Host(all) => {
                for (velocity, values) in all.iter_mut().flatten().zip(values) {
                    velocity.copy_from_slice(values);
                }
                Ok(())
            }
            Self::Card(momentum) => momentum.write(values),
        }
    }

    pub fn clear(&mut self) -> Result<()> {
        match self {
            Self::Host(all) => {
                let all = all.iter_mut().flatten();
                all.for_each(|velocity| velocity.fill(0.0));
                Ok(())
            }
            Self::Card(momentum) => momentum.clear(),
        }
    }

    /// Bytes on the card.
    pub fn memory(&self) -> usize {
        match self {
            Self::Host(_) => 0,
            Self::Card(momentum) => momentum.memory(),
        }
    }
}
