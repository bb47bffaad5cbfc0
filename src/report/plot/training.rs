//! Training curves: loss terms and accuracy over epochs.

use std::collections::BTreeMap;

use super::chart::{Axis, Chart, Frame, Mark, Panel, Row, Series, Spread};
use super::scale::extent;
use super::style::Style;
use super::svg::number;
use crate::run::metrics::Record;

/// What is drawn: the trainings of one experiment under one or more seeds.
#[derive(Debug, Clone)]
pub struct Training<'a> {
    /// Unique in the page.
    pub id: &'a str,
    /// What was trained.
    pub label: &'a str,
    /// For each seed what its steps came to.
    pub seeds: &'a [Vec<Point>],
    /// Steps of the longest training.
    pub steps: u64,
    /// What a point is a mean over, such as `the steps of each epoch`.
    pub means_over: &'a str,
    /// Clips of one step.
    pub batch: usize,
}

/// Means over steps that follow one another.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Point {
    /// Epochs that are done at the last of them.
    pub epoch: f64,
    /// By name, in nats.
    pub terms: BTreeMap<String, f64>,
    /// By frame count, in `[0, 1]`.
    pub accuracy: BTreeMap<usize, f64>,
}

/// For each name its marks, (epochs that are done, value), for each seed.
type Curves = BTreeMap<String, Vec<Vec<(f64, f64)>>>;

/// A point for each epoch; the last may be a part of one.
pub fn by_epoch(records: &[Record], steps_per_epoch: u64) -> Vec<Point> {
    let epochs = records.chunk_by(|a, b| a.epoch == b.epoch);
    let mean = |records: &[Record]| {
        let mut point = Point {
            epoch: records.last().map_or(0.0, |last| {
                (last.step + 1) as f64 / steps_per_epoch.max(1) as f64
            }),
            ..Point::default()
        };
        let part = 1.0 / records.len() as f64;
        for record in records {
            for (name, value) in &record.terms {
                *point.terms.entry(name.clone()).or_default() += value * part;
            }
            for (&frames, value) in &record.accuracy {
                *point.accuracy.entry(frames).or_default() += value * part;
            }
        }
        point
    };
    epochs.map(mean).collect()
}

/// The terms of the loss above, the accuracy of each frame count below.
pub fn training_curves(what: &Training<'_>) -> String {
    let terms = curves(what.seeds, |point| {
        let terms = point.terms.iter();
        terms.map(|(name, value)| (name.clone(), *value)).collect()
    });
    let accuracy = curves(what.seeds, |point| {
        let counts = point.accuracy.iter();
        counts
            .map(|(frames, part)| (format!("{frames:>4} frames"), 100.0 * part))
            .collect()
    });
    let points = what.seeds.iter().flatten();
    let (first, last) = extent(points.map(|point| point.epoch)).unwrap_or((0.0, 1.0));
    let epochs = (first.min(1.0), last);
    let values = terms.values().flatten().flatten();
    let highest = extent(values.map(|&(_, value)| value)).map_or(1.0, |(_, high)| high);
    let chart = Chart {
        frame: Frame {
            id: what.id.to_owned(),
            title: format!("Training of {}", what.label),
            description: described(&accuracy, last),
            notes: notes(what),
        },
        rows: vec![
            row(
                &terms,
                epochs,
                Axis::new("loss term (nats)", (0.0, highest * 1.05)),
            ),
            row(
                &accuracy,
                epochs,
                Axis::new("training top-1 (%)", (0.0, 100.0)),
            ),
        ],
    };
    chart.render()
}

fn row(curves: &Curves, epochs: (f64, f64), y: Axis) -> Row {
    let drawn = curves.values().enumerate();
    let legend = curves.keys().enumerate();
    Row {
        legend: legend
            .map(|(index, name)| (name.trim().to_owned(), Style::of(index)))
            .collect(),
        panels: vec![Panel {
            title: String::new(),
            x: Axis::new("epoch", epochs),
            y,
            series: drawn
                .map(|(index, seeds)| series(seeds, Style::of(index)))
                .collect(),
        }],
    }
}

/// The mean of the seeds with their range.
fn series(seeds: &[Vec<(f64, f64)>], style: Style) -> Series {
    let points = seeds.iter().map(Vec::len).max().unwrap_or(0);
    let mark = |index: usize| {
        let of_seeds: Vec<(f64, f64)> = seeds
            .iter()
            .filter_map(|seed| seed.get(index).copied())
            .collect();
        let values = of_seeds.iter().map(|&(_, value)| value);
        Mark {
            x: of_seeds.first().map_or(0.0, |&(epoch, _)| epoch),
            y: values.clone().sum::<f64>() / of_seeds.len().max(1) as f64,
            range: extent(values).filter(|_| seeds.len() > 1),
        }
    };
    Series {
        markers: points <= 20,
        spread: Spread::Band,
        ..Series::new(style, (0..points).map(mark).collect())
    }
}

fn curves(seeds: &[Vec<Point>], values: impl Fn(&Point) -> Vec<(String, f64)>) -> Curves {
    let mut curves = Curves::new();
    for (seed, points) in seeds.iter().enumerate() {
        for point in points {
            for (name, value) in values(point) {
                let of_seeds = curves.entry(name).or_default();
                of_seeds.resize(seeds.len(), Vec::new());
                of_seeds[seed].push((point.epoch, value));
            }
        }
    }
    curves
}

fn described(accuracy: &Curves, epochs: f64) -> String {
    let last = accuracy.iter().filter_map(|(name, seeds)| {
        let (_, value) = seeds.first()?.last()?;
        Some(format!("{value:.1} % at {}", name.trim()))
    });
    let last: Vec<String> = last.collect();
    format!(
        "Loss terms and accuracy over {} epochs; at the end the training accuracy is {}.",
        number(epochs),
        last.join(", ")
    )
}

fn notes(what: &Training<'_>) -> Vec<String> {
    let mut notes = vec![format!(
        "Means over {}; {} steps of {} clips in all. Terms are as they enter the loss, with their weight.",
        what.means_over, what.steps, what.batch
    )];
    if what.seeds.len() > 1 {
        notes.push(format!(
            "Bands: range across {} seeds; lines: their mean.",
            what.seeds.len()
        ));
    }
    notes
}
