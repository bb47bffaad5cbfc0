//! The steps of a program: what each computes, reads and writes.
//!
//! Activations are NHWC: `frames × height × width × channels`. Coefficients of a norm hold for each group of frames
//! four rows ([`Norm::row`]): mean, 1/sqrt(var + eps), weight/sqrt(var + eps), bias.

use crate::graph::{NormParams, ParamId, Shape};

/// Index into [`super::Program::buffers`].
pub type BufferId = usize;

/// What the values of a buffer are stored as. Sums, statistics and coefficients are float32 in every program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Element {
    #[default]
    Float32,
    /// The upper half of a float32: 8 bits of exponent, 7 of mantissa.
    Bf16,
}

/// What a program computes in: the element of its activations, and the order in which products are summed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Numerics {
    #[default]
    Float32,
    /// bf16, sums two terms at a time.
    Bf16,
    /// bf16, sums 32 terms at a time, as AMX takes them.
    Bf16Amx,
}

impl Numerics {
    /// Of activations, their gradients and packed weights.
    pub fn element(self) -> Element {
        match self {
            Self::Float32 => Element::Float32,
            Self::Bf16 | Self::Bf16Amx => Element::Bf16,
        }
    }
}

impl Element {
    /// Bytes of a value.
    pub const fn size(self) -> usize {
        match self {
            Self::Float32 => 4,
            Self::Bf16 => 2,
        }
    }
}

/// A step under the name of the node that it serves.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub name: String,
    pub op: Op,
}

/// Height, width and channels of one frame's activation.
pub type PixelShape = Shape;

/// Channels that a shift takes from the next frame, and as many from the previous one, of `channels`; none without a
/// shift. `div`: as [`Op::ShiftAlter`] has it.
pub fn fold(channels: usize, div: Option<usize>) -> usize {
    div.map_or(0, |div| channels / div.max(1))
}

/// The branch of each matrix that [`Op::PackForward`] makes: without private parts the first stands for all.
pub fn matrices(branches: &[usize]) -> &[usize] {
    match branches {
        [] => &[0],
        branches => branches,
    }
}

/// A convolution from `from` to `to`; a linear layer is one of a single pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvGeometry {
    pub from: PixelShape,
    pub to: PixelShape,
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
    pub algorithm: Algorithm,
}

/// How the CPU computes a convolution's products.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// Windows as rows of a matrix: `exec::cpu::product`.
    #[default]
    Direct,
    /// Forward and for the input's gradient by minimal filtering: `exec::cpu::conv::winograd`.
    Winograd,
    /// Windows as rows of a matrix, in blocks and in the order of sums of AMX: `exec::cpu::amx`.
    Amx,
}

impl ConvGeometry {
    /// Whether the activation itself is the matrix that the weight multiplies.
    pub fn is_pointwise(&self) -> bool {
        self.kernel == 1 && self.stride == 1 && self.padding == 0
    }

    /// Values of the weight.
    pub fn weights(&self) -> usize {
        self.kernel * self.kernel * self.from.channels * self.to.channels
    }
}

/// A batch norm: one entry that all branches share, or one for each branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Norm {
    pub branches: Vec<NormParams>,
    pub channels: usize,
    /// Running statistics normalise; weight and bias are not trained.
    pub frozen: bool,
}

/// Values that a norm's loops take at once, at least: narrow layers put several pixels side by side, so that their few
/// channels fill vectors too.
const ROW: usize = 192;

impl Norm {
    /// Length of a row of coefficients: the channels, repeated for each pixel of the row.
    pub fn row(&self) -> usize {
        self.channels * (ROW / self.channels.max(1)).max(1)
    }

    pub fn of(&self, branch: usize) -> NormParams {
        self.branches[if self.branches.len() == 1 { 0 } else { branch }]
    }
}

/// Where the gradient passes a ReLU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mask {
    /// There is no ReLU.
    All,
    /// Where the normalised value, computed again, is positive.
    Recomputed,
    /// Where this output is positive.
    Output(BufferId),
}

