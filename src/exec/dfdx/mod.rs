//! The reference interpreter: the graph, node by node, in dfdx's built-in operations and dfdx's own autograd.
//!
//! This is the definition of every node, to be read beside the papers; [`super::cpu`] is held against it. It shares no
//! kernel, no batching and no backward pass with the compiled engine: each branch is a forward pass of its own, as in
//! the official code, nothing is fused, and every gradient is dfdx's. It is slow and keeps every value of every step.
//!
//! An activation is a matrix of *rows*: a row for each pixel, a column for each channel; the pixels of a frame in
//! row-major order, the frames of a clip one after another, then the next clip. What looks at neighbours in space or
//! time gathers rows (`gather`); everything else is a product of matrices or goes value by value.
//!
//! Which row is whose neighbour is said here once more, not read from [`crate::ops::Layout`], which decides alone which batches
//! are refused.
//!
//! Check: `cargo test --test oracle`, `ffn golden verify --engine dfdx-f64 golden`.
//!
//! [`Real`] is float32 or float64. What comes in (parameters, running statistics, pixels) is float32 in both.

mod attention;
mod gather;
mod norm;
mod ops;
#[cfg(test)]
mod tests;

use dfdx::prelude::*;

use self::gather::{Frames, Windows};
use super::{DropoutKey, Segment, Statistics, TrainOptions};
use crate::base::{Error, Kind, Result};
use crate::graph::{Graph, Node, NodeId, Op, ParamId, Shape};
use crate::ops::{BatchNorm, Conv, Drops, Mean, Pool, Rate, TakeFrames};
use crate::program::Batch;
use crate::spec::ShiftSegments;

/// What the numbers are: float32 or float64, and the device on which dfdx has all operations for them.
pub trait Real: Dtype {
    type On: Device<Self, Err = CpuError>;

    /// The nearest of this type.
    fn nearest(value: f64) -> Self;

    /// Exactly the same number.
    fn exact(self) -> f64;
}

impl Real for f32 {
    type On = Cpu;

    fn nearest(value: f64) -> Self {
        value as f32
    }

    fn exact(self) -> f64 {
        f64::from(self)
    }
}

impl Real for f64 {
    type On = Cpu;

    fn nearest(value: f64) -> Self {
        value
    }

    fn exact(self) -> f64 {
        self
    }
}

/// A matrix, with or without a tape.
pub type Rows<E, T = NoneTape> = Tensor<(usize, usize), E, <E as Real>::On, T>;
/// A vector, with or without a tape: a parameter in PyTorch's layout, or a value for each channel.
pub type Vector<E, T = NoneTape> = Tensor<(usize,), E, <E as Real>::On, T>;

/// One segment's forward pass.
#[derive(Clone, Copy)]
pub struct Pass<'a> {
    pub graph: &'a Graph,
    pub segment: Segment,
    /// `None` in evaluation: running statistics, no dropout, time inside each clip.
    pub training: Option<Training<'a>>,
    /// Nodes whose outputs [`Output::observed`] holds.
    pub observed: &'a [NodeId],
}

/// What only a training pass needs.
#[derive(Clone, Copy)]
pub struct Training<'a> {
    pub options: &'a TrainOptions,
    pub dropout: DropoutKey,
}

/// What a pass gives.
pub struct Output<E: Real, T> {
    /// clips × classes
    pub logits: Rows<E, T>,
    pub observed: Observed,
}

/// The observed nodes' outputs in the graph's order: NHWC, each value rounded to float32.
pub type Observed = Vec<(NodeId, Vec<f32>)>;

/// The parameters as tensors that a tape can lead to, in the graph's order.
pub fn leaves<E: Real>(values: &[Vec<f32>]) -> Result<Vec<Vector<E>>> {
    let leaf = |values: &Vec<f32>| vector(values.iter().map(|&v| f64::from(v)));
    let leaves = values.iter().map(leaf);
    leaves.collect::<Result<_, _>>().map_err(failed)
}

