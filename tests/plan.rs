//! `ffn plan` as a person sees it. Nothing is allocated: the sthv2 programs would fill a server.

#[path = "support/limit.rs"]
mod limit;

use std::process::Command;

use limit::InTime;

fn plan(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_ffn"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg("plan")
        .args(arguments)
        .in_time();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn tiny_layers_and_groups() {
    let file = "fixtures/experiments/tiny.ron";
    insta::assert_snapshot!(plan(&[file, "--layers", "--groups"]));
}

/// Every shipped experiment can be planned.
#[test]
fn shipped() {
    for entry in std::fs::read_dir("experiments").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "ron") {
            let text = plan(&[&path.to_string_lossy()]);
            assert!(text.contains("\ntraining: "), "{text}");
        }
    }
}

#[test]
fn something_v2() {
    let file = "experiments/ffn_tsm_sthv2.ron";
    // Which one a run takes depends on the processor.
    for engine in ["compiled", "compiled-bf16", "compiled-amx"] {
        insta::assert_snapshot!(
            format!("something_v2_{engine}"),
            plan(&[file, "--engine", engine])
        );
    }
}

#[test]
fn something_v2_groups_of_official_code() {
    let text = plan(&["experiments/ffn_tsm_sthv2_official.ron", "--groups"]);
    let wanted = ["base_model.conv1", "layer1.0.bn1_4", "adaconv_4", "new_fc"];
    let lines = text
        .lines()
        .filter(|line| wanted.iter().any(|name| line.contains(name)));
    insta::assert_snapshot!(lines.take(12).collect::<Vec<_>>().join("\n"));
}

#[test]
fn json_has_everything() {
    let text = plan(&["experiments/tsm_sthv2_8f.ron", "--json"]);
    let plan: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(plan["parameter_count"], 23_864_558);
    assert_eq!(plan["groups"].as_array().unwrap().len(), 161);
    assert!(plan["layers"].as_array().unwrap().len() > 161);
}

/// The tiny experiment with some of its text replaced.
fn changed(changes: &[(&str, &str)]) -> (tempfile::TempDir, String) {
    let mut text = std::fs::read_to_string("fixtures/experiments/tiny.ron").unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("experiment.ron");
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap().to_owned();
    (folder, file)
}

/// `eval.batch` counts views; whole clips run, and no more than there are.
#[test]
fn evaluation_is_planned_as_it_runs() {
    let planned = |to: &str| {
        let (_folder, file) = changed(&[("batch: 4, every", &format!("{to}, every"))]);
        let text = plan(&[&file]);
        let memory = text.lines().filter(|line| line.starts_with("evaluation"));
        let what = memory.map(|line| line.split("  ").next().unwrap());
        format!("{to}\n{}\n", what.collect::<Vec<_>>().join("\n"))
    };
    let cases = [
        "batch: 4",
        "batch: 100",
        "batch: 7, crops: Three",
        "batch: 7, crops: Three, sampling: Dense(window: 8, clips: 5)",
    ];
    insta::assert_snapshot!(cases.map(planned).join("\n"));
}

/// Legal each for itself, and together more than can be counted.
#[test]
fn sizes_beyond_any_machine_are_an_error() {
    let every: Vec<usize> = (1..=1024).collect();
    let every = format!("frames: {every:?}");
    let clips = ("train: 24", "train: 1000000");
    let wide = (
        "blocks: [1, 1], width: 8",
        "blocks: [1, 1, 1, 1, 1, 1], width: 1024",
    );
    let cases: [&[(&str, &str)]; 3] = [
        &[
            clips,
            ("batch: 8", "batch: 65536"),
            ("frames: [2, 4]", &every),
        ],
        &[clips, ("batch: 8", "batch: 65536"), wide],
        &[
            wide,
            ("short_side: 24, size: 24", "short_side: 4096, size: 4096"),
        ],
    ];
    for changes in cases {
        let (_folder, file) = changed(changes);
        let output = Command::new(env!("CARGO_BIN_EXE_ffn"))
            .args(["plan", &file])
            .in_time();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{changes:?}: {error}");
        assert!(error.contains("a program has at most"), "{error}");
    }
}
