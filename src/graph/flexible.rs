//! The Frame Flexible Network (Zhang et al., CVPR 2023, arXiv 2303.14817) as a transformation of a graph.
//!
//! Convolutions and classifier stay shared by all frame counts (section 3.2); what is private to a frame count's branch
//! is its normalisation ("specialized" batch norms, section 3.3) and its weight alteration, a depthwise 1×1 convolution with
//! a residual, where the architecture has one: in TSM and SlowFast on the input of each block's first convolution (section 3.4),
//! x ← x + w ∗ x; in UniFormer on the stream at the beginning of each block.
//!
//! Official names: `bn1` becomes `bn1_4`, `bn1_8`, …; `downsample.0` becomes `downsample_conv`, `downsample.1`
//! `downsample_bn_4`, …; the alterations are `adaconv_4`, …, last in their block. What else there is
//! [`super::Architecture`] says.

use std::collections::BTreeMap;

use super::{Graph, Node, NodeId, Param, ParamId, ParamKind, Stat, StatId};
use crate::base::Result;
use crate::ops::{Affine, Alter, NormParams, Op};
use crate::spec::{Alteration, Ffn, Norms};

/// Makes norms private (unless [`Norms::Shared`]) and inserts alterations (unless [`Alteration::Off`]).
pub fn frame_flexible(vanilla: &Graph, ffn: &Ffn) -> Result<Graph> {
    let mut rewrite = Rewrite::new(vanilla, ffn);
    rewrite.params();
    for node in &vanilla.nodes {
        rewrite.node(node);
    }
    rewrite.graph.verify()?;
    Ok(rewrite.graph)
}

struct Rewrite<'a> {
    vanilla: &'a Graph,
    graph: Graph,
    private_norms: bool,
    alters: bool,
    /// Old node → new node.
    nodes: Vec<NodeId>,
    /// Old parameter → new ones: one, or one for each branch.
    params: Vec<Vec<ParamId>>,
    /// Old statistic → new ones.
    stats: Vec<Vec<StatId>>,
    /// Weight of an old norm → its statistic.
    stat_of: BTreeMap<ParamId, StatId>,
    /// The old nodes by name.
    named: BTreeMap<&'a str, &'a Node>,
    /// The altered layer → the alteration's parameters.
    alterations: BTreeMap<String, Vec<ParamId>>,
}

impl<'a> Rewrite<'a> {
    fn new(vanilla: &'a Graph, ffn: &Ffn) -> Self {
        let graph = Graph {
            architecture: vanilla.architecture,
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
            params: vec![Vec::new(); vanilla.params.len()],
            stats: vec![Vec::new(); vanilla.stats.len()],
            stat_of: vanilla.nodes.iter().flat_map(statistics).collect(),
            named: vanilla.nodes.iter().map(|n| (n.name.as_str(), n)).collect(),
            alterations: BTreeMap::new(),
        }
    }

    /// All parameters and statistics, in the official order.
    fn params(&mut self) {
        let vanilla = self.vanilla;
        let units = vanilla.params.chunk_by(|a, b| self.unit(a) == self.unit(b));
        let units: Vec<&[Param]> = units.collect();
        let (mut first, mut block) = (0, None);
        for unit in units {
            self.end_block(&mut block, &unit[0].name);
            let is_private = self.private_norms && unit.iter().all(Param::is_of_norm);
            match is_private {
                true => self.private(first, unit),
                false => self.shared(first, unit),
            }
            first += unit.len();
        }
        self.end_block(&mut block, "");
        for (id, stat) in vanilla
            .stats
            .iter()
            .enumerate()
            .filter(|_| !self.private_norms)
        {
            self.stats[id].push(self.graph.stats.len());
            self.graph.stats.push(stat.clone());
        }
    }

