//! The architectures: for each a builder of its vanilla network, and what the other stages have to know of it by name.

pub mod names;
pub mod slowfast;
pub mod tea;
pub mod tsm;
pub mod uniformer;

use super::{Graph, Param, ParamKind};

/// Which network a graph is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Architecture {
    Tsm,
    Tea,
    SlowFast {
        /// Frames of the fast pathway for each of the slow one.
        alpha: usize,
    },
    UniFormer,
}

/// Where FFN alters the input of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alteration<'a> {
    /// The block that the layer stands in: the alteration's parameters are called after it and come last in it.
    pub block: &'a str,
    /// Whether what reads the same input later, as the residual does, reads it altered too.
    pub of_stream: bool,
}

/// What a parameter begins with.
#[derive(Debug, Clone, PartialEq)]
pub enum Initial {
    Constant(f32),
    Values(Vec<f32>),
    /// With mean 0.
    Normal {
        std: f64,
    },
    /// In ±bound.
    Uniform {
        bound: f64,
    },
    /// What the experiment says of alterations.
    Alteration,
}

impl Initial {
    /// Convolutions Kaiming normal with fan-out, their biases 0; norms 1 and 0; the classifier normal with standard deviation 1e-3 and 0.
    pub fn usual(param: &Param) -> Self {
        match param.kind {
            ParamKind::FirstConv | ParamKind::Conv => Self::Normal {
                std: kaiming_fan_out(&param.shape),
            },
            ParamKind::ClassifierWeight => Self::Normal { std: 1e-3 },
            ParamKind::NormWeight => Self::Constant(1.0),
            ParamKind::ConvBias | ParamKind::NormBias | ParamKind::ClassifierBias => {
                Self::Constant(0.0)
            }
            ParamKind::Alteration => Self::Alteration,
        }
    }
}

/// sqrt(2 / fan-out) of a weight `[out, in, …]`. A depthwise convolution of one value counts, as in PyTorch, all its channels:
/// sqrt(2 / C).
pub fn kaiming_fan_out(shape: &[usize]) -> f64 {
    let sizes = shape.iter().enumerate();
    let fan_out: usize = sizes.map(|(i, &n)| if i == 1 { 1 } else { n }).product();
    (2.0 / fan_out as f64).sqrt()
}

impl Architecture {
    /// Whether FFN alters the input of the layer `name`.
    pub fn alteration(self, name: &str) -> Option<Alteration<'_>> {
        match self {
            Self::Tsm => tsm::alteration(name),
            Self::Tea => None,
            Self::SlowFast { .. } => slowfast::alteration(name),
            Self::UniFormer => uniformer::alteration(name),
        }
    }

    /// The official shape of an alteration's weight: of a depthwise convolution over images, or over clips.
    pub fn alteration_shape(self, channels: usize) -> Vec<usize> {
        let sizes = match self {
            Self::Tsm | Self::Tea => 2,
            Self::SlowFast { .. } | Self::UniFormer => 3,
        };
        [vec![channels, 1], vec![1; sizes]].concat()
    }

    /// The number behind the names of what is private to a branch: SlowFast's is that of its slow frames.
    pub fn suffix(self, frames: usize) -> usize {
        match self {
            Self::Tsm | Self::Tea | Self::UniFormer => frames,
            Self::SlowFast { alpha } => frames / alpha.max(1),
        }
    }

    /// The official name of a layer once norms are private to the branches; that of a norm without its branch.
    pub fn private_layer(self, name: &str) -> String {
        match self {
            Self::Tsm | Self::Tea => tsm::private_layer(name),
            Self::SlowFast { .. } | Self::UniFormer => name.to_owned(),
        }
    }

    /// The official name of one branch's norm, from the norm's [`Architecture::private_layer`].
    pub fn private_norm(self, name: &str, frames: usize) -> String {
        match self {
            Self::Tea => tea::private_norm(name, frames),
            Self::Tsm | Self::SlowFast { .. } | Self::UniFormer => {
                format!("{name}_{}", self.suffix(frames))
            }
        }
    }

    /// The layer that a parameter belongs to, by its name: a block with all that is called after it, in every pathway and branch.
    pub fn layer(self, name: &str) -> String {
        let shared = self.vanilla_name(name);
        let name = shared.strip_prefix("base_model.").unwrap_or(&shared);
        let mut parts = name.split('.');
        let first = parts.next().unwrap_or_default();
        match (self, parts.next()) {
            // The stem: its convolution and its norm.
            (Self::Tsm | Self::Tea, _) if ["conv1", "bn1"].contains(&first) => "stem".to_owned(),
            (Self::SlowFast { .. }, Some(second)) => match second.split_once('_') {
                Some((pathway, part)) if pathway.starts_with("pathway") => {
                    format!("{first}.{part}")
                }
                _ => first.to_owned(),
            },
            (_, Some(second)) if second.bytes().all(|b| b.is_ascii_digit()) => {
                format!("{first}.{second}")
            }
            _ => first.to_owned(),
        }
    }

    /// What a parameter begins with.
    pub fn initial(self, graph: &Graph, param: &Param) -> Initial {
        match self {
            Self::Tsm => Initial::usual(param),
            Self::Tea => tea::initial(graph, param),
            Self::SlowFast { .. } => slowfast::initial(param),
            Self::UniFormer => uniformer::initial(graph, param),
        }
    }

    /// What the official order of parameters keeps together for each branch, of which the norm is one.
    pub fn private_unit(self, norm: &str) -> &str {
        match self {
            Self::Tsm | Self::SlowFast { .. } | Self::UniFormer => norm,
            Self::Tea => tea::private_unit(norm),
        }
    }
}
