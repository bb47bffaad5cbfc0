//! A step in several passes.

use std::path::Path;

use crate::support::*;

/// The first step's line of metrics, and the run's results.
fn train(out: &Path, settings: &[&str], flags: &[&str]) -> serde_json::Value {
    let mut arguments = vec!["run", TINY, "--out", out.to_str().unwrap()];
    for setting in settings {
        arguments.extend(["--set", setting]);
    }
    arguments.extend(flags);
    expect(&ffn(&arguments), 0);
    let metrics = std::fs::read_to_string(only_run(out).join("metrics.jsonl")).unwrap();
    serde_json::from_str(metrics.lines().next().unwrap()).unwrap()
}

/// With norm groups of two clips a step computes the same however its passes are cut, but for the order of sums.
#[test]
fn shards_are_the_same_step() {
    let place = tempfile::tempdir().unwrap();
    let first = |shards: &str| {
        let out = place.path().join(shards);
        let shards = format!("train.shards={shards}");
        train(
            &out,
            &["train.norm_clips=2", "train.epochs=2", &shards],
            &[],
        )
    };
    let whole = first("1");
    for shards in ["2", "4"] {
        let step = first(shards);
        assert_eq!(step["accuracy"], whole["accuracy"]);
        for number in ["loss", "grad_norm"] {
            let [one, other] = [&whole, &step].map(|step| step[number].as_f64().unwrap());
            assert!((one / other - 1.0).abs() < 1e-5, "{number}: {one}, {other}");
        }
    }
}

/// Which threads and workers there are changes nothing, and neither does the engine that the first is held to.
#[test]
fn shards_are_reproducible() {
    let place = tempfile::tempdir().unwrap();
    let settings = ["train.norm_clips=2", "train.shards=4", "train.epochs=2"];
    let out = ["a", "b"].map(|name| place.path().join(name));
    train(&out[0], &settings, &["--threads", "1", "--workers", "1"]);
    train(&out[1], &settings, &["--threads", "2", "--workers", "3"]);
    let [a, b] = out.map(|out| results(&only_run(&out)));
    assert_same(&a, &b);

    let text = std::fs::read_to_string(TINY).unwrap();
    let text = text.replace("batch: 8,", "batch: 8, shards: 4, norm_clips: 2,");
    std::fs::create_dir(place.path().join("pins")).unwrap();
    let pins = "pins/tiny.pins.ron";
    std::fs::copy(
        Path::new("fixtures/experiments").join(pins),
        place.path().join(pins),
    )
    .unwrap();
    let file = place.path().join("sharded.ron");
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let output = ffn(&["why", file, file, "--engine-b", "dfdx", "--steps", "2"]);
    expect(&output, 0);
}
