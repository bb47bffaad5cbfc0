//! Every figure that some runs have, and what is missing for the others.

use std::collections::BTreeMap;

use super::{
    Accuracy, Deviation, Drift, Kind, Line, Training, accuracy_against_gflops, alteration_values,
    by_epoch, confusion_matrix, deviation_curve, drift_by_layer, paper, training_curves,
};
use crate::analysis::interval::wilson;
use crate::analysis::{Alterations, Confusion, Content, Document, PreciseNorms, Surface, drift};
use crate::base::statistics::percentage;
use crate::base::{Result, Shown};
use crate::report::escape;
use crate::report::source::Run;
use crate::spec::{Experiment, Method};

/// A figure under the name of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// With the names of the runs that it is of alone.
    pub name: String,
    pub svg: String,
}

impl Figure {
    /// The name of its file.
    pub fn file(&self) -> String {
        format!("{}.svg", escape::file_name(&self.name))
    }
}

/// What some runs give.
#[derive(Debug, Default)]
pub struct Gathered {
    pub figures: Vec<Figure>,
    /// A sentence for each figure that could not be drawn.
    pub missing: Vec<String>,
}

/// The same experiment under one or more seeds.
struct Group<'a> {
    /// Of the architecture.
    network: &'static str,
    label: String,
    kind: Kind,
    runs: Vec<&'a Run>,
}

/// A run under the name that tells it from the others where a readable one does not: its folder's, or a member's.
#[derive(Debug, Clone)]
pub struct Subject {
    pub name: String,
    pub run: Run,
}

/// Draws the runs together where they are compared, else one by one. Fails where a run's analysis is damaged or stale.
pub fn figures(subjects: &[Subject]) -> Result<Gathered> {
    let groups = group(subjects);
    let mut gathered = Gathered::default();
    compare(&groups, &mut gathered)?;
    for group in &groups {
        training(group, &mut gathered)?;
        for run in &group.runs {
            single(run, &mut gathered)?;
        }
    }
    Ok(gathered)
}

/// Runs that differ in nothing but seed and name, in the order of their first.
fn group(subjects: &[Subject]) -> Vec<Group<'_>> {
    let alone = |subject: &Subject| trained_alone_at(&subject.run.experiment);
    let most = subjects.iter().filter_map(alone).max();
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut keys: Vec<String> = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for subject in subjects {
        let mut key = without_seed(&subject.run.experiment).identity();
        // Only what is finished is a seed among seeds.
        if subject.run.until.is_some() {
            key += &subject.name;
        }
        if let Some(known) = keys.iter().position(|known| *known == key) {
            groups[known].runs.push(&subject.run);
            continue;
        }
        let network = subject.run.experiment.model.name();
        let (kind, label) = match alone(subject) {
            Some(frames) if Some(frames) == most => {
                (Kind::Vanilla, format!("{network}, {frames} frames"))
            }
            Some(frames) => (Kind::Separate, format!("{network}, {frames} frames")),
            None => (Kind::Flexible, "FFN".to_owned()),
        };
        let label = match subject.run.until {
            None => label,
            Some(_) => format!("{label} (so far)"),
        };
        keys.push(key);
        names.push(&subject.name);
        groups.push(Group {
            network,
            label,
            kind,
            runs: vec![&subject.run],
        });
    }
    tell_apart(&mut groups, &names);
    groups
}