impl Pass<'_> {
    /// `pixels`: normalised, NHWC. A training pass lets the running statistics follow. `T` is the tape: [`NoneTape`]
    /// keeps nothing for a backward pass.
    pub fn forward<E: Real, T: Tape<E, E::On>>(
        &self,
        leaves: &[Vector<E>],
        statistics: &mut Statistics,
        pixels: &[f32],
    ) -> Result<Output<E, T>> {
        self.check(leaves, statistics, pixels)?;
        let interpreter = Interpreter {
            pass: self,
            leaves,
            statistics,
            pixels,
            values: Vec::new(),
            dropouts: 0,
            tape: T::default(),
        };
        interpreter.run().map_err(failed)
    }

    /// What comes in must be that of the graph and the segment: dfdx has no other answer to wrong sizes than to panic.
    fn check<E: Real>(
        &self,
        leaves: &[Vector<E>],
        statistics: &Statistics,
        pixels: &[f32],
    ) -> Result<()> {
        let (graph, segments) = (self.graph, [self.segment]);
        let batch = match self.training {
            Some(training) => Batch::train(graph, &segments, training.options)?,
            None => Batch::eval(graph, &segments)?,
        };
        let channels = || graph.stats.iter().map(|stat| stat.channels);
        let params = graph.params.iter().map(|param| param.count());
        let wrong = if !leaves.iter().map(|leaf| leaf.shape().0).eq(params) {
            "parameters"
        } else if !statistics.mean.iter().map(Vec::len).eq(channels())
            || !statistics.var.iter().map(Vec::len).eq(channels())
            || statistics.batches.len() != graph.stats.len()
        {
            "running statistics"
        } else if pixels.len() != batch.frames * graph.nodes[0].shape.count() {
            "pixels"
        } else {
            return Ok(());
        };
        let message = format!("the {wrong} are not as many as the network has");
        Err(Error::new(Kind::Usage, message))
    }
}

struct Interpreter<'a, E: Real, T> {
    pass: &'a Pass<'a>,
    leaves: &'a [Vector<E>],
    statistics: &'a mut Statistics,
    pixels: &'a [f32],
    /// Node → its output. The tape of all of them is `tape`.
    values: Vec<Rows<E>>,
    /// Dropout layers so far.
    dropouts: usize,
    tape: T,
}

