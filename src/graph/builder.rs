//! What architecture builders write their layers with: every node's extent follows from its operation's own rule.

use super::{Architecture, Graph, Node, NodeId, Param, ParamId, ParamKind, Stat};
use crate::base::{Error, Kind, Result};
use crate::ops::{
    BatchNorm, Conv, Dropout, Drops, Each, Input, Layer, Linear, Mean, NormParams, Op, Shape,
};

/// What every network has to say before its first layer.
pub struct Network {
    pub architecture: Architecture,
    pub classes: usize,
    /// The frame count that it is trained at.
    pub frames: usize,
    /// Height and width in pixels.
    pub input: (usize, usize),
}

/// A graph that grows layer by layer; node 0 is the input.
pub struct Builder {
    graph: Graph,
}

impl Builder {
    pub fn new(network: &Network) -> Self {
        let (height, width) = network.input;
        let shape = Shape {
            channels: 3,
            height,
            width,
        };
        let input = Node {
            name: "input".into(),
            op: Input.into(),
            inputs: Vec::new(),
            rate: crate::ops::Rate::FRAME,
            shape,
        };
        let graph = Graph {
            architecture: network.architecture,
            nodes: vec![input],
            params: Vec::new(),
            stats: Vec::new(),
            branches: vec![network.frames],
            classes: network.classes,
            input: network.input,
        };
        Self { graph }
    }

    /// The graph, if it is legal.
    pub fn finish(self) -> Result<Graph> {
        self.graph.verify()?;
        Ok(self.graph)
    }

    pub fn shape(&self, node: NodeId) -> Shape {
        self.graph.nodes[node].shape
    }

    pub fn channels(&self, node: NodeId) -> usize {
        self.shape(node).channels
    }

    /// A layer. It is a mistake of the experiment if the images have become too small for a window.
    pub fn layer(&mut self, name: &str, op: impl Into<Op>, inputs: &[NodeId]) -> Result<NodeId> {
        let op = op.into();
        let extents: Vec<_> = inputs
            .iter()
            .map(|&i| self.graph.nodes[i].extent())
            .collect();
        let extent = op.extent(&extents, self.graph.around()).map_err(|reason| {
            let message =
                format!("the image is too small for `{name}`, or its parts do not fit: {reason}");
            Error::new(Kind::Experiment, message).hint("use a larger image or fewer stages")
        })?;
        self.graph.nodes.push(Node {
            name: name.into(),
            op,
            inputs: inputs.to_vec(),
            rate: extent.rate,
            shape: extent.shape,
        });
        Ok(self.graph.nodes.len() - 1)
    }

    /// A convolution of single images with `out` channels whose padding keeps the size at stride 1.
    pub fn conv(
        &mut self,
        name: &str,
        (out, kernel, stride): (usize, usize, usize),
        input: NodeId,
    ) -> Result<NodeId> {
        let kind = match input {
            0 => ParamKind::FirstConv,
            _ => ParamKind::Conv,
        };
        let sizes = [out, self.channels(input), kernel, kernel];
        let weight = self.param(&format!("{name}.weight"), &sizes, kind);
        self.layer(name, Conv::of_images(weight, kernel, stride), &[input])
    }

    pub fn norm(&mut self, name: &str, input: NodeId) -> Result<NodeId> {
        let params = self.norm_params(name, self.channels(input));
        self.norm_of(name, params, input)
    }

    /// A norm whose parameters are there already.
    pub fn norm_of(&mut self, name: &str, params: NormParams, input: NodeId) -> Result<NodeId> {
        let (branches, eps) = (vec![params], BatchNorm::EPS);
        self.layer(name, BatchNorm { branches, eps }, &[input])
    }

    /// The parameters and running statistics of a norm.
    pub fn norm_params(&mut self, name: &str, channels: usize) -> NormParams {
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
        NormParams { weight, bias, stat }
    }

    pub fn relu(&mut self, name: &str, input: NodeId) -> Result<NodeId> {
        self.layer(name, Each::Relu, &[input])
    }

    /// The classifier of the networks whose frames are images of one batch: the mean of the pixels, dropout, a linear layer, the
    /// mean of the frames' logits.
    pub fn frame_classifier(&mut self, input: NodeId) -> Result<NodeId> {
        let x = self.layer("base_model.avgpool", Mean::Pixels, &[input])?;
        let x = self.layer("dropout", Dropout::layer(Drops::Values), &[x])?;
        let (classes, features) = (self.graph.classes, self.channels(x));
        let kind = ParamKind::ClassifierWeight;
        let weight = self.param("new_fc.weight", &[classes, features], kind);
        let bias = self.param("new_fc.bias", &[classes], ParamKind::ClassifierBias);
        let x = self.layer("new_fc", Linear { weight, bias }, &[x])?;
        self.layer("consensus", Mean::Rows, &[x])
    }

    pub fn param(&mut self, name: &str, shape: &[usize], kind: ParamKind) -> ParamId {
        self.graph.params.push(Param {
            name: name.into(),
            shape: shape.to_vec(),
            kind,
        });
        self.graph.params.len() - 1
    }
}
