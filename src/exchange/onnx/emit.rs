//! Each node of a graph as operators of ONNX.

use super::builder::{Attribute, Builder, Call, value};
use super::proto::{GraphProto, Size};
use super::weights::{Convolution, Weights};
use super::{Export, Frames, INPUT, OUTPUT};
use crate::base::{Error, Kind, Result};
use crate::graph::op::NORM_EPSILON;
use crate::graph::{Conv, Graph, Node, NodeId, NormParams, Op, ParamId, Shape};

/// To the end of an axis, in a slice.
const END: i64 = i64::MAX;

pub fn graph(export: &Export<'_>) -> Result<GraphProto> {
    let mut emitter = Emitter::new(export);
    emitter.input(export.graph.nodes[0].shape);
    for id in 1..export.graph.nodes.len() {
        emitter.node(id)?;
    }
    emitter.finish(export)
}

struct Emitter<'a> {
    graph: &'a Graph,
    weights: Weights<'a>,
    branch: usize,
    frames: Frames,
    out: Builder,
    /// For each node the name of the value that it gives; none for what is folded into a reader.
    values: Vec<Option<String>>,
}

/// A convolution and what is folded into it.
struct Around {
    /// The node that it reads in the end.
    input: NodeId,
    alteration: Option<ParamId>,
    norm: Option<NormParams>,
    /// The node whose value it gives.
    output: NodeId,
}

impl<'a> Emitter<'a> {
    fn new(export: &Export<'a>) -> Self {
        Self {
            graph: export.graph,
            weights: Weights::new(export.graph, export.entries),
            branch: export.branch,
            frames: export.frames,
            out: Builder::default(),
            values: vec![None; export.graph.nodes.len()],
        }
    }

    /// Frames of all clips become pictures of one batch.
    fn input(&mut self, shape: Shape) {
        if self.frames == Frames::Any {
            let attributes = [Attribute::Int("start", 1), Attribute::Int("end", 2)];
            self.out.node(&Call {
                op: "Shape",
                name: FRAME_COUNT,
                inputs: &[INPUT],
                attributes: &attributes,
            });
        }
        self.pictures("frames", INPUT, shape);
        self.values[0] = Some("frames".to_owned());
    }

    fn node(&mut self, id: NodeId) -> Result<()> {
        let node = &self.graph.nodes[id];
        match &node.op {
            // Read by a convolution alone, which takes it in.
            Op::Input | Op::Alter(_) => Ok(()),
            Op::Conv(conv) => self.conv(id, node, conv),
            Op::Norm(norms) => match self.values[id] {
                Some(_) => Ok(()),
                None => self.norm(id, node, self.of_branch(norms)),
            },
            Op::Relu => self.simple(id, "Relu", &[]),
            Op::Add => self.simple(id, "Add", &[]),
            Op::GlobalAveragePool => self.simple(id, "GlobalAveragePool", &[]),
            Op::MaxPool => self.simple(
                id,
                "MaxPool",
                &[
                    Attribute::Ints("kernel_shape", &[3, 3]),
                    Attribute::Ints("pads", &[1; 4]),
                    Attribute::Ints("strides", &[2, 2]),
                ],
            ),
            Op::Shift { div } => self.shift(id, node, node.shape.channels / (*div).max(1)),
            Op::Dropout => {
                self.values[id] = Some(self.value(node.inputs[0])?);
                Ok(())
            }
            Op::Linear { weight, bias } => self.linear(id, node, *weight, *bias),
            Op::FrameMean => self.frame_mean(node),
        }
    }

    /// A convolution with everything folded that stands around it.
    fn conv(&mut self, id: NodeId, node: &Node, conv: &Conv) -> Result<()> {
        let around = self.around(id, node);
        let (weight, bias) = Convolution {
            weight: self.weights.param(conv.weight)?,
            inputs: self.graph.nodes[around.input].shape.channels,
            taps: conv.kernel * conv.kernel,
            alteration: around
                .alteration
                .map(|id| self.weights.param(id))
                .transpose()?,
            norm: around
                .norm
                .map(|norm| self.weights.norm(norm))
                .transpose()?,
        }
        .fold();

        let [w, b] = ["weight", "bias"].map(|part| format!("{}.{part}", node.name));
        let shape = &self.graph.params[conv.weight].shape;
        self.out.floats(&w, shape, &weight);
        let x = self.value(around.input)?;
        let mut inputs = vec![x.as_str(), w.as_str()];
        if let Some(bias) = bias {
            self.out.floats(&b, &[node.shape.channels], &bias);
            inputs.push(&b);
        }
        self.out.node(&Call {
            op: "Conv",
            name: &self.graph.nodes[around.output].name,
            inputs: &inputs,
            attributes: &[
                Attribute::Ints("kernel_shape", &[conv.kernel; 2]),
                Attribute::Ints("pads", &[conv.padding; 4]),
                Attribute::Ints("strides", &[conv.stride; 2]),
            ],
        });
        self.gives(around.output);
        Ok(())
    }

