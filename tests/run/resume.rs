//! Killed and resumed, a run ends with the bytes of one that was never killed.

use std::path::{Path, PathBuf};
use std::process::Child;

use crate::support::*;

pub fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    let status = std::process::Command::new("kill")
        .args([name, &id])
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn killed_at_any_point_it_ends_the_same() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path();
    let machines = [["1", "3"], ["2", "1"], ["3", "2"]];
    // Steps after which it is killed: in an epoch, at its end, soon after a resumption.
    let mut done = 0;
    for (attempt, more) in [1, 4, 2, 3, 0, 5].into_iter().enumerate() {
        let [threads, workers] = machines[attempt % machines.len()];
        let flags = [
            "--threads",
            threads,
            "--workers",
            workers,
            "--checkpoint-minutes",
            "0",
        ];
        let flags = if attempt % 2 == 0 {
            &flags[..4]
        } else {
            &flags[..]
        };
        let mut child = start_tiny(out, flags);
        done = done.min(steps(out)) + more;
        wait_for_steps(&mut child, out, done);
        child.kill().unwrap();
        child.wait().unwrap();
        done = steps(out);
    }
    let output = run_tiny(out, &["--threads", "2", "--workers", "3"]);
    expect(&output, 0);
    assert_same(&results(&only_run(out)), &results(undisturbed()));
    expect(&ffn(&["verify", only_run(out).to_str().unwrap()]), 0);
}

/// Two pathways and Nesterov's momentum; attention, drop path, and AdamW, whose state is two moments and a count of steps.
#[test]
fn every_architecture_ends_the_same() {
    let experiments = [
        ("ffn_slowfast_miniature", "epochs: 10"),
        ("ffn_uniformer_miniature", "epochs: 18"),
    ];
    for (name, epochs) in experiments {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        let text = std::fs::read_to_string(format!("experiments/{name}.ron")).unwrap();
        let edits = [
            ("train: 1600, validation: 320", "train: 16, validation: 8"),
            (epochs, "epochs: 3"),
            ("batch: 8", "batch: 4"),
        ];
        let small = edits
            .iter()
            .fold(text, |text, (from, to)| text.replacen(from, to, 1));
        let file = path("small.ron");
        std::fs::write(&file, small).unwrap();
        let arguments = |out: &Path, threads| {
            let [file, out] = [file.as_path(), out].map(|path| path.to_str().unwrap().to_owned());
            let flags = ["--unpinned", "--threads", threads].map(str::to_owned);
            [
                &["run".to_owned(), file, "--out".to_owned(), out][..],
                &flags,
            ]
            .concat()
        };
        let start = |out: &Path, threads| {
            let arguments = arguments(out, threads);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let mut command = command(&arguments);
            command.env("FFN_DATA_MINIATURE", path("data"));
            command.spawn().unwrap()
        };
        expect(&start(&path("whole"), "1").in_time(), 0);
        let mut child = start(&path("killed"), "1");
        assert!(wait_for_steps(&mut child, &path("killed"), 6), "{name}");
        child.kill().unwrap();
        child.wait().unwrap();
        expect(&start(&path("killed"), "2").in_time(), 0);
        let [whole, killed] = ["whole", "killed"].map(|run| results(&only_run(&path(run))));
        assert_same(&whole, &killed);
    }
}

#[cfg(unix)]
#[test]
fn stopped_by_sigterm_it_saves_and_ends_the_same() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path();
    let mut child = start_tiny(out, &[]);
    assert!(wait_for_steps(&mut child, out, 2));
    signal(&child, "-TERM");
    let output = child.in_time();
    expect(&output, 75);
    let message = stderr(&output);
    assert!(
        message.contains("a signal asked for it; everything is saved in"),
        "{message}"
    );
    let saved = steps(out);
    let checkpoint = format!("checkpoints/step-{saved:08}/state.json");
    assert!(
        only_run(out).join(checkpoint).exists(),
        "saved at the step it stopped at"
    );
    expect(&run_tiny(out, &["--threads", "1"]), 0);
    assert_same(&results(&only_run(out)), &results(undisturbed()));
}

