//! Suite files: what is read, and how mistakes are told.

use std::path::Path;

use ffn::spec::{self, Document, Suite};

use crate::support::*;

fn load(path: &Path) -> Suite {
    match spec::load_document(path).unwrap() {
        Document::Suite(loaded) => loaded.suite,
        Document::Experiment(_) => panic!("an experiment"),
    }
}

fn tiny() -> Suite {
    load(&Path::new(env!("CARGO_MANIFEST_DIR")).join(TINY))
}

/// Reads a suite whose members start from the tiny experiment.
fn read(members: &str) -> Suite {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/experiments");
    let text = format!("Suite(name: \"test\", members: [{members}])");
    let loaded = spec::suite::parse("test.ron", &text, &folder, &spec::Settings::default());
    loaded.unwrap_or_else(|error| panic!("{error}")).suite
}

#[test]
fn every_broken_suite_is_reported_in_full() {
    let folder = "fixtures/suites/broken";
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<_> = std::fs::read_dir(root).unwrap().collect();
    assert!(files.len() >= 7);
    files.sort_by_key(|entry| entry.as_ref().unwrap().file_name());
    for entry in files {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let output = ffn(&["check", &format!("{folder}/{name}")]);
        expect(&output, 3);
        assert_eq!(stdout(&output), "");
        let name = format!("broken_{}", name.trim_end_matches(".ron"));
        insta::with_settings!({omit_expression => true}, {
            insta::assert_snapshot!(name, stderr(&output));
        });
    }
}

#[test]
fn check_lists_the_members() {
    let output = ffn(&["check", TINY]);
    expect(&output, 0);
    insta::assert_snapshot!("check", stdout(&output));
}

#[test]
fn the_canonical_form_is_the_suite() {
    let (suite, folder) = (tiny(), tempfile::tempdir().unwrap());
    let path = folder.path().join("suite.ron");
    std::fs::write(&path, suite.canonical()).unwrap();
    let read = load(&path);
    assert_eq!(read.canonical(), suite.canonical());
    assert_eq!(read.identity(), suite.identity());
}

#[test]
fn an_override_replaces_fields_one_by_one_and_variants_as_a_whole() {
    let base = read(r#"(name: "a", experiment: "tiny.ron")"#);
    let base = &base.members[0].experiment;
    let merged = read(r#"(name: "a", experiment: "tiny.ron", with: (method: (lambda: 0.5)))"#);
    let [difference] = &spec::diff(base, &merged.members[0].experiment)[..] else {
        panic!("one field");
    };
    assert_eq!(difference.to_string(), "method.lambda: 1.0 -> 0.5");
    let named = read(r#"(name: "a", experiment: "tiny.ron", with: (method: Ffn(lambda: 0.5)))"#);
    assert_eq!(named.identity(), merged.identity());
    let other = read(r#"(name: "a", experiment: "tiny.ron", with: (method: Vanilla(frames: 4)))"#);
    let method = &other.members[0].experiment.method;
    assert_eq!(method, &spec::Method::Vanilla { frames: 4 });
}

#[test]
fn an_empty_override_changes_nothing_and_an_inline_experiment_is_one() {
    let text = std::fs::read_to_string("fixtures/experiments/tiny.ron").unwrap();
    let file = read(r#"(name: "a", experiment: "tiny.ron")"#);
    let inline = read(&format!("(name: \"a\", experiment: {text})"));
    assert_eq!(file.identity(), inline.identity());
    assert_eq!(file.members[0].base, inline.members[0].base);
}

#[test]
fn a_grid_is_a_member_for_each_combination() {
    let suite = read(
        r#"(name: "a", experiment: "tiny.ron", seeds: [5, 7],
            grid: (method: (lambda: [0, 2], alteration: [Off, Normal(std:  0.1)])))"#,
    );
    let names: Vec<&str> = suite.members.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "a/lambda=0,alteration=Off",
            "a/lambda=0,alteration=Normal(std: 0.1)",
            "a/lambda=2,alteration=Off",
            "a/lambda=2,alteration=Normal(std: 0.1)",
        ]
    );
    assert_eq!(suite.members[2].variant["method.lambda"], "2");
    let seeds: Vec<u64> = suite.members[0].experiments().map(|e| e.seed).collect();
    assert_eq!(seeds, [5, 7]);
}

#[test]
fn fields_of_one_name_are_told_apart_by_their_paths() {
    let suite = read(
        r#"(name: "a", experiment: "tiny.ron",
            grid: (train: (batch: [4, 8]), eval: (batch: [2])))"#,
    );
    assert_eq!(suite.members[1].name, "a/train.batch=8,eval.batch=2");
}

#[test]
fn the_committed_schema_is_the_language() {
    let committed = std::fs::read_to_string("experiments/suite.schema.json").unwrap();
    let hint = "write it again with `ffn schema suite > experiments/suite.schema.json`";
    assert!(stdout(&ffn(&["schema", "suite"])) == committed, "{hint}");
}

#[test]
fn a_claim_finds_a_number_that_is_written_otherwise() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/experiments");
    let text = r#"Suite(name: "test", members: [
        (name: "ffn", experiment: "tiny.ron", grid: (method: (lambda: [0.5, 2.0]))),
    ], claims: [
        (id: "a", quantity: Parameters(run: "ffn/lambda=2"), is: AtLeast(1)),
        (id: "b", quantity: Parameters(run: "ffn/lambda=.50"), is: AtLeast(1)),
    ])"#;
    let loaded = spec::suite::parse("test.ron", text, &folder, &spec::Settings::default());
    let suite = loaded.unwrap_or_else(|error| panic!("{error}")).suite;
    assert_eq!(suite.member("ffn/lambda=2").unwrap().name, "ffn/lambda=2.0");
    assert!(suite.member("ffn/lambda=3").is_none());
}
