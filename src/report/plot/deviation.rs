//! The deviation curve: accuracy over the number of frames; and the same over what it costs.

use super::chart::{Axis, Chart, Frame, Mark, Panel, Row, Series, Spread};
use super::paper;
use super::style::Style;
use crate::report::numbers::thousands;

/// Runs of one kind: the same experiment under one or more seeds.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    pub label: String,
    pub kind: Kind,
    pub seeds: usize,
    /// Ascending by frame count.
    pub points: Vec<Accuracy>,
}

/// How a network was trained; the paper's curves have the first three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// At one frame count, the largest.
    Vanilla,
    /// One network for each frame count.
    Separate,
    Flexible,
    /// Anything else: an ablation.
    Other,
}

/// Accuracy at one frame count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Accuracy {
    pub frames: usize,
    /// 10⁹ multiply-adds of one view of a clip.
    pub gflops: f64,
    /// Top-1 in percent; of several seeds the mean.
    pub top1: f64,
    /// In percent: of one seed Wilson's 95 % interval over clips, of several their range.
    pub range: (f64, f64),
}

/// What is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Deviation<'a> {
    /// Unique in the page.
    pub id: &'a str,
    /// Name of our data set.
    pub dataset: &'a str,
    /// Its validation clips.
    pub clips: usize,
    pub lines: &'a [Line],
    /// The paper's curves, in a panel of their own, where they belong beside ours.
    pub paper: Option<&'a paper::Table>,
}

/// Top-1 over the frames of a clip: ours, on its right the paper's.
pub fn deviation_curve(what: &Deviation<'_>) -> String {
    let x = |lines: &[Line]| frames_axis(points(lines).map(|p| p.frames));
    draw(what, "Accuracy over the number of frames", x, |point| {
        point.frames as f64
    })
}

/// Top-1 over the multiply-adds of one view of a clip: ours, on its right the paper's.
pub fn accuracy_against_gflops(what: &Deviation<'_>) -> String {
    let x = |lines: &[Line]| {
        let most = points(lines).map(|p| p.gflops).fold(0.0, f64::max);
        Axis::new("GFLOPs of a view", (0.0, most * 1.06))
    };
    draw(what, "Accuracy against operations", x, |point| point.gflops)
}

fn draw(
    what: &Deviation<'_>,
    title: &str,
    axis: impl Fn(&[Line]) -> Axis,
    x: impl Fn(&Accuracy) -> f64,
) -> String {
    let panel = |title: String, lines: &[Line]| Panel {
        title,
        x: axis(lines),
        y: Axis::new("top-1 (%)", (0.0, 100.0)),
        series: styles(lines)
            .zip(lines)
            .map(|(style, line)| series(line, style, &x))
            .collect(),
    };
    let ours = panel(format!("{} (n = {})", what.dataset, what.clips), what.lines);
    let mut legend: Vec<(String, Style)> = what
        .lines
        .iter()
        .map(|line| line.label.clone())
        .zip(styles(what.lines))
        .collect();
    let mut panels = vec![ours];
    if let Some(table) = what.paper {
        let theirs = paper_lines(table);
        let mut right = panel(format!("paper: {}", table.short), &theirs);
        right.y.label.clear();
        panels.push(right);
        let known = |kind: Kind| what.lines.iter().any(|line| line.kind == kind);
        let missing = theirs
            .iter()
            .zip(styles(&theirs))
            .filter(|(line, _)| !known(line.kind));
        legend.extend(missing.map(|(line, style)| (format!("{} (paper only)", line.label), style)));
    }
    let chart = Chart {
        frame: Frame {
            id: what.id.to_owned(),
            title: title.to_owned(),
            description: described(what),
            notes: notes(what),
        },
        rows: vec![Row { legend, panels }],
    };
    chart.render()
}

fn points(lines: &[Line]) -> impl Iterator<Item = &Accuracy> {
    lines.iter().flat_map(|line| &line.points)
}

