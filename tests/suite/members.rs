//! Single members: `ffn run --member`, `--judge`, and what a queue may not do for ever.

use std::path::Path;

use crate::support::*;

fn member(out: &Path, flags: &[&str]) -> std::process::Output {
    run(TINY, out, &[&["--threads", "1"], flags].concat())
}

#[test]
fn members_run_at_once_and_are_judged_at_the_end() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path();
    let start = |flags: &[&str]| {
        let all = [&["run", TINY, "--out", out.to_str().unwrap()], flags].concat();
        command(&all).spawn().unwrap()
    };
    let both = [
        start(&["--member", "ffn", "--seed", "1"]),
        start(&["--member", "vanilla/epochs=1"]),
    ];
    for child in both {
        expect(&child.in_time(), 0);
    }
    assert!(suite_folder(out).join("suite.json").exists());
    assert!(!suite_folder(out).join("verdicts.json").exists());
    let early = run(TINY, out, &["--judge"]);
    expect(&early, 5);
    let said = stderr(&early);
    assert!(said.contains("3 of 6 runs are not finished"), "{said}");
    assert!(
        said.contains("ffn seed 2, tiny-") && said.contains(": not begun"),
        "{said}"
    );
    expect(&run(TINY, out, &[]), 0);
    let judged = run(TINY, out, &["--judge"]);
    expect(&judged, 0);
    assert!(stdout(&judged).contains("\nverdict"), "{}", stdout(&judged));
}

#[test]
fn members_that_are_not_there_are_told_with_those_that_are() {
    let place = tempfile::tempdir().unwrap();
    for (flags, message, hint) in [
        (
            &["--member", "fnn"][..],
            "the suite `tiny_suite` has no member `fnn`",
            "it has ffn, vanilla/epochs=1, vanilla/epochs=2",
        ),
        (
            &["--member", "ffn", "--seed", "3"],
            "the member `ffn` has no seed 3",
            "it has 1, 2",
        ),
        (&["--seed", "1"], "--member <NAME>", ""),
        (&["--judge", "--member", "ffn"], "cannot be used with", ""),
    ] {
        let output = member(place.path(), flags);
        expect(&output, 2);
        let said = stderr(&output);
        assert!(said.contains(message) && said.contains(hint), "{said}");
    }
    let experiment = "fixtures/experiments/tiny.ron";
    for flags in [&["--member", "ffn"][..], &["--judge"]] {
        expect(&run(experiment, place.path(), flags), 2);
    }
}

#[test]
fn a_queue_does_not_start_for_ever_what_makes_no_step() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().to_str().unwrap().to_owned();
    let start = |restarts: Option<&str>, flags: &[&str]| {
        let own = ["run", TINY, "--out", &out, "--member", "ffn", "--seed", "1"];
        let mut command = command(&[&own, flags].concat());
        command.env_remove("SLURM_RESTART_COUNT");
        restarts.map(|count| command.env("SLURM_RESTART_COUNT", count));
        command.in_time()
    };
    let hopeless = ["--max-minutes", "0"];
    for restarts in [None, Some("1"), Some("2")] {
        expect(&start(restarts, &hopeless), 75);
    }
    let refused = start(Some("3"), &hopeless);
    expect(&refused, 5);
    let said = stderr(&refused);
    assert!(said.contains("the last 3 starts of `tiny-"), "{said}");
    assert!(said.contains("it is at step 0 of 12"), "{said}");
    // A person, and a job that is submitted again, may always start it.
    expect(&start(None, &hopeless), 75);
    expect(&start(Some("1"), &[]), 0);
    expect(&start(Some("4"), &[]), 0);
}

