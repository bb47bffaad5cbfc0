//! What the weight alteration learned.

use super::chart::{Axis, Chart, Frame, Mark, Panel, Row, Series};
use super::scale::extent;
use super::style::Style;
use crate::analysis::Alterations;
use crate::analysis::alteration::Layer;
use crate::graph::arch::names::block_index;

/// For each block and branch: median of the learned values, and bars from their 5 % to their 95 % quantile.
pub fn alteration_values(id: &str, values: &Alterations) -> String {
    let mut blocks: Vec<&str> = values
        .layers
        .iter()
        .map(|layer| layer.block.as_str())
        .collect();
    blocks.dedup();
    let mut branches: Vec<usize> = values.layers.iter().map(|layer| layer.branch).collect();
    branches.sort_unstable();
    branches.dedup();
    let all = values
        .layers
        .iter()
        .flat_map(|layer| [layer.quantiles[1], layer.quantiles[5], 0.0]);
    let (low, high) = extent(all).unwrap_or((-1.0, 1.0));
    let around = (high - low) * 0.05;
    let series = branches.iter().enumerate().map(|(index, &branch)| {
        let aside = 0.22 * (index as f64 - (branches.len() as f64 - 1.0) / 2.0);
        strip(values, &blocks, branch, aside, Style::of(index))
    });
    let mut x = Axis::new(
        "block, from input to output",
        (0.5, blocks.len() as f64 + 0.5),
    );
    x.ticks = blocks
        .iter()
        .enumerate()
        .map(|(index, block)| (index as f64 + 1.0, block_index(block).to_owned()))
        .collect();
    let legend = branches.iter().enumerate();
    let chart = Chart {
        frame: Frame {
            id: id.to_owned(),
            title: "Learned weight alteration".to_owned(),
            description: described(values),
            notes: vec![
                "Marks: median over the block's channels; bars: from the 5\u{a0}% to the 95\u{a0}% quantile. A channel enters \
                 its convolution 1 + w times as strong."
                    .to_owned(),
            ],
        },
        rows: vec![Row {
            legend: legend.map(|(index, branch)| (format!("branch of {branch} frames"), Style::of(index))).collect(),
            panels: vec![Panel {
                title: String::new(),
                x,
                y: Axis::new("alteration w (no unit)", (low - around, high + around)),
                series: series.collect(),
            }],
        }],
    };
    chart.render()
}

fn strip(values: &Alterations, blocks: &[&str], branch: usize, aside: f64, style: Style) -> Series {
    let of_branch = values.layers.iter().filter(|layer| layer.branch == branch);
    let mark = |layer: &Layer| {
        let block = blocks.iter().position(|block| *block == layer.block)?;
        let [_, low, _, median, _, high, _] = layer.quantiles;
        Some(Mark {
            x: block as f64 + 1.0 + aside,
            y: median,
            range: Some((low, high)),
        })
    };
    Series {
        joined: false,
        ..Series::new(style, of_branch.filter_map(mark).collect())
    }
}

fn described(values: &Alterations) -> String {
    let layer = |layer: &Layer| {
        format!(
            "{} at {} frames: mean size {:.3}",
            layer.block, layer.branch, layer.mean_size
        )
    };
    let layers: Vec<String> = values.layers.iter().map(layer).collect();
    format!("{}.", layers.join("; "))
}
