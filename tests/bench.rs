//! `ffn bench` through the binary: the work is done, and what it says of it hangs together. Speed itself is never tested.

#[path = "support/limit.rs"]
mod limit;

use std::process::{Command, Output};

use limit::InTime;
use serde_json::Value;

const TINY: &str = "fixtures/experiments/tiny.ron";

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ffn"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg("bench")
        .args(arguments)
        .in_time()
}

fn json(arguments: &[&str]) -> Value {
    let output = bench(arguments);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn training_and_evaluation_are_profiled() {
    for (work, factor) in [("train", 3), ("eval", 1)] {
        let report = json(&[work, TINY, "--repeats", "2", "--threads", "1", "--json"]);
        assert_eq!(report["seconds"].as_array().unwrap().len(), 2);
        let kinds = report["profile"].as_array().unwrap();
        let products: u64 = kinds
            .iter()
            .map(|kind| kind["multiply_adds"].as_u64().unwrap())
            .sum();
        // The first convolution has no input gradient.
        let whole = report["multiply_adds"].as_u64().unwrap();
        assert!(
            products <= whole && products > whole * (factor - 1) / factor,
            "{work}: {products} of {whole}"
        );
        let spent: f64 = kinds
            .iter()
            .map(|kind| kind["seconds"].as_f64().unwrap())
            .sum();
        let run = report["seconds"].as_array().unwrap();
        let most = run.iter().map(|s| s.as_f64().unwrap()).fold(0.0, f64::max);
        assert!(
            spent > 0.0 && spent <= most,
            "{work}: steps {spent} s, the longest run {most} s"
        );
    }
}

#[test]
fn a_profile_is_a_table() {
    let output = bench(&["train", TINY, "--repeats", "1", "--profile"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "training step: ",
        "throughput ",
        "convolution, weight gradient ",
        "norm, gradient ",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn loading_counts_clips_and_frames() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    let words = ["--steps", "2", "--repeats", "2", "--workers", "2", "--json"];
    let report = json(&[&["data", TINY, "--data-root", root], &words[..]].concat());
    assert_eq!(report["clips"], 2 * 8);
    assert_eq!(report["frames"], 2 * 8 * (2 + 4));
    assert_eq!(report["seconds"].as_array().unwrap().len(), 2);
}

#[test]
fn nothing_to_measure_is_an_error() {
    for (flag, most) in [("--batch", 65_536), ("--repeats", 1_000_000)] {
        let output = bench(&["eval", TINY, flag, "0"]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert_eq!(
            error,
            format!(
                "error: invalid value '0' for '{flag} <N>': expected a number from 1 to {most}\n\n\
                 For more information, try '--help'.\n"
            )
        );
    }
}
