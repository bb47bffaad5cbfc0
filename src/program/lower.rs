//! Graph → the naive program: one step for each node (two for a norm: statistics, then normalising; two for a
//! convolution: its weight as a matrix, then the product).

use super::Program;
use super::batch::{Batch, TrainOptions};
use super::step::{Algorithm, BufferId, ConvGeometry, Norm, Op, Step};
use crate::graph::{self, Graph, Node, NodeId, NormParams, ParamId, Shape};
use crate::spec::FrozenNorms;

/// Batch statistics and dropout.
pub fn train(graph: &Graph, batch: Batch, options: &TrainOptions, observed: &[NodeId]) -> Program {
    lower(graph, batch, Some(options), observed)
}

/// Running statistics, no dropout.
pub fn eval(graph: &Graph, batch: Batch, observed: &[NodeId]) -> Program {
    lower(graph, batch, None, observed)
}

fn lower(
    graph: &Graph,
    batch: Batch,
    options: Option<&TrainOptions>,
    observed: &[NodeId],
) -> Program {
    let mut lowering = Lowering {
        graph,
        options,
        program: Program {
            batch,
            buffers: Vec::new(),
            forward: Vec::new(),
            prepare: Vec::new(),
            backward: Vec::new(),
            input: 0,
            logits: 0,
            observed: Vec::new(),
            d_logits: None,
            arena: 0,
        },
        outputs: Vec::new(),
    };
    for node in &graph.nodes {
        let output = lowering.node(node);
        lowering.outputs.push(output);
    }
    let Lowering {
        mut program,
        outputs,
        ..
    } = lowering;
    program.logits = outputs.last().copied().unwrap_or(0);
    let observed = observed.iter().filter(|&&node| node < outputs.len());
    program.observed = observed.map(|&node| (node, outputs[node])).collect();
    program
}

struct Lowering<'a> {
    graph: &'a Graph,
    /// `None` in evaluation.
    options: Option<&'a TrainOptions>,
    program: Program,
    /// Node → the buffer of its output.
    outputs: Vec<BufferId>,
}

