//! One training step of both sides: activations, loss terms, gradients, the optimiser's numbers, the update.

use std::collections::BTreeMap;

use super::compare::{Measure, Tolerance, place};
use super::replayed::{Replayed, weights};
use super::report::{Difference, Outcome, Stage};
use super::{Halt, Pair, Walk};
use crate::base::Result;
use crate::data::TrainBatch;
use crate::graph::{Graph, NodeId};
use crate::model::{Model, Observation};
use crate::spec::Experiment;
use crate::train::learner;
use crate::train::optimizer::Step;
use crate::train::schedule;
use crate::train::sum::Sum;

/// Bytes of activations that are held of each side at a time: what does not fit is computed again.
const OBSERVED_BYTES: usize = 1 << 30;

/// Computes and compares a step, whose shards these are.
pub fn walk(
    both: &mut Pair<Replayed<'_>>,
    shards: &Pair<Vec<TrainBatch>>,
    tolerance: Tolerance,
    walk: &mut Walk,
) -> Result<(), Halt> {
    let step = shards.a.first().map_or(0, |batch| batch.step);
    let outcome = activations(both, shards, tolerance.activations)?;
    walk.note_step(Some(step), Stage::Activations, outcome)?;

    let sums = both.as_mut().zip(shards.as_ref());
    let sums = sums.map(|(side, shards)| summed(side, shards)).both()?;
    walk.losses.push(sums.as_ref().map(total));
    walk.note_step(Some(step), Stage::Loss, losses(&sums, tolerance.gradients))?;
    let outcome = gradients(both, tolerance.gradients)?;
    walk.note_step(Some(step), Stage::Gradients, outcome)?;

    let rates = both
        .as_ref()
        .map(|side| schedule::rate(side.experiment, side.steps_per_epoch, step));
    let norms = both.as_ref().map(|side| {
        let learner = &side.learner;
        learner.optimizer.total_norm(&learner.model)
    });
    let outcome = optimizers(both, &norms.both()?, &rates, tolerance.gradients);
    walk.note_step(Some(step), Stage::Optimizer, outcome)?;
    let updates = both.as_mut().zip(rates).map(|(side, rate)| {
        let learner = &mut side.learner;
        let norm = learner.optimizer.step(&mut learner.model, rate)?;
        learner.follow()?;
        Ok(norm)
    });
    let norms = updates.both()?;
    let states = both.as_ref().map(|side| side.learner.model.state_dict());
    let outcome = weights(&states.both()?, tolerance.gradients);
    walk.note_step(Some(step), Stage::Update, outcome)?;
    match norms.a.is_finite() {
        true => Ok(()),
        // Both have diverged, and alike: no later step is of any use.
        false => Err(Halt::Parted),
    }
}

/// All passes of a step; the gradients' sum is left on the device.
fn summed(side: &mut Replayed<'_>, shards: &[TrainBatch]) -> Result<Sum> {
    let tree = side.learner.passes(side.experiment, shards, None)?;
    side.learner.whole(tree)
}

/// A node by name, with its number in each graph that has it.
struct Common {
    name: String,
    ids: Pair<Option<NodeId>>,
}

/// The nodes of both graphs in the order of a's; those of b alone behind the node that they follow in b.
fn common_nodes(a: &Graph, b: &Graph) -> Vec<Common> {
    let by_name = |graph: &Graph| -> BTreeMap<String, NodeId> {
        let nodes = graph.nodes.iter().enumerate();
        nodes.map(|(id, node)| (node.name.clone(), id)).collect()
    };
    let (in_a, in_b) = (by_name(a), by_name(b));
    let mut nodes = Vec::new();
    for (id, node) in a.nodes.iter().enumerate() {
        let other = in_b.get(&node.name).copied();
        nodes.push(Common {
            name: node.name.clone(),
            ids: Pair::new(Some(id), other),
        });
        let followers = b
            .nodes
            .iter()
            .enumerate()
            .skip(other.map_or(b.nodes.len(), |n| n + 1));
        let alone = followers.take_while(|(_, node)| !in_a.contains_key(&node.name));
        nodes.extend(alone.map(|(id, node)| Common {
            name: node.name.clone(),
            ids: Pair::new(None, Some(id)),
        }));
    }
    nodes
}

