//! The program on the emulated GPU, as a person calls it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::emulated::libraries;
use crate::program::{self, InTime, stderr, stdout};

/// `ffn` where the GPU's libraries are named; `None` where they cannot be built.
pub fn on_gpu(arguments: &[&str]) -> Option<Command> {
    let mut command = program::command(arguments);
    command.env("FFN_CUDA_LIBRARIES", libraries()?);
    Some(command)
}

/// A finished run of the tiny experiment in `out`, with these flags behind.
fn run(out: &Path, flags: &[&str]) -> Option<Output> {
    let out = out.to_string_lossy();
    let arguments = ["run", "fixtures/experiments/tiny.ron", "--out", &out];
    let output = on_gpu(&[&arguments, flags].concat())?.in_time();
    Some(output)
}

/// The only run in `out`.
fn only_run(out: &Path) -> PathBuf {
    let mut runs = std::fs::read_dir(out).unwrap();
    runs.next().unwrap().unwrap().path()
}

/// Begins the tiny experiment on the GPU and kills it after some steps, with a checkpoint after each.
fn kill_in_the_middle(out: &Path, engine: &str) {
    let out_text = out.to_string_lossy();
    let arguments = [
        "run",
        "fixtures/experiments/tiny.ron",
        "--out",
        &out_text,
        "--device",
        "cuda:0",
        "--engine",
        engine,
        "--checkpoint-minutes",
        "0",
    ];
    let mut child = on_gpu(&arguments).unwrap().spawn().unwrap();
    let steps = || {
        let run = std::fs::read_dir(out).ok()?.next()?.ok()?;
        let metrics = std::fs::read_to_string(run.path().join("metrics.jsonl")).ok()?;
        Some(metrics.lines().count())
    };
    program::limit::wait_until("five steps", || {
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none(), "it ended before it was killed");
        steps().unwrap_or(0) >= 5
    });
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The bytes that training ends with.
fn learnt(out: &Path) -> [Vec<u8>; 2] {
    let checkpoint = only_run(out).join("checkpoints/step-00000012");
    ["model.safetensors", "optimizer.safetensors"]
        .map(|name| std::fs::read(checkpoint.join(name)).unwrap())
}

/// What training recorded: loss and gradient norm of each step.
pub fn curve(out: &Path) -> Vec<(f64, f64)> {
    let metrics = std::fs::read_to_string(only_run(out).join("metrics.jsonl")).unwrap();
    let records = metrics.lines().map(|line| {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        (
            record["loss"].as_f64().unwrap(),
            record["grad_norm"].as_f64().unwrap(),
        )
    });
    records.collect()
}

/// The official code's results, forward, backward and two steps of the optimiser.
#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn goldens() {
    let bundles = ["golden/tsm_r18_train", "golden/ffn_r18_eval"];
    for engine in ["compiled", "compiled-bf16"] {
        let flags = ["golden", "verify", "--device", "cuda:0", "--engine", engine];
        let arguments = [flags.as_slice(), &bundles].concat();
        if let Some(mut command) = on_gpu(&arguments) {
            let output = command.in_time();
            program::expect(&output, 0);
            let text = stdout(&output);
            assert!(text.contains("bundles: 2"), "{text}");
        }
    }
}

/// A run on the GPU has the CPU's curve and says where it ran; killed, it goes on to the same bits, or on the CPU.
#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn runs() {
    // Twelve steps amplify the last bits of float32 little.
    check_runs("compiled", 1e-3);
}

/// What cannot be captured runs step by step, to the same bits.
#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn runs_where_nothing_can_be_captured() {
    let [captured, stepwise] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let Some(output) = run(captured.path(), &["--device", "cuda:0"]) else {
        return;
    };
    program::expect(&output, 0);
    let out = stepwise.path().to_string_lossy();
    let file = "fixtures/experiments/tiny.ron";
    let arguments = ["run", file, "--out", &out, "--device", "cuda:0"];
    let mut command = on_gpu(&arguments).unwrap();
    let output = command.env("EMULATED_CAPTURE", "0").in_time();
    program::expect(&output, 0);
    let text = stderr(&output);
    assert!(
        text.contains("capture a graph") && text.contains("run step by step"),
        "{text}"
    );
    assert!(
        learnt(captured.path()) == learnt(stepwise.path()),
        "other bits"
    );
}

/// `precision: Mixed` is bf16 on a GPU.
#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn runs_in_mixed_precision() {
    check_runs("compiled-bf16", 0.05);
}