    /// What is folded into convolution `id`: the alteration that it reads, the norm that alone reads it.
    fn around(&self, id: NodeId, node: &Node) -> Around {
        let before = &self.graph.nodes[node.inputs[0]];
        let (input, alteration) = match &before.op {
            Op::Alter(weights) => (before.inputs[0], Some(self.of_branch(weights))),
            _ => (node.inputs[0], None),
        };
        let reader = self.only_reader(id).unwrap_or(id);
        let (output, norm) = match &self.graph.nodes[reader].op {
            Op::Norm(norms) => (reader, Some(self.of_branch(norms))),
            _ => (id, None),
        };
        Around {
            input,
            alteration,
            norm,
            output,
        }
    }

    /// A norm that does not follow a convolution.
    fn norm(&mut self, id: NodeId, node: &Node, norm: NormParams) -> Result<()> {
        let norm = self.weights.norm(norm)?;
        let parts = [
            ("weight", norm.weight),
            ("bias", norm.bias),
            ("running_mean", norm.mean),
            ("running_var", norm.var),
        ];
        let mut inputs = vec![self.value(node.inputs[0])?];
        for (part, values) in parts {
            let name = format!("{}.{part}", node.name);
            self.out.floats(&name, &[values.len()], values);
            inputs.push(name);
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        self.out.node(&Call {
            op: "BatchNormalization",
            name: &node.name,
            inputs: &inputs,
            attributes: &[Attribute::Float("epsilon", NORM_EPSILON)],
        });
        self.gives(id);
        Ok(())
    }

    /// Channels `[0, fold)` from the next frame, `[fold, 2·fold)` from the previous one, zero at the clip's ends.
    fn shift(&mut self, id: NodeId, node: &Node, fold: usize) -> Result<()> {
        let (x, shape) = (self.value(node.inputs[0])?, node.shape);
        if fold == 0 {
            self.values[id] = Some(x);
            return Ok(());
        }
        let part = |part: &str| format!("{}.{part}", node.name);
        let (clips, shifted) = (part("clips"), part("shifted"));
        let (next, previous, rest) = (part("next"), part("previous"), part("rest"));
        self.clips(&clips, &x, &[shape.channels, shape.height, shape.width]);

        let (fold, channels) = (fold as i64, shape.channels as i64);
        self.frames_of(&clips, &next, [(1, END), (0, fold)], [0, 1]);
        self.frames_of(&clips, &previous, [(0, -1), (fold, 2 * fold)], [1, 0]);
        let mut parts = vec![next.as_str(), &previous];
        if 2 * fold < channels {
            self.slice(&clips, &rest, &[(2, 2 * fold, channels)]);
            parts.push(&rest);
        }
        self.out.node(&Call {
            op: "Concat",
            name: &shifted,
            inputs: &parts,
            attributes: &[Attribute::Int("axis", 2)],
        });
        self.pictures(&node.name, &shifted, shape);
        self.values[id] = Some(node.name.clone());
        Ok(())
    }

    /// A slice of frames and channels, then zero frames before and behind it.
    fn frames_of(
        &mut self,
        clips: &str,
        name: &str,
        [frames, channels]: [(i64, i64); 2],
        [before, behind]: [i64; 2],
    ) {
        let cut = format!("{name}.cut");
        self.slice(
            clips,
            &cut,
            &[(1, frames.0, frames.1), (2, channels.0, channels.1)],
        );
        let pads = self.out.ints(&[0, before, 0, 0, 0, 0, behind, 0, 0, 0]);
        self.out.node(&Call {
            op: "Pad",
            name,
            inputs: &[&cut, &pads],
            attributes: &[],
        });
    }

    /// (axis, start, end) of each axis that is cut.
    fn slice(&mut self, x: &str, name: &str, cuts: &[(i64, i64, i64)]) {
        let mut list = |of: fn(&(i64, i64, i64)) -> i64| {
            let values: Vec<i64> = cuts.iter().map(of).collect();
            self.out.ints(&values)
        };
        let (starts, ends, axes) = (list(|c| c.1), list(|c| c.2), list(|c| c.0));
        self.out.node(&Call {
            op: "Slice",
            name,
            inputs: &[x, &starts, &ends, &axes],
            attributes: &[],
        });
    }

    /// y = x·wᵀ + b for each frame.
    fn linear(&mut self, id: NodeId, node: &Node, weight: ParamId, bias: ParamId) -> Result<()> {
        let x = self.value(node.inputs[0])?;
        let flat = format!("{}.input", node.name);
        self.out.node(&Call {
            op: "Flatten",
            name: &flat,
            inputs: &[&x],
            attributes: &[Attribute::Int("axis", 1)],
        });
        for id in [weight, bias] {
            let param = &self.graph.params[id];
            self.out
                .floats(&param.name, &param.shape, self.weights.param(id)?);
        }
        let [w, b] = [weight, bias].map(|id| self.graph.params[id].name.as_str());
        self.out.node(&Call {
            op: "Gemm",
            name: &node.name,
            inputs: &[&flat, w, b],
            attributes: &[Attribute::Int("transB", 1)],
        });
        self.values[id] = Some(node.name.clone());
        Ok(())
    }

    fn frame_mean(&mut self, node: &Node) -> Result<()> {
        let x = self.value(node.inputs[0])?;
        let clips = format!("{}.clips", node.name);
        self.clips(&clips, &x, &[self.graph.classes]);
        self.out.node(&Call {
            op: "ReduceMean",
            name: OUTPUT,
            inputs: &[&clips],
            attributes: &[Attribute::Ints("axes", &[1]), Attribute::Int("keepdims", 0)],
        });
        Ok(())
    }

    /// An operator of one output and of the inputs of its node.
    fn simple(&mut self, id: NodeId, op: &'static str, attributes: &[Attribute<'_>]) -> Result<()> {
        let node = &self.graph.nodes[id];
        let inputs = node.inputs.iter().map(|&id| self.value(id));
        let inputs = inputs.collect::<Result<Vec<String>>>()?;
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        self.out.node(&Call {
            op,
            name: &node.name,
            inputs: &inputs,
            attributes,
        });
        self.gives(id);
        Ok(())
    }

