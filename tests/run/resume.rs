//! Killed and resumed, a run ends with the bytes of one that was never killed.

use std::path::{Path, PathBuf};
use std::process::Child;

use crate::support::*;

fn signal(child: &Child, name: &str) {
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

#[cfg(unix)]
#[test]
fn stopped_by_sigterm_it_saves_and_ends_the_same() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path();
    let mut child = start_tiny(out, &[]);
    assert!(wait_for_steps(&mut child, out, 2));
    signal(&child, "-TERM");
    let output = child.wait_with_output().unwrap();
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
    let folder = only_run(out).join("checkpoints");
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let named = |path: &PathBuf| {
        path.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("step-")
    };
    let mut checkpoints: Vec<PathBuf> = entries.filter(named).collect();
    checkpoints.sort();
    assert!(checkpoints.len() >= 2, "{checkpoints:?}");
    checkpoints
}

#[test]
fn a_damaged_checkpoint_is_passed_over_and_said() {
    for name in ["model.safetensors", "momentum.safetensors", "state.json"] {
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
