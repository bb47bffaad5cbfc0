//! TSM (Lin, Gan, Han, ICCV 2019) on a ResNet (He et al., CVPR 2016): frames are pictures of one batch; each residual
//! block shifts part of its channels in time; the classifier's outputs are averaged over the frames.
//!
//! Names are those of the official checkpoints: torchvision's under `base_model.`, the classifier `new_fc`.

use super::op::{Conv, NormParams, Op, Role, Shape, windowed};
use super::{Graph, Node, NodeId, Param, ParamKind, Stat};
use crate::base::{Error, Kind, Result};
use crate::spec::{Backbone, Block, ResNet, Shift, ShiftPlace, Stem};

/// A TSM network.
pub struct Tsm<'a> {
    pub backbone: &'a Backbone,
    pub shift: &'a Shift,
    pub classes: usize,
    /// The frame count that it is trained at.
    pub frames: usize,
    /// Height and width in pixels.
    pub input: (usize, usize),
}

/// Builds the vanilla network.
pub fn tsm(tsm: &Tsm<'_>) -> Result<Graph> {
    let layout = tsm.backbone.layout();
    let mut net = Builder::new(tsm);
    let mut x = net.stem(&layout)?;
    for (stage, &blocks) in layout.blocks.iter().enumerate() {
        for index in 0..blocks {
            let place = if index % shift_every(&layout) == 0 {
                tsm.shift.place
            } else {
                ShiftPlace::Nowhere
            };
            let block = ResidualBlock {
                name: format!("base_model.layer{}.{index}", stage + 1),
                kind: layout.block,
                width: layout.width << stage,
                stride: if stage > 0 && index == 0 { 2 } else { 1 },
                shift: place,
            };
            x = net.residual(&block, x)?;
        }
    }
    net.classifier(x)?;
    net.graph.verify()?;
    Ok(net.graph)
}

/// TSM's code shifts only every second block of a network whose third stage has 23 blocks or more (ResNet-101).
fn shift_every(layout: &ResNet) -> usize {
    match layout.blocks.get(2) {
        Some(&blocks) if blocks >= 23 => 2,
        _ => 1,
    }
}

struct ResidualBlock {
    name: String,
    kind: Block,
    width: usize,
    stride: usize,
    shift: ShiftPlace,
}

impl ResidualBlock {
    /// Kernel, stride and width of its convolutions, in order.
    fn convolutions(&self) -> Vec<(usize, usize, usize)> {
        match self.kind {
            Block::Basic => vec![(3, self.stride, self.width), (3, 1, self.width)],
            Block::Bottleneck => vec![
                (1, 1, self.width),
                (3, self.stride, self.width),
                (1, 1, 4 * self.width),
            ],
        }
    }
}

/// What a convolution is built from; its padding keeps the size at stride 1.
struct ConvSpec {
    name: String,
    out: usize,
    kernel: usize,
    stride: usize,
    role: Role,
}

struct Builder {
    graph: Graph,
    shift: Shift,
}

impl Builder {
    fn new(tsm: &Tsm<'_>) -> Self {
        let (height, width) = tsm.input;
        let input = Node {
            name: "input".into(),
            op: Op::Input,
            inputs: Vec::new(),
            shape: Shape {
                channels: 3,
                height,
                width,
            },
        };
        let graph = Graph {
            nodes: vec![input],
            params: Vec::new(),
            stats: Vec::new(),
            branches: vec![tsm.frames],
            classes: tsm.classes,
            input: tsm.input,
        };
        Self {
            graph,
            shift: tsm.shift.clone(),
        }
    }

    fn stem(&mut self, layout: &ResNet) -> Result<NodeId> {
        let (kernel, stride) = match layout.stem {
            Stem::ImageNet => (7, 2),
            Stem::Small => (3, 1),
        };
        let conv = ConvSpec {
            name: "base_model.conv1".into(),
            out: layout.width,
            kernel,
            stride,
            role: Role::Stem,
        };
        let x = self.conv(conv, 0)?;
        let x = self.norm("base_model.bn1", x);
        let x = self.same("base_model.relu", Op::Relu, &[x]);
        if layout.stem == Stem::Small {
            return Ok(x);
        }
        let Shape {
            channels,
            height,
            width,
        } = self.shape(x);
        let side = |side| windowed(side, 3, 2, 1).ok_or_else(|| too_small("base_model.maxpool"));
        let shape = Shape {
            channels,
            height: side(height)?,
            width: side(width)?,
        };
        Ok(self.push("base_model.maxpool", Op::MaxPool, &[x], shape))
    }

