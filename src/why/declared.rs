//! What the two are made from: the fields of the experiments, the circumstances, the data's identity. And, at the end
//! of a walk, which of it explains what was seen.

use std::collections::BTreeMap;

use super::fields;
use super::report::{Difference, Finding, Outcome, Report, Stage};
use super::side::{Run, Side};
use super::{Halt, Options, Pair, Walk};
use crate::base::Result;
use crate::data::pins;
use crate::exec::Executor;
use crate::run::manifest::{DataIdentity, Manifest, Pins};
use crate::run::verify;
use crate::spec;

pub fn walk(sides: &Pair<Side>, options: &Options<'_>, walk: &mut Walk) -> Result<(), Halt> {
    walk.note(Stage::Experiment, experiment(sides))?;
    walk.note(Stage::Circumstances, circumstances(sides, options))?;
    walk.note(Stage::Data, data(sides))
}

fn experiment(sides: &Pair<Side>) -> Outcome {
    let (a, b) = (&sides.a.experiment, &sides.b.experiment);
    fields_outcome(&spec::diff(a, b), || {
        let identity = a.identity();
        let identity = identity.get(..8).unwrap_or_default();
        format!("{} fields, identity {identity}", spec::fields(a).len())
    })
}

/// Every field that differs, with the named difference that it is.
pub fn fields_outcome(fields: &[spec::Difference], compared: impl FnOnce() -> String) -> Outcome {
    let value = |value: &Option<String>| value.clone().unwrap_or("(none)".to_owned());
    let differences = fields.iter().map(|field| {
        // A part of something that the other side has not is no difference of its own.
        let on_both = field.before.is_some() && field.after.is_some();
        let named = fields::named_difference(&field.path).filter(|_| on_both);
        let difference = Difference::new(&field.path, value(&field.before), value(&field.after));
        Difference {
            named: named.copied(),
            ..difference
        }
    });
    let differences: Vec<Difference> = differences.collect();
    match differences.is_empty() {
        true => Outcome::Same(compared()),
        false => Outcome::Differs(differences),
    }
}

/// What may explain that two computations of one experiment differ.
fn circumstances(sides: &Pair<Side>, options: &Options<'_>) -> Outcome {
    let engines = options.executors.map(Executor::name);
    let mut all = vec![("engine here", engines.clone())];
    if let (Some(a), Some(b)) = (&sides.a.run, &sides.b.run) {
        all.extend(made_by(Pair::new(a, b)));
    }
    let differing = all.iter().filter(|(_, values)| values.a != values.b);
    let differences: Vec<Difference> = differing
        .map(|(what, values)| Difference::new(*what, &values.a, &values.b))
        .collect();
    match differences.is_empty() {
        true => {
            let run = all
                .iter()
                .skip(1)
                .map(|(what, _)| format!(", {what} of the run"));
            Outcome::Same(format!(
                "engine here: {}{}",
                engines.a,
                run.collect::<String>()
            ))
        }
        false => Outcome::Differs(differences),
    }
}

