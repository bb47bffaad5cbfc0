//! Whole runs: what is refused, what stops them, what is left, what it is used for.

use std::path::{Path, PathBuf};

use crate::support::*;

/// A finished run of the tiny experiment, in a folder of its own.
fn finished(place: &Path) -> PathBuf {
    let run = place.join(undisturbed().file_name().unwrap());
    copy(undisturbed(), &run);
    run
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The tiny experiment with one change, in a folder of its own.
fn changed(place: &Path, from: &str, to: &str) -> PathBuf {
    let path = place.join("changed.ron");
    let tiny = std::fs::read_to_string(TINY).unwrap();
    assert!(tiny.contains(from), "{from}");
    std::fs::write(&path, tiny.replacen(from, to, 1)).unwrap();
    path
}

#[test]
fn two_runs_have_the_same_bytes() {
    let place = tempfile::tempdir().unwrap();
    expect(
        &run_tiny(place.path(), &["--threads", "2", "--workers", "2"]),
        0,
    );
    assert_same(&results(&only_run(place.path())), &results(undisturbed()));
}

#[test]
fn a_second_process_on_one_run_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let mut first = start_tiny(place.path(), &[]);
    assert!(wait_for_steps(&mut first, place.path(), 1));
    let second = run_tiny(place.path(), &[]);
    first.kill().unwrap();
    first.wait().unwrap();
    expect(&second, 5);
    assert!(
        stderr(&second).contains("another process works on the run"),
        "{}",
        stderr(&second)
    );
    // The lock of the killed process went with it.
    expect(&run_tiny(place.path(), &[]), 0);
}

#[test]
fn another_experiment_is_refused_with_the_differences() {
    let place = tempfile::tempdir().unwrap();
    let run = finished(place.path());
    let other = changed(place.path(), "lr: 0.02", "lr: 0.03");
    let output = ffn(&["run", text(&other), "--resume", text(&run)]);
    expect(&output, 5);
    insta::assert_snapshot!(stderr(&output).replace(text(place.path()), "PLACE"));
}

#[test]
fn a_rate_beyond_reason_stops_with_step_clips_and_rate() {
    let place = tempfile::tempdir().unwrap();
    let wild = changed(
        place.path(),
        "Sgd(lr: 0.02)",
        "Sgd(lr: 100.0, weight_decay: 1.0, clip: None)",
    );
    let out = place.path().join("runs");
    let output = ffn(&["run", text(&wild), "--unpinned", "--out", text(&out)]);
    expect(&output, 6);
    let message = stderr(&output);
    for part in [
        "training diverged at step",
        "learning rate",
        "clips of the step: ",
        "hint: ",
    ] {
        assert!(message.contains(part), "no `{part}` in: {message}");
    }
    let output = ffn(&["runs", text(&out)]);
    assert!(stdout(&output).contains("diverged"), "{}", stdout(&output));
    expect(&ffn(&["verify", text(&only_run(&out))]), 0);
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_is_an_error_that_names_it() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    std::fs::write(&file, "").unwrap();
    let output = run_tiny(&file.join("runs"), &[]);
    expect(&output, 8);
    assert!(stderr(&output).contains("file/runs"), "{}", stderr(&output));
}

#[test]
fn missing_data_are_one_error_that_says_how_to_get_them() {
    let mut command = command(&["run", "experiments/ffn_tsm_sthv2.ron"]);
    let output = command.env_remove("FFN_DATA_STHV2").in_time();
    expect(&output, 4);
    let message = stderr(&output).replace(text(&data()), "DATA");
    insta::assert_snapshot!(message);
}

#[test]
fn data_that_changed_are_refused() {
    let place = tempfile::tempdir().unwrap();
    expect(&run_tiny(place.path(), &["--max-minutes", "0"]), 75);
    let output = run_tiny(place.path(), &["--unpinned"]);
    expect(&output, 5);
    let message = stderr(&output);
    assert!(
        message.contains("the data changed since the run began"),
        "{message}"
    );
}

