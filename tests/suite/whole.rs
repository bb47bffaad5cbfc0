//! Whole suites: what runs, what goes on, what is judged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ffn::suite::{Judged, Record, Verdict};

use crate::support::*;

fn verdicts(out: &Path) -> Vec<Judged> {
    let text = std::fs::read(suite_folder(out).join("verdicts.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn record(out: &Path) -> Record {
    let text = std::fs::read(suite_folder(out).join("suite.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// Every result below `out`, by path: what must not depend on how it was made.
pub fn results(out: &Path) -> BTreeMap<String, Vec<u8>> {
    const RECORDS: [&str; 4] = ["history.json", "timing.jsonl", "log.txt", "lock"];
    let mut files = BTreeMap::new();
    let mut folders = vec![out.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                folders.push(path);
            } else if !RECORDS.contains(&name) {
                let name = path.strip_prefix(out).unwrap().display().to_string();
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// A suite of the tiny experiment with these claims, in a folder of its own.
fn suite_with(claims: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(TINY).unwrap();
    let (members, _) = text.split_once("    claims: [").unwrap();
    let experiments = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/experiments");
    for name in ["tiny.ron", "pins"] {
        let to = folder.path().join(name);
        std::os::unix::fs::symlink(experiments.join(name), to).unwrap();
    }
    let members = members.replace("../experiments/", "");
    let path = folder.path().join("suite.ron");
    std::fs::write(&path, format!("{members}    claims: [{claims}],\n)\n")).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn a_suite_runs_what_is_missing_and_judges() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path();
    let first = run(TINY, out, &["--threads", "1"]);
    expect(&first, 0);
    // A line for each run, and nothing else of it.
    let said = stderr(&first);
    let finished = |line: &&str| line.contains(" seed ") && line.contains(" of 6 runs finished");
    assert_eq!(said.lines().filter(finished).count(), 6, "{said}");
    assert!(!stdout(&first).contains("  training   "));
    let again = run(TINY, out, &["--jobs", "2"]);
    expect(&again, 0);
    assert!(stdout(&again).starts_with("all 6 runs are finished already\n"));
    let told = |output| stdout(output).split_once("\nmember").unwrap().1.to_owned();
    assert_eq!(told(&first), told(&again));
    let name = suite_folder(out)
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let report = told(&first)
        .replace(out.to_str().unwrap(), "RUNS")
        .replace(&name, "SUITE");
    insta::assert_snapshot!("report", format!("member{report}"));

    let record = record(out);
    assert_eq!(record.members.len(), 6);
    assert_eq!(record.members[5].name, "vanilla/epochs=2");
    assert_eq!(record.members[5].variant["seed"], "2");
    for member in &record.members {
        expect(
            &ffn(&["verify", out.join(&member.run).to_str().unwrap()]),
            0,
        );
    }
    let judged = verdicts(out);
    assert!(judged.iter().all(|judged| judged.verdict == Verdict::Pass));
    assert_eq!(
        (judged[1].clips, judged[1].seeds, judged[1].evidence.len()),
        (8, 2, 4)
    );
}

/// Killed with two runs under way, then gone on with one at a time: the bytes of a suite that nobody disturbed.
#[test]
fn jobs_and_kills_leave_no_trace() {
    let (whole, cut) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    expect(&run(TINY, whole.path(), &["--jobs", "3"]), 0);
    for runs in 1..=2 {
        let mut child = command(&[
            "run",
            TINY,
            "--jobs",
            "2",
            "--out",
            cut.path().to_str().unwrap(),
        ]);
        let mut child = child.spawn().unwrap();
        limit::wait_until("two runs", || {
            begun(cut.path()) >= 2 * runs || child.try_wait().unwrap().is_some()
        });
        child.kill().unwrap();
        child.wait().unwrap();
    }
    expect(&run(TINY, cut.path(), &[]), 0);
    let (whole, cut) = (results(whole.path()), results(cut.path()));
    assert!(whole.keys().eq(cut.keys()));
    let differing: Vec<_> = whole
        .keys()
        .filter(|name| whole[*name] != cut[*name])
        .collect();
    assert!(differing.is_empty(), "{differing:?}");
}

/// Runs that have metrics.
fn begun(out: &Path) -> usize {
    let entries = std::fs::read_dir(out).into_iter().flatten().flatten();
    let begun = |path: PathBuf| {
        path.join("metrics.jsonl")
            .metadata()
            .is_ok_and(|m| m.len() > 0)
    };
    entries.filter(|entry| begun(entry.path())).count()
}

#[test]
fn a_signal_stops_all_runs_and_the_same_command_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path();
    // With a checkpoint after each step the runs take long enough to be stopped.
    let every = ["--checkpoint-minutes", "0"];
    let arguments = ["run", TINY, "--jobs", "2", "--out", out.to_str().unwrap()];
    let arguments = [&arguments[..], &every].concat();
    let mut child = command(&arguments).spawn().unwrap();
    limit::wait_until("two runs", || {
        begun(out) >= 2 || child.try_wait().unwrap().is_some()
    });
    let id = child.id().to_string();
    std::process::Command::new("kill")
        .args(["-INT", &id])
        .status()
        .unwrap();
    let output = child.in_time();
    expect(&output, 75);
    assert!(
        stderr(&output).contains("the same command"),
        "{}",
        stderr(&output)
    );
    assert!(!suite_folder(out).join("verdicts.json").exists());
    expect(&ffn(&arguments), 0);
}

#[test]
fn a_second_process_learns_who_holds_the_suite() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path();
    let arguments = ["run", TINY, "--out", out.to_str().unwrap()];
    let mut first = command(&arguments).spawn().unwrap();
    limit::wait_until("a run", || {
        begun(out) >= 1 || first.try_wait().unwrap().is_some()
    });
    let second = ffn(&arguments);
    expect(&second, 5);
    let holder = format!("process {} since", first.id());
    assert!(stderr(&second).contains(&holder), "{}", stderr(&second));
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn the_exit_code_is_that_of_the_worst_verdict() {
    let place = finished();
    let out = place.path();
    let fails = r#"(id: "small", quantity: Parameters(run: "ffn"), is: AtMost(10)),"#;
    // Eight clips settle nothing.
    let open = r#"(id: "open", quantity: Top1(run: "ffn", frames: 4), is: AtLeast(12.5)),"#;
    let holds = r#"(id: "holds", quantity: Parameters(run: "ffn"), is: AtLeast(10)),"#;
    let (all, some) = (format!("{fails}{open}{holds}"), format!("{open}{holds}"));
    for (claims, flags, code, told) in [
        (&*all, &[][..], 9, "1 of 3 claims refuted: small"),
        (&some, &["--strict"], 10, "1 of 2 claims open: open"),
        (&some, &[], 0, ""),
        (holds, &["--strict"], 0, ""),
    ] {
        let (_folder, path) = suite_with(claims);
        let output = run(&path, out, flags);
        expect(&output, code);
        assert!(stderr(&output).contains(told), "{}", stderr(&output));
        assert_eq!(stderr(&output).contains("error"), code != 0);
    }
}

#[test]
fn runs_say_what_they_are() {
    let place = finished();
    let output = ffn(&["runs", place.path().to_str().unwrap()]);
    expect(&output, 0);
    insta::assert_snapshot!("runs", stdout(&output));
}

#[test]
fn changed_predictions_are_refused() {
    let place = finished();
    let out = place.path();
    let run_name = &record(out).members[0].run;
    let predictions = out.join(run_name).join("eval/2.predictions.jsonl");
    let text = std::fs::read_to_string(&predictions).unwrap();
    std::fs::write(&predictions, text.replacen("\"rank\":", "\"rank\":1", 1)).unwrap();
    let output = run(TINY, out, &[]);
    expect(&output, 5);
    assert!(
        stderr(&output).contains("2.predictions.jsonl"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn members_of_one_identity_run_once() {
    let place = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let experiment = std::fs::read_to_string("fixtures/experiments/tiny.ron").unwrap();
    let experiment = experiment.replace("epochs: 4", "epochs: 1");
    let file = folder.path().join("suite.ron");
    let text = format!(
        "Suite(name: \"twice\", members: [(name: \"a\", experiment: {experiment}), (name: \"b\", experiment: {experiment})])"
    );
    std::fs::write(&file, text).unwrap();
    let output = run(file.to_str().unwrap(), place.path(), &["--unpinned"]);
    expect(&output, 0);
    assert_eq!(stdout(&output).matches("  training   ").count(), 1);
    let record = record(place.path());
    assert_eq!(record.members[0].run, record.members[1].run);
}

/// It is told when it happens, by its name, and keeps nobody waiting; the others run.
#[test]
fn a_member_that_fails_is_told_by_its_name() {
    let place = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let experiment = std::fs::read_to_string("fixtures/experiments/tiny.ron").unwrap();
    let experiment = experiment.replace("epochs: 4", "epochs: 1");
    let diverging = experiment
        .replace("Sgd(lr: 0.02)", "Sgd(lr: 100, clip: None)")
        .replace("epochs: 1", "epochs: 30");
    let file = folder.path().join("suite.ron");
    let text = format!(
        "Suite(name: \"mixed\", members: [(name: \"bad\", experiment: {diverging}), (name: \"good\", experiment: {experiment})])"
    );
    std::fs::write(&file, text).unwrap();
    let output = run(file.to_str().unwrap(), place.path(), &["--unpinned"]);
    expect(&output, 6);
    let said = stderr(&output);
    let at_once = said
        .lines()
        .position(|line| line.contains("Z  bad seed 1: training diverged"));
    let good = said
        .lines()
        .position(|line| line.contains("Z  good seed 1: "));
    assert!(at_once.unwrap() < good.unwrap(), "{said}");
    assert!(said.contains("1 of 2 runs finished, 1 failed)"), "{said}");
    assert!(
        said.contains("error: bad seed 1: training diverged"),
        "{said}"
    );
}