#[test]
fn staged_data_give_the_same_bytes_and_are_copied_once() {
    let place = tempfile::tempdir().unwrap();
    let stage = place.path().join("node");
    let reference = finished();
    let out = place.path().join("runs");
    for (attempt, seed) in ["1", "2"].into_iter().enumerate() {
        let flags = [
            "--member",
            "ffn",
            "--seed",
            seed,
            "--stage",
            "$NODE_DISK/data",
        ];
        let all = [&["run", TINY, "--out", out.to_str().unwrap()], &flags[..]].concat();
        let output = command(&all).env("NODE_DISK", &stage).in_time();
        expect(&output, 0);
        let copied = stderr(&output).contains("copying ");
        assert_eq!(copied, attempt == 0, "{}", stderr(&output));
    }
    for entry in std::fs::read_dir(&out).unwrap() {
        let run = entry.unwrap().path();
        let other = reference.path().join(run.file_name().unwrap());
        if run.join("manifest.json").exists() {
            let read = |run: &Path| std::fs::read(run.join("metrics.jsonl")).unwrap();
            assert_eq!(read(&run), read(&other));
        }
    }
    let output = run(TINY, &out, &["--stage", "$NO_SUCH_VARIABLE/x"]);
    expect(&output, 2);
    assert!(stderr(&output).contains("no variable `NO_SUCH_VARIABLE`"));
}

#[test]
fn a_watch_ends_when_all_are_finished() {
    let place = finished();
    let output = ffn(&["runs", place.path().to_str().unwrap(), "--watch"]);
    expect(&output, 0);
    let said = stdout(&output);
    let (_, rest) = said.split_once("  ").unwrap();
    insta::assert_snapshot!("watch", rest);
}

#[test]
fn the_mean_over_members_is_the_mean_of_what_each_claim_measures() {
    let place = finished();
    let (out, file) = (place.path(), place.path().join("mean.ron"));
    let text = std::fs::read_to_string(TINY).unwrap();
    let base = std::path::absolute("fixtures").unwrap();
    let text = text.replace("\"..", &format!("\"{}", base.display()));
    let text = text.replace("tiny_suite", "mean_suite");
    let text = text.replace("epochs: [1, 2]", "epochs: [1, 2, 3]");
    let (before, _) = text.split_once("claims: [").unwrap();
    let names = ["ffn", "vanilla/epochs=1", "vanilla/epochs=2"];
    let top = |(i, name): (usize, &&str)| {
        format!("(id: \"top_{i}\", quantity: Top1(run: \"{name}\", frames: 2), is: AtLeast(0)),")
    };
    let mut claims: Vec<String> = names.iter().enumerate().map(top).collect();
    claims.push(format!(
        "(id: \"top\", quantity: MeanTop1(runs: {names:?}, frames: 2), is: AtLeast(0)),"
    ));
    claims.push("(id: \"gain_1\", quantity: Gain(run: \"vanilla/epochs=2\", over: \"vanilla/epochs=1\", frames: 4), is: AtLeast(-100)),".to_owned());
    claims.push("(id: \"gain_2\", quantity: Gain(run: \"vanilla/epochs=3\", over: \"ffn\", frames: 4), is: AtLeast(-100)),".to_owned());
    claims.push("(id: \"gain\", quantity: MeanGain(runs: [\"vanilla/epochs=2\", \"vanilla/epochs=3\"], over: [\"vanilla/epochs=1\", \"ffn\"], frames: 4), is: AtLeast(-100)),".to_owned());
    let text = format!("{before}claims: [{}])", claims.join("\n"));
    std::fs::write(&file, text).unwrap();
    let judged = run(file.to_str().unwrap(), out, &[]);
    expect(&judged, 0);
    let suites = std::fs::read_dir(out)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut suites = suites.filter(|path| path.join("verdicts.json").exists());
    let suite = suites
        .find(|path| path.to_string_lossy().contains("mean_suite-"))
        .unwrap();
    let verdicts = std::fs::read_to_string(suite.join("verdicts.json")).unwrap();
    let verdicts: serde_json::Value = serde_json::from_str(&verdicts).unwrap();
    let value = |id: &str| {
        let mut found = verdicts.as_array().unwrap().iter();
        let found = found.find(|one| one["id"] == id).unwrap();
        found["value"].as_f64().unwrap()
    };
    let mean = |ids: &[&str]| ids.iter().map(|id| value(id)).sum::<f64>() / ids.len() as f64;
    assert!((value("top") - mean(&["top_0", "top_1", "top_2"])).abs() < 1e-9);
    assert!((value("gain") - mean(&["gain_1", "gain_2"])).abs() < 1e-9);
    let said = stdout(&judged);
    assert!(
        said.contains("ffn, vanilla/epochs=1, vanilla/epochs=2 have "),
        "{said}"
    );
}