#[test]
fn unpinned_data_are_told_wherever_a_result_is() {
    let place = tempfile::tempdir().unwrap();
    let output = run_tiny(place.path(), &["--unpinned"]);
    expect(&output, 0);
    assert!(stdout(&output).contains("UNPINNED"), "{}", stdout(&output));
    assert!(
        stdout(&output).contains("(unpinned)"),
        "{}",
        stdout(&output)
    );
    let run = only_run(place.path());
    let manifest = std::fs::read_to_string(run.join("manifest.json")).unwrap();
    assert!(manifest.contains("\"pins\": \"unpinned\""));
    let summary = std::fs::read_to_string(run.join("eval/4.json")).unwrap();
    assert!(summary.contains("\"pinned\": false"));
    let tables = [
        run_tiny(place.path(), &[]),
        ffn(&["runs", text(place.path())]),
        ffn(&["eval", text(&run), "--frames", "4", "--unpinned"]),
    ];
    for output in tables {
        expect(&output, 0);
        assert!(stdout(&output).contains("unpinned"), "{}", stdout(&output));
    }
}

#[test]
fn a_flipped_bit_in_any_file_is_found() {
    let place = tempfile::tempdir().unwrap();
    let run = finished(place.path());
    expect(&ffn(&["verify", text(&run)]), 0);
    let mut names: Vec<String> = results(&run).into_keys().collect();
    names.extend(["history.json", "log.txt", "timing.jsonl"].map(str::to_owned));
    for name in names {
        let before = std::fs::read(run.join(&name)).unwrap();
        flip_bit(&run.join(&name));
        let output = ffn(&["verify", text(&run)]);
        expect(&output, 1);
        let file = name.rsplit('/').next().unwrap();
        assert!(
            stderr(&output).contains(file),
            "{name}: {}",
            stderr(&output)
        );
        std::fs::write(run.join(&name), before).unwrap();
    }
    std::fs::remove_file(run.join("eval/4.json")).unwrap();
    let output = ffn(&["verify", text(&run)]);
    expect(&output, 1);
    assert!(
        stderr(&output).contains("is missing"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn evaluation_at_other_frame_counts_takes_the_nearest_branch() {
    let place = tempfile::tempdir().unwrap();
    let run = finished(place.path());
    let flags = ["eval", text(&run), "--frames", "8,1,3,2"];
    let output = ffn(&flags);
    expect(&output, 0);
    let table = stdout(&output);
    let columns = |line: &str| {
        line.split_whitespace()
            .skip(1)
            .take(2)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let branches: Vec<String> = table.lines().skip(1).map(columns).collect();
    assert_eq!(branches, ["1 2", "2 2", "3 4", "8 4"]);
    let before = results(&run);
    expect(&ffn(&["verify", text(&run)]), 0);

    let output = ffn(&[&flags[..], &["--save", "--json"]].concat());
    expect(&output, 0);
    let summaries: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(summaries[3]["branch"], 4);
    assert_eq!(
        results(&run)["eval/2.json"],
        before["eval/2.json"],
        "as the run's own evaluation"
    );
    assert!(run.join("eval/8.predictions.jsonl").exists());
    expect(&ffn(&["verify", text(&run)]), 0);
}

#[test]
fn prediction_agrees_with_evaluation() {
    let place = tempfile::tempdir().unwrap();
    let run = finished(place.path());
    let lines = std::fs::read_to_string(run.join("eval/4.predictions.jsonl")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    let video = data().join(format!("{}.webm", expected["id"].as_str().unwrap()));
    let flags = [
        "predict",
        text(&run),
        text(&video),
        "--frames",
        "4",
        "--top",
        "2",
    ];
    let output = ffn(&[&flags[..], &["--json"]].concat());
    expect(&output, 0);
    let answers: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    let top = &answers[0]["top"];
    assert_eq!(top.as_array().unwrap().len(), 2);
    assert_eq!(top[0]["class"], expected["predicted"]);
    assert_eq!(top[0]["probability"], expected["top"][0][1]);
    let output = ffn(&flags);
    expect(&output, 0);
    assert!(
        stdout(&output).contains("at 4 frames, by the branch of 4"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn a_broken_video_does_not_hide_the_others() {
    let place = tempfile::tempdir().unwrap();
    let run = finished(place.path());
    let good = data().join("1.webm");
    let broken = place.path().join("broken.webm");
    let bytes = std::fs::read(&good).unwrap();
    std::fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();
    let missing = place.path().join("missing.webm");
    let output = ffn(&[
        "predict",
        text(&run),
        text(&broken),
        text(&missing),
        text(&good),
    ]);
    expect(&output, 4);
    assert!(
        stdout(&output).contains("1.webm at 4 frames"),
        "{}",
        stdout(&output)
    );
    assert!(stderr(&output).contains("broken"), "{}", stderr(&output));
    assert!(stderr(&output).contains("missing"), "{}", stderr(&output));
}

#[test]
fn every_view_of_the_evaluation_is_tried_before_the_first_step() {
    let place = tempfile::tempdir().unwrap();
    let views = [
        "crops: Three, short_side: 28,",
        "sampling: Twice, short_side: 28, size: 24,",
        "sampling: Dense(window: 8, clips: 3), short_side: 28, size: 24,",
    ];
    for view in views {
        let path = changed(place.path(), "short_side: 24, size: 24,", view);
        let out = place.path().join("runs");
        let output = ffn(&[
            "run",
            text(&path),
            "--unpinned",
            "--out",
            text(&out),
            "--max-minutes",
            "0",
        ]);
        expect(&output, 75);
    }
}

#[test]
fn mixed_precision_is_bf16_or_told_to_be_float32() {
    let place = tempfile::tempdir().unwrap();
    let mixed = changed(place.path(), "precision: Float32", "precision: Mixed");
    let out = place.path().join("runs");
    let run = |out: &Path, engine: &[&str]| {
        let run = ["run", text(&mixed), "--unpinned", "--max-minutes", "0"];
        let output = ffn(&[&run[..], &["--out", text(out)], engine].concat());
        expect(&output, 75);
        let manifest = std::fs::read_to_string(only_run(out).join("manifest.json")).unwrap();
        (stdout(&output), manifest)
    };
    let told = "Mixed is declared; this run computes in Float32";
    let (said, manifest) = run(&out.join("a"), &["--engine", "compiled"]);
    assert!(said.contains(told), "{said}");
    assert!(manifest.contains("\"declared\": \"Mixed\",\n    \"computed\": \"Float32\""));
    // What a machine takes by itself depends on its processor, and it goes on with what it began with.
    for name in ["compiled-bf16", "compiled-amx"] {
        for engine in [&["--engine", name][..], &[]] {
            let (said, manifest) = run(&out.join(name), engine);
            assert!(!said.contains(told), "{said}");
            assert!(manifest.contains("\"declared\": \"Mixed\",\n    \"computed\": \"Bf16\""));
            assert!(manifest.contains(&format!("\"engine\": \"{name}\"")));
        }
    }
    let (said, manifest) = run(&out.join("c"), &[]);
    let device = serde_json::from_slice::<serde_json::Value>(&ffn(&["devices", "--json"]).stdout);
    let mixed = device.unwrap()["mixed"].as_str().unwrap().to_owned();
    assert!(manifest.contains(&format!("\"engine\": \"{mixed}\"")));
    assert_eq!(said.contains(told), mixed == "compiled");
    assert!(
        said.contains(&format!("`precision: Mixed` takes `{mixed}`")),
        "{said}"
    );
}

/// The weights of a run as if they came from elsewhere: the same result as the run's own.
#[test]
fn weights_of_another_program_are_evaluated_as_a_run_is() {
    let run = undisturbed();
    let checkpoint = std::fs::read_dir(run.join("checkpoints"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let model = checkpoint.path().join("model.safetensors");
    let summaries = |arguments: &[&str]| -> Vec<serde_json::Value> {
        let output = ffn(arguments);
        expect(&output, 0);
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let mut expected = summaries(&["eval", text(run), "--frames", "2,3,4,6", "--json"]);
    // Nobody knows how long the weights of a file were trained.
    expected
        .iter_mut()
        .for_each(|summary| summary["step"] = 0.into());
    let flags = ["--weights", text(&model), "--frames", "2,3,4,6", "--json"];
    assert_eq!(summaries(&[&["eval", TINY], &flags[..]].concat()), expected);

    let table = ffn(&["eval", TINY, "--weights", text(&model), "--frames", "4"]);
    assert!(
        stdout(&table).contains("\nmodel.safetensors"),
        "{}",
        stdout(&table)
    );
    let optimizer = checkpoint.path().join("optimizer.safetensors");
    let refused = ffn(&["eval", TINY, "--weights", text(&optimizer)]);
    expect(&refused, 4);
    assert!(
        stderr(&refused).contains("missing    base_model.bn1_2.running_mean"),
        "{}",
        stderr(&refused)
    );
}

/// The reference trains, stops, goes on and evaluates like any engine, and its results are nearly those of the compiled.
#[test]
fn the_dfdx_engine_goes_the_whole_way() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path();
    expect(
        &run_tiny(out, &["--engine", "dfdx", "--max-minutes", "0"]),
        75,
    );
    expect(&run_tiny(out, &["--engine", "dfdx"]), 0);
    let run = only_run(out);
    let manifest = std::fs::read_to_string(run.join("manifest.json")).unwrap();
    assert!(manifest.contains("\"engine\": \"dfdx\""));
    let first_loss = |run: &Path| -> f64 {
        let metrics = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        let record: serde_json::Value =
            serde_json::from_str(metrics.lines().next().unwrap()).unwrap();
        record["loss"].as_f64().unwrap()
    };
    let (compiled, dfdx) = (first_loss(undisturbed()), first_loss(&run));
    assert!((compiled - dfdx).abs() < 1e-5, "{compiled} {dfdx}");
}

/// A run of any engine is evaluated by any, but only its own keeps the result.
#[test]
fn a_run_is_evaluated_by_another_engine() {
    let run = text(undisturbed());
    let evaluated = |engine: &str| {
        let output = ffn(&["eval", run, "--engine", engine]);
        expect(&output, 0);
        stdout(&output)
    };
    assert_eq!(evaluated("dfdx-f64"), evaluated("compiled"));
    let refused = ffn(&["eval", run, "--engine", "dfdx", "--save"]);
    expect(&refused, 5);
    assert!(stderr(&refused).contains("the engine `compiled`, and `dfdx` is asked for"));
}

/// A golden bundle of a trained model: its weights go into the bundle, which then needs the run no more.
#[test]
fn a_runs_model_can_be_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle");
    let (run, out) = (text(undisturbed()), text(&bundle));
    expect(&ffn(&["golden", "record", run, "--out", out]), 0);
    let weights = std::fs::read(bundle.join("weights.safetensors")).unwrap();
    let checkpoints = std::fs::read_dir(undisturbed().join("checkpoints")).unwrap();
    let last = checkpoints.map(|c| c.unwrap().path()).max().unwrap();
    assert_eq!(
        weights,
        std::fs::read(last.join("model.safetensors")).unwrap()
    );
    expect(&ffn(&["golden", "verify", out]), 0);

    let unfit = ffn(&["golden", "record", text(folder.path()), "--out", "nowhere"]);
    expect(&unfit, 5);
    assert!(stderr(&unfit).contains("is not a run folder"));
}
