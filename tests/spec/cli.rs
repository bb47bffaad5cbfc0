//! Through the binary: what a person sees, and with which exit code.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::limit::InTime;

/// Runs `ffn` in the root of the project.
fn ffn(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ffn"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .in_time()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The RON files of a folder, by name.
fn experiments(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<PathBuf> = std::fs::read_dir(root.join(folder))
        .unwrap()
        .map(|entry| Path::new(folder).join(entry.unwrap().file_name()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "ron"))
        .collect();
    files.sort();
    files
}

#[test]
fn every_broken_experiment_is_reported_in_full() {
    let files = experiments("fixtures/experiments/broken");
    assert!(files.len() >= 20);
    for file in files {
        let output = ffn(&["check", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(3), "{}", file.display());
        assert_eq!(stdout(&output), "", "{}", file.display());
        let name = format!("broken_{}", file.file_stem().unwrap().to_str().unwrap());
        insta::with_settings!({omit_expression => true}, {
            insta::assert_snapshot!(name, stderr(&output));
        });
    }
}

#[test]
fn every_shipped_experiment_passes() {
    let files = experiments("experiments");
    let shipped: Vec<&str> = files
        .iter()
        .map(|f| f.file_stem().unwrap().to_str().unwrap())
        .collect();
    for name in [
        "tsm_sthv2",
        "tsm_sthv2_8f",
        "tsm_sthv2_4f",
        "ffn_tsm_sthv2",
        "ffn_tsm_sthv2_official",
    ] {
        assert!(shipped.contains(&name), "{name}");
    }
    let mut arguments = vec!["check"];
    arguments.extend(files.iter().map(|file| file.to_str().unwrap()));
    let output = ffn(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report = stdout(&output);
    for name in shipped {
        assert!(
            report.lines().any(|line| line == name),
            "an experiment is called like its file: {name}"
        );
    }
}

#[test]
fn check_reports_warnings_and_passes() {
    let output = ffn(&["check", "experiments/tsm_sthv2.ron"]);
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!("check", stdout(&output));
    insta::assert_snapshot!("check_warning", stderr(&output));
}

#[test]
fn check_goes_through_all_files() {
    let broken = "fixtures/experiments/broken/unknown_field.ron";
    let output = ffn(&["check", broken, "experiments/tsm_miniature.ron", broken]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stdout(&output).starts_with("tsm_miniature\n"));
    assert_eq!(stderr(&output).matches("did you mean `lambda`?").count(), 2);
}

#[test]
fn resolved_form_spells_out_every_default() {
    let output = ffn(&[
        "check",
        "--resolved",
        "experiments/ffn_tsm_sthv2_official.ron",
    ]);
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!("resolved_ffn_tsm_sthv2_official", stdout(&output));
}

/// Whatever a training reads makes it another training; what it does not read does not.
#[test]
fn every_field_but_those_of_the_evaluation_is_of_the_training() {
    use ffn::spec::{self, Settings};
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
    let with = |setting: &str| {
        let settings = Settings::parse(&[setting.to_owned()]).unwrap();
        let loaded = spec::load_with(&root.join("tsm_miniature.ron"), &settings);
        let loaded = loaded.unwrap_or_else(|error| panic!("{setting}: {error}"));
        loaded.experiment.training()
    };
    let training = with("seed=1");
    for same in [
        "name=\"other\"",
        "eval.frames=[4]",
        "eval.crops=Three",
        "eval.every=3",
        "data.pins=\"other.ron\"",
    ] {
        assert_eq!(with(same), training, "{same}");
    }
    for other in [
        "seed=2",
        "model.shift.div=8",
        "model.dropout=0.1",
        "method=Vanilla(frames: 8)",
        "data.train=800",
        "data.size=33",
        "train.epochs=11",
        "train.batch=4",
        "train.frozen_norms=All",
        "train.clips.size=16",
        "train.clips.flip=Off",
        "optimizer.lr=0.05",
        "optimizer.groups.conv=(lr: 2, decay: 1)",
        "schedule.warmup.epochs=1",
        "schedule.step=Epoch",
    ] {
        assert_ne!(with(other), training, "{other}");
    }
    let steps = "schedule.shape=MultiStep(milestones: [5], gamma: 0.1)";
    let with = |epochs: &str| {
        let settings = Settings::parse(&[steps.to_owned(), epochs.to_owned()]).unwrap();
        spec::load_with(&root.join("tsm_miniature.ron"), &settings)
            .unwrap()
            .experiment
            .training()
    };
    assert_eq!(with("train.epochs=6"), with("train.epochs=9"));
}

const TINY: &str = "fixtures/experiments/tiny.ron";

#[test]
fn a_setting_is_as_if_it_stood_in_the_file() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("changed.ron");
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(TINY)).unwrap();
    let text = text
        .replace("epochs: 4", "epochs: 7")
        .replace("Ffn(frames: [2, 4])", "Vanilla(frames: 4)");
    std::fs::write(&file, text).unwrap();
    let changed = ffn(&["check", file.to_str().unwrap(), "--resolved"]);
    let settings = [
        "--set",
        "train.epochs=5",
        "--set",
        "method=Vanilla(frames: 4)",
        "--set",
        "train.epochs=7",
    ];
    let set = ffn(&[&["check", TINY, "--resolved"], &settings[..]].concat());
    assert_eq!(set.status.code(), Some(0), "{}", stderr(&set));
    assert_eq!(stdout(&set), stdout(&changed));
    // Beside the file as it is.
    let output = ffn(&["diff", TINY, "--set", "train.epochs=7"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stdout(&output).contains("train.epochs"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn mistakes_in_settings_are_told_where_they_were_made() {
    let cases: [(&str, &str, &[&str]); 5] = [
        (
            "form",
            TINY,
            &[
                "train.epochs",
                "=3",
                "train..epochs=3",
                "train.epochs=",
                "train.epochs=(3",
                "eval.frames = 2,4",
            ],
        ),
        (
            "fields",
            TINY,
            &[
                "train.epoch=3",
                "train.size=3",
                "train.mixup=0.8",
                "train.batch=\"x\"",
                "seed.x=1",
                "name=tiny",
            ],
        ),
        (
            "rules",
            TINY,
            &[
                "method=Ffn(frames: [4])",
                "schedule.shape=MultiStep(milestones: [9], gamma: 0.1)",
            ],
        ),
        (
            "grid",
            "fixtures/suites/tiny.ron",
            &["train=(epochs: 3)", "eval.frames=[3]"],
        ),
        (
            "suite",
            "fixtures/suites/tiny.ron",
            &["seed=3", "train.epoch=1", "optimizer.lr=-1"],
        ),
    ];
    for (name, file, settings) in cases {
        let flags = settings.iter().flat_map(|setting| ["--set", setting]);
        let arguments: Vec<&str> = ["check", file].into_iter().chain(flags).collect();
        let output = ffn(&arguments);
        assert_eq!(output.status.code(), Some(3), "{name}");
        insta::with_settings!({omit_expression => true}, {
            insta::assert_snapshot!(format!("settings_{name}"), stderr(&output));
        });
    }
}

/// Advice, and nothing else: the experiment passes as it is.
#[test]
fn a_batch_whose_rate_does_not_follow_is_told() {
    let file = "experiments/tsm_sthv2.ron";
    let advised = ffn(&["check", file, "--set", "train.batch=8"]);
    assert_eq!(advised.status.code(), Some(0));
    insta::with_settings!({omit_expression => true}, {
        insta::assert_snapshot!("batch_without_its_rate", stderr(&advised));
    });
    let follows = ffn(&[
        "check",
        file,
        "--set",
        "train.batch=8",
        "--set",
        "optimizer.lr=0.0025",
    ]);
    assert!(!stderr(&follows).contains("linear scaling"));
}

#[test]
fn a_setting_changes_every_member_of_a_suite() {
    let output = ffn(&[
        "check",
        "fixtures/suites/tiny.ron",
        "--set",
        "optimizer.lr=0.125",
        "--resolved",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output).matches("lr: 0.125,").count(), 3);
    // Beside what the grid varies.
    let output = ffn(&[
        "check",
        "fixtures/suites/tiny.ron",
        "--set",
        "train=(batch: 4)",
        "--resolved",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output).matches("batch: 4,").count(), 6);
}

#[test]
fn diff_lists_the_fields_that_differ() {
    let pair = [
        "diff",
        "experiments/ffn_tsm_sthv2.ron",
        "experiments/ffn_tsm_sthv2_official.ron",
    ];
    let output = ffn(&pair);
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!("diff_paper_official", stdout(&output));
    let same = ffn(&["diff", pair[1], pair[1]]);
    assert_eq!(same.status.code(), Some(0));
    assert!(stdout(&same).starts_with("the same experiment: "));
}

#[test]
fn diff_reads_run_folders() {
    let run = tempfile::tempdir().unwrap();
    let resolved = ffn(&["check", "--resolved", "experiments/tsm_miniature.ron"]);
    std::fs::write(run.path().join("experiment.ron"), resolved.stdout).unwrap();
    let output = ffn(&[
        "diff",
        run.path().to_str().unwrap(),
        "experiments/tsm_miniature.ron",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn the_committed_schema_is_the_language() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/schema.json");
    let committed = std::fs::read_to_string(path).unwrap();
    let hint = "write it again with `ffn schema > experiments/schema.json`";
    assert!(stdout(&ffn(&["schema"])) == committed, "{hint}");
}

#[test]
fn files_that_are_no_text_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&str, Vec<u8>); 2] = [
        ("is not UTF-8 text from byte 3 on", b"abc\xff\xfe".to_vec()),
        (
            "65537 bytes are more than the 64 KiB that an experiment file may have",
            vec![b' '; (1 << 16) + 1],
        ),
    ];
    for (expected, bytes) in cases {
        let file = folder.path().join("experiment.ron");
        std::fs::write(&file, bytes).unwrap();
        let output = ffn(&["check", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(3));
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }
    let missing = ffn(&["check", "no/such/experiment.ron"]);
    assert_eq!(missing.status.code(), Some(8));
}