fn activations(
    both: &mut Pair<Replayed<'_>>,
    shards: &Pair<Vec<TrainBatch>>,
    measure: Measure,
) -> Result<Outcome> {
    let graphs = both.as_ref().map(|side| side.learner.model.graph().clone());
    let nodes = common_nodes(&graphs.a, &graphs.b);
    let mut values = 0;
    let clips = shards.a.iter().map(|batch| batch.labels.len()).sum();
    for nodes in chunks(&nodes, &graphs.a, clips) {
        let observed = both.as_mut().zip(shards.as_ref()).zip(ids(nodes));
        let observed = observed.map(|((side, shards), ids)| {
            observe(&mut side.learner.model, (side.experiment, shards), &ids)
        });
        let observed = observed.both()?;
        values += observed.a.iter().map(|o| o.values.len()).sum::<usize>();
        if let Some(difference) = first_node(nodes, &graphs, &observed, measure) {
            return Ok(Outcome::Differs(vec![difference]));
        }
    }
    Ok(Outcome::Same(format!(
        "{} nodes, {values} values",
        nodes.len()
    )))
}

fn ids(nodes: &[Common]) -> Pair<Vec<NodeId>> {
    Pair {
        a: nodes.iter().filter_map(|node| node.ids.a).collect(),
        b: nodes.iter().filter_map(|node| node.ids.b).collect(),
    }
}

/// Cuts the nodes into parts whose outputs fit into [`OBSERVED_BYTES`], a node at least.
fn chunks<'a>(nodes: &'a [Common], graph: &Graph, clips: usize) -> Vec<&'a [Common]> {
    let frames = graph.branches.iter().sum::<usize>() * clips;
    let bytes = |node: &Common| {
        let shape = node
            .ids
            .a
            .and_then(|id| graph.nodes.get(id))
            .map(|n| n.shape);
        shape.map_or(0, |shape| shape.count() * frames * size_of::<f32>())
    };
    let (mut parts, mut start, mut held) = (Vec::new(), 0, 0);
    for (place, node) in nodes.iter().enumerate() {
        if held + bytes(node) > OBSERVED_BYTES && place > start {
            parts.extend(nodes.get(start..place));
            (start, held) = (place, 0);
        }
        held += bytes(node);
    }
    parts.extend(nodes.get(start..));
    parts
}

/// The outputs of some nodes in training, over all shards of a step. The model stays as it was.
fn observe(
    model: &mut Model,
    (experiment, shards): (&Experiment, &[TrainBatch]),
    nodes: &[NodeId],
) -> Result<Vec<Observation>> {
    let before = model.state_dict()?;
    model.observe(nodes);
    let mut observed = Vec::new();
    let mut pass = |batch: &TrainBatch| {
        model.train_step(&learner::input(experiment, batch, None))?;
        append(&mut observed, model.observations());
        Ok(())
    };
    let clips = shards.iter().filter(|batch| !batch.labels.is_empty());
    let passed: Result<()> = clips.into_iter().try_for_each(&mut pass);
    model.observe(&[]);
    model.load_state_dict(&before)?;
    passed.map(|()| observed)
}

/// Puts a shard's outputs behind those of the shards before it.
fn append(observed: &mut Vec<Observation>, shard: &[Observation]) {
    if observed.is_empty() {
        observed.extend_from_slice(shard);
        return;
    }
    for (all, more) in observed.iter_mut().zip(shard) {
        all.values.extend_from_slice(&more.values);
        if let (Some(all), Some(more)) = (all.shape.first_mut(), more.shape.first()) {
            *all += more;
        }
    }
}

/// The first node, in the graph's order and the branches', that gives different values.
fn first_node(
    nodes: &[Common],
    graphs: &Pair<Graph>,
    observed: &Pair<Vec<Observation>>,
    measure: Measure,
) -> Option<Difference> {
    let of = |all: &'_ [Observation], name: &str| -> Vec<Observation> {
        all.iter().filter(|o| o.node == name).cloned().collect()
    };
    let mut differences = nodes.iter().filter_map(|node| {
        let segments = observed.as_ref().map(|all| of(all, &node.name));
        let difference = node_difference(node, &segments, measure)?;
        Some(
            reads(node, graphs)
                .into_iter()
                .fold(difference, Difference::note),
        )
    });
    differences.next()
}

fn node_difference(
    node: &Common,
    segments: &Pair<Vec<Observation>>,
    measure: Measure,
) -> Option<Difference> {
    if node.ids.a.is_none() || node.ids.b.is_none() {
        let shown = |id: Option<NodeId>| id.map_or("no such node", |_| "a node");
        return Some(Difference::new(
            &node.name,
            shown(node.ids.a),
            shown(node.ids.b),
        ));
    }
    let mut pairs = segments.a.iter().zip(&segments.b);
    pairs.find_map(|(a, b)| {
        let branch = format!("{} at {} frames", node.name, a.frames);
        if a.shape != b.shape {
            let (a, b) = (format!("{:?}", a.shape), format!("{:?}", b.shape));
            return Some(Difference::new(format!("shape of {branch}"), a, b));
        }
        let apart = measure.apart(&a.values, &b.values)?;
        let place = format!("{branch} {}", place(apart.index, &a.shape));
        Some(Difference::new(place, apart.a, apart.b).note(apart.to_string()))
    })
}

