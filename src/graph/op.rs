//! The operations of a graph: what they need and what shape they give.

use super::{ParamId, StatId};

/// Of one frame: channels × height × width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
}

impl Shape {
    pub fn pixels(self) -> usize {
        self.height * self.width
    }

    /// Values of one frame.
    pub fn count(self) -> usize {
        self.channels * self.pixels()
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}×{}×{}", self.channels, self.height, self.width)
    }
}

/// Where a convolution stands: FFN alters the input of a block's first and renames the shortcut's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Stem,
    First,
    Inner,
    Shortcut,
}

/// A square convolution without bias, zero padded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv {
    /// `[out, in, kernel, kernel]`
    pub weight: ParamId,
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
    pub role: Role,
}

/// What a batch norm adds to the variance; PyTorch's default.
pub const NORM_EPSILON: f64 = 1e-5;

/// Weight, bias and running statistics of a batch norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NormParams {
    pub weight: ParamId,
    pub bias: ParamId,
    pub stat: StatId,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// Normalised frames: 3 × height × width.
    Input,
    Conv(Conv),
    /// y = weight · (x − mean) / sqrt(var + [`NORM_EPSILON`]) + bias. One entry that all branches share, or one for each branch.
    Norm(Vec<NormParams>),
    Relu,
    /// 3×3, stride 2, padding 1.
    MaxPool,
    /// TSM: channels `[0, C/div)` come from the next frame of the clip, `[C/div, 2C/div)` from the previous one,
    /// zero at the clip's ends; the others stay.
    Shift {
        div: usize,
    },
    /// FFN's weight alteration: x ← (1 + w)·x for each channel, one `[C, 1, 1, 1]` weight for each branch.
    Alter(Vec<ParamId>),
    /// The sum of two inputs.
    Add,
    GlobalAveragePool,
    /// Inverted dropout with the probability of the training options; nothing in evaluation.
    Dropout,
    Linear {
        weight: ParamId,
        bias: ParamId,
    },
    /// The mean over a clip's frames; its output has one row for each clip.
    FrameMean,
}

impl Op {
    /// In a person's words.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Input => "input",
            Op::Conv(_) => "conv",
            Op::Norm(_) => "norm",
            Op::Relu => "relu",
            Op::MaxPool => "max pool",
            Op::Shift { .. } => "shift",
            Op::Alter(_) => "alter",
            Op::Add => "add",
            Op::GlobalAveragePool => "average pool",
            Op::Dropout => "dropout",
            Op::Linear { .. } => "linear",
            Op::FrameMean => "frame mean",
        }
    }

    /// How many inputs it reads.
    pub fn arity(&self) -> usize {
        match self {
            Op::Input => 0,
            Op::Add => 2,
            _ => 1,
        }
    }

    /// Every parameter that it uses.
    pub fn params(&self) -> Vec<ParamId> {
        match self {
            Op::Conv(conv) => vec![conv.weight],
            Op::Norm(branches) => branches.iter().flat_map(|n| [n.weight, n.bias]).collect(),
            Op::Alter(weights) => weights.clone(),
            Op::Linear { weight, bias } => vec![*weight, *bias],
            _ => Vec::new(),
        }
    }
}

/// Side of a picture after a window of `kernel` moved by `stride` over `side` pixels and `padding` on both ends;
/// `None` where the window does not fit.
pub fn windowed(side: usize, kernel: usize, stride: usize, padding: usize) -> Option<usize> {
    (side + 2 * padding)
        .checked_sub(kernel)
        .map(|room| room / stride.max(1) + 1)
}
