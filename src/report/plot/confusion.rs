//! Which class is taken for which.

use super::chart::{Frame, wrapped};
use super::style::{CELL, LINE, WIDTH};
use super::svg::{Anchor, Svg, Value};
use crate::analysis::predictions::Matrix;
use crate::base::statistics::percentage;

/// From how many classes on cells are too small for numbers and names.
const SMALL: usize = 12;
const SIDE: f64 = 320.0;
const LEFT: f64 = 70.0;

/// Rows are the true classes, columns what was said; a cell's shade is its share of the row.
pub fn confusion_matrix(id: &str, classes: &[String], matrix: &Matrix) -> String {
    let clips = sum(matrix.counts.iter().flatten());
    let rows = matrix.counts.iter().enumerate();
    let right = sum(rows.filter_map(|(label, row)| row.get(label)));
    let share = percentage(right, clips);
    let frame = Frame {
        id: id.to_owned(),
        title: format!(
            "Confusion at {} frames, by the branch of {}",
            matrix.frames, matrix.branch
        ),
        description: format!(
            "{right} of {clips} clips are right ({share:.2} %). {}",
            worst(classes, matrix)
        ),
        notes: vec![format!(
            "n = {clips} clips. Shades: share of the row; rows are the true classes."
        )],
    };
    frame.render(|svg, top| {
        let bottom = cells(svg, top, matrix);
        match classes.len() <= SMALL {
            true => names(svg, bottom, classes),
            false => bottom,
        }
    })
}

/// Counts come from a file, which may say anything.
fn sum<'a>(counts: impl IntoIterator<Item = &'a usize>) -> usize {
    counts.into_iter().copied().fold(0, usize::saturating_add)
}

fn cells(svg: &mut Svg, top: f64, matrix: &Matrix) -> f64 {
    let count = matrix.counts.len().max(1);
    let side = SIDE / count as f64;
    let small = count <= SMALL;
    for (label, row) in matrix.counts.iter().enumerate() {
        let total = sum(row).max(1) as f64;
        let y = top + side * label as f64;
        if small {
            svg.label(
                (LEFT - 6.0, y + side / 2.0 + 4.0),
                Anchor::End,
                "tick",
                &label.to_string(),
            );
            let x = LEFT + side * (label as f64 + 0.5);
            svg.label(
                (x, top + SIDE + 14.0),
                Anchor::Middle,
                "tick",
                &label.to_string(),
            );
        }
        for (predicted, &clips) in row.iter().enumerate().filter(|&(_, &clips)| clips > 0) {
            let share = clips as f64 / total;
            cell(svg, (LEFT + side * predicted as f64, y), side, share);
            if small {
                let class = if share > 0.5 { "cell on" } else { "cell" };
                let place = (LEFT + side * (predicted as f64 + 0.5), y + side / 2.0 + 4.0);
                svg.label(place, Anchor::Middle, class, &clips.to_string());
            }
        }
    }
    border(svg, top);
    top + SIDE + 40.0
}

fn cell(svg: &mut Svg, (x, y): (f64, f64), side: f64, share: f64) {
    let attributes = [
        ("x", x.into()),
        ("y", y.into()),
        ("width", side.into()),
        ("height", side.into()),
        ("fill", Value::Text(CELL)),
        ("fill-opacity", (0.1 + 0.9 * share).into()),
    ];
    svg.empty("rect", &attributes);
}

fn border(svg: &mut Svg, top: f64) {
    let (right, bottom) = (LEFT + SIDE, top + SIDE);
    svg.line((LEFT, top), (right, top), "axis");
    svg.line((LEFT, bottom), (right, bottom), "axis");
    svg.line((LEFT, top), (LEFT, bottom), "axis");
    svg.line((right, top), (right, bottom), "axis");
    svg.label(
        (LEFT + SIDE / 2.0, bottom + 32.0),
        Anchor::Middle,
        "label",
        "predicted class",
    );
    let (x, y) = (LEFT - 36.0, top + SIDE / 2.0);
    svg.turned_label((x, y), "true class");
}

/// The key: number and name of each class.
fn names(svg: &mut Svg, top: f64, classes: &[String]) -> f64 {
    let mut y = top;
    for (number, name) in classes.iter().enumerate() {
        for line in wrapped(&format!("{number} {name}"), WIDTH - 60.0) {
            y += LINE;
            svg.label((LEFT - 36.0, y), Anchor::Start, "note", &line);
        }
    }
    y + 4.0
}

/// The pair of classes that is confused most.
fn worst(classes: &[String], matrix: &Matrix) -> String {
    let name = |class: usize| classes.get(class).map_or("?", String::as_str);
    match matrix.mistakes().first() {
        Some(most) => format!(
            "Most often, {} times, “{}” is taken for “{}”.",
            most.clips,
            name(most.label),
            name(most.predicted)
        ),
        None => "No class is taken for another.".to_owned(),
    }
}