fn made_by(runs: Pair<&Run>) -> [(&'static str, Pair<String>); 5] {
    let manifests = runs.map(|run| &run.manifest);
    let precision = |manifest: &Manifest| {
        let used = &manifest.precision;
        format!("{:?} computed in {:?}", used.declared, used.computed)
    };
    let builds = |manifest: &Manifest| {
        let builds = manifest.builds.iter().map(|build| {
            let source = build.source_sha256.get(..12).unwrap_or_default();
            format!("{}, source {source}", build.describe())
        });
        builds.collect::<Vec<_>>().join("; then ")
    };
    let machines = |manifest: &Manifest| {
        let machines = manifest.machines.iter();
        let machines = machines.map(|m| format!("{} ({}, {})", m.device_class, m.cpu, m.os));
        machines.collect::<Vec<_>>().join("; then ")
    };
    [
        ("engine", manifests.map(|m| m.engine.name().to_owned())),
        ("fusions", manifests.map(|m| m.fusions.to_string())),
        ("precision", manifests.map(precision)),
        ("builds", manifests.map(builds)),
        ("machines", manifests.map(machines)),
    ]
}

fn data(sides: &Pair<Side>) -> Outcome {
    let identities = match sides.as_ref().map(Side::data).both() {
        Ok(identities) => identities,
        Err(error) => return Outcome::NotCompared(error.message),
    };
    let pairs = facts(&identities.a).into_iter().zip(facts(&identities.b));
    let mut differing = pairs.filter(|(a, b)| a.1 != b.1);
    match differing.next() {
        None => Outcome::Same(described(&identities.a)),
        Some(((what, a), (_, b))) => {
            let difference = Difference::new(what, a, b);
            let videos = differing_video(sides).unwrap_or_default();
            Outcome::Differs(vec![videos.into_iter().fold(difference, Difference::note)])
        }
    }
}

/// From the coarse to the fine.
fn facts(data: &DataIdentity) -> [(&'static str, String); 7] {
    let unpinned = || "unpinned".to_owned();
    let (pins, train, validation) = match &data.pins {
        Pins::Unpinned => (unpinned(), unpinned(), unpinned()),
        Pins::Verified {
            pins_sha256,
            train_root,
            validation_root,
        } => (
            pins_sha256.clone(),
            train_root.clone(),
            validation_root.clone(),
        ),
    };
    [
        ("classes", data.classes.to_string()),
        ("training clips", data.train.to_string()),
        ("validation clips", data.validation.to_string()),
        ("Merkle root of the training split", train),
        ("Merkle root of the validation split", validation),
        ("pin file", pins),
        (
            "what was lost in packing",
            data.lost.clone().unwrap_or("nothing".to_owned()),
        ),
    ]
}

fn described(data: &DataIdentity) -> String {
    let pins = match &data.pins {
        Pins::Unpinned => "unpinned".to_owned(),
        Pins::Verified { pins_sha256, .. } => {
            format!("pins {}", pins_sha256.get(..8).unwrap_or_default())
        }
    };
    format!(
        "{} training and {} validation clips of {} classes, {pins}",
        data.train, data.validation, data.classes
    )
}

/// The first video whose pinned hash differs, where the hashes of both are here.
fn differing_video(sides: &Pair<Side>) -> Result<Option<String>> {
    let hashes = |side: &Side| -> Result<BTreeMap<String, String>> {
        let path = side.pins();
        let (pinned, _) = pins::read(&path)?;
        Ok(pins::pinned_hashes(&path, &pinned)?.unwrap_or_default())
    };
    let Pair { a, b } = sides.as_ref().map(hashes).both()?;
    let mut names = a.keys().chain(b.keys().filter(|id| !a.contains_key(*id)));
    let shown = |hashes: &BTreeMap<String, String>, id: &String| {
        hashes.get(id).map_or("nothing".to_owned(), String::clone)
    };
    let first = names.find(|id| a.get(*id) != b.get(*id));
    Ok(first.map(|id| {
        let (a, b) = (shown(&a, id), shown(&b, id));
        format!("the first video that differs: `{id}`, in a {a}, in b {b}")
    }))
}

/// What could explain the first effect, or that there is none.
pub fn explain(sides: &Pair<Side>, report: &Report) -> Vec<String> {
    let fields = spec::diff(&sides.a.experiment, &sides.b.experiment);
    let damage = damage(sides);
    let nothing_declared = fields.is_empty() && report.causes().next().is_none();
    match !damage.is_empty() && nothing_declared {
        true => damage,
        false => [damage, explain_fields(report, &fields)].concat(),
    }
}

/// [`explain`] by the fields that differ alone.
pub fn explain_fields(report: &Report, fields: &[spec::Difference]) -> Vec<String> {
    match report.effect() {
        Some(effect) => vec![origin(effect, report, fields)],
        None => no_effect(report, fields),
    }
}

/// Where an effect comes from, in a sentence.
fn origin(effect: &Finding, report: &Report, fields: &[spec::Difference]) -> String {
    let fields = fields::explaining(fields, effect.stage);
    let paths = fields::roots(fields.iter().map(|field| field.path.as_str()));
    if !paths.is_empty() {
        return format!("it follows from {}", paths.join(", "));
    }
    let causes: Vec<&str> = report.causes().map(|cause| cause.stage.name()).collect();
    match causes.is_empty() {
        false => format!("what could explain it: {}", causes.join(", ")),
        true => "nothing that is declared could explain it".to_owned(),
    }
}

/// Files of the runs that are not as they were written.
fn damage(sides: &Pair<Side>) -> Vec<String> {
    let of = |side: &Side| -> Vec<String> {
        let report = side.run.as_ref().map(|run| verify::verify(&run.folder));
        let problems = match report {
            Some(Ok(report)) => report.problems,
            Some(Err(error)) => vec![error],
            None => Vec::new(),
        };
        let first = |problem: crate::base::Error| {
            let line = problem.message.lines().next().unwrap_or_default();
            line.to_owned()
        };
        problems.into_iter().map(first).collect()
    };
    let Pair { a, b } = sides.as_ref().map(of);
    let named = |side: &'static str| move |what: String| format!("{side} is damaged: {what}");
    let a = a.into_iter().map(named("a"));
    a.chain(b.into_iter().map(named("b"))).collect()
}

/// Why there is no effect although fields differ, and where one would be.
fn no_effect(report: &Report, fields: &[spec::Difference]) -> Vec<String> {
    if fields.is_empty() {
        return Vec::new();
    }
    let paths = fields::roots(fields.iter().map(|field| field.path.as_str()));
    let acts = paths.into_iter().filter_map(|path| {
        let stage = fields::acts_on(path)?;
        Some(format!("{path} acts on: {}", stage.name()))
    });
    let acts: Vec<String> = acts.collect();
    let skipped = |finding: &Finding| {
        !finding.stage.is_cause() && matches!(finding.outcome, Outcome::NotCompared(_))
    };
    let why = match (acts.is_empty(), report.findings.iter().any(skipped)) {
        (true, _) => "no computed value depends on a field that differs",
        (false, true) => "not everything was compared",
        (false, false) => "none in what was compared; more steps may show one",
    };
    [vec![why.to_owned()], acts].concat()
}
