//! How far each norm's running statistics are from those of the inputs at hand.

use super::chart::{Axis, Chart, Frame, Mark, Panel, Row, Series};
use super::scale::extent;
use super::style::Style;
use crate::analysis::drift::{self, Layer};

/// What is drawn.
#[derive(Debug, Clone)]
pub struct Drift<'a> {
    /// Unique in the page.
    pub id: &'a str,
    /// Training clips that the statistics were estimated from.
    pub clips: usize,
    /// Each with what the legend says of it.
    pub series: &'a [(String, &'a drift::Series)],
}

/// For each norm, from input to output: the distance of the means above, that of the widths below.
pub fn drift_by_layer(what: &Drift<'_>) -> String {
    let row = |label: &str, value: fn(&Layer) -> f64, legend: Vec<(String, Style)>| {
        let all = what
            .series
            .iter()
            .flat_map(|(_, series)| series.layers.iter().map(value));
        let highest = extent(all).map_or(1.0, |(_, high)| high * 1.05);
        let layers = what
            .series
            .iter()
            .map(|(_, series)| series.layers.len())
            .max();
        let drawn = what.series.iter().enumerate();
        Row {
            legend,
            panels: vec![Panel {
                title: String::new(),
                x: Axis::new(
                    "norm, from input to output",
                    (1.0, layers.unwrap_or(1) as f64),
                ),
                y: Axis::new(label, (0.0, highest)),
                series: drawn
                    .map(|(index, (_, series))| line(series, Style::of(index), value))
                    .collect(),
            }],
        }
    };
    let legend = what.series.iter().enumerate();
    let legend = legend
        .map(|(index, (label, _))| (label.clone(), Style::of(index)))
        .collect();
    let chart = Chart {
        frame: Frame {
            id: what.id.to_owned(),
            title: "Distance of inputs from the norms' statistics".to_owned(),
            description: described(what),
            notes: vec![format!(
                "Means over channels; statistics of n = {} training clips. Above |μ′ − μ| / s with the running standard \
                 deviation s, below |ln(s′ / s)|: 0.1 is about 10\u{a0}%.",
                what.clips
            )],
        },
        rows: vec![
            row("mean off by (s)", |layer| layer.shift, legend),
            row("width off by (nepers)", |layer| layer.scale, Vec::new()),
        ],
    };
    chart.render()
}

fn line(series: &drift::Series, style: Style, value: fn(&Layer) -> f64) -> Series {
    let marks = series.layers.iter().enumerate().map(|(index, layer)| Mark {
        x: index as f64 + 1.0,
        y: value(layer),
        range: None,
    });
    Series {
        markers: series.layers.len() <= 20,
        ..Series::new(style, marks.collect())
    }
}

fn described(what: &Drift<'_>) -> String {
    let line = |(label, series): &(String, &drift::Series)| {
        let count = series.layers.len().max(1) as f64;
        let mean = series.layers.iter().map(|layer| layer.shift).sum::<f64>() / count;
        format!("{label}: means off by {mean:.3} standard deviations over all norms")
    };
    let lines: Vec<String> = what.series.iter().map(line).collect();
    format!("{}.", lines.join("; "))
}