    /// y = relu(F(shift(x)) + shortcut(x)), where F's convolutions are followed by norms.
    fn residual(&mut self, block: &ResidualBlock, input: NodeId) -> Result<NodeId> {
        let name = &block.name;
        let mut input = input;
        if block.shift == ShiftPlace::BlockInput {
            input = self.shift(name, input);
        }
        let mut x = input;
        if block.shift == ShiftPlace::ResidualInput {
            x = self.shift(name, x);
        }
        let convolutions = block.convolutions();
        for (i, &(kernel, stride, out)) in convolutions.iter().enumerate() {
            let number = i + 1;
            let conv = ConvSpec {
                name: format!("{name}.conv{number}"),
                out,
                kernel,
                stride,
                role: if i == 0 { Role::First } else { Role::Inner },
            };
            x = self.conv(conv, x)?;
            if i == 0 && block.shift == ShiftPlace::AfterFirstConv {
                x = self.shift(name, x);
            }
            x = self.norm(&format!("{name}.bn{number}"), x);
            if number < convolutions.len() {
                x = self.same(&format!("{name}.relu{number}"), Op::Relu, &[x]);
            }
        }
        let shortcut = self.shortcut(block, input, self.shape(x).channels)?;
        let sum = self.same(&format!("{name}.add"), Op::Add, &[x, shortcut]);
        Ok(self.same(&format!("{name}.relu"), Op::Relu, &[sum]))
    }

    /// The identity, or a 1×1 convolution with a norm where the size or the width changes.
    fn shortcut(&mut self, block: &ResidualBlock, input: NodeId, out: usize) -> Result<NodeId> {
        if block.stride == 1 && self.shape(input).channels == out {
            return Ok(input);
        }
        let name = &block.name;
        let conv = ConvSpec {
            name: format!("{name}.downsample.0"),
            out,
            kernel: 1,
            stride: block.stride,
            role: Role::Shortcut,
        };
        let x = self.conv(conv, input)?;
        Ok(self.norm(&format!("{name}.downsample.1"), x))
    }

    fn classifier(&mut self, x: NodeId) -> Result<()> {
        let classes = self.graph.classes;
        let features = self.shape(x).channels;
        let vector = |channels| Shape {
            channels,
            height: 1,
            width: 1,
        };
        let x = self.push(
            "base_model.avgpool",
            Op::GlobalAveragePool,
            &[x],
            vector(features),
        );
        let x = self.same("dropout", Op::Dropout, &[x]);
        let weight = self.param(
            "new_fc.weight",
            &[classes, features],
            ParamKind::ClassifierWeight,
        );
        let bias = self.param("new_fc.bias", &[classes], ParamKind::ClassifierBias);
        let linear = Op::Linear { weight, bias };
        let x = self.push("new_fc", linear, &[x], vector(classes));
        self.same("consensus", Op::FrameMean, &[x]);
        Ok(())
    }

    fn conv(&mut self, spec: ConvSpec, input: NodeId) -> Result<NodeId> {
        let ConvSpec {
            name,
            out,
            kernel,
            stride,
            role,
        } = spec;
        let from = self.shape(input);
        let padding = kernel / 2;
        let side = |side| windowed(side, kernel, stride, padding).ok_or_else(|| too_small(&name));
        let shape = Shape {
            channels: out,
            height: side(from.height)?,
            width: side(from.width)?,
        };
        let kind = match role {
            Role::Stem => ParamKind::FirstConv,
            _ => ParamKind::Conv,
        };
        let sizes = [out, from.channels, kernel, kernel];
        let conv = Conv {
            weight: self.param(&format!("{name}.weight"), &sizes, kind),
            kernel,
            stride,
            padding,
            role,
        };
        Ok(self.push(&name, Op::Conv(conv), &[input], shape))
    }

    fn norm(&mut self, name: &str, input: NodeId) -> NodeId {
        let channels = self.shape(input).channels;
        let weight = self.param(
            &format!("{name}.weight"),
            &[channels],
            ParamKind::NormWeight,
        );
        let bias = self.param(&format!("{name}.bias"), &[channels], ParamKind::NormBias);
        let stat = self.graph.stats.len();
        self.graph.stats.push(Stat {
            name: name.into(),
            channels,
        });
        let norm = NormParams { weight, bias, stat };
        self.same(name, Op::Norm(vec![norm]), &[input])
    }

    fn shift(&mut self, block: &str, input: NodeId) -> NodeId {
        let div = self.shift.div;
        self.same(&format!("{block}.shift"), Op::Shift { div }, &[input])
    }

    /// A node whose output has the shape of its first input.
    fn same(&mut self, name: &str, op: Op, inputs: &[NodeId]) -> NodeId {
        let shape = self.shape(inputs[0]);
        self.push(name, op, inputs, shape)
    }

    fn push(&mut self, name: &str, op: Op, inputs: &[NodeId], shape: Shape) -> NodeId {
        self.graph.nodes.push(Node {
            name: name.into(),
            op,
            inputs: inputs.to_vec(),
            shape,
        });
        self.graph.nodes.len() - 1
    }

    fn param(&mut self, name: &str, shape: &[usize], kind: ParamKind) -> usize {
        self.graph.params.push(Param {
            name: name.into(),
            shape: shape.to_vec(),
            kind,
        });
        self.graph.params.len() - 1
    }

    fn shape(&self, node: NodeId) -> Shape {
        self.graph.nodes[node].shape
    }
}

fn too_small(name: &str) -> Error {
    Error::new(
        Kind::Experiment,
        format!("the picture is too small for the window of `{name}`"),
    )
    .hint("use a larger picture or fewer stages")
}
