//! The analyses of a run as tables.

use super::surface;
use crate::analysis::Analyses;
use crate::analysis::alteration::{Alterations, Layer};
use crate::analysis::drift::{self, Drift};
use crate::analysis::precise::{Point, PreciseNorms};
use crate::analysis::predictions::{Confusion, Flips, Gains, Pair};
use crate::cli::table;

/// Pairs of classes that are told for each frame count.
const PAIRS: usize = 5;

/// All tables, each under a sentence that says what it is. `trained`: frame counts of the training, ascending.
pub fn describe(name: &str, analyses: &Analyses, trained: &[usize], layers: bool) -> String {
    let mut sections = vec![
        (
            "any-frame surface: every frame count by every branch",
            surface::describe(
                &analyses.surface.content,
                Some(&analyses.latency.content),
                trained,
            ),
        ),
        (
            "distance of inputs from the running statistics of the norms (means over norms and channels)",
            drift_table(&analyses.drift.content),
        ),
        (
            "norm statistics estimated again at each frame count, the weights as they are",
            precise_table(&analyses.precise_bn.content, trained),
        ),
        (
            "clips that are right or wrong at two frame counts",
            flips_table(&analyses.flips.content),
        ),
        (
            "classes that are taken for one another most often",
            confusion_table(&analyses.confusion.content),
        ),
    ];
    if layers {
        let of_norms = layer_table(&analyses.drift.content);
        sections.insert(
            2,
            (
                "distance of the means by norm, in running standard deviations",
                of_norms,
            ),
        );
    }
    if !analyses.alteration.content.layers.is_empty() {
        let values = alteration_table(&analyses.alteration.content);
        sections.insert(
            3,
            (
                "learned alteration w: a channel enters 1 + w times as strong",
                values,
            ),
        );
    }
    let gains = analyses
        .gains
        .as_ref()
        .map(|gains| gains_table(&gains.content));
    if let Some(gains) = gains {
        sections.push(("accuracy of each class against another run", gains));
    }
    let sections = sections
        .iter()
        .map(|(title, body)| format!("\n{title}\n\n{body}"));
    format!("{name}\n{}", sections.collect::<String>())
}

fn drift_table(drift: &Drift) -> String {
    let mut text = format!(
        "{}statistics of {} training clips in batches of {}\n",
        series_table(&drift.series),
        drift.clips,
        drift.batch
    );
    if drift.layer_norms > 0 {
        text += &format!(
            "{} layer norms keep no statistics that could be apart: each pixel is normalised with its own\n",
            drift.layer_norms
        );
    }
    if let Some(inputs) = &drift.inputs {
        text +=
            "\nhow far what layer norms read is from the same at the branch's own frame count\n\n";
        text += &series_table(inputs);
    }
    text
}

fn series_table(series: &[drift::Series]) -> String {
    let row = |series: &drift::Series| {
        let count = series.layers.len().max(1) as f64;
        let mean = |value: fn(&drift::Layer) -> f64| {
            let sum: f64 = series.layers.iter().map(value).sum();
            format!("{:.3}", sum / count)
        };
        let worst = series
            .layers
            .iter()
            .max_by(|a, b| a.shift.total_cmp(&b.shift));
        vec![
            series.frames.to_string(),
            series.branch.to_string(),
            mean(|layer| layer.shift),
            mean(|layer| layer.scale),
            mean(|layer| layer.divergence),
            worst.map_or(String::new(), |layer| {
                format!("{:.3} {}", layer.shift, layer.name)
            }),
        ]
    };
    let rows: Vec<_> = series.iter().map(row).collect();
    let header = [
        "frames",
        "branch",
        "|μ′−μ|/s",
        "|ln s′/s|",
        "KL (nats)",
        "furthest mean",
    ];
    table::render(&header, &rows)
}

fn layer_table(drift: &Drift) -> String {
    let layers = drift
        .series
        .first()
        .map_or(&[][..], |series| &series.layers);
    let row = |(index, layer): (usize, &drift::Layer)| {
        let values = drift.series.iter().map(|series| {
            let shift = series.layers.get(index).map(|layer| layer.shift);
            shift.map_or(String::new(), |shift| format!("{shift:.3}"))
        });
        [layer.name.clone()].into_iter().chain(values).collect()
    };
    let rows: Vec<Vec<String>> = layers.iter().enumerate().map(row).collect();
    let series = drift.series.iter();
    let columns: Vec<String> = series
        .map(|series| format!("{} by {}", series.frames, series.branch))
        .collect();
    let columns = columns.iter().map(String::as_str);
    let header: Vec<&str> = ["norm"].into_iter().chain(columns).collect();
    table::render(&header, &rows)
}

