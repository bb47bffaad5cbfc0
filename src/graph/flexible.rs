//! The Frame Flexible Network (Zhang et al., CVPR 2023, arXiv 2303.14817) as a transformation of a graph.
//!
//! Convolutions and classifier stay shared by all frame counts (section 3.2); what is private to a frame count's branch
//! is its normalisation ("specialized" batch norms, section 3.3) and its weight alteration, a depthwise 1×1 convolution with
//! a residual on the input of each block's first convolution (section 3.4): x ← x + w ∗ x.
//!
//! Official names: `bn1` becomes `bn1_4`, `bn1_8`, …; `downsample.0` becomes `downsample_conv`, `downsample.1`
//! `downsample_bn_4`, …; the alterations are `adaconv_4`, …, last in their block.

use super::op::{NormParams, Op, Role};
use super::{Graph, Node, NodeId, Param, ParamId, ParamKind, Stat};
use crate::base::Result;
use crate::spec::{Alteration, Ffn, Norms};

/// Makes norms private (unless [`Norms::Shared`]) and inserts alterations (unless [`Alteration::Off`]).
pub fn frame_flexible(vanilla: &Graph, ffn: &Ffn) -> Result<Graph> {
    let mut rewrite = Rewrite::new(vanilla, ffn);
    for (id, node) in vanilla.nodes.iter().enumerate() {
        if rewrite.alters && is_first_conv(node) {
            rewrite.alter(node);
        }
        rewrite.copy(id, node);
        if is_block_end(vanilla, id) {
            rewrite.end_block();
        }
    }
    rewrite.graph.verify()?;
    Ok(rewrite.graph)
}

fn is_first_conv(node: &Node) -> bool {
    matches!(&node.op, Op::Conv(conv) if conv.role == Role::First)
}

/// The ReLU of a residual sum ends its block.
fn is_block_end(graph: &Graph, id: NodeId) -> bool {
    let node = &graph.nodes[id];
    node.op == Op::Relu && graph.nodes[node.inputs[0]].op == Op::Add
}

struct Rewrite<'a> {
    vanilla: &'a Graph,
    graph: Graph,
    private_norms: bool,
    alters: bool,
    /// Old node → new node.
    nodes: Vec<NodeId>,
    /// The alteration of the block at hand: its node and its parameters, which the official order puts last.
    pending: Option<(NodeId, Vec<Param>)>,
}

impl<'a> Rewrite<'a> {
    fn new(vanilla: &'a Graph, ffn: &Ffn) -> Self {
        let graph = Graph {
            nodes: Vec::new(),
            params: Vec::new(),
            stats: Vec::new(),
            branches: ffn.frames.clone(),
            classes: vanilla.classes,
            input: vanilla.input,
        };
        Self {
            vanilla,
            graph,
            private_norms: ffn.norms == Norms::Private,
            alters: ffn.alteration != Alteration::Off,
            nodes: Vec::new(),
            pending: None,
        }
    }

    /// Puts an alteration in front of `conv`.
    fn alter(&mut self, conv: &Node) {
        let from = conv.inputs[0];
        let shape = self.vanilla.nodes[from].shape;
        let block = conv.name.rsplit_once('.').map_or("", |(block, _)| block);
        let params = self.graph.branches.iter().map(|frames| Param {
            name: format!("{block}.adaconv_{frames}.weight"),
            shape: vec![shape.channels, 1, 1, 1],
            kind: ParamKind::Alteration,
        });
        let params = params.collect();
        let id = self.push(Node {
            name: format!("{block}.adaconv"),
            op: Op::Alter(Vec::new()),
            inputs: vec![self.nodes[from]],
            shape,
        });
        self.pending = Some((id, params));
    }

    fn copy(&mut self, id: NodeId, node: &Node) {
        let mut new = node.clone();
        new.inputs = node.inputs.iter().map(|&input| self.nodes[input]).collect();
        match &mut new.op {
            Op::Conv(conv) => {
                if conv.role == Role::Shortcut && self.private_norms {
                    new.name = renamed(&node.name);
                }
                if let (Role::First, Some((alteration, _))) = (conv.role, &self.pending) {
                    new.inputs = vec![*alteration];
                }
                conv.weight = self.copy_param(conv.weight, format!("{}.weight", new.name));
            }
            Op::Norm(norms) => {
                let norm = norms[0];
                if self.private_norms {
                    new.name = renamed(&node.name);
                }
                *norms = self.norms(norm, &new.name);
            }
            Op::Linear { weight, bias } => {
                *weight = self.copy_param(*weight, format!("{}.weight", new.name));
                *bias = self.copy_param(*bias, format!("{}.bias", new.name));
            }
            _ => {}
        }
        let new = self.push(new);
        debug_assert_eq!(id, self.nodes.len());
        self.nodes.push(new);
    }

    /// One norm for each branch, or the one that all share.
    fn norms(&mut self, norm: NormParams, name: &str) -> Vec<NormParams> {
        let names = if self.private_norms {
            let branches = self.graph.branches.iter();
            branches.map(|frames| format!("{name}_{frames}")).collect()
        } else {
            vec![name.to_string()]
        };
        let copy = |name: String| {
            self.graph.stats.push(Stat {
                name: name.clone(),
                channels: self.vanilla.stats[norm.stat].channels,
            });
            NormParams {
                weight: self.copy_param(norm.weight, format!("{name}.weight")),
                bias: self.copy_param(norm.bias, format!("{name}.bias")),
                stat: self.graph.stats.len() - 1,
            }
        };
        names.into_iter().map(copy).collect()
    }

    fn copy_param(&mut self, id: ParamId, name: String) -> ParamId {
        let param = &self.vanilla.params[id];
        self.graph.params.push(Param {
            name,
            ..param.clone()
        });
        self.graph.params.len() - 1
    }

    /// The block's alteration gets its parameters.
    fn end_block(&mut self) {
        if let Some((node, params)) = self.pending.take() {
            let first = self.graph.params.len();
            let ids = (first..first + params.len()).collect();
            self.graph.params.extend(params);
            self.graph.nodes[node].op = Op::Alter(ids);
        }
    }

    fn push(&mut self, node: Node) -> NodeId {
        self.graph.nodes.push(node);
        self.graph.nodes.len() - 1
    }
}

/// The official names of a shortcut's parts once their norms are private; others stay.
fn renamed(name: &str) -> String {
    let shortcut =
        |part: &str, new: &str| name.strip_suffix(part).map(|block| format!("{block}{new}"));
    shortcut(".downsample.0", ".downsample_conv")
        .or_else(|| shortcut(".downsample.1", ".downsample_bn"))
        .unwrap_or_else(|| name.to_string())
}
