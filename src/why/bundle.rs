//! An experiment or run against a golden bundle: with the bundle's weights and inputs, held to what the bundle expects.
//!
//! The experiment is held still as a case's own is: no dropout, a constant rate, the case's images.

use std::path::Path;

use super::report::{Difference, Outcome, Report, Stage};
use super::side::Side;
use super::{Halt, Pair, Walk, declared, replayed, samples};
use crate::base::{Result, Shown};
use crate::exec::Executor;
use crate::golden::{Case, Comparison, Group, ModelBundle};
use crate::graph::Graph;
use crate::spec::network::held_still;
use crate::spec::{self, Alteration, Experiment, Method};

/// Computes the case as the experiment says, and compares in the order of computation.
pub fn walk(side: &Side, path: &Path, executor: Executor) -> Result<Report> {
    let bundle = ModelBundle::open(path)?;
    let case = &bundle.case;
    let name = format!("{} (golden bundle {})", path.shown(), case.name);
    let mut walk = Walk::new(Report::new(side.describe(), name));
    let held = Pair::new(
        held_still(side.experiment.clone(), case.input.0),
        case.experiment.clone(),
    );
    let fields = fields(&held, case);
    match stages(&held, &fields, bundle, executor, &mut walk) {
        Ok(()) | Err(Halt::Parted) => {}
        Err(Halt::Failed(error)) => return Err(error),
    }
    let mut report = walk.report;
    report.explanation = declared::explain_fields(&report, &fields);
    Ok(report)
}

fn stages(
    held: &Pair<Experiment>,
    fields: &[spec::Difference],
    bundle: ModelBundle,
    executor: Executor,
    walk: &mut Walk,
) -> Result<(), Halt> {
    let experiment = declared::fields_outcome(fields, || {
        "network, objective and optimizer, as far as the case names them".to_owned()
    });
    walk.note(Stage::Experiment, experiment)?;
    let graphs = Pair::new(
        Graph::build(&held.a, bundle.case.input)?,
        bundle.case.graph()?,
    );
    walk.note(Stage::InitialWeights, parameters(&graphs))?;
    let bundle = bundle.with_experiment(held.a.clone());
    let computed =
        bundle.and_then(|bundle| bundle.compare(&bundle.compute(executor)?, executor.engine));
    match computed {
        Ok(comparison) => groups(&comparison, walk),
        Err(error) => walk.note(Stage::Bundle, replayed::untold(error)?),
    }
}

/// The fields that a case says something of, and that differ.
fn fields(held: &Pair<Experiment>, case: &Case) -> Vec<spec::Difference> {
    let trains = case.steps.is_some();
    // The weights are the bundle's: of the alteration only matters whether there is one.
    let alters = held.as_ref().map(|experiment| match &experiment.method {
        Method::Ffn(ffn) => ffn.alteration != Alteration::Off,
        Method::Vanilla { .. } => false,
    });
    let said = |path: &str| match path {
        "optimizer.clip.under_mixed" => false,
        path if path.starts_with("method.alteration") => alters.a != alters.b,
        "method.lambda" | "method.distillation" => trains,
        path if path.starts_with("method.shift_segments") => trains,
        "train.norm_clips" | "train.frozen_norms" => trains,
        path if path.starts_with("optimizer") => trains,
        "data.class_count" => true,
        path => path.starts_with("model") || path.starts_with("method"),
    };
    let mut fields = spec::diff(&held.a, &held.b);
    fields.retain(|field| said(&field.path));
    fields
}

/// The bundle's weights fit a network with the same parameters alone.
fn parameters(graphs: &Pair<Graph>) -> Outcome {
    let names = |graph: &Graph| -> Vec<String> {
        let params = graph.params.iter();
        params
            .map(|p| format!("{} {:?}", p.name, p.shape))
            .collect()
    };
    let names = graphs.as_ref().map(names);
    Outcome::of(samples::first_apart(&names, "parameter"), || {
        format!("{} parameters, with the bundle's values", names.a.len())
    })
}

/// Groups by step and stage, in the order of computation.
fn groups(comparison: &Comparison, walk: &mut Walk) -> Result<(), Halt> {
    let names = comparison.mismatches.first();
    let names = names.map(|what| Difference::new("names and shapes", what, "as the bundle has it"));
    let count = comparison.groups.len();
    walk.note(
        Stage::Bundle,
        Outcome::of(names, || format!("{count} groups of tensors")),
    )?;
    let mut groups: Vec<&Group> = comparison.groups.iter().collect();
    groups.sort_by_key(|group| order(group));
    for groups in groups.chunk_by(|one, next| stage(one) == stage(next)) {
        let Some((step, stage)) = groups.first().map(|first| stage(first)) else {
            continue;
        };
        walk.note_step(step, stage, outcome(groups))?;
    }
    Ok(())
}

/// Step and stage of a group: `step0.loss.ce` is of the loss of step 0.
fn stage(group: &Group) -> (Option<u64>, Stage) {
    let split = group.name.strip_prefix("step").and_then(|name| {
        let (step, rest) = name.split_once('.')?;
        Some((step.parse().ok()?, rest))
    });
    let (step, rest) = match split {
        Some((step, rest)) => (Some(step), rest),
        None => (None, group.name.as_str()),
    };
    let stage = match rest.split(['.', '_']).next() {
        Some("tap" | "logits") => Stage::Activations,
        Some("loss") => Stage::Loss,
        Some("grad") => Stage::Gradients,
        Some("after") => Stage::Update,
        _ => Stage::Bundle,
    };
    (step, stage)
}

/// What comes of the last step is behind all steps, and the logits are behind the nodes that lead to them.
fn order(group: &Group) -> (u64, Stage, bool) {
    let (step, stage) = stage(group);
    let is_logits = !group.name.contains("tap.");
    (step.unwrap_or(u64::MAX), stage, is_logits)
}

fn outcome(groups: &[&Group]) -> Outcome {
    let failing = groups.iter().find(|group| !group.passes());
    let difference = failing.map(|group| {
        let difference = match &group.worst {
            None => Difference::new(&group.name, "no number", "a number"),
            Some(worst) => {
                let place = format!("{} [{}]", worst.name, worst.index);
                Difference::new(place, worst.computed, worst.expected)
            }
        };
        difference.note(format!(
            "relative error of the {} values of {}: {:.1e}; at most {:.1e} is rounding",
            group.values,
            group.name,
            group.error,
            group.tolerance()
        ))
    });
    let ratio = |group: &&Group| group.error / group.tolerance();
    let largest = groups.iter().map(ratio).fold(0.0, f64::max);
    Outcome::of(difference, || {
        let values: usize = groups.iter().map(|group| group.values).sum();
        format!(
            "{values} values in {} groups, the largest error {largest:.2} of its tolerance",
            groups.len()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_in_the_order_of_computation() {
        let group = |name: &str| Group {
            name: name.to_owned(),
            values: 1,
            error: 0.0,
            reference: None,
            worst: None,
            floor: 0.0,
        };
        let names = [
            "after",
            "step0.grad_norm",
            "step0.logits.4",
            "step0.loss.ce",
            "step0.tap.4.base_model.relu",
            "step1.logits.4",
        ];
        let mut groups = names.map(group);
        groups.sort_by_key(order);
        let found = groups.map(|group| group.name);
        assert_eq!(found, [4, 2, 3, 1, 5, 0].map(|index| names[index]));
    }
}