/// Before and after, what that gives back, and what is still missing to the largest frame count of the training.
fn precise_table(precise: &PreciseNorms, trained: &[usize]) -> String {
    let largest = trained.last().copied().unwrap_or_default();
    let mut whole = precise.points.iter();
    let whole = whole.find(|point| (point.frames, point.branch) == (largest, largest));
    let row = |point: &Point| {
        let (before, after) = (point.before.top1_percent(), point.after.top1_percent());
        let missing = whole.map(|whole| after - whole.before.top1_percent());
        vec![
            point.frames.to_string(),
            point.branch.to_string(),
            format!("{before:.2} %"),
            format!("{after:.2} %"),
            format!("{:+.2}", after - before),
            missing.map_or("-".to_owned(), |points| format!("{points:+.2}")),
            point.after.clips.to_string(),
        ]
    };
    let rows: Vec<_> = precise.points.iter().map(row).collect();
    let against = format!("still against {largest}");
    let header = [
        "frames",
        "branch",
        "top-1 as trained",
        "estimated again",
        "given back",
        &against,
        "clips",
    ];
    table::render(&header, &rows)
}

fn alteration_table(values: &Alterations) -> String {
    let row = |layer: &Layer| {
        let [_, low, _, median, _, high, _] = layer.quantiles;
        let number = |value: f64| format!("{value:.3}");
        vec![
            layer.block.clone(),
            layer.branch.to_string(),
            layer.channels.to_string(),
            number(layer.mean_size),
            number(low),
            number(median),
            number(high),
        ]
    };
    let rows: Vec<_> = values.layers.iter().map(row).collect();
    table::render(
        &[
            "block", "branch", "channels", "mean |w|", "5 %", "median", "95 %",
        ],
        &rows,
    )
}

fn flips_table(flips: &Flips) -> String {
    let row = |pair: &Pair| {
        vec![
            format!("{} to {}", pair.from, pair.to),
            pair.right.to_string(),
            pair.lost.len().to_string(),
            pair.won.len().to_string(),
            pair.wrong.to_string(),
            pair.lost
                .first()
                .map_or("-".to_owned(), |flip| flip.id.clone()),
        ]
    };
    let rows: Vec<_> = flips.pairs.iter().map(row).collect();
    let header = [
        "frames",
        "right at both",
        "right, then wrong",
        "wrong, then right",
        "wrong at both",
        "first lost clip",
    ];
    table::render(&header, &rows)
}

fn confusion_table(confusion: &Confusion) -> String {
    let name = |class: usize| confusion.classes.get(class).cloned().unwrap_or_default();
    let rows = confusion.matrices.iter().flat_map(|matrix| {
        let worst = matrix.mistakes().into_iter().take(PAIRS);
        worst.map(move |mistake| {
            vec![
                matrix.frames.to_string(),
                name(mistake.label),
                name(mistake.predicted),
                mistake.clips.to_string(),
            ]
        })
    });
    let rows: Vec<_> = rows.collect();
    table::render_words(&["frames", "class", "taken for", "clips"], &rows)
}

fn gains_table(gains: &Gains) -> String {
    let classes = gains
        .frames
        .first()
        .map_or(&[][..], |frames| &frames.classes);
    let row = |(index, class): (usize, &crate::analysis::predictions::ClassGain)| {
        let gain = gains.frames.iter().map(|frames| {
            let gain = frames.classes.get(index).map(|class| class.gain());
            gain.map_or(String::new(), |points| format!("{points:+.2}"))
        });
        let clips = [class.class.clone(), class.clips.to_string()];
        clips.into_iter().chain(gain).collect()
    };
    let rows: Vec<Vec<String>> = classes.iter().enumerate().map(row).collect();
    let columns: Vec<String> = gains
        .frames
        .iter()
        .map(|of| format!("{} frames", of.frames))
        .collect();
    let columns = columns.iter().map(String::as_str);
    let header: Vec<&str> = ["class", "clips"].into_iter().chain(columns).collect();
    format!(
        "{}points of top-1 above those of `{}`\n",
        table::render(&header, &rows),
        gains.against
    )
}
