//! `ffn verify` of a suite: what is as it was written, and what is told of each fault.

use std::path::{Path, PathBuf};

use crate::support::*;

fn verify(suite: &Path) -> std::process::Output {
    ffn(&["verify", suite.to_str().unwrap()])
}

/// Verifies the tiny suite with a fault in it: what is told, for the suite's folder and those of its runs.
#[track_caller]
fn told(fault: impl FnOnce(&Path, &Path)) -> String {
    let place = finished();
    let suite = suite_folder(place.path());
    fault(&suite, &run_of(place.path(), "tiny_vanilla"));
    let output = verify(&suite);
    expect(&output, 1);
    stderr(&output)
}

/// The first run of an experiment.
fn run_of(runs: &Path, name: &str) -> PathBuf {
    let entries = std::fs::read_dir(runs).unwrap().map(|e| e.unwrap().path());
    let mut runs: Vec<PathBuf> = entries
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(name)
        })
        .collect();
    runs.sort();
    runs.remove(0)
}

#[track_caller]
fn replace(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{from}");
    std::fs::write(file, text.replacen(from, to, 1)).unwrap();
}

fn truncate(file: &Path) {
    let text = std::fs::read(file).unwrap();
    std::fs::write(file, &text[..text.len() / 2]).unwrap();
}

#[track_caller]
fn assert_tells(told: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(told.contains(wanted), "{wanted:?} is not in:\n{told}");
    }
}

#[test]
fn a_finished_suite_is_as_it_was_written() {
    let place = finished();
    let suite = suite_folder(place.path());
    std::fs::write(suite.join("notes.txt"), "mine").unwrap();
    let output = verify(&suite);
    expect(&output, 0);
    let told = stdout(&output);
    assert_tells(&told, &["unlisted: `notes.txt`", "checks, all as written"]);
}

#[test]
fn an_edited_verdict_is_told_with_what_follows_from_the_runs() {
    let told = told(|suite, _| {
        let file = suite.join("verdicts.json");
        replace(&file, "\"verdict\": \"pass\"", "\"verdict\": \"fail\"");
    });
    assert_tells(
        &told,
        &[
            "the verdict on `size` in `verdicts.json` does not follow from the runs",
            "verdict: \"fail\" is written, \"pass\" is computed",
            "hint: `ffn run` with the suite's file judges its claims again",
        ],
    );
}

#[test]
fn a_claim_that_was_taken_out_is_missed() {
    let told = told(|suite, _| std::fs::write(suite.join("verdicts.json"), "[]").unwrap());
    assert_tells(
        &told,
        &["`verdicts.json` does not have the claims of `suite.ron`"],
    );
}

#[test]
fn edited_predictions_are_found_in_the_members_run() {
    let told = told(|_, run| {
        let file = run.join("eval/2.predictions.jsonl");
        replace(&file, "\"rank\":", "\"rank\":1");
    });
    assert_tells(&told, &["eval/2.predictions.jsonl", "expected", "computed"]);
}

/// The run is whole, but another one than the verdicts were made from.
#[test]
fn the_run_of_another_seed_in_a_members_place_is_found() {
    let told = told(|suite, run| {
        let runs = suite.parent().unwrap();
        let other = run_of(runs, "tiny-");
        std::fs::remove_dir_all(run).unwrap();
        copy(&other, run);
    });
    assert_tells(&told, &["is of another experiment than the suite says"]);
}

#[test]
fn a_missing_member_is_named_with_the_command_that_makes_it() {
    let mut name = String::new();
    let told = told(|_, run| {
        name = run.file_name().unwrap().to_str().unwrap().to_owned();
        std::fs::remove_dir_all(run).unwrap();
    });
    let missing = format!("{name}` of `vanilla/epochs=");
    assert_tells(
        &told,
        &[&missing, "hint: `ffn run` with the suite's file makes"],
    );
}

#[test]
fn damaged_documents_are_named() {
    for file in ["suite.json", "verdicts.json", "suite.ron"] {
        let told = told(|suite, _| truncate(&suite.join(file)));
        assert_tells(&told, &[file]);
        let gone = self::told(|suite, _| std::fs::remove_file(suite.join(file)).unwrap());
        assert_tells(&gone, &[file]);
    }
}

/// What a grid chose stands in `suite.json` alone.
#[test]
fn an_edited_variant_breaks_the_seal() {
    let told = told(|suite, _| {
        let file = suite.join("suite.json");
        replace(&file, "\"train.epochs\": \"1\"", "\"train.epochs\": \"2\"");
    });
    assert_tells(
        &told,
        &["suite.json` is damaged: its content does not have its seal"],
    );
}
