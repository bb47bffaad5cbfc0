//! How results are told: the table that `ffn run`, `ffn eval` and `ffn runs` share.

use super::table;
use crate::run::manifest::{Manifest, Pins};
use crate::run::results::Summary;

/// One frame count of one run.
pub fn row(run: &str, summary: &Summary) -> Vec<String> {
    vec![
        match summary.pinned {
            true => run.to_owned(),
            false => format!("{run} (unpinned)"),
        },
        summary.frames.to_string(),
        summary.branch.to_string(),
        format!("{:.2} %", summary.top1_percent()),
        format!("{:.2} %", summary.top5_percent()),
        summary.clips.to_string(),
        summary.left_out.to_string(),
    ]
}

/// Rows of [`row`] under their header. How many training videos were left out stands there where any were.
pub fn table(rows: &[Vec<String>]) -> String {
    let mut header = vec!["run", "frames", "branch", "top-1", "top-5", "clips"];
    let is_whole = |row: &Vec<String>| row.get(header.len()).is_none_or(|cell| cell == "0");
    if rows.iter().all(is_whole) {
        let columns = header.len();
        let shorter = rows
            .iter()
            .map(|row| row.iter().take(columns).cloned().collect());
        return table::render(&header, &shorter.collect::<Vec<_>>());
    }
    header.push("videos left out of training");
    table::render(&header, rows)
}

/// What the data of a run were held against.
pub fn pins(manifest: &Manifest) -> String {
    let pins = match &manifest.data.pins {
        Pins::Unpinned => "UNPINNED: nobody checked what they are".to_owned(),
        Pins::Verified { pins_sha256, .. } => {
            format!("pinned ({})", pins_sha256.get(..12).unwrap_or(pins_sha256))
        }
    };
    match &manifest.data.lost {
        None => pins,
        Some(lost) => format!("{pins}, NOT THE VIDEOS THEMSELVES: {lost}"),
    }
}
