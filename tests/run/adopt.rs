//! What does not change training does not repeat it.

use std::path::{Path, PathBuf};

use ffn::run::Folder;

use crate::support::*;

/// The run below `out` that is not `first`.
fn second_run(out: &Path, first: &Path) -> PathBuf {
    let folders = std::fs::read_dir(out).unwrap();
    let mut others = folders.map(|folder| folder.unwrap().path());
    others.find(|folder| folder != first).unwrap()
}

/// A folder with a copy of the finished tiny run, and that run.
fn finished() -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let first = place.path().join(undisturbed().file_name().unwrap());
    copy(undisturbed(), &first);
    (place, first)
}

fn trained_steps(run: &Path) -> u64 {
    let history = Folder::at(run).history().unwrap();
    history
        .processes
        .iter()
        .map(|p| p.to_step - p.from_step)
        .sum()
}

#[test]
fn another_evaluation_evaluates_and_does_not_train() {
    let (place, first) = finished();
    let out = place.path();
    let output = run_tiny(
        out,
        &["--set", "eval.frames=[2, 4, 5]", "--set", "name=\"other\""],
    );
    expect(&output, 0);
    let name = first.file_name().unwrap().to_str().unwrap();
    let told = format!("{name}, which trains the same: its first 12 steps");
    assert!(stdout(&output).contains(&told), "{}", stdout(&output));
    let second = second_run(out, &first);
    assert_eq!(trained_steps(&second), 0);
    let same = [
        "metrics.jsonl",
        "eval/2.json",
        "eval/4.predictions.jsonl",
        "checkpoints/step-00000012/model.safetensors",
        "checkpoints/step-00000012/optimizer.safetensors",
    ];
    for file in same {
        let read = |run: &Path| std::fs::read(run.join(file)).unwrap();
        assert!(read(&first) == read(&second), "{file} differs");
    }
    assert!(second.join("eval/5.json").exists());
    let manifest = Folder::at(&second).manifest().unwrap();
    let continued = manifest.continues.unwrap();
    assert_eq!((continued.run.as_str(), continued.step), (name, 12));
    for run in [&first, &second] {
        expect(&ffn(&["verify", run.to_str().unwrap()]), 0);
    }
}

/// The cosine ends with the training: two epochs are not the beginning of four. Steps of the rate know no end.
#[test]
fn longer_training_goes_on_where_that_is_exact() {
    let place = tempfile::tempdir().unwrap();
    let (whole, grown) = (place.path().join("whole"), place.path().join("grown"));
    let steps = [
        "--set",
        "schedule.shape=MultiStep(milestones: [1.5], gamma: 0.5)",
    ];
    let more = |epochs: &'static str| [&steps[..], &["--set", epochs]].concat();
    expect(&run_tiny(&whole, &more("train.epochs=3")), 0);
    expect(&run_tiny(&grown, &more("train.epochs=2")), 0);
    let first = only_run(&grown);
    expect(&run_tiny(&grown, &more("train.epochs=3")), 0);
    let (whole, grown) = (only_run(&whole), second_run(&grown, &first));
    assert_eq!(trained_steps(&grown), 3);
    for file in [
        "metrics.jsonl",
        "checkpoints/step-00000009/model.safetensors",
        "eval/3.json",
    ] {
        let read = |run: &Path| std::fs::read(run.join(file)).unwrap();
        assert!(read(&whole) == read(&grown), "{file} differs");
    }
    expect(&ffn(&["verify", grown.to_str().unwrap()]), 0);
}

#[test]
fn another_training_starts_from_the_beginning_and_says_why() {
    let (place, first) = finished();
    let output = run_tiny(
        place.path(),
        &["--set", "optimizer.lr=0.03", "--set", "train.epochs=1"],
    );
    expect(&output, 0);
    let name = first.file_name().unwrap().to_str().unwrap();
    let told =
        format!("{name} has train.epochs: 4 -> 1, optimizer.lr: 0.02 -> 0.03: another training");
    assert!(stdout(&output).contains(&told), "{}", stdout(&output));
    assert_eq!(trained_steps(&second_run(place.path(), &first)), 3);
}

/// Its checkpoint would be taken; so it trains itself.
#[test]
fn a_damaged_neighbour_is_passed_over() {
    let (place, first) = finished();
    flip_bit(&first.join("checkpoints/step-00000012/model.safetensors"));
    let output = run_tiny(place.path(), &["--set", "eval.frames=[2, 4]"]);
    expect(&output, 0);
    let second = second_run(place.path(), &first);
    assert_eq!(trained_steps(&second), 12);
    let read = |run: &Path| std::fs::read(run.join("metrics.jsonl")).unwrap();
    assert!(read(&first) == read(&second));
    assert!(!stdout(&output).contains("another training"));
}

/// Nobody knows whether they are the same data.
#[test]
fn training_on_unpinned_data_is_not_taken_over() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path();
    expect(
        &run_tiny(out, &["--unpinned", "--set", "train.epochs=1"]),
        0,
    );
    let first = only_run(out);
    let again = [
        "--unpinned",
        "--set",
        "train.epochs=1",
        "--set",
        "eval.frames=[2, 4]",
    ];
    expect(&run_tiny(out, &again), 0);
    assert_eq!(trained_steps(&second_run(out, &first)), 3);
}

/// Killed before it had a manifest, after it took over a checkpoint; then begun with another engine.
#[test]
fn what_a_beginning_left_behind_is_not_gone_on_from() {
    let (place, first) = finished();
    let settings = ["--set", "eval.frames=[2, 4]"];
    expect(&run_tiny(place.path(), &settings), 0);
    let second = second_run(place.path(), &first);
    for file in ["manifest.json", "history.json"] {
        std::fs::remove_file(second.join(file)).unwrap();
    }
    std::fs::remove_dir_all(second.join("eval")).unwrap();
    std::fs::write(
        second.join("timing.jsonl"),
        "{\"step\": 0, \"seconds\": 1}\n",
    )
    .unwrap();
    expect(
        &run_tiny(
            place.path(),
            &[&settings[..], &["--engine", "dfdx"]].concat(),
        ),
        0,
    );
    let manifest = Folder::at(&second).manifest().unwrap();
    assert_eq!((manifest.continues, manifest.engine.name()), (None, "dfdx"));
    assert_eq!(trained_steps(&second), 12);
    expect(&ffn(&["verify", second.to_str().unwrap()]), 0);
}

/// In one process, two at a time: one trains, the others go on from it.
#[test]
fn members_that_train_the_same_train_once() {
    let place = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let experiments = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/experiments");
    for name in ["tiny.ron", "pins"] {
        std::os::unix::fs::symlink(experiments.join(name), folder.path().join(name)).unwrap();
    }
    let file = folder.path().join("once.ron");
    let text = "Suite(name: \"once\", members: [
        (name: \"a\", experiment: \"tiny.ron\", grid: (eval: (frames: [[2], [4], [2, 4]]))),
    ])";
    std::fs::write(&file, text).unwrap();
    let out = place.path().to_str().unwrap();
    let output = ffn(&["run", file.to_str().unwrap(), "--jobs", "2", "--out", out]);
    expect(&output, 0);
    let runs = std::fs::read_dir(place.path())
        .unwrap()
        .map(|run| run.unwrap().path());
    let runs = runs.filter(|run| run.join("manifest.json").exists());
    let steps: Vec<u64> = runs.map(|run| trained_steps(&run)).collect();
    assert_eq!((steps.len(), steps.iter().sum::<u64>()), (3, 12));
}