    /// Pictures → clips × frames × `rest`.
    fn clips(&mut self, name: &str, pictures: &str, rest: &[usize]) {
        let rest: Vec<i64> = rest.iter().map(|&size| size as i64).collect();
        let shape = match self.frames {
            Frames::Fixed(frames) => self.out.ints(&[&[-1, frames as i64], &rest[..]].concat()),
            Frames::Any => {
                let (open, rest) = (self.out.ints(&[-1]), self.out.ints(&rest));
                let shape = format!("{name}.shape");
                self.out.node(&Call {
                    op: "Concat",
                    name: &shape,
                    inputs: &[&open, FRAME_COUNT, &rest],
                    attributes: &[Attribute::Int("axis", 0)],
                });
                shape
            }
        };
        self.reshape(name, pictures, &shape);
    }

    /// Clips → pictures of `shape`.
    fn pictures(&mut self, name: &str, clips: &str, shape: Shape) {
        let Shape {
            channels,
            height,
            width,
        } = shape;
        let sizes = [channels, height, width].map(|size| size as i64);
        let to = self.out.ints(&[&[-1], &sizes[..]].concat());
        self.reshape(name, clips, &to);
        self.out.describe(name, of_pictures(shape));
    }

    fn reshape(&mut self, name: &str, x: &str, shape: &str) {
        self.out.node(&Call {
            op: "Reshape",
            name,
            inputs: &[x, shape],
            attributes: &[],
        });
    }

    /// The value of node `id` has been emitted under its name.
    fn gives(&mut self, id: NodeId) {
        let node = &self.graph.nodes[id];
        self.out.describe(&node.name, of_pictures(node.shape));
        self.values[id] = Some(node.name.clone());
    }

    fn value(&self, id: NodeId) -> Result<String> {
        self.values[id].clone().ok_or_else(|| {
            let name = &self.graph.nodes[id].name;
            Error::new(
                Kind::Experiment,
                format!("`{name}` cannot be folded: another node reads it too"),
            )
        })
    }

    /// The entry of the branch, or the one that all share.
    fn of_branch<T: Copy>(&self, parts: &[T]) -> T {
        parts[self.branch.min(parts.len() - 1)]
    }

    /// The node that reads `id`, if it is the only one.
    fn only_reader(&self, id: NodeId) -> Option<NodeId> {
        let nodes = self.graph.nodes.iter().enumerate();
        let mut readers = nodes.filter(|(_, node)| node.inputs.contains(&id));
        let first = readers.next();
        first.filter(|_| readers.next().is_none()).map(|(id, _)| id)
    }

    fn finish(mut self, export: &Export<'_>) -> Result<GraphProto> {
        let shape = export.graph.nodes[0].shape;
        let frames = match export.frames {
            Frames::Fixed(frames) => fixed(frames),
            Frames::Any => Size::Named("frames".to_owned()),
        };
        let sizes = [shape.channels, shape.height, shape.width].map(fixed);
        let input = [vec![clips(), frames], sizes.to_vec()].concat();
        let graph = &mut self.out.graph;
        graph.name = export.name.to_owned();
        graph.input = vec![value(
            INPUT,
            input,
            "clips × frames × RGB × height × width, normalised",
        )];
        let output = vec![clips(), fixed(export.graph.classes)];
        graph.output = vec![value(OUTPUT, output, "averaged over the frames")];
        Ok(self.out.graph)
    }
}

/// The value that holds the number of frames where it is open.
const FRAME_COUNT: &str = "frame_count";

fn clips() -> Size {
    Size::Named("clips".to_owned())
}

fn fixed(size: usize) -> Size {
    Size::Fixed(size as i64)
}

fn of_pictures(shape: Shape) -> Vec<Size> {
    let sizes = [shape.channels, shape.height, shape.width].map(fixed);
    [vec![Size::Named("pictures".to_owned())], sizes.to_vec()].concat()
}