/// Where a node reads something else in each graph, what.
fn reads(node: &Common, graphs: &Pair<Graph>) -> Option<String> {
    let inputs = |(graph, id): (&Graph, Option<NodeId>)| -> Option<String> {
        let inputs = graph.nodes.get(id?)?.inputs.iter();
        let names = inputs.filter_map(|&input| Some(graph.nodes.get(input)?.name.as_str()));
        Some(names.collect::<Vec<_>>().join(", "))
    };
    let Pair { a, b } = graphs.as_ref().zip(node.ids).map(inputs);
    let (a, b) = a.zip(b)?;
    (a != b).then(|| format!("it reads {a} in a, {b} in b"))
}

fn total(sum: &Sum) -> f64 {
    sum.losses.first().map_or(f64::NAN, |(_, total)| *total)
}

fn losses(sums: &Pair<Sum>, measure: Measure) -> Outcome {
    let names = |sum: &Sum| -> Vec<String> {
        let terms = sum.losses.iter().skip(1);
        terms.map(|(name, _)| name.clone()).collect()
    };
    let names = sums.as_ref().map(names);
    let difference = super::samples::first_apart(&names, "term").or_else(|| {
        // The terms explain the total.
        let last = |sum: &Sum| {
            let mut losses = sum.losses.clone();
            losses.rotate_left(1.min(sum.losses.len()));
            losses
        };
        let Pair { a, b } = sums.as_ref().map(last);
        let mut pairs = a.into_iter().zip(b);
        let ((name, a), (_, b)) = pairs.find(|(a, b)| !measure.equal(a.1, b.1))?;
        Some(Difference::new(name, a, b))
    });
    Outcome::of(difference, || {
        format!("{} = {}", names.a.join(" + "), total(&sums.a))
    })
}

fn gradients(both: &Pair<Replayed<'_>>, measure: Measure) -> Result<Outcome> {
    let models = both.as_ref().map(|side| &side.learner.model);
    let params = &models.a.graph().params;
    let gradients = models.map(|model| model.device().gradients()).both()?;
    let pairs = gradients.a.iter().zip(&*gradients.b);
    let mut differences = params.iter().zip(pairs).filter_map(|(param, (a, b))| {
        let apart = measure.apart(a, b)?;
        let place = format!("{}{}", param.name, place(apart.index, &param.shape));
        Some(Difference::new(place, apart.a, apart.b).note(apart.to_string()))
    });
    Ok(Outcome::of(differences.next(), || {
        format!("{} parameters", params.len())
    }))
}

/// The numbers of each parameter's update, then the factor by which all gradients are clipped.
fn optimizers(
    both: &Pair<Replayed<'_>>,
    norms: &Pair<f64>,
    rates: &Pair<f64>,
    measure: Measure,
) -> Outcome {
    let optimizers = both.as_ref().map(|side| &side.learner.optimizer);
    let rules = optimizers.zip(*rates);
    let Pair { a, b } = rules.map(|(optimizer, rate)| optimizer.rules(rate).collect::<Vec<_>>());
    let rule = a.iter().zip(&b).find_map(|(a, b)| rule_difference(a, b));
    let scales = optimizers.zip(*norms);
    let scales = scales.map(|(optimizer, norm)| optimizer.scale(norm));
    let scaled = || {
        let equal = measure.equal(f64::from(scales.a), f64::from(scales.b));
        let difference = Difference::new("factor of the clipping", scales.a, scales.b);
        (!equal).then(|| difference.note(format!("the norm of a's gradients is {}", norms.a)))
    };
    Outcome::of(rule.or_else(scaled), || {
        format!(
            "{} parameters; gradients of norm {:.3} times {}",
            a.len(),
            norms.a,
            scales.a
        )
    })
}

fn rule_difference(a: &Step<'_>, b: &Step<'_>) -> Option<Difference> {
    let numbers = |rule: &Step<'_>| {
        [
            ("frozen", rule.frozen.to_string()),
            ("learning rate", rule.rate.to_string()),
            ("weight decay", rule.decay.to_string()),
            ("rule", format!("{:?}", rule.rule)),
        ]
    };
    let mut pairs = numbers(a).into_iter().zip(numbers(b));
    let ((what, one), (_, other)) = pairs.find(|(a, b)| a != b)?;
    Some(Difference::new(
        format!("{what} of {}", a.parameter),
        one,
        other,
    ))
}