    /// What has one copy for each branch at a time: a module, or where norms are private a list of norms.
    fn unit<'b>(&self, param: &'b Param) -> &'b str {
        let module = module(&param.name);
        match self.private_norms && param.is_of_norm() {
            true => self.vanilla.architecture.private_unit(module),
            false => module,
        }
    }

    fn shared(&mut self, first: ParamId, unit: &[Param]) {
        for (i, param) in unit.iter().enumerate() {
            let (module, part) = (
                module(&param.name),
                &param.name[module(&param.name).len()..],
            );
            let module = match self.private_norms {
                true => self.graph.architecture.private_layer(module),
                false => module.to_owned(),
            };
            let name = format!("{module}{part}");
            self.push_param(first + i, name, param);
        }
    }

    fn private(&mut self, first: ParamId, unit: &[Param]) {
        let architecture = self.graph.architecture;
        for frames in self.graph.branches.clone() {
            for (i, param) in unit.iter().enumerate() {
                let module = module(&param.name);
                let part = &param.name[module.len()..];
                let module = architecture.private_layer(module);
                let name = architecture.private_norm(&module, frames);
                if param.kind == ParamKind::NormWeight {
                    self.push_stat(first + i, &name);
                }
                self.push_param(first + i, format!("{name}{part}"), param);
            }
        }
    }

    fn push_param(&mut self, old: ParamId, name: String, param: &Param) {
        self.params[old].push(self.graph.params.len());
        self.graph.params.push(Param {
            name,
            ..param.clone()
        });
    }

    /// The statistics of one branch's norm `name`, of the vanilla norm with this weight.
    fn push_stat(&mut self, weight: ParamId, name: &str) {
        let Some(&id) = self.stat_of.get(&weight) else {
            return;
        };
        self.stats[id].push(self.graph.stats.len());
        self.graph.stats.push(Stat {
            name: name.to_owned(),
            channels: self.vanilla.stats[id].channels,
        });
    }

    /// Once the parameters of a block are done, those of its alteration follow. `block`: the altered layer at hand, its block, and how
    /// many channels are altered.
    fn end_block(&mut self, block: &mut Option<(String, String, usize)>, next: &str) {
        let is_inside = |block: &str| {
            let rest = next.strip_prefix(block);
            rest.is_some_and(|rest| rest.starts_with('.'))
        };
        if let Some((layer, name, channels)) = block.take_if(|(_, block, _)| !is_inside(block)) {
            let mut ids = Vec::new();
            let architecture = self.graph.architecture;
            for &frames in &self.graph.branches {
                ids.push(self.graph.params.len());
                self.graph.params.push(Param {
                    name: format!("{name}.adaconv_{}.weight", architecture.suffix(frames)),
                    shape: architecture.alteration_shape(channels),
                    kind: ParamKind::Alteration,
                });
            }
            self.alterations.insert(layer, ids);
        }
        let layer = module(next);
        let site = self
            .graph
            .architecture
            .alteration(layer)
            .filter(|_| self.alters);
        if let (Some(site), Some(node)) = (site, self.named.get(layer)) {
            let channels = self.vanilla.nodes[node.inputs[0]].shape.channels;
            *block = Some((layer.to_owned(), site.block.to_owned(), channels));
        }
    }

    fn node(&mut self, node: &Node) {
        let mut new = node.clone();
        new.inputs = node.inputs.iter().map(|&input| self.nodes[input]).collect();
        if let Some(weights) = self.alterations.remove(&node.name) {
            let site = self.graph.architecture.alteration(&node.name);
            let block = site.map_or("", |site| site.block);
            let altered = self.push(Node {
                name: format!("{block}.adaconv"),
                op: Alter { weights }.into(),
                inputs: vec![new.inputs[0]],
                ..self.vanilla.nodes[node.inputs[0]].clone()
            });
            new.inputs[0] = altered;
            if site.is_some_and(|site| site.of_stream) {
                self.nodes[node.inputs[0]] = altered;
            }
        }
        if self.private_norms {
            new.name = self.graph.architecture.private_layer(&node.name);
        }
        self.rename(&mut new.op);
        let new = self.push(new);
        self.nodes.push(new);
    }

    /// The parameters of an operation are the new graph's.
    fn rename(&self, op: &mut Op) {
        match op {
            Op::Conv(conv) => {
                conv.weight = self.params[conv.weight][0];
                conv.bias = conv.bias.map(|id| self.params[id][0]);
            }
            Op::BatchNorm(norm) => {
                let old = norm.branches[0];
                let new = self.params[old.weight].iter().zip(&self.params[old.bias]);
                let new = new.zip(&self.stats[old.stat]);
                let branch = |((&weight, &bias), &stat)| NormParams { weight, bias, stat };
                norm.branches = new.map(branch).collect();
            }
            Op::LayerNorm(norm) => {
                let old = norm.branches[0];
                let new = self.params[old.weight].iter().zip(&self.params[old.bias]);
                let branch = |(&weight, &bias)| Affine { weight, bias };
                norm.branches = new.map(branch).collect();
            }
            Op::Linear(linear) => {
                linear.weight = self.params[linear.weight][0];
                linear.bias = self.params[linear.bias][0];
            }
            Op::Alter(alter) => {
                let ids = alter.weights.iter().map(|&id| self.params[id][0]);
                alter.weights = ids.collect();
            }
            Op::Input(_) | Op::Each(_) | Op::Binary(_) | Op::Pool(_) | Op::Mean(_) => {}
            Op::Shift(_) | Op::TakeFrames(_) | Op::SliceChannels(_) => {}
            Op::ConcatChannels(_) | Op::Dropout(_) | Op::Attention(_) => {}
            Op::MeanProbabilities(_) => {}
        }
    }

    fn push(&mut self, node: Node) -> NodeId {
        self.graph.nodes.push(node);
        self.graph.nodes.len() - 1
    }
}

/// Weight and statistic of each norm of a node.
fn statistics(node: &Node) -> Vec<(ParamId, StatId)> {
    let Op::BatchNorm(norm) = &node.op else {
        return Vec::new();
    };
    let branches = norm.branches.iter();
    branches.map(|norm| (norm.weight, norm.stat)).collect()
}

/// The module that a parameter belongs to.
fn module(param: &str) -> &str {
    param.rsplit_once('.').map_or("", |(module, _)| module)
}
