//! Architecture builders → graph of layers with shapes. FFN is a transformation of a graph, not a second architecture.
//!
//! [`resnet`] builds TSM on a ResNet as in its paper; [`flexible`] turns it into a Frame Flexible Network;
//! [`verify`] states what is legal. Parameters and running statistics have the official checkpoints' names, in the
//! official order.

pub mod op;
pub mod resnet;
pub mod flexible;
pub mod verify;

pub use flexible::frame_flexible;
pub use op::{Conv, NormParams, Op, Role, Shape};

use crate::base::{Error, Kind, Result};
use crate::spec::{Experiment, Method, Model};

/// What a parameter is, for its optimiser group and its initial value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ParamKind {
    FirstConv,
    Conv,
    Alteration,
    NormWeight,
    NormBias,
    ClassifierWeight,
    ClassifierBias,
}

impl ParamKind {
    pub const ALL: [ParamKind; 7] = [
        ParamKind::FirstConv,
        ParamKind::Conv,
        ParamKind::Alteration,
        ParamKind::NormWeight,
        ParamKind::NormBias,
        ParamKind::ClassifierWeight,
        ParamKind::ClassifierBias,
    ];

    /// In a person's words.
    pub fn name(self) -> &'static str {
        match self {
            ParamKind::FirstConv => "first convolution",
            ParamKind::Conv => "convolution",
            ParamKind::Alteration => "alteration",
            ParamKind::NormWeight => "norm weight",
            ParamKind::NormBias => "norm bias",
            ParamKind::ClassifierWeight => "classifier weight",
            ParamKind::ClassifierBias => "classifier bias",
        }
    }
}

/// A trained tensor under its official name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    pub name: String,
    /// As in PyTorch: `[out, in, height, width]` for a convolution.
    pub shape: Vec<usize>,
    pub kind: ParamKind,
}

impl Param {
    /// How many values it has.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Running statistics of one batch norm: `NAME.running_mean`, `NAME.running_var`, `NAME.num_batches_tracked`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    pub name: String,
    pub channels: usize,
}

/// Frames of one batch; a step of the paper has 896.
const MAX_FRAMES: usize = 1 << 22;
/// Values of all nodes in one batch: 4 TiB as float32.
const MAX_VALUES: u128 = 1 << 40;

/// Index of a node in its graph; inputs come before the nodes that read them.
pub type NodeId = usize;
/// Index into [`Graph::params`].
pub type ParamId = usize;
/// Index into [`Graph::stats`].
pub type StatId = usize;

/// One layer. A node without a module of its own is named after what it does (`….relu1`, `….add`).
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub name: String,
    pub op: Op,
    pub inputs: Vec<NodeId>,
    /// Of its output, for one frame.
    pub shape: Shape,
}

/// A network as nodes with shapes. The first node is the input, the last gives the logits.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    pub nodes: Vec<Node>,
    pub params: Vec<Param>,
    pub stats: Vec<Stat>,
    /// Frame counts with private parts, ascending; one for a vanilla model.
    pub branches: Vec<usize>,
    pub classes: usize,
    /// Height and width of the input.
    pub input: (usize, usize),
}

impl Graph {
    /// The graph of an experiment at `input` pixels (training and evaluation may differ).
    pub fn build(experiment: &Experiment, input: (usize, usize)) -> Result<Self> {
        let largest = experiment.method.frames().last().copied().unwrap_or(1);
        let tsm = match &experiment.model {
            Model::Tsm(tsm) => tsm,
            Model::Tea(_) => {
                let message = "the network of `model: Tea(…)` is not built yet";
                return Err(Error::new(Kind::Experiment, message)
                    .hint("the language knows it; networks that are built: `Tsm(…)`"));
            }
        };
        let vanilla = resnet::tsm(&resnet::Tsm {
            backbone: &tsm.backbone,
            shift: &tsm.shift,
            classes: experiment.data.class_count(),
            frames: largest,
            input,
        })?;
        match &experiment.method {
            Method::Vanilla { .. } => Ok(vanilla),
            Method::Ffn(ffn) => frame_flexible(&vanilla, ffn),
        }
    }

    /// Index of the branch that serves a frame count: its own, else the nearest, ties to the larger.
    pub fn branch_for(&self, frames: usize) -> usize {
        let distance = |branch: &usize| self.branches[*branch].abs_diff(frames);
        // `min_by_key` keeps the first of equals: looking from the largest down, ties go to the larger.
        (0..self.branches.len())
            .rev()
            .min_by_key(distance)
            .unwrap_or(0)
    }

    /// Number of trained values.
    pub fn parameter_count(&self) -> usize {
        self.params.iter().map(Param::count).sum()
    }

    /// Refuses more frames than any program can be planned for: all that is counted afterwards, bytes and multiply-adds,
    /// stays far below 2^64.
    pub fn check_size(&self, frames: usize) -> Result<()> {
        let of_frame: u128 = self
            .nodes
            .iter()
            .map(|node| node.shape.count() as u128)
            .sum();
        let values = of_frame * frames as u128;
        if frames <= MAX_FRAMES && values <= MAX_VALUES {
            return Ok(());
        }
        let (height, width) = self.input;
        let message = format!(
            "{frames} frames of {height}×{width} pixels give {values} values in all layers; \
             a program has at most {MAX_FRAMES} frames and {MAX_VALUES} values"
        );
        Err(Error::new(Kind::Experiment, message)
            .hint("take fewer clips, fewer frames or smaller pictures"))
    }

    /// Multiply-adds of a node for one frame. Convolutions and the classifier count, as is usual; the rest is zero.
    pub fn multiply_adds(&self, node: NodeId) -> u64 {
        let Node { op, shape, .. } = &self.nodes[node];
        let weight = match op {
            Op::Conv(conv) => conv.weight,
            Op::Linear { weight, .. } => *weight,
            _ => return 0,
        };
        (self.params[weight].count() * shape.height * shape.width) as u64
    }

    /// Multiply-adds of a clip of `frames` frames.
    pub fn clip_multiply_adds(&self, frames: usize) -> u64 {
        let frame: u64 = (0..self.nodes.len()).map(|n| self.multiply_adds(n)).sum();
        frame * frames as u64
    }
}
