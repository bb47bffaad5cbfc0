//! The architectures: for each a builder of its vanilla network, and what the other stages have to know of it by name.

pub mod names;
pub mod tea;
pub mod tsm;

use super::{Graph, Param};

/// Which network a graph is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Architecture {
    Tsm,
    Tea,
}

/// Where FFN alters the input of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alteration<'a> {
    /// The block that the layer stands in: the alteration's parameters are called after it and come last in it.
    pub block: &'a str,
}

impl Architecture {
    /// Whether FFN alters the input of the layer `name`.
    pub fn alteration(self, name: &str) -> Option<Alteration<'_>> {
        match self {
            Self::Tsm => tsm::alteration(name),
            Self::Tea => None,
        }
    }

    /// The official name of a layer once norms are private to the branches; that of a norm without its branch.
    pub fn private_layer(self, name: &str) -> String {
        match self {
            Self::Tsm | Self::Tea => tsm::private_layer(name),
        }
    }

    /// The official name of one branch's norm, from the norm's [`Architecture::private_layer`].
    pub fn private_norm(self, name: &str, frames: usize) -> String {
        match self {
            Self::Tsm => format!("{name}_{frames}"),
            Self::Tea => tea::private_norm(name, frames),
        }
    }

    /// The initial value of a parameter that no random number decides.
    pub fn initial_value(self, graph: &Graph, param: &Param) -> Option<Vec<f32>> {
        match self {
            Self::Tsm => None,
            Self::Tea => tea::initial_value(graph, param),
        }
    }

    /// What the official order of parameters keeps together for each branch, of which the norm is one.
    pub fn private_unit(self, norm: &str) -> &str {
        match self {
            Self::Tsm => norm,
            Self::Tea => tea::private_unit(norm),
        }
    }
}