#[test]
fn stopped_by_the_clock_it_ends_the_same() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path();
    let output = run_tiny(out, &["--max-minutes", "0"]);
    expect(&output, 75);
    assert!(stderr(&output).contains("--max-minutes 0 are over"));
    expect(&run_tiny(out, &["--max-minutes", "10"]), 0);
    assert_same(&results(&only_run(out)), &results(undisturbed()));
}

#[test]
fn a_finished_run_is_left_as_it_is() {
    let place = tempfile::tempdir().unwrap();
    let run = place.path().join(undisturbed().file_name().unwrap());
    copy(undisturbed(), &run);
    let before = std::fs::read(run.join("history.json")).unwrap();
    let output = run_tiny(place.path(), &[]);
    expect(&output, 0);
    assert!(stdout(&output).contains("is finished already"));
    assert!(stdout(&output).contains("top-1"));
    assert_eq!(std::fs::read(run.join("history.json")).unwrap(), before);
}

/// A run that stopped after some steps, with two checkpoints.
fn stopped_with_two_checkpoints(out: &Path) -> Vec<PathBuf> {
    let mut child = start_tiny(out, &["--checkpoint-minutes", "0"]);
    assert!(wait_for_steps(&mut child, out, 4));
    child.kill().unwrap();
    child.wait().unwrap();
    let mut checkpoints = checkpoints(&only_run(out));
    // The kill may have come while an old one was removed, whose state goes first.
    checkpoints.retain(|path| path.join("state.json").exists());
    assert!(checkpoints.len() >= 2, "{checkpoints:?}");
    checkpoints
}

#[test]
fn a_damaged_checkpoint_is_passed_over_and_said() {
    for name in ["model.safetensors", "optimizer.safetensors", "state.json"] {
        let place = tempfile::tempdir().unwrap();
        let checkpoints = stopped_with_two_checkpoints(place.path());
        flip_bit(&checkpoints.last().unwrap().join(name));
        let output = run_tiny(place.path(), &[]);
        expect(&output, 0);
        assert!(
            stderr(&output).contains("warning: going on from step"),
            "{}",
            stderr(&output)
        );
        assert!(stderr(&output).contains(name), "{}", stderr(&output));
        assert_same(&results(&only_run(place.path())), &results(undisturbed()));
    }
}

/// Only of an old checkpoint the state may be gone: a kill leaves it so.
#[test]
fn a_last_checkpoint_without_its_state_is_told() {
    let place = tempfile::tempdir().unwrap();
    let checkpoints = stopped_with_two_checkpoints(place.path());
    let run = only_run(place.path());
    let verify = || ffn(&["verify", run.to_str().unwrap()]);
    let told = |output: &std::process::Output| {
        [stdout(output), stderr(output)]
            .concat()
            .contains("state.json")
    };
    std::fs::remove_file(checkpoints[0].join("state.json")).unwrap();
    assert!(!told(&verify()));
    std::fs::remove_file(checkpoints.last().unwrap().join("state.json")).unwrap();
    let output = verify();
    assert!(told(&output), "{}{}", stdout(&output), stderr(&output));
}

#[test]
fn where_every_checkpoint_is_damaged_it_stops_and_touches_nothing() {
    let place = tempfile::tempdir().unwrap();
    for checkpoint in stopped_with_two_checkpoints(place.path()) {
        let model = checkpoint.join("model.safetensors");
        let bytes = std::fs::read(&model).unwrap();
        std::fs::write(&model, &bytes[..bytes.len() - 1]).unwrap();
    }
    let run = only_run(place.path());
    let before = results(&run);
    let output = run_tiny(place.path(), &[]);
    expect(&output, 5);
    assert!(stderr(&output).contains("is intact"), "{}", stderr(&output));
    assert_same(&results(&run), &before);
}

#[test]
fn changed_metrics_are_refused() {
    let place = tempfile::tempdir().unwrap();
    stopped_with_two_checkpoints(place.path());
    let metrics = only_run(place.path()).join("metrics.jsonl");
    let text = std::fs::read_to_string(&metrics).unwrap();
    std::fs::write(&metrics, text.replacen("\"step\":0", "\"step\":9", 1)).unwrap();
    let output = run_tiny(place.path(), &[]);
    expect(&output, 5);
    assert!(
        stderr(&output).contains("are not those of the checkpoint"),
        "{}",
        stderr(&output)
    );
}

