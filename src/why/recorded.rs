//! What two runs left behind: the hash of the weights that they began with, metrics, checkpoints, predictions.

use std::path::Path;

use super::compare::Measure;
use super::replayed::weights;
use super::report::{Difference, Outcome, Stage};
use super::side::{Run, Side};
use super::{Halt, Pair, Walk};
use crate::base::{Result, files, limits};
use crate::model::StateDict;
use crate::run::checkpoint::{self, AVERAGE, MODEL};
use crate::run::folder::{EVAL, METRICS};
use crate::run::left_out::LeftOut;
use crate::run::metrics::{self, Record};
use crate::run::tensors;

pub fn walk(sides: &Pair<Side>, walk: &mut Walk) -> Result<(), Halt> {
    let (Some(a), Some(b)) = (&sides.a.run, &sides.b.run) else {
        return Ok(());
    };
    let runs = Pair::new(a, b);
    walk.note(Stage::RecordedWeights, initial(&runs))?;
    walk.note(Stage::RecordedMetrics, told(lines(&runs, &walk.losses)))?;
    walk.note(Stage::RecordedCheckpoints, told(checkpoints(&runs)))?;
    walk.note(Stage::RecordedPredictions, told(predictions(&runs)))
}

/// A file that is damaged is no reason to keep the rest from the reader.
fn told(outcome: Result<Outcome>) -> Outcome {
    outcome.unwrap_or_else(|error| Outcome::NotCompared(error.message))
}

fn initial(runs: &Pair<&Run>) -> Outcome {
    let Pair { a, b } = runs.map(|run| run.manifest.initial_weights.clone());
    match a == b {
        true => Outcome::Same(format!("SHA-256 {a}")),
        false => {
            let place = "SHA-256 of the weights before step 0";
            Outcome::Differs(vec![Difference::new(place, a, b)])
        }
    }
}

/// What is said where one side read a video that the other could not.
const LEFT_OUT: &str = "`unreadable: Skip` leaves a damaged video out; the run's log.txt says what was wrong with it, and \
    `ffn data verify` what is now";

/// The first step whose records part. A run that was stopped has fewer; that is no difference.
fn lines(runs: &Pair<&Run>, losses: &[Pair<f64>]) -> Result<Outcome> {
    let records = runs.map(|run| metrics::read(&run.folder.join(METRICS)));
    let Pair { a, b } = records.both()?;
    let difference = a
        .iter()
        .zip(&b)
        .find_map(|(one, other)| record_difference(one, other, losses));
    Ok(Outcome::of(difference, || {
        let steps = both_have(a.len(), b.len(), "steps");
        let [a, b] = [&a, &b].map(|records| LeftOut::of(records).count());
        match (a, b) {
            (0, 0) => steps,
            _ => format!("{steps}; {}", both_have(a, b, "damaged videos left out")),
        }
    }))
}

fn both_have(a: usize, b: usize, what: &str) -> String {
    match a == b {
        true => format!("{a} {what}"),
        false => format!("{} {what}; a has {a}, b has {b}", a.min(b)),
    }
}

fn record_difference(a: &Record, b: &Record, losses: &[Pair<f64>]) -> Option<Difference> {
    let values = |record: &Record| -> Vec<(String, String)> {
        let terms = record.terms.iter();
        let terms = terms.map(|(name, value)| (name.clone(), value.to_string()));
        let accuracy = record.accuracy.iter();
        let accuracy = accuracy.map(|(t, value)| (format!("accuracy at {t}"), value.to_string()));
        let mut all = vec![
            ("learning rate".to_owned(), record.lr.to_string()),
            ("clips left out".to_owned(), record.skipped.join(", ")),
        ];
        all.extend(terms);
        all.push(("loss".to_owned(), record.loss.to_string()));
        all.push(("gradient norm".to_owned(), record.grad_norm.to_string()));
        all.extend(accuracy);
        all
    };
    let (a_values, b_values) = (values(a), values(b));
    let mut pairs = a_values.iter().zip(&b_values);
    let (one, other) = pairs.find(|(a, b)| a != b)?;
    let place = format!("step {}, {}", a.step, one.0);
    let difference = Difference::new(place, &one.1, &other.1);
    let difference = match a.skipped == b.skipped {
        true => difference,
        false => difference.note(LEFT_OUT),
    };
    let computed = losses.get(a.step as usize);
    Some(match computed.map(|losses| computed_here(losses, a, b)) {
        Some(note) => difference.note(note),
        None => difference,
    })
}