impl<E: Real, T: Tape<E, E::On>> Interpreter<'_, E, T> {
    fn run(mut self) -> Result<Output<E, T>, CpuError> {
        let graph = self.pass.graph;
        let mut observed = Vec::new();
        for (id, node) in graph.nodes.iter().enumerate() {
            let (value, tape) = self.node(node)?.split_tape();
            self.tape = self.tape.merge(tape);
            if self.pass.observed.contains(&id) {
                let values = value.as_vec().into_iter();
                observed.push((id, values.map(|v| v.exact() as f32).collect()));
            }
            self.values.push(value);
        }
        let logits = self.values.pop().ok_or(CpuError::WrongNumElements)?;
        Ok(Output {
            logits: logits.put_tape(self.tape),
            observed,
        })
    }

    fn node(&mut self, node: &Node) -> Result<Rows<E, T>, CpuError> {
        let Some(&from) = node.inputs.first() else {
            return self.input(node.shape);
        };
        let x = self.value(from);
        let from = self.frames(&self.pass.graph.nodes[from]);
        match &node.op {
            Op::Input(_) => Ok(x),
            Op::Conv(conv) => self.conv(x, from, node, conv),
            Op::BatchNorm(norm) => self.norm(node, norm),
            Op::LayerNorm(norm) => {
                let of = norm.of(self.pass.segment.branch);
                let affine = norm::Affine {
                    weight: self.leaf(of.weight),
                    bias: self.leaf(of.bias),
                    eps: norm.eps,
                };
                norm::by_pixel(x, affine)
            }
            Op::Attention(op) => attention::attention(x, op, self.pass.segment.clips),
            Op::Each(function) => ops::each(x, *function),
            Op::Binary(function) => {
                let b = renamed(self.value(node.inputs[1]))?;
                ops::binary(x, b, *function)
            }
            Op::Pool(pool) => ops::pool(x, pool.pooled, &self.pool_windows(from, node, pool)),
            Op::Mean(Mean::Pixels) => ops::mean(x, from.count, from.shape.pixels()),
            Op::Mean(Mean::Rows) => {
                let clips = self.pass.segment.clips;
                ops::frame_mean(x, clips, from.count / clips)
            }
            Op::MeanProbabilities(_) => ops::mean_probabilities(x, from.count, from.shape.pixels()),
            Op::Shift(shift) => ops::shift(x, &from, shift.div),
            Op::TakeFrames(TakeFrames::Moved { offset }) => ops::take_frames(x, &from, *offset),
            Op::TakeFrames(TakeFrames::Spread { every, joined }) => {
                let slow = ops::Slow {
                    every: *every,
                    joined: *joined && self.pass.training.is_some(),
                    branches: &self.pass.graph.branches,
                };
                ops::slow_frames(x, &from, &slow)
            }
            Op::Alter(alter) => {
                let weight = alter.weights[self.pass.segment.branch];
                ops::alter(x, self.leaf(weight))
            }
            Op::SliceChannels(slice) => ops::slice_channels(x, slice.first, slice.count),
            Op::ConcatChannels(_) => {
                let inputs = node.inputs.iter().map(|&id| renamed(self.value(id)));
                ops::concat_channels(inputs)
            }
            Op::Dropout(dropout) => self.dropout(x, dropout.drops),
            Op::Linear(linear) => ops::linear(x, self.leaf(linear.weight), self.leaf(linear.bias)),
        }
    }

    fn conv(
        &self,
        x: Rows<E, T>,
        from: Frames,
        node: &Node,
        conv: &Conv,
    ) -> Result<Rows<E, T>, CpuError> {
        let windows = Windows {
            from,
            to: self.frames(node),
            kernel: conv.kernel,
            stride: conv.stride,
            padding: conv.padding,
        };
        let y = ops::convolution(x, self.leaf(conv.weight), &windows, conv.groups)?;
        match conv.bias {
            Some(bias) => ops::add_bias(y, self.leaf(bias)),
            None => Ok(y),
        }
    }

    fn pool_windows(&self, from: Frames, node: &Node, pool: &Pool) -> Windows {
        Windows {
            from,
            to: self.frames(node),
            kernel: [1, pool.window, pool.window],
            stride: [1, pool.stride, pool.stride],
            padding: [0, pool.padding, pool.padding],
        }
    }

    /// The frames that a node gives, as this segment has them.
    fn frames(&self, node: &Node) -> Frames {
        let Segment { clips, frames, .. } = self.pass.segment;
        let of_clip = |frames: usize| match node.rate {
            Rate::Every(step) => frames.div_ceil(step),
            Rate::Clip | Rate::Group => 1,
        };
        Frames {
            count: clips * of_clip(frames),
            period: of_clip(self.period()),
            shape: node.shape,
        }
    }

    fn input(&self, shape: Shape) -> Result<Rows<E, T>, CpuError> {
        let pixels = self.pixels.iter().map(|&v| E::nearest(f64::from(v)));
        let rows = self.pixels.len() / shape.channels;
        let input: Rows<E> =
            E::On::default().try_tensor_from_vec(pixels.collect(), (rows, shape.channels))?;
        Ok(input.retaped())
    }

    /// Statistics of the batch's groups in training, unless the norm is frozen; else the running statistics.
    fn norm(&mut self, node: &Node, norm: &BatchNorm) -> Result<Rows<E, T>, CpuError> {
        let frames = self.frames(node);
        let Segment { branch, clips, .. } = self.pass.segment;
        let params = norm.branches[if norm.branches.len() == 1 { 0 } else { branch }];
        let x = &self.values[node.inputs[0]];
        let (weight, bias) = (&self.leaves[params.weight], &self.leaves[params.bias]);
        let eps = norm.eps;
        let running = norm::Running {
            mean: &mut self.statistics.mean[params.stat],
            var: &mut self.statistics.var[params.stat],
            batches: &mut self.statistics.batches[params.stat],
        };
        match self.pass.training.map(|training| training.options) {
            Some(options) if !norm.is_frozen(options.frozen_norms) => {
                let (weight, bias) = (weight.clone(), bias.clone());
                let affine = norm::Affine { weight, bias, eps };
                let group = options.norm_clips.unwrap_or(clips) * (frames.count / clips);
                norm::by_batch(x, &affine, running, group * node.shape.pixels())
            }
            // A frozen norm's weight and bias are no leaves: they get no gradient.
            _ => {
                let (weight, bias) = (detached(weight)?, detached(bias)?);
                norm::by_running(x, &norm::Affine { weight, bias, eps }, &running)
            }
        }
    }

    fn dropout(&mut self, x: Rows<E, T>, drops: Drops) -> Result<Rows<E, T>, CpuError> {
        let index = self.dropouts;
        self.dropouts += 1;
        let Some(Training { options, dropout }) = self.pass.training else {
            return Ok(x);
        };
        let (probability, parts) = match drops {
            Drops::Values => (options.dropout, x.shape().0 * x.shape().1),
            Drops::Clips { share } => (share * options.drop_path, self.pass.segment.clips),
        };
        if probability == 0.0 {
            return Ok(x);
        }
        let drawn = ops::Drawn {
            probability,
            key: dropout,
            branch: self.pass.graph.branches[self.pass.segment.branch],
            index,
            parts,
            clips: self.pass.segment.clips,
        };
        ops::dropout(x, &drawn)
    }

    /// Frames that operations along time take as one clip.
    fn period(&self) -> usize {
        match self.pass.training.map(|t| t.options.shift_segments) {
            Some(ShiftSegments::Shared(period)) => period,
            _ => self.pass.segment.frames,
        }
    }

    fn value(&self, id: NodeId) -> Rows<E, T> {
        self.values[id].retaped()
    }

    fn leaf(&self, id: ParamId) -> Vector<E, T> {
        self.leaves[id].retaped()
    }
}