/// The three kinds of the paper look the same in every figure.
fn styles(lines: &[Line]) -> impl Iterator<Item = Style> {
    let mut others = 3;
    let style = move |line: &Line| match line.kind {
        Kind::Vanilla => Style::of(0),
        Kind::Flexible => Style::of(1),
        Kind::Separate => Style::of(2),
        Kind::Other => {
            others += 1;
            Style::of(others - 1)
        }
    };
    lines.iter().map(style)
}

fn series(line: &Line, style: Style, x: &impl Fn(&Accuracy) -> f64) -> Series {
    let mark = |point: &Accuracy| Mark {
        x: x(point),
        y: point.top1,
        range: (point.range.0 < point.range.1).then_some(point.range),
    };
    let mut series = Series::new(style, line.points.iter().map(mark).collect());
    if line.seeds > 1 || is_dense(line) {
        series.spread = Spread::Band;
    }
    series.markers = !is_dense(line);
    series
}

/// Whether marks would stand so near that they cover one another.
fn is_dense(line: &Line) -> bool {
    line.points.len() > 8
}

/// An axis for the frames of a clip, with a text at each of them; of many, at powers of two and the last.
fn frames_axis(frames: impl Iterator<Item = usize>) -> Axis {
    let mut frames: Vec<usize> = frames.collect();
    frames.sort_unstable();
    frames.dedup();
    let most = frames.last().copied().unwrap_or(16);
    if frames.len() > 6 {
        frames.retain(|&count| count.is_power_of_two() || count == most);
    }
    Axis::new("frames of a clip", (0.0, most as f64 * 1.06)).at(frames)
}

/// The paper's table as lines. It has no interval for a number.
fn paper_lines(table: &paper::Table) -> Vec<Line> {
    let rows = [
        ("TSM, most frames", Kind::Vanilla, table.vanilla),
        ("TSM for each frame count", Kind::Separate, table.separate),
        ("FFN", Kind::Flexible, table.flexible),
    ];
    let line = |(label, kind, top1): (&str, Kind, [f64; 3])| Line {
        label: label.to_owned(),
        kind,
        seeds: 1,
        points: table
            .frames
            .iter()
            .zip(top1)
            .zip(table.gflops)
            .map(|((&frames, top1), gflops)| Accuracy {
                frames,
                gflops,
                top1,
                range: (top1, top1),
            })
            .collect(),
    };
    rows.map(line).to_vec()
}

fn described(what: &Deviation<'_>) -> String {
    let line = |line: &Line| {
        let points = line.points.iter();
        let points = points.map(|p| format!("{:.2} % at {} frames", p.top1, p.frames));
        format!("{}: {}", line.label, points.collect::<Vec<_>>().join(", "))
    };
    let lines: Vec<String> = what.lines.iter().map(line).collect();
    format!("Top-1 on {}. {}.", what.dataset, lines.join("; "))
}

fn notes(what: &Deviation<'_>) -> Vec<String> {
    let any = |of: fn(&Line) -> bool| what.lines.iter().any(of);
    let mut notes = Vec::new();
    match (any(|line| line.seeds == 1), any(|line| line.seeds > 1)) {
        (true, true) => notes.push(
            "Of several seeds: mean, shaded their range. Of one seed: bars or shaded, 95\u{a0}% Wilson interval over the clips."
                .to_owned(),
        ),
        (true, false) => {
            notes.push("Bars or shaded: 95\u{a0}% Wilson interval over the clips.".to_owned());
        }
        (false, true) => notes.push("Lines: mean of the seeds; shaded: their range.".to_owned()),
        (false, false) => {}
    }
    notes.extend(what.paper.map(|table| {
        let clips = table
            .clips
            .map(|clips| format!(", n = {}", thousands(clips as u64)));
        format!(
            "On the right the paper's own numbers: {}, ResNet-50{} ({}).",
            table.dataset,
            clips.unwrap_or_default(),
            paper::SOURCE
        )
    }));
    notes
}