fn check_runs(engine: &str, tolerance: f64) {
    let [cpu, cuda, again, moved] = [(); 4].map(|()| tempfile::tempdir().unwrap());
    let run = |out: &Path, flags: &[&str]| run(out, &[flags, &["--engine", engine]].concat());
    let Some(output) = run(cuda.path(), &["--device", "cuda:0"]) else {
        return;
    };
    program::expect(&output, 0);
    let text = stdout(&output) + &stderr(&output);
    assert!(
        text.contains(&format!("engine {engine} on cuda:0")),
        "{text}"
    );
    program::expect(&run(cpu.path(), &["--device", "cpu"]).unwrap(), 0);
    kill_in_the_middle(again.path(), engine);
    program::copy(again.path(), moved.path());
    program::expect(&run(again.path(), &["--device", "cuda:0"]).unwrap(), 0);
    program::expect(&run(moved.path(), &["--device", "cpu"]).unwrap(), 0);

    let (expected, on_gpu) = (curve(cpu.path()), curve(cuda.path()));
    assert_eq!(expected.len(), 12);
    assert_eq!(on_gpu, curve(again.path()));
    assert!(learnt(cuda.path()) == learnt(again.path()), "other bits");
    for curve in [on_gpu, curve(moved.path())] {
        for (found, expected) in curve.into_iter().zip(&expected) {
            let apart = |a: f64, b: f64| (a - b).abs() / b.abs();
            let far = apart(found.0, expected.0).max(apart(found.1, expected.1));
            assert!(far < tolerance, "{found:?}, on the CPU {expected:?}");
        }
    }
}

/// `ffn why` holds every node of a step on the GPU against the CPU's.
#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn why_between_devices() {
    let file = "fixtures/experiments/tiny.ron";
    let arguments = ["why", file, file, "--device-b", "cuda:0"];
    if let Some(mut command) = on_gpu(&arguments) {
        let output = command.in_time();
        program::expect(&output, 0);
        let text = stdout(&output);
        assert!(
            text.contains("compiled on cuda:0") && text.contains("effect  none"),
            "{text}"
        );
    }
}

/// `ffn bench` gives the GPU's memory as the peak.
#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn bench() {
    let file = "fixtures/experiments/tiny.ron";
    for what in ["train", "eval"] {
        let arguments = [
            "bench",
            what,
            file,
            "--device",
            "cuda:0",
            "--repeats",
            "1",
            "--json",
        ];
        if let Some(mut command) = on_gpu(&arguments) {
            let output = command.in_time();
            program::expect(&output, 0);
            let report: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
            assert_eq!(report["peak_of"], "the engine on the GPU");
            let profile = report["profile"].as_array().unwrap().iter();
            let seconds = profile
                .map(|kind| kind["seconds"].as_f64().unwrap())
                .sum::<f64>();
            assert!(seconds > 0.0, "{report}");
            let limits = &report["limits"];
            assert_eq!(limits["products_by"], "cuDNN on a square product");
            for limit in ["multiply_adds", "bytes"] {
                let rate = limits[limit].as_f64().unwrap();
                assert!((1e6..1e13).contains(&rate), "{limits}");
            }
            assert!(report["peak_bytes"].as_u64().unwrap() > 100_000);
            let class = report["machine"]["device_class"].as_str().unwrap();
            assert_eq!(class, "cuda Emulated GPU, NVRTC 13.0, cuDNN 9.19");
        }
    }
}

/// Of the emulated cuDNN's algorithms the fastest, of a millisecond, is not deterministic, and the one that is used takes
/// three.
#[test]
fn bench_algorithms() {
    let file = "fixtures/experiments/tiny.ron";
    let arguments = ["bench", "algorithms", file, "--device", "cuda:0"];
    if let Some(mut command) = on_gpu(&arguments) {
        let output = command.in_time();
        program::expect(&output, 0);
        insta::assert_snapshot!(stdout(&output));
    }
    let output = program::ffn(&["bench", "algorithms", file, "--device", "cpu"]);
    program::expect(&output, 2);
    assert!(stderr(&output).contains("run on a GPU alone"));
}

#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn too_little_memory_is_found_before_the_first_step() {
    let out = tempfile::tempdir().unwrap();
    let out = out.path().to_string_lossy();
    let arguments = [
        "run",
        "fixtures/experiments/tiny.ron",
        "--device",
        "cuda:0",
        "--out",
        &out,
    ];
    if let Some(mut command) = on_gpu(&arguments) {
        let output = command.env("EMULATED_BYTES", "2000000").in_time();
        program::expect(&output, 7);
        let text = stderr(&output);
        let (_, error) = text.split_once("error: ").unwrap();
        insta::assert_snapshot!(error);
    }
}

#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn gpus_that_are_not_there() {
    let cases = [
        ("absent", "cuda:1", 7),
        // The second rank of a machine takes the second.
        ("absent", "cuda", 7),
        ("no_number", "cuda:", 2),
        ("unknown", "gpu", 2),
    ];
    for (name, device, code) in cases {
        let arguments = [
            "golden",
            "verify",
            "golden/tsm_r18_train",
            "--device",
            device,
        ];
        if let Some(mut command) = on_gpu(&arguments) {
            let output = command.env("LOCAL_RANK", "1").in_time();
            program::expect(&output, code);
            insta::assert_snapshot!(name, stderr(&output));
        }
    }
}

#[test]
fn the_reference_stays_on_the_cpu() {
    let bundle = "golden/tsm_r18_train";
    let arguments = [
        "golden", "verify", bundle, "--device", "cuda:0", "--engine", "dfdx",
    ];
    let output = program::ffn(&arguments);
    program::expect(&output, 2);
    insta::assert_snapshot!(stderr(&output));
}