/// Whose record is what a step gives on this machine, now.
fn computed_here(losses: &Pair<f64>, a: &Record, b: &Record) -> String {
    let agree = (losses.a == a.loss, losses.b == b.loss);
    let who = match agree {
        (true, true) => "as both recorded",
        (true, false) => "as a recorded, and not b",
        (false, true) => "as b recorded, and not a",
        (false, false) => "as neither recorded",
    };
    format!(
        "computed here, the loss of this step is {}, {who}",
        losses.a
    )
}

/// Averaged weights; none where the checkpoint has none.
fn average(place: &Path) -> Result<StateDict> {
    let path = place.join(AVERAGE);
    match path.exists() {
        true => tensors::decode(&path),
        false => Ok(StateDict {
            floats: Vec::new(),
            counters: Vec::new(),
        }),
    }
}

/// Weights, then the optimiser's state and averaged weights, of every step of which both have a checkpoint.
fn checkpoints(runs: &Pair<&Run>) -> Result<Outcome> {
    let lists = runs.map(|run| checkpoint::list(&run.folder.checkpoints()));
    let Pair { a, b } = lists.both()?;
    let mut compared = Vec::new();
    for (step, a) in &a {
        let Some((_, b)) = b.iter().find(|(other, _)| other == step) else {
            continue;
        };
        let places = Pair::new(a, b);
        let models = places
            .as_ref()
            .map(|place| tensors::decode(&place.join(MODEL)));
        let averages = places.as_ref().map(|place| average(place));
        let optimizers = places.map(|place| optimizer(place));
        let states = [
            (MODEL, models),
            ("optimiser", optimizers),
            (AVERAGE, averages),
        ];
        for (what, states) in states {
            if let Outcome::Differs(differences) = weights(&states.both()?, Measure::Bits) {
                let at = |mut difference: Difference| {
                    difference.place = format!("after step {step}, {what}: {}", difference.place);
                    difference
                };
                return Ok(Outcome::Differs(differences.into_iter().map(at).collect()));
            }
        }
        compared.push(step.to_string());
    }
    Ok(match compared.is_empty() {
        true => Outcome::NotCompared("there is no step of which both have a checkpoint".into()),
        false => Outcome::Same(format!(
            "weights and optimiser after step {}",
            compared.join(", ")
        )),
    })
}

/// The optimiser's state as tensors, whichever file of the checkpoint has it.
fn optimizer(place: &Path) -> Result<StateDict> {
    let state = checkpoint::state(place)?;
    Ok(StateDict {
        floats: checkpoint::optimizer(place, &state)?.tensors,
        counters: Vec::new(),
    })
}

/// The first clip of which the two say something else, by frame count.
fn predictions(runs: &Pair<&Run>) -> Result<Outcome> {
    const SUFFIX: &str = ".predictions.jsonl";
    let mut compared = (0, Vec::new());
    let mut names = runs.a.folder.files()?;
    names.retain(|name| name.starts_with(EVAL) && name.ends_with(SUFFIX));
    for name in names {
        let paths = runs.map(|run| run.folder.join(&name));
        if !paths.b.exists() {
            continue;
        }
        let read = |path: &Path| files::read_text(path, limits::DOCUMENT);
        let Pair { a, b } = paths.as_ref().map(|path| read(path)).both()?;
        let frames = name.trim_end_matches(SUFFIX).to_owned();
        let mut pairs = a.lines().zip(b.lines()).enumerate();
        if let Some((line, (a, b))) = pairs.find(|(_, (a, b))| a != b) {
            let place = format!("{frames}, line {}", line + 1);
            return Ok(Outcome::Differs(vec![Difference::new(place, a, b)]));
        }
        compared.0 += a.lines().count();
        compared.1.push(frames);
    }
    Ok(match compared.1.is_empty() {
        true => Outcome::NotCompared("there is no frame count that both evaluated".into()),
        false => Outcome::Same(format!("{} lines: {}", compared.0, compared.1.join(", "))),
    })
}
