//! Training curves: loss terms and accuracy over epochs.

use std::collections::BTreeMap;

use super::chart::{Axis, Chart, Frame, Mark, Panel, Row, Series, Spread};
use super::scale::extent;
use super::style::Style;
use crate::run::metrics::Record;

/// What is drawn: the trainings of one experiment under one or more seeds.
#[derive(Debug, Clone)]
pub struct Training<'a> {
    /// Unique in the page.
    pub id: &'a str,
    /// What was trained.
    pub label: &'a str,
    /// For each seed its steps.
    pub seeds: &'a [Vec<Record>],
    /// Clips of one step.
    pub batch: usize,
}

/// For each name its value in every epoch, for each seed.
type Curves = BTreeMap<String, Vec<Vec<f64>>>;

/// Means over the steps of each epoch: the terms of the loss above, the accuracy of each frame count below.
pub fn training_curves(what: &Training<'_>) -> String {
    let epochs: Vec<Vec<&[Record]>> = what.seeds.iter().map(|records| by_epoch(records)).collect();
    let terms = curves(&epochs, |record| {
        let terms = record.terms.iter();
        terms.map(|(name, value)| (name.clone(), *value)).collect()
    });
    let accuracy = curves(&epochs, |record| {
        let counts = record.accuracy.iter();
        counts
            .map(|(frames, part)| (format!("{frames:>4} frames"), 100.0 * part))
            .collect()
    });
    let most = epochs.iter().map(Vec::len).max().unwrap_or(0);
    let highest = extent(terms.values().flatten().flatten().copied()).map_or(1.0, |(_, high)| high);
    let chart = Chart {
        frame: Frame {
            id: what.id.to_owned(),
            title: format!("Training of {}", what.label),
            description: described(&accuracy, most),
            notes: notes(what),
        },
        rows: vec![
            row(
                &terms,
                most,
                Axis::new("loss term (nats)", (0.0, highest * 1.05)),
            ),
            row(
                &accuracy,
                most,
                Axis::new("training top-1 (%)", (0.0, 100.0)),
            ),
        ],
    };
    chart.render()
}

fn row(curves: &Curves, epochs: usize, y: Axis) -> Row {
    let drawn = curves.values().enumerate();
    let legend = curves.keys().enumerate();
    Row {
        legend: legend
            .map(|(index, name)| (name.trim().to_owned(), Style::of(index)))
            .collect(),
        panels: vec![Panel {
            title: String::new(),
            x: Axis::new("epoch", (1.0, epochs as f64)),
            y,
            series: drawn
                .map(|(index, seeds)| series(seeds, Style::of(index)))
                .collect(),
        }],
    }
}

/// The mean of the seeds with their range.
fn series(seeds: &[Vec<f64>], style: Style) -> Series {
    let epochs = seeds.iter().map(Vec::len).max().unwrap_or(0);
    let mark = |epoch: usize| {
        let values: Vec<f64> = seeds
            .iter()
            .filter_map(|seed| seed.get(epoch).copied())
            .collect();
        Mark {
            x: epoch as f64 + 1.0,
            y: values.iter().sum::<f64>() / values.len().max(1) as f64,
            range: extent(values.iter().copied()).filter(|_| seeds.len() > 1),
        }
    };
    Series {
        markers: epochs <= 20,
        spread: Spread::Band,
        ..Series::new(style, (0..epochs).map(mark).collect())
    }
}

fn by_epoch(records: &[Record]) -> Vec<&[Record]> {
    records.chunk_by(|a, b| a.epoch == b.epoch).collect()
}

fn curves(seeds: &[Vec<&[Record]>], values: impl Fn(&Record) -> Vec<(String, f64)>) -> Curves {
    let mut curves = Curves::new();
    for (seed, epochs) in seeds.iter().enumerate() {
        for records in epochs {
            let mut sums: BTreeMap<String, f64> = BTreeMap::new();
            for (name, value) in records.iter().flat_map(&values) {
                *sums.entry(name).or_default() += value;
            }
            for (name, sum) in sums {
                let of_seeds = curves.entry(name).or_default();
                of_seeds.resize(seeds.len(), Vec::new());
                of_seeds[seed].push(sum / records.len() as f64);
            }
        }
    }
    curves
}

fn described(accuracy: &Curves, epochs: usize) -> String {
    let last = accuracy.iter().filter_map(|(name, seeds)| {
        let value = seeds.first()?.last()?;
        Some(format!("{value:.1} % at {}", name.trim()))
    });
    let last: Vec<String> = last.collect();
    format!(
        "Loss terms and accuracy over {epochs} epochs; in the last epoch the training accuracy is {}.",
        last.join(", ")
    )
}

fn notes(what: &Training<'_>) -> Vec<String> {
    let steps = what.seeds.iter().map(Vec::len).max().unwrap_or(0);
    let mut notes = vec![format!(
        "Means over the steps of each epoch; {steps} steps of {} clips in all. Terms are as they enter the loss, \
         with their weight.",
        what.batch
    )];
    if what.seeds.len() > 1 {
        notes.push(format!(
            "Bands: range across {} seeds; lines: their mean.",
            what.seeds.len()
        ));
    }
    notes
}