/// Of several groups that would have the same label each gets its name. Of a kind that has one line the first group alone stands for
/// it: no two lines look the same.
fn tell_apart(groups: &mut [Group<'_>], names: &[&str]) {
    let labels: Vec<String> = groups.iter().map(|group| group.label.clone()).collect();
    for (index, (group, name)) in groups.iter_mut().zip(names).enumerate() {
        let same = |label: &&String| **label == labels[index];
        if labels.iter().filter(same).count() > 1 {
            group.label = (*name).to_owned();
        }
    }
    let kinds: Vec<Kind> = groups.iter().map(|group| group.kind).collect();
    for (index, group) in groups.iter_mut().enumerate() {
        let mut before = kinds.iter().zip(&labels).take(index);
        let stands = |(kind, label): (&Kind, &String)| {
            *kind == group.kind && (*kind != Kind::Separate || *label == labels[index])
        };
        if before.any(stands) {
            group.kind = Kind::Other;
        }
    }
}

fn without_seed(experiment: &Experiment) -> Experiment {
    Experiment {
        name: String::new(),
        seed: 0,
        ..experiment.clone()
    }
}

/// The one frame count that a vanilla network was trained at.
fn trained_alone_at(experiment: &Experiment) -> Option<usize> {
    match experiment.method {
        Method::Vanilla { frames } => Some(frames),
        Method::Ffn(_) => None,
    }
}

/// Deviation, operations and drift of all groups.
fn compare(groups: &[Group<'_>], gathered: &mut Gathered) -> Result<()> {
    let Some(first) = groups.iter().flat_map(|group| &group.runs).next() else {
        return Ok(());
    };
    let mut lines = lines(groups)?;
    lines.retain(|line| !line.points.is_empty());
    for run in groups.iter().flat_map(|group| &group.runs) {
        if run.until == Some(0) {
            let name = run.name();
            let sentence = format!(
                "no deviation of `{}`: it was not evaluated yet",
                name.shown()
            );
            gathered.missing.push(sentence);
        }
    }
    if lines.is_empty() {
        return Ok(());
    }
    let clips = first.results.iter().map(|summary| summary.clips).max();
    let dataset = first.experiment.data.root_name();
    let deviation = |id| Deviation {
        id,
        dataset,
        clips: clips.unwrap_or(0),
        lines: &lines,
        paper: paper::beside(&first.experiment),
    };
    gathered.add("deviation", deviation_curve(&deviation("figure-deviation")));
    gathered.add(
        "gflops",
        accuracy_against_gflops(&deviation("figure-gflops")),
    );
    drift_of_all(groups, gathered)
}

/// One line for each group; networks trained at one frame count each make one line together.
fn lines(groups: &[Group<'_>]) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for group in groups.iter().filter(|group| group.kind != Kind::Separate) {
        lines.push(Line {
            label: group.label.clone(),
            kind: group.kind,
            seeds: group.runs.len(),
            points: points(group, None)?,
        });
    }
    for group in groups.iter().filter(|group| group.kind == Kind::Vanilla) {
        lines.extend(estimated_again(group)?);
    }
    if groups.iter().any(|group| group.kind == Kind::Separate) {
        lines.insert(0, separate(groups)?);
        lines.sort_by_key(|line| line.kind);
    }
    Ok(lines)
}

/// The control: the same weights with norm statistics of the frame count at hand.
fn estimated_again(group: &Group<'_>) -> Result<Option<Line>> {
    let mut by_frames: BTreeMap<usize, Vec<(usize, usize, f64)>> = BTreeMap::new();
    for run in &group.runs {
        let Some(document) = Document::<PreciseNorms>::read(&run.folder)? else {
            return Ok(None);
        };
        for point in document.content.points {
            let of_run = (
                point.after.top1,
                point.after.clips,
                run.gflops(point.frames),
            );
            by_frames.entry(point.frames).or_default().push(of_run);
        }
    }
    Ok(Some(Line {
        label: format!("{}, norms estimated again", group.label),
        kind: Kind::Other,
        seeds: group.runs.len(),
        points: by_frames
            .into_iter()
            .map(|(frames, seeds)| accuracy(frames, &seeds))
            .collect(),
    }))
}

fn separate(groups: &[Group<'_>]) -> Result<Line> {
    let alone = groups
        .iter()
        .filter(|group| matches!(group.kind, Kind::Separate | Kind::Vanilla));
    let mut points_of_all = Vec::new();
    let mut seeds = usize::MAX;
    for group in alone {
        let own = group
            .runs
            .first()
            .and_then(|run| trained_alone_at(&run.experiment));
        points_of_all.extend(points(group, own)?);
        seeds = seeds.min(group.runs.len());
    }
    points_of_all.sort_by_key(|point| point.frames);
    points_of_all.dedup_by_key(|point| point.frames);
    Ok(Line {
        label: format!(
            "{} for each frame count",
            groups.first().map_or("network", |group| group.network)
        ),
        kind: Kind::Separate,
        seeds,
        points: points_of_all,
    })
}

/// Accuracy at every frame count that all seeds were evaluated at, or at the one asked for.
fn points(group: &Group<'_>, only: Option<usize>) -> Result<Vec<Accuracy>> {
    let mut by_frames: BTreeMap<usize, Vec<(usize, usize, f64)>> = BTreeMap::new();
    for run in &group.runs {
        for (frames, of_run) in accuracies(run)? {
            by_frames.entry(frames).or_default().push(of_run);
        }
    }
    let wanted = |frames: usize| only.is_none_or(|only| only == frames);
    let all = by_frames
        .into_iter()
        .filter(|(frames, seeds)| seeds.len() == group.runs.len() && wanted(*frames));
    Ok(all
        .map(|(frames, seeds)| accuracy(frames, &seeds))
        .collect())
}

/// By frame count: clips that are right, clips, GFLOPs. From the surface where there is one, for it has more counts.
fn accuracies(run: &Run) -> Result<BTreeMap<usize, (usize, usize, f64)>> {
    let evaluated = run.results.iter();
    let mut all: BTreeMap<usize, (usize, usize, f64)> = evaluated
        .map(|s| (s.frames, (s.top1, s.clips, run.gflops(s.frames))))
        .collect();
    if let Some(surface) = Document::<Surface>::read(&run.folder)? {
        let chosen = surface.content.chosen();
        all.extend(chosen.map(|p| (p.frames, (p.top1, p.clips, p.gflops()))));
    }
    Ok(all)
}

fn accuracy(frames: usize, seeds: &[(usize, usize, f64)]) -> Accuracy {
    let values: Vec<f64> = seeds
        .iter()
        .map(|&(right, clips, _)| percentage(right, clips))
        .collect();
    let range = match seeds {
        [(right, clips, _)] => {
            let (low, high) = wilson(*right, *clips);
            (100.0 * low, 100.0 * high)
        }
        _ => super::scale::extent(values.iter().copied()).unwrap_or((0.0, 0.0)),
    };
    Accuracy {
        frames,
        gflops: seeds.first().map_or(0.0, |seed| seed.2),
        top1: values.iter().sum::<f64>() / values.len().max(1) as f64,
        range,
    }
}

/// Before and after: vanilla inputs by the one branch there is, FFN's by the branch of their own.
fn drift_of_all(groups: &[Group<'_>], gathered: &mut Gathered) -> Result<()> {
    let mut documents = Vec::new();
    for group in groups
        .iter()
        .filter(|group| group.kind != Kind::Separate)
        .take(2)
    {
        let run = group.runs.first();
        if let Some(document) = run
            .map(|run| gathered.read::<drift::Drift>(run))
            .transpose()?
            .flatten()
        {
            documents.push((group, document.content));
        }
    }
    let mut series = Vec::new();
    for (group, drift) in &documents {
        let most = drift
            .series
            .iter()
            .map(|series| series.branch)
            .max()
            .unwrap_or_default();
        let own = drift.series.iter().filter(|series| match group.kind {
            Kind::Vanilla => series.frames != series.branch,
            _ => series.frames == series.branch && series.branch != most,
        });
        series.extend(own.map(|series| {
            (
                format!("{}: inputs of {}", short(group), series.frames),
                series,
            )
        }));
    }
    if let Some((_, drift)) = documents.first()
        && !series.is_empty()
    {
        let what = Drift {
            id: "figure-drift",
            clips: drift.clips,
            series: &series,
        };
        gathered.add("drift", drift_by_layer(&what));
    }
    Ok(())
}

fn short(group: &Group<'_>) -> String {
    match group.kind {
        Kind::Vanilla | Kind::Separate => group.network.to_owned(),
        Kind::Flexible | Kind::Other => group.label.clone(),
    }
}

fn training(group: &Group<'_>, gathered: &mut Gathered) -> Result<()> {
    let Some(first) = group.runs.first() else {
        return Ok(());
    };
    let mut seeds = Vec::new();
    let mut steps = 0;
    for run in &group.runs {
        let records = run.records()?;
        steps = steps.max(records.len() as u64);
        seeds.push(by_epoch(&records, run.manifest.steps_per_epoch));
    }
    if steps == 0 {
        let name = first.name();
        let sentence = format!("no training of `{}`: it has made no step yet", name.shown());
        gathered.missing.push(sentence);
        return Ok(());
    }
    let name = format!("training-{}", first.name());
    let svg = training_curves(&Training {
        id: &identifier(&name),
        label: &group.label,
        seeds: &seeds,
        steps,
        means_over: "the steps of each epoch",
        batch: first.experiment.train.batch,
    });
    gathered.add(&name, svg);
    Ok(())
}

/// Confusion and alteration of one run.
fn single(run: &Run, gathered: &mut Gathered) -> Result<()> {
    if let Some(confusion) = gathered.read::<Confusion>(run)? {
        for matrix in &confusion.content.matrices {
            let name = format!("confusion-{}-{}", run.name(), matrix.frames);
            let svg = confusion_matrix(&identifier(&name), &confusion.content.classes, matrix);
            gathered.add(&name, svg);
        }
    }
    if let Some(values) = gathered.read::<Alterations>(run)?
        && !values.content.layers.is_empty()
    {
        let name = format!("alteration-{}", run.name());
        gathered.add(
            &name,
            alteration_values(&identifier(&name), &values.content),
        );
    }
    Ok(())
}

/// For an id in XML and a selector in CSS.
fn identifier(name: &str) -> String {
    let sign = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    format!("figure-{}", name.chars().map(sign).collect::<String>())
}

impl Gathered {
    fn add(&mut self, name: &str, svg: String) {
        self.figures.push(Figure {
            name: name.to_owned(),
            svg,
        });
    }

    /// An analysis of a run; one that is not there is noted, of a run that can have one by now.
    fn read<T: Content>(&mut self, run: &Run) -> Result<Option<Document<T>>> {
        if run.until.is_some() {
            return Ok(None);
        }
        let document = Document::read(&run.folder)?;
        if document.is_none() {
            let (name, path) = (T::NAME, run.folder.path().shown());
            self.missing.push(format!(
                "no {name} of `{}`: `ffn analyse {path}` computes it",
                run.name().shown()
            ));
        }
        Ok(document)
    }
}
