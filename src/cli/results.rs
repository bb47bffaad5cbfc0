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
    ]
}

/// Rows of [`row`] under their header.
pub fn table(rows: &[Vec<String>]) -> String {
    table::render(
        &["run", "frames", "branch", "top-1", "top-5", "clips"],
        rows,
    )
}

/// What the data of a run were held against.
pub fn pins(manifest: &Manifest) -> String {
    match &manifest.data.pins {
        Pins::Unpinned => "UNPINNED: nobody checked what they are".to_owned(),
        Pins::Verified { pins_sha256, .. } => {
            format!("pinned ({})", pins_sha256.get(..12).unwrap_or(pins_sha256))
        }
    }
}
