//! `ffn plan` for a GPU, and that a run takes what it says.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::gpu::{curve, on_gpu};
use crate::program::{self, InTime, stderr, stdout};

const TINY: &str = "fixtures/experiments/tiny.ron";

/// The table of memory and what follows it.
fn memory(command: &mut Command) -> String {
    let output = command.in_time();
    program::expect(&output, 0);
    let text = stdout(&output);
    let (_, table) = text.split_once("memory on").unwrap();
    let (table, _) = table.split_once("\ntraining:").unwrap();
    table.to_owned()
}

#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn a_gpu_that_is_there() {
    if let Some(mut command) = on_gpu(&["plan", TINY, "--device", "cuda:0"]) {
        insta::assert_snapshot!(memory(&mut command));
    }
}

#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn a_gpu_that_is_too_small() {
    for (name, bytes) in [("smaller_batch", "9000000"), ("no_batch", "3000000")] {
        if let Some(mut command) = on_gpu(&["plan", TINY, "--device", "cuda:0"]) {
            insta::assert_snapshot!(name, memory(command.env("EMULATED_BYTES", bytes)));
        }
    }
}

/// What only a GPU can tell is left out and named.
#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn no_gpu() {
    if let Some(mut command) = on_gpu(&["plan", TINY, "--device", "cuda:0"]) {
        insta::assert_snapshot!(memory(command.env("EMULATED_GPUS", "0")));
    }
}

#[test]
fn the_reference_has_no_plan_on_a_gpu() {
    let arguments = ["plan", TINY, "--device", "cuda:0", "--engine", "dfdx"];
    let output = program::ffn(&arguments);
    program::expect(&output, 2);
    insta::assert_snapshot!(stderr(&output));
}

/// The tiny experiment with a last evaluation batch that is smaller than the others.
fn uneven(folder: &Path) -> PathBuf {
    program::copy(Path::new("fixtures/experiments/pins"), &folder.join("pins"));
    let text = std::fs::read_to_string(TINY).unwrap();
    let text = text.replace("batch: 4, every: 2", "batch: 3, every: 0");
    let file = folder.join("uneven.ron");
    std::fs::write(&file, text.replace("epochs: 4", "epochs: 1")).unwrap();
    file
}

/// What a run of this file in this engine takes.
fn planned(file: &str, engine: &str) -> Option<u64> {
    let device = ["--device", "cuda:0", "--engine", engine];
    let arguments = [&["plan", file, "--json"], &device[..]].concat();
    let output = on_gpu(&arguments)?.in_time();
    program::expect(&output, 0);
    let plan: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let engines = plan["on_gpu"]["engines"].as_array().unwrap();
    assert_eq!(
        engines.len(),
        1 + 2 * 3,
        "training, two shapes of each frame count"
    );
    plan["on_gpu"]["bytes"].as_u64()
}

/// A GPU of exactly the planned bytes is large enough, and one that has one byte less is too small, which is found before the
/// first step.
#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn a_run_takes_what_is_planned() {
    let folder = tempfile::tempdir().unwrap();
    let file = uneven(folder.path());
    let file = file.to_str().unwrap();
    for engine in ["compiled", "compiled-bf16"] {
        let Some(planned) = planned(file, engine) else {
            return;
        };
        for (bytes, code, steps) in [(planned, 0, 3), (planned - 1, 7, 0)] {
            let bytes = bytes.to_string();
            let out = folder.path().join(format!("{engine}-{bytes}"));
            let out_text = out.to_str().unwrap();
            let arguments = ["run", file, "--device", "cuda:0", "--engine", engine];
            let arguments = [&arguments[..], &["--out", out_text]].concat();
            let mut command = on_gpu(&arguments).unwrap();
            let output = command.env("EMULATED_BYTES", bytes).in_time();
            program::expect(&output, code);
            assert_eq!(curve(&out).len(), steps);
            let is_full = stderr(&output).contains("are free (CUDA_ERROR_OUT_OF_MEMORY)");
            assert_eq!(is_full, steps == 0);
        }
    }
}
