//! The any-frame surface: `ffn eval RUN --all-branches`, and a part of `ffn analyse`.

use crate::analysis::interval::wilson;
use crate::analysis::surface::Point;
use crate::analysis::{Latency, Surface};
use crate::cli::table;

/// Signs of the longest bar of a curve.
const BAR: f64 = 40.0;

/// Both tables, and how the time was measured.
pub fn describe(surface: &Surface, latency: Option<&Latency>, trained: &[usize]) -> String {
    let points = table_of_points(surface, latency);
    let curve = deviation_curve(surface, trained);
    let measured = latency.map_or(String::new(), |latency| measured(latency) + "\n");
    format!("{points}{measured}\n{curve}")
}

fn table_of_points(surface: &Surface, latency: Option<&Latency>) -> String {
    let row = |point: &Point| {
        let time = latency.and_then(|latency| latency.of(point.frames, point.branch));
        let mut row = accuracy(point);
        row.insert(2, if point.chosen { "*" } else { "" }.to_owned());
        row.push(format!("{:.3}", point.gflops()));
        row.push(time.map_or("-".to_owned(), |time| format!("{:.2}", time.median_ms)));
        row
    };
    let rows: Vec<_> = surface.points.iter().map(row).collect();
    let header = [
        "frames",
        "branch",
        "chosen",
        "top-1",
        "95 % interval",
        "top-5",
        "clips",
        "GFLOPs",
        "ms",
    ];
    table::render(&header, &rows)
}

fn accuracy(point: &Point) -> Vec<String> {
    let (low, high) = wilson(point.top1, point.clips);
    vec![
        point.frames.to_string(),
        point.branch.to_string(),
        format!("{:.2} %", point.top1_percent()),
        format!("{:.2} to {:.2}", 100.0 * low, 100.0 * high),
        format!("{:.2} %", point.top5_percent()),
        point.clips.to_string(),
    ]
}

fn measured(latency: &Latency) -> String {
    format!(
        "ms: median of {} passes of one clip; {}, {} threads, engine {}",
        latency.passes,
        latency.machine.cpu,
        latency.threads,
        latency.engine.name()
    )
}

/// Temporal Frequency Deviation: accuracy of the chosen branch against that at the largest frame count of the training.
fn deviation_curve(surface: &Surface, trained: &[usize]) -> String {
    let largest = trained.last().copied().unwrap_or_default();
    let reference = surface.chosen().find(|point| point.frames == largest);
    let row = |point: &Point| {
        let deviation = reference.map(|of| point.top1_percent() - of.top1_percent());
        let bar = "▇".repeat((point.top1_percent() / 100.0 * BAR).round() as usize);
        vec![
            point.frames.to_string(),
            if trained.contains(&point.frames) {
                "trained"
            } else {
                ""
            }
            .to_owned(),
            deviation.map_or("-".to_owned(), |points| format!("{points:+.2}")),
            format!("{:.2} %", point.top1_percent()),
            format!("{bar:<width$}", width = BAR as usize),
        ]
    };
    let rows: Vec<_> = surface.chosen().map(row).collect();
    let against = format!("against {largest}");
    table::render(&["frames", "", &against, "top-1", ""], &rows)
}
