//! Architecture builders → graph of layers with extents. FFN is a transformation of a graph, not a second architecture.
//!
//! [`arch`] has a builder for each network, as in its paper; [`flexible`] turns what it builds into a Frame Flexible Network;
//! [`verify`] states what is legal. Parameters and running statistics have the official checkpoints' names, in the
//! official order.

pub mod arch;
mod builder;
pub mod flexible;
pub mod verify;

pub use crate::ops::{NormParams, Op, ParamId, Shape, StatId};
pub use arch::Architecture;
pub use builder::{Builder, Network};
pub use flexible::frame_flexible;

use crate::base::{Error, Kind, Result};
use crate::ops::{Extent, Layer, Rate, Shapes, Surroundings};
use crate::spec::{Experiment, FrozenNorms, Method, Model};

/// What a parameter is, for its optimiser group and its initial value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ParamKind {
    FirstConv,
    Conv,
    /// Of a convolution or a linear layer before the classifier.
    ConvBias,
    Alteration,
    NormWeight,
    NormBias,
    ClassifierWeight,
    ClassifierBias,
}

impl ParamKind {
    pub const ALL: [ParamKind; 8] = [
        ParamKind::FirstConv,
        ParamKind::Conv,
        ParamKind::ConvBias,
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
            ParamKind::ConvBias => "convolution bias",
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

    /// Whether it is a norm's weight or bias.
    pub fn is_of_norm(&self) -> bool {
        matches!(self.kind, ParamKind::NormWeight | ParamKind::NormBias)
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
/// One layer. A node without a module of its own is named after what it does (`….relu1`, `….add`).
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub name: String,
    pub op: Op,
    pub inputs: Vec<NodeId>,
    /// How many rows its output has.
    pub rate: Rate,
    /// Of one row of its output.
    pub shape: Shape,
}

impl Node {
    pub fn extent(&self) -> Extent {
        Extent {
            rate: self.rate,
            shape: self.shape,
        }
    }
}

/// A network as nodes with shapes. The first node is the input, the last gives the logits.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    pub architecture: Architecture,
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
        let classes = experiment.data.class_count();
        let vanilla = match &experiment.model {
            Model::Tsm(tsm) => arch::tsm::tsm(&arch::tsm::Tsm {
                backbone: &tsm.backbone,
                shift: &tsm.shift,
                classes,
                frames: largest,
                input,
            }),
            Model::Tea(tea) => arch::tea::tea(&arch::tea::Tea {
                backbone: &tea.backbone,
                classes,
                frames: largest,
                input,
            }),
            Model::SlowFast(layout) => arch::slowfast::slowfast(&arch::slowfast::SlowFast {
                layout,
                classes,
                frames: largest,
                input,
                trained_at: experiment.train.clips.size,
            }),
            Model::UniFormer(layout) => arch::uniformer::uniformer(&arch::uniformer::UniFormer {
                layout,
                classes,
                frames: largest,
                input,
            }),
        }?;
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

    /// The rates of its activations.
    pub fn rates(&self) -> Vec<Rate> {
        let mut rates: Vec<Rate> = self.nodes.iter().map(|node| node.rate).collect();
        rates.sort_unstable();
        rates.dedup();
        rates
    }

    /// Whether training changes each parameter: all but weights and biases of frozen norms.
    pub fn trained(&self, frozen: FrozenNorms) -> Vec<bool> {
        let mut trained = vec![true; self.params.len()];
        for node in &self.nodes {
            let Op::BatchNorm(norm) = &node.op else {
                continue;
            };
            let is_trained = !norm.is_frozen(frozen);
            let params = norm.params().into_iter();
            params.for_each(|id| trained[id] = is_trained);
        }
        trained
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
            .hint("take fewer clips, fewer frames or smaller images"))
    }

    /// Multiply-adds of a node for a clip of so many frames. Convolutions and the classifier count, as is usual; the rest
    /// is zero.
    pub fn multiply_adds(&self, node: NodeId, frames: usize) -> u64 {
        let node = &self.nodes[node];
        node.op
            .clip_multiply_adds(self.around(), node.extent(), frames)
    }

    /// Multiply-adds of a clip of `frames` frames.
    pub fn clip_multiply_adds(&self, frames: usize) -> u64 {
        let nodes = 0..self.nodes.len();
        nodes.map(|node| self.multiply_adds(node, frames)).sum()
    }

    /// Multiply-adds of a training step of `clips` clips of every branch: the backward pass has twice those of the forward pass.
    pub fn step_multiply_adds(&self, clips: usize) -> u64 {
        let branches = self.branches.iter();
        let of_clips: u64 = branches
            .map(|&frames| self.clip_multiply_adds(frames))
            .sum();
        3 * clips as u64 * of_clips
    }

    fn around(&self) -> Surroundings<'_> {
        Surroundings {
            params: &self.params,
            branches: self.branches.len(),
            input: self.input,
        }
    }
}

impl Shapes for Vec<Param> {
    fn shape(&self, param: ParamId) -> &[usize] {
        &self[param].shape
    }
}