/// What a step computes. Fields named `x` are inputs, `y` outputs, `d…` gradients of what follows.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// Weight `[out, in, k, k]` as rows for the forward product, `[k·k·in, out]`, one matrix for each entry of
    /// `branches`, with alteration and norm of that branch folded in; and the bias that goes with it.
    PackForward {
        conv: ConvGeometry,
        weight: ParamId,
        bias: Option<ParamId>,
        alter: Vec<ParamId>,
        norm: Option<Norm>,
        branches: Vec<usize>,
        w: BufferId,
        b: Option<BufferId>,
    },
    /// The same weight as rows for the product with the output's gradient; see `exec::cpu::gather`.
    PackBackward {
        conv: ConvGeometry,
        weight: ParamId,
        w: BufferId,
    },
    /// y is the input x with a border of zeros, `border` pixels wide.
    Border {
        from: PixelShape,
        border: usize,
        x: BufferId,
        y: BufferId,
    },
    /// y = x ∗ w + b (+ residual) (then ReLU), x shifted in time while it is packed if `shift` is a divisor.
    Conv {
        conv: ConvGeometry,
        shift: Option<usize>,
        relu: bool,
        /// The branches that have a matrix of their own in `w`; empty: one matrix for all frames.
        branches: Vec<usize>,
        x: BufferId,
        w: BufferId,
        b: Option<BufferId>,
        residual: Option<BufferId>,
        y: BufferId,
    },
    ConvBackData {
        conv: ConvGeometry,
        dy: BufferId,
        w: BufferId,
        dx: BufferId,
    },
    ConvBackWeight {
        conv: ConvGeometry,
        frames: usize,
        weight: ParamId,
        x: BufferId,
        dy: BufferId,
        partials: BufferId,
    },
    /// The gradient of a bias: the sum of dy's rows.
    BiasBack {
        bias: ParamId,
        channels: usize,
        dy: BufferId,
    },
    /// Statistics of each group of frames → coefficients; the running statistics follow.
    BatchStatistics {
        norm: Norm,
        pixels: usize,
        x: BufferId,
        partials: BufferId,
        coefficients: BufferId,
    },
    /// Running statistics → coefficients.
    RunningStatistics {
        norm: Norm,
        coefficients: BufferId,
    },
    /// y = norm(x) (+ residual) (then ReLU).
    Normalize {
        norm: Norm,
        pixels: usize,
        relu: bool,
        x: BufferId,
        coefficients: BufferId,
        residual: Option<BufferId>,
        y: BufferId,
    },
    /// dx, the gradients of weight and bias, and the gradient behind the ReLU for a residual.
    NormalizeBack {
        norm: Norm,
        pixels: usize,
        mask: Mask,
        dy: BufferId,
        x: BufferId,
        coefficients: BufferId,
        partials: BufferId,
        masked: Option<BufferId>,
        dx: BufferId,
    },
    Relu {
        x: BufferId,
        y: BufferId,
    },
    /// dx = dy where y is positive.
    ReluBack {
        dy: BufferId,
        y: BufferId,
        dx: BufferId,
    },
    Add {
        a: BufferId,
        b: BufferId,
        y: BufferId,
    },
    MaxPool {
        from: PixelShape,
        to: PixelShape,
        x: BufferId,
        y: BufferId,
    },
    MaxPoolBack {
        from: PixelShape,
        to: PixelShape,
        x: BufferId,
        dy: BufferId,
        dx: BufferId,
    },
    /// y = (1 + alter)·shift(x), either of which may be missing.
    ShiftAlter {
        shape: PixelShape,
        shift: Option<usize>,
        alter: Vec<ParamId>,
        x: BufferId,
        y: BufferId,
    },
    /// dx = shiftᵀ((1 + alter)·dy) (+ add), and the alteration's gradient Σ dy·shift(x).
    ShiftAlterBack {
        shape: PixelShape,
        shift: Option<usize>,
        alter: Vec<ParamId>,
        dy: BufferId,
        x: Option<BufferId>,
        add: Option<BufferId>,
        partials: Option<BufferId>,
        dx: BufferId,
    },
    AveragePool {
        from: PixelShape,
        x: BufferId,
        y: BufferId,
    },
    AveragePoolBack {
        from: PixelShape,
        dy: BufferId,
        dx: BufferId,
    },
    /// Draws the mask, 0 or 1/(1 − p), and applies it.
    Dropout {
        channels: usize,
        probability: f32,
        x: BufferId,
        mask: BufferId,
        y: BufferId,
    },
    /// y = a·b
    Multiply {
        a: BufferId,
        b: BufferId,
        y: BufferId,
    },
    FrameMean {
        channels: usize,
        x: BufferId,
        y: BufferId,
    },
    FrameMeanBack {
        channels: usize,
        dy: BufferId,
        dx: BufferId,
    },
}

