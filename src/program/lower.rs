//! Graph → the plain program: every node's own steps, in the graph's order.

use super::{Parameter, Program, Purpose, TrainOptions};
use crate::graph::{Graph, NodeId};
use crate::ops::lowering::TrainingRules;
use crate::ops::{Batch, BufferId, Layer, Lowering, Op};
use crate::spec::FrozenNorms;

/// Batch statistics and dropout.
pub fn train(graph: &Graph, batch: Batch, options: &TrainOptions, observed: &[NodeId]) -> Program {
    let rules = TrainingRules {
        frozen_norms: options.frozen_norms,
        dropout: options.dropout,
        drop_path: options.drop_path,
    };
    lower(graph, batch, Some(rules), observed)
}

/// Running statistics, no dropout.
pub fn eval(graph: &Graph, batch: Batch, observed: &[NodeId]) -> Program {
    lower(graph, batch, None, observed)
}

fn lower(
    graph: &Graph,
    batch: Batch,
    training: Option<TrainingRules>,
    observed: &[NodeId],
) -> Program {
    let mut at = Lowering {
        batch: &batch,
        training,
        buffers: Vec::new(),
        steps: Vec::new(),
        name: String::new(),
        inputs: Vec::new(),
        extent: graph.nodes[0].extent(),
        output: None,
        dropouts: 0,
    };
    let mut outputs: Vec<BufferId> = Vec::new();
    for node in &graph.nodes {
        at.name.clone_from(&node.name);
        at.inputs = node.inputs.iter().map(|&input| outputs[input]).collect();
        at.extent = node.extent();
        at.output = None;
        node.op.lower(&mut at);
        at.dropouts += usize::from(matches!(node.op, Op::Dropout(_)));
        outputs.push(at.output());
    }
    let (buffers, forward) = (at.buffers, at.steps);
    let observed = observed.iter().filter(|&&node| node < outputs.len());
    Program {
        purpose: match training {
            Some(_) => Purpose::Training,
            None => Purpose::Evaluation,
        },
        numerics: super::Numerics::Float32,
        buffers,
        forward,
        backward: Vec::new(),
        input: outputs[0],
        logits: outputs[outputs.len() - 1],
        observed: observed.map(|&node| (node, outputs[node])).collect(),
        d_logits: None,
        params: parameters(graph, training),
        batch,
    }
}

fn parameters(graph: &Graph, training: Option<TrainingRules>) -> Vec<Parameter> {
    let frozen = training.map_or(FrozenNorms::Off, |rules| rules.frozen_norms);
    let params = graph.params.iter().zip(graph.trained(frozen));
    params
        .map(|(param, trained)| Parameter {
            name: param.name.clone(),
            shape: param.shape.clone(),
            trained,
        })
        .collect()
}
