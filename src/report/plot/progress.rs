//! Curves of a run while it works: accuracy on the validation clips, learning rate and gradient, speed.

use std::collections::BTreeMap;

use super::chart::{Axis, Chart, Frame, Mark, Panel, Row, Series};
use super::scale::extent;
use super::style::Style;

/// How fast some steps were.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speed {
    /// Steps that were timed, up to the last of these.
    pub steps: u64,
    pub clips_per_second: f64,
    /// Part of the time in which the loader had no batch ready, in `[0, 1]`.
    pub waited: f64,
}

/// Top-1 on the validation clips by frame count: for each the epochs after which it was measured, and percent.
pub fn validation_curves(id: &str, curves: &BTreeMap<usize, Vec<(f64, f64)>>) -> String {
    let epochs = curves.values().flatten().map(|&(epoch, _)| epoch);
    let (first, last) = extent(epochs).unwrap_or((0.0, 1.0));
    let frame = Frame {
        id: id.to_owned(),
        title: "Validation".to_owned(),
        description: "Top-1 on the validation clips after each evaluation.".to_owned(),
        notes: Vec::new(),
    };
    let legend = curves.keys().enumerate();
    let series = curves.values().enumerate();
    let row = Row {
        legend: legend
            .map(|(index, frames)| (format!("{frames} frames"), Style::of(index)))
            .collect(),
        panels: vec![Panel {
            title: String::new(),
            x: Axis::new("epoch", (first.min(1.0), last)),
            y: Axis::new("validation top-1 (%)", (0.0, 100.0)),
            series: series
                .map(|(index, points)| series_of(Style::of(index), points.iter().copied()))
                .collect(),
        }],
    };
    let rows = vec![row];
    Chart { frame, rows }.render()
}

/// Learning rate and L2 norm of the gradient before clipping: (epochs, rate, norm).
pub fn optimisation_curves(id: &str, points: &[(f64, f64, f64)]) -> String {
    let last = points.last().map_or(1.0, |&(epoch, ..)| epoch);
    let epoch = || Axis::new("epoch", (0.0, last));
    let rates = points.iter().map(|&(epoch, rate, _)| (epoch, rate));
    let norms = points.iter().map(|&(epoch, _, norm)| (epoch, norm));
    let frame = Frame {
        id: id.to_owned(),
        title: "Learning rate and gradient".to_owned(),
        description: "Learning rate and norm of the gradient over the epochs.".to_owned(),
        notes: Vec::new(),
    };
    let rows = vec![
        row(epoch(), "learning rate", rates, 0),
        row(epoch(), "gradient norm", norms, 1),
    ];
    Chart { frame, rows }.render()
}

/// Clips a second over the steps that were timed, and how much of the time was waited for them.
pub fn speed_curves(id: &str, speed: &[Speed]) -> String {
    let last = speed.last().map_or(1.0, |speed| speed.steps as f64);
    let step = || Axis::new("step", (0.0, last));
    let clips = speed.iter().map(|s| (s.steps as f64, s.clips_per_second));
    let waited = speed.iter().map(|s| (s.steps as f64, 100.0 * s.waited));
    let frame = Frame {
        id: id.to_owned(),
        title: "Speed".to_owned(),
        description: "Clips a second and the share of time spent waiting for the loader."
            .to_owned(),
        notes: Vec::new(),
    };
    let rows = vec![
        row(step(), "clips/s", clips, 2),
        row(step(), "waiting for clips (%)", waited, 3),
    ];
    Chart { frame, rows }.render()
}

/// One curve from zero on.
fn row(
    x: Axis,
    label: &str,
    points: impl Iterator<Item = (f64, f64)> + Clone,
    style: usize,
) -> Row {
    let high = extent(points.clone().map(|(_, y)| y)).map_or(1.0, |(_, high)| high);
    Row {
        legend: Vec::new(),
        panels: vec![Panel {
            title: String::new(),
            x,
            y: Axis::new(label, (0.0, high * 1.05)),
            series: vec![series_of(Style::of(style), points)],
        }],
    }
}

fn series_of(style: Style, points: impl Iterator<Item = (f64, f64)>) -> Series {
    let marks = points.map(|(x, y)| Mark { x, y, range: None });
    let marks: Vec<Mark> = marks.collect();
    Series {
        markers: marks.len() <= 20,
        ..Series::new(style, marks)
    }
}
