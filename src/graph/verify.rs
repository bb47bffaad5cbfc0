//! What a legal graph is.
//!
//! - The first node, and no other, is the input; the last is the frame mean with one value for each class.
//! - A node reads as many nodes as its operation takes, all before it.
//! - Shapes follow from the inputs' shapes and the parameters'.
//! - Names of nodes, of parameters and of statistics are unique.
//! - Every parameter and every statistic is used exactly once.
//! - Private parts have one entry for each branch; branches are ascending.
//!
//! A graph that breaks a rule is a mistake of a builder, not of a person, unless the experiment's sizes do not fit.

use std::collections::BTreeSet;

use super::op::{Conv, Op, Shape, windowed};
use super::{Graph, Node};
use crate::base::{Error, Kind, Result};

impl Graph {
    /// Whether the graph is legal, or the first rule that it breaks.
    pub fn verify(&self) -> Result<()> {
        self.verify_ends()?;
        for (id, node) in self.nodes.iter().enumerate() {
            let place = |e: String| illegal(format!("node `{}`: {e}", node.name));
            if node.inputs.len() != node.op.arity() || node.inputs.iter().any(|&i| i >= id) {
                return Err(place(format!("its inputs {:?} do not fit", node.inputs)));
            }
            let expected = self.shape_of(node).map_err(place)?;
            if expected != node.shape {
                return Err(place(format!("expected {expected}, found {}", node.shape)));
            }
        }
        unique("node", self.nodes.iter().map(|n| &n.name))?;
        unique("parameter", self.params.iter().map(|p| &p.name))?;
        unique("statistic", self.stats.iter().map(|s| &s.name))?;
        self.verify_uses()
    }

    fn verify_ends(&self) -> Result<()> {
        let inputs = self.nodes.iter().filter(|n| n.op == Op::Input).count();
        if inputs != 1 || self.nodes[0].op != Op::Input {
            return Err(illegal("the first node alone must be the input".into()));
        }
        match self.nodes.last() {
            Some(last) if last.op == Op::FrameMean && last.shape.count() == self.classes => {}
            _ => return Err(illegal("the last node must give the logits".into())),
        }
        if self.branches.is_empty() || !self.branches.is_sorted_by(|a, b| a < b) {
            return Err(illegal(format!(
                "branches {:?} do not ascend",
                self.branches
            )));
        }
        Ok(())
    }

    /// Every parameter and statistic once.
    fn verify_uses(&self) -> Result<()> {
        let mut params = vec![0; self.params.len()];
        let mut stats = vec![0; self.stats.len()];
        for node in &self.nodes {
            for id in node.op.params() {
                params[id] += 1;
            }
            if let Op::Norm(norms) = &node.op {
                norms.iter().for_each(|norm| stats[norm.stat] += 1);
            }
        }
        let names = self.params.iter().map(|p| &p.name).zip(&params);
        let names = names.chain(self.stats.iter().map(|s| &s.name).zip(&stats));
        match names.into_iter().find(|(_, uses)| **uses != 1) {
            Some((name, uses)) => Err(illegal(format!("`{name}` is used {uses} times"))),
            None => Ok(()),
        }
    }

    /// The shape that a node's output must have.
    fn shape_of(&self, node: &Node) -> Result<Shape, String> {
        let input = |i: usize| self.nodes[node.inputs[i]].shape;
        match &node.op {
            Op::Input => Ok(Shape {
                channels: 3,
                height: self.input.0,
                width: self.input.1,
            }),
            Op::Conv(conv) => self.conv_shape(conv, input(0)),
            Op::MaxPool => window(input(0), 3, 2, 1),
            Op::GlobalAveragePool => Ok(Shape {
                height: 1,
                width: 1,
                ..input(0)
            }),
            Op::Add if input(0) != input(1) => {
                Err(format!("cannot add {} and {}", input(0), input(1)))
            }
            Op::Shift { div } if *div == 0 || 2 * (input(0).channels / div) > input(0).channels => {
                Err(format!("cannot shift {} by a {div}th", input(0)))
            }
            Op::Norm(norms) => {
                self.per_branch(norms.len(), true)?;
                let params = norms.iter().flat_map(|n| [n.weight, n.bias]);
                self.all_channels(params, input(0))
            }
            Op::Alter(weights) => {
                self.per_branch(weights.len(), false)?;
                self.all_channels(weights.iter().copied(), input(0))
            }
            Op::Linear { weight, bias } => {
                let features = input(0).count();
                match (
                    &self.params[*weight].shape[..],
                    &self.params[*bias].shape[..],
                ) {
                    (&[out, from], &[biases]) if from == features && biases == out => Ok(Shape {
                        channels: out,
                        height: 1,
                        width: 1,
                    }),
                    _ => Err(format!("its weights do not fit {features} features")),
                }
            }
            Op::Add | Op::Shift { .. } | Op::Relu | Op::Dropout | Op::FrameMean => Ok(input(0)),
        }
    }

    fn conv_shape(&self, conv: &Conv, input: Shape) -> Result<Shape, String> {
        match self.params[conv.weight].shape[..] {
            [out, from, height, width]
                if from == input.channels && height == conv.kernel && width == conv.kernel =>
            {
                let shape = window(input, conv.kernel, conv.stride, conv.padding)?;
                Ok(Shape {
                    channels: out,
                    ..shape
                })
            }
            ref shape => Err(format!("a weight of {shape:?} does not fit {input}")),
        }
    }

    fn per_branch(&self, found: usize, may_share: bool) -> Result<(), String> {
        let branches = self.branches.len();
        if found == branches || (may_share && found == 1) {
            return Ok(());
        }
        Err(format!("expected {branches} private parts, found {found}"))
    }

    fn all_channels(
        &self,
        mut params: impl Iterator<Item = usize>,
        shape: Shape,
    ) -> Result<Shape, String> {
        match params.find(|&id| self.params[id].count() != shape.channels) {
            Some(id) => Err(format!("`{}` does not fit {shape}", self.params[id].name)),
            None => Ok(shape),
        }
    }
}

fn window(input: Shape, kernel: usize, stride: usize, padding: usize) -> Result<Shape, String> {
    let side = |side| windowed(side, kernel, stride, padding);
    match (side(input.height), side(input.width)) {
        (Some(height), Some(width)) => Ok(Shape {
            height,
            width,
            ..input
        }),
        _ => Err(format!("a window of {kernel} does not fit {input}")),
    }
}

fn unique<'a>(what: &str, names: impl Iterator<Item = &'a String>) -> Result<()> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(illegal(format!("two {what}s are called `{name}`")));
        }
    }
    Ok(())
}

fn illegal(message: String) -> Error {
    Error::new(Kind::Experiment, format!("illegal network: {message}"))
}
