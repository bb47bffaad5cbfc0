//! What a legal graph is.
//!
//! - The first node, and no other, is the input; the last gives each clip one value for each class.
//! - A node reads as many nodes as its operation takes, all before it.
//! - Extents follow from the inputs' extents and the parameters' shapes.
//! - Names of nodes, of parameters and of statistics are unique.
//! - Every parameter and every statistic is used exactly once.
//! - Private parts have one entry for each branch; branches are ascending.
//!
//! A graph that breaks a rule is a mistake of a builder, not of a person, unless the experiment's sizes do not fit.

use std::collections::BTreeSet;

use super::{Graph, Node};
use crate::base::{Error, Kind, Result};
use crate::ops::{Extent, Layer, Op, Rate, Surroundings};

impl Graph {
    /// Whether the graph is legal, or the first rule that it breaks.
    pub fn verify(&self) -> Result<()> {
        self.verify_ends()?;
        let around = self.around();
        for (id, node) in self.nodes.iter().enumerate() {
            let place = |e: String| illegal(format!("node `{}`: {e}", node.name));
            if !node.op.takes(node.inputs.len()) || node.inputs.iter().any(|&i| i >= id) {
                return Err(place(format!("its inputs {:?} do not fit", node.inputs)));
            }
            let expected = self.extent_of(node, around).map_err(place)?;
            if expected != node.extent() {
                let found = node.extent();
                return Err(place(format!("expected {expected}, found {found}")));
            }
        }
        unique("node", self.nodes.iter().map(|n| &n.name))?;
        unique("parameter", self.params.iter().map(|p| &p.name))?;
        unique("statistic", self.stats.iter().map(|s| &s.name))?;
        self.verify_uses()
    }

    fn verify_ends(&self) -> Result<()> {
        let is_input = |node: &Node| matches!(node.op, Op::Input(_));
        let inputs = self.nodes.iter().filter(|n| is_input(n)).count();
        if inputs != 1 || !is_input(&self.nodes[0]) {
            return Err(illegal("the first node alone must be the input".into()));
        }
        match self.nodes.last() {
            Some(last) if last.rate == Rate::Clip && last.shape.count() == self.classes => {}
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
            node.op.params().into_iter().for_each(|id| params[id] += 1);
            node.op.stats().into_iter().for_each(|id| stats[id] += 1);
        }
        let names = self.params.iter().map(|p| &p.name).zip(&params);
        let names = names.chain(self.stats.iter().map(|s| &s.name).zip(&stats));
        match names.into_iter().find(|(_, uses)| **uses != 1) {
            Some((name, uses)) => Err(illegal(format!("`{name}` is used {uses} times"))),
            None => Ok(()),
        }
    }

    /// The extent that a node's output must have.
    fn extent_of(&self, node: &Node, around: Surroundings<'_>) -> Result<Extent, String> {
        let inputs = node.inputs.iter().map(|&i| self.nodes[i].extent());
        node.op.extent(&inputs.collect::<Vec<_>>(), around)
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