impl Lowering<'_> {
    /// Emits the steps of a node and returns the buffer of its output.
    fn node(&mut self, node: &Node) -> BufferId {
        let inputs: Vec<BufferId> = node.inputs.iter().map(|&i| self.outputs[i]).collect();
        let Some(&x) = inputs.first() else {
            return self.activation(node, node.shape);
        };
        match &node.op {
            graph::Op::Conv(_) => self.conv(node, None, x),
            graph::Op::Linear { bias, .. } => self.conv(node, Some(*bias), x),
            graph::Op::Norm(branches) => self.norm(node, branches, x),
            graph::Op::Dropout if self.dropout() == 0.0 => x,
            _ => {
                let y = match node.op {
                    graph::Op::FrameMean => {
                        let len = self.program.batch.clips * node.shape.count();
                        self.program.buffer(&node.name, len)
                    }
                    _ => self.activation(node, node.shape),
                };
                let op = self.single(node, &inputs, y);
                self.emit(&node.name, op);
                y
            }
        }
    }

    /// The step of a node that is one step.
    fn single(&mut self, node: &Node, inputs: &[BufferId], y: BufferId) -> Op {
        let from = self.from(node);
        let (x, channels) = (inputs[0], from.channels);
        let shift_alter = |shift, alter| Op::ShiftAlter {
            shape: from,
            shift,
            alter,
            x,
            y,
        };
        match &node.op {
            graph::Op::Relu => Op::Relu { x, y },
            graph::Op::Add => Op::Add {
                a: x,
                b: inputs[1],
                y,
            },
            graph::Op::MaxPool => Op::MaxPool {
                from,
                to: node.shape,
                x,
                y,
            },
            graph::Op::Shift { div } => shift_alter(Some(*div), Vec::new()),
            graph::Op::Alter(weights) => shift_alter(None, weights.clone()),
            graph::Op::GlobalAveragePool => Op::AveragePool { from, x, y },
            graph::Op::Dropout => Op::Dropout {
                channels,
                probability: self.dropout(),
                x,
                mask: self.activation_named(format!("{}.mask", node.name), from),
                y,
            },
            // What is left is the frame mean: `node` lowers the others.
            _ => Op::FrameMean { channels, x, y },
        }
    }

    /// The shape of a node's first input.
    fn from(&self, node: &Node) -> Shape {
        self.graph.nodes[node.inputs[0]].shape
    }

    /// The probability of dropout; 0 in evaluation.
    fn dropout(&self) -> f32 {
        self.options.map_or(0.0, |options| options.dropout)
    }

    /// A linear layer is a convolution of a single pixel.
    fn geometry(&self, node: &Node) -> (ConvGeometry, ParamId) {
        let (kernel, stride, padding, weight) = match &node.op {
            graph::Op::Conv(conv) => (conv.kernel, conv.stride, conv.padding, conv.weight),
            graph::Op::Linear { weight, .. } => (1, 1, 0, *weight),
            _ => (1, 1, 0, 0),
        };
        let geometry = ConvGeometry {
            from: self.from(node),
            to: node.shape,
            kernel,
            stride,
            padding,
            algorithm: Algorithm::Direct,
        };
        (geometry, weight)
    }

    fn conv(&mut self, node: &Node, bias: Option<ParamId>, x: BufferId) -> BufferId {
        let (conv, weight) = self.geometry(node);
        let name = &node.name;
        let (conv, x) = self.bordered(name, conv, x);
        let w = self
            .program
            .buffer(format!("{name}.weight"), conv.packed_forward());
        let b = bias.map(|_| {
            self.program
                .buffer(format!("{name}.bias"), conv.to.channels)
        });
        let y = self.activation(node, node.shape);
        let pack = Op::PackForward {
            conv,
            weight,
            bias,
            alter: Vec::new(),
            norm: None,
            branches: Vec::new(),
            w,
            b,
        };
        self.emit(name, pack);
        let conv = Op::Conv {
            conv,
            shift: None,
            relu: false,
            branches: Vec::new(),
            x,
            w,
            b,
            residual: None,
            y,
        };
        self.emit(name, conv);
        y
    }

    /// The same convolution of a copy of x with a border, where x is the input and that is quicker.
    fn bordered(
        &mut self,
        name: &str,
        conv: ConvGeometry,
        x: BufferId,
    ) -> (ConvGeometry, BufferId) {
        let bordered = conv.bordered().filter(|_| x == self.program.input);
        let Some(bordered) = bordered else {
            return (conv, x);
        };
        let y = self.activation_named(format!("{name}.bordered"), bordered.from);
        let border = Op::Border {
            from: conv.from,
            border: conv.padding,
            x,
            y,
        };
        self.emit(name, border);
        (bordered, y)
    }

    fn norm(&mut self, node: &Node, branches: &[NormParams], x: BufferId) -> BufferId {
        let name = &node.name;
        let Shape { channels, .. } = node.shape;
        let pixels = node.shape.pixels();
        let norm = Norm {
            branches: branches.to_vec(),
            channels,
            frozen: self.is_frozen(branches),
        };
        let groups = self.program.batch.norm_groups.len();
        let frames = self.program.batch.frames;
        let coefficients = self
            .program
            .buffer(format!("{name}.coefficients"), groups * 4 * norm.row());
        let statistics = if norm.frozen {
            let norm = norm.clone();
            Op::RunningStatistics { norm, coefficients }
        } else {
            let partials = self
                .program
                .buffer(format!("{name}.statistics"), frames * 2 * channels);
            Op::BatchStatistics {
                norm: norm.clone(),
                pixels,
                x,
                partials,
                coefficients,
            }
        };
        self.emit(name, statistics);
        let y = self.activation(node, node.shape);
        let normalize = Op::Normalize {
            norm,
            pixels,
            relu: false,
            x,
            coefficients,
            residual: None,
            y,
        };
        self.emit(name, normalize);
        y
    }

    /// Evaluation freezes every norm; the first norm's statistics come first in the graph.
    fn is_frozen(&self, branches: &[NormParams]) -> bool {
        let first = branches.iter().any(|norm| norm.stat == 0);
        match self.options.map(|options| options.frozen_norms) {
            None | Some(FrozenNorms::All) => true,
            Some(FrozenNorms::AllButFirst) => !first,
            Some(FrozenNorms::Off) => false,
        }
    }

    /// A buffer for a node's output over all frames.
    fn activation(&mut self, node: &Node, shape: Shape) -> BufferId {
        self.activation_named(node.name.clone(), shape)
    }

    fn activation_named(&mut self, name: String, shape: Shape) -> BufferId {
        let len = self.program.batch.frames * shape.count();
        self.program.buffer(name, len)
    }

    fn emit(&mut self, name: &str, op: Op) {
        self.program.forward.push(Step {
            name: name.into(),
            op,
        });
    }
}