/// The same values under an identity of its own, whose gradient is added to x's. dfdx's slices overwrite the gradient of what they
/// are cut from, and its functions of two values refuse the same one twice.
fn renamed<S: dfdx::shapes::Shape, E: Real, T: Tape<E, E::On>>(
    x: Tensor<S, E, E::On, T>,
) -> Result<Tensor<S, E, E::On, T>, CpuError> {
    x.try_mul(E::nearest(1.0))
}

/// A value for each channel, the same in every row.
fn in_every_row<E: Real, T: Tape<E, E::On>>(
    channels: Vector<E, T>,
    shape: &(usize, usize),
) -> Result<Rows<E, T>, CpuError> {
    channels.try_broadcast_like::<_, Axis<0>>(shape)
}

fn vector<E: Real>(values: impl Iterator<Item = f64>) -> Result<Vector<E>, CpuError> {
    let values: Vec<E> = values.map(E::nearest).collect();
    let len = values.len();
    E::On::default().try_tensor_from_vec(values, (len,))
}

/// The same values under an identity that no tape leads to.
fn detached<E: Real>(x: &Vector<E>) -> Result<Vector<E>, CpuError> {
    vector(x.as_vec().into_iter().map(E::exact))
}

fn failed(error: CpuError) -> Error {
    Error::new(Kind::Device, format!("dfdx: {error}"))
        .hint("the dfdx engine keeps every value of a step: try fewer or smaller clips")
}
