//! A model's parameters, where its engines read them.

use std::rc::Rc;

use super::cuda;
use crate::base::{Error, Kind, Result};

/// Every parameter of a model, in the order and layout of [`crate::graph::Graph::params`]. A clone is the same weights.
#[derive(Clone)]
pub enum Weights {
    Host(Rc<Vec<Vec<f32>>>),
    /// The host has no copy: what it wants to see it reads from the card.
    Card(Rc<cuda::Weights>),
}

impl Weights {
    /// The parameters; from the card in one copy.
    pub fn read(&self) -> Result<Rc<Vec<Vec<f32>>>> {
        match self {
            Self::Host(values) => Ok(Rc::clone(values)),
            Self::Card(weights) => weights.read().map(Rc::new),
        }
    }

    /// Bytes on the card.
    pub fn memory(&self) -> usize {
        match self {
            Self::Host(_) => 0,
            Self::Card(weights) => weights.memory(),
        }
    }
}

/// That what computes is not where the weights are, or was made for others.
pub fn elsewhere() -> Error {
    let message =
        "the weights are another network's, or on another device than what computes with them";
    Error::new(Kind::Usage, message)
}