/// Whether a step reads or writes a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

impl Op {
    /// Every buffer of the step, in place: passes replace buffers through this, planning and verifying read it.
    pub fn visit(&mut self, visit: &mut dyn FnMut(Access, &mut BufferId)) {
        let (reads, writes): (Vec<&mut BufferId>, Vec<&mut BufferId>) = match self {
            Op::PackForward { w, b, .. } => (vec![], [w].into_iter().chain(b).collect()),
            Op::PackBackward { w, .. } => (vec![], vec![w]),
            Op::Conv {
                x,
                w,
                b,
                residual,
                y,
                ..
            } => (
                [x, w].into_iter().chain(b).chain(residual).collect(),
                vec![y],
            ),
            Op::ConvBackData { dy, w, dx, .. } => (vec![dy, w], vec![dx]),
            Op::ConvBackWeight {
                x, dy, partials, ..
            } => (vec![x, dy], vec![partials]),
            Op::BiasBack { dy, .. } => (vec![dy], vec![]),
            Op::BatchStatistics {
                x,
                partials,
                coefficients,
                ..
            } => (vec![x], vec![partials, coefficients]),
            Op::RunningStatistics { coefficients, .. } => (vec![], vec![coefficients]),
            Op::Normalize {
                x,
                coefficients,
                residual,
                y,
                ..
            } => (
                [x, coefficients].into_iter().chain(residual).collect(),
                vec![y],
            ),
            Op::NormalizeBack {
                mask,
                dy,
                x,
                coefficients,
                partials,
                masked,
                dx,
                ..
            } => {
                let output = match mask {
                    Mask::Output(y) => Some(y),
                    _ => None,
                };
                let reads = [dy, x, coefficients].into_iter().chain(output).collect();
                (reads, [partials, dx].into_iter().chain(masked).collect())
            }
            Op::Relu { x, y } | Op::AveragePool { x, y, .. } | Op::FrameMean { x, y, .. } => {
                (vec![x], vec![y])
            }
            Op::ReluBack { dy, y, dx } => (vec![dy, y], vec![dx]),
            Op::Add { a, b, y } | Op::Multiply { a, b, y } => (vec![a, b], vec![y]),
            Op::MaxPool { x, y, .. } | Op::ShiftAlter { x, y, .. } | Op::Border { x, y, .. } => {
                (vec![x], vec![y])
            }
            Op::MaxPoolBack { x, dy, dx, .. } => (vec![x, dy], vec![dx]),
            Op::ShiftAlterBack {
                dy,
                x,
                add,
                partials,
                dx,
                ..
            } => {
                let reads = [dy].into_iter().chain(x).chain(add).collect();
                (reads, [dx].into_iter().chain(partials).collect())
            }
            Op::AveragePoolBack { dy, dx, .. } | Op::FrameMeanBack { dy, dx, .. } => {
                (vec![dy], vec![dx])
            }
            Op::Dropout { x, mask, y, .. } => (vec![x], vec![mask, y]),
        };
        reads.into_iter().for_each(|id| visit(Access::Read, id));
        writes.into_iter().for_each(|id| visit(Access::Write, id));
    }

    fn accessed(&self, wanted: Access) -> Vec<BufferId> {
        let mut found = Vec::new();
        self.clone().visit(&mut |access, id| {
            if access == wanted {
                found.push(*id);
            }
        });
        found
    }

    pub fn reads(&self) -> Vec<BufferId> {
        self.accessed(Access::Read)
    }

    pub fn writes(&self) -> Vec<BufferId> {
        self.accessed(Access::Write)
    }

    /// Reads of `from` become reads of `to`.
    pub fn replace_read(&mut self, from: BufferId, to: BufferId) {
        self.visit(&mut |access, id| {
            if access == Access::Read && *id == from {
                *id = to;
            }
        });
    }

    /// Parameters whose gradient the step writes.
    pub fn gradients(&self) -> Vec<ParamId> {
        match self {
            Op::ConvBackWeight { weight, .. } => vec![*weight],
            Op::BiasBack { bias, .. } => vec![*bias],
            Op::NormalizeBack { norm, .. } if !norm.frozen => {
                let params = norm.branches.iter();
                params.flat_map(|n| [n.weight, n.bias]).collect()
            }
            Op::ShiftAlterBack { alter, .. } => alter.clone(),
            _ => Vec::new(),
        }
    }
}