/// A run folder of an earlier version, with `momentum.safetensors` in its checkpoints, goes on to the same bytes.
#[test]
fn a_run_with_the_momentum_of_earlier_versions_ends_the_same() {
    // Before the first step, when there is no momentum; and after some.
    let begun = tempfile::tempdir().unwrap();
    expect(&run_tiny(begun.path(), &["--max-minutes", "0"]), 75);
    let under_way = tempfile::tempdir().unwrap();
    stopped_with_two_checkpoints(under_way.path());
    for place in [begun, under_way] {
        let run = only_run(place.path());
        as_earlier_versions(&run);
        expect(&ffn(&["verify", run.to_str().unwrap()]), 0);
        let output = run_tiny(place.path(), &[]);
        expect(&output, 0);
        assert!(!stderr(&output).contains("warning"), "{}", stderr(&output));
        assert_same(&results(&run), &results(undisturbed()));
    }
}

/// So does what reads a finished one.
#[test]
fn a_finished_run_of_earlier_versions_is_read() {
    let place = tempfile::tempdir().unwrap();
    let run = place.path().join(undisturbed().file_name().unwrap());
    copy(undisturbed(), &run);
    let (text, clip) = (run.to_str().unwrap(), some_clip());
    let commands = [
        vec!["predict", text, clip.to_str().unwrap(), "--json"],
        vec!["eval", text, "--json"],
        vec!["verify", text],
    ];
    let before = commands.each_ref().map(|arguments| ffn(arguments));
    as_earlier_versions(&run);
    assert!(
        results(&run)
            .keys()
            .any(|name| name.ends_with("momentum.safetensors"))
    );
    for (arguments, before) in commands.iter().zip(&before) {
        let after = ffn(arguments);
        expect(&after, 0);
        assert_eq!(stdout(&after), stdout(before));
    }
    // Beside a run of this version it is the same, tensor by tensor.
    let other = undisturbed().to_str().unwrap();
    let compared = ffn(&["why", text, other, "--steps", "0"]);
    expect(&compared, 0);
    let said = stdout(&compared);
    assert!(
        said.contains("weights and optimiser after step 12"),
        "{said}"
    );
}

/// An optimiser's state that was not written by this run is refused as a whole, whatever seals say.
#[test]
fn a_foreign_state_of_the_optimizer_is_refused() {
    let place = tempfile::tempdir().unwrap();
    stopped_with_two_checkpoints(place.path());
    let run = only_run(place.path());
    for checkpoint in checkpoints(&run) {
        let path = checkpoint.join("optimizer.safetensors");
        let bytes = std::fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(1 << 20)]).into_owned();
        let from = text.find("momentum/base_model.conv1").unwrap();
        let mut changed = bytes;
        changed[from..from + 8].copy_from_slice(b"exp_avgs");
        std::fs::write(&path, changed).unwrap();
        list_again(&checkpoint);
    }
    let refused = run_tiny(place.path(), &[]);
    expect(&refused, 5);
    let message = stderr(&refused);
    assert!(
        message.contains("optimizer.safetensors`: the optimiser's state does not fit the model"),
        "{message}"
    );
    assert!(
        message.contains("missing    momentum/base_model.conv1.weight"),
        "{message}"
    );
    assert!(
        message.contains("unexpected exp_avgs/base_model.conv1.weight"),
        "{message}"
    );
    assert!(
        message.contains("hint: bring the checkpoint back"),
        "{message}"
    );
}

/// Another engine would go on with other last bits.
#[test]
fn a_run_of_another_engine_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path();
    expect(&run_tiny(out, &["--max-minutes", "0"]), 75);
    let refused = run_tiny(out, &["--engine", "dfdx"]);
    expect(&refused, 5);
    insta::assert_snapshot!(stderr(&refused));
    expect(&run_tiny(out, &[]), 0);
    expect(&run_tiny(out, &["--engine", "dfdx"]), 5);
}
