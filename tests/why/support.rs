//! Variants of the tiny experiment, and what `ffn why` says of them.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

pub use crate::program::*;

const EXPERIMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/experiments");

/// The program in a folder of experiments.
pub fn ffn_in(place: &Path, arguments: &[&str]) -> Output {
    command(arguments).current_dir(place).in_time()
}

/// A folder with the tiny experiment as `a.ron` and its pins.
pub fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let pins = place.path().join("pins");
    std::fs::create_dir(&pins).unwrap();
    for name in ["tiny.pins.ron", "tiny.pins.sha256"] {
        std::fs::copy(
            Path::new(EXPERIMENTS).join("pins").join(name),
            pins.join(name),
        )
        .unwrap();
    }
    std::fs::copy(
        Path::new(EXPERIMENTS).join("tiny.ron"),
        place.path().join("a.ron"),
    )
    .unwrap();
    place
}

/// Writes the experiment `name` of a folder anew, with changes, as `as_name`.
pub fn vary(place: &Path, name: &str, as_name: &str, changes: &[(&str, &str)]) {
    let mut text = std::fs::read_to_string(place.join(name)).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    std::fs::write(place.join(as_name), text).unwrap();
}

/// `ffn why --json`: exit code and report.
pub fn why(place: &Path, arguments: &[&str]) -> (i32, Report) {
    let output = ffn_in(place, &[&["why", "--json"], arguments].concat());
    let error = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout);
    let report = report.unwrap_or_else(|_| panic!("{error}"));
    (output.status.code().unwrap(), Report(report))
}

pub struct Report(Value);

impl Report {
    /// Stage, step and first difference of each stage that differs.
    pub fn differing(&self) -> Vec<(String, Value)> {
        let findings = self.0["findings"].as_array().unwrap().iter();
        let differing = findings.filter_map(|finding| {
            let first = finding["outcome"]["differs"].get(0)?.clone();
            Some((finding["stage"].as_str().unwrap().to_owned(), first))
        });
        differing.collect()
    }

    /// Stages that were compared and are equal.
    pub fn same(&self) -> Vec<String> {
        let findings = self.0["findings"].as_array().unwrap().iter();
        let same = findings.filter(|finding| finding["outcome"].get("same").is_some());
        same.map(|finding| finding["stage"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Why a stage was not compared.
    pub fn not_compared(&self, stage: &str) -> Option<String> {
        let findings = self.0["findings"].as_array().unwrap();
        let finding = findings.iter().find(|finding| finding["stage"] == stage)?;
        let reason = finding["outcome"].get("not_compared")?;
        Some(reason.as_str().unwrap().to_owned())
    }

    pub fn explanation(&self) -> String {
        let sentences = self.0["explanation"].as_array().unwrap().iter();
        let sentences = sentences.map(|sentence| sentence.as_str().unwrap());
        sentences.collect::<Vec<_>>().join("\n")
    }
}

/// Numbers with a point differ between machines in their last digits, and so do counts of values that differ.
pub fn redacted(text: &str) -> String {
    let is_number = |word: &str| word.contains(['.', 'e']) && word.parse::<f64>().is_ok();
    let redact = |line: &str| {
        let counts = line.contains("values differ");
        let is_measured = |word: &str| is_number(word) || counts && word.parse::<u64>().is_ok();
        let words = line.split(' ');
        let words = words.map(|word| if is_measured(word) { "#" } else { word });
        words.collect::<Vec<_>>().join(" ")
    };
    text.lines().map(redact).collect::<Vec<_>>().join("\n")
}
