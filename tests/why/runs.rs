//! Runs of one experiment: what differs in their circumstances, data and artifacts is found, and nothing else is.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::support::*;

/// A finished run of the tiny experiment, with the folder of the experiment beside it.
fn finished() -> &'static Path {
    static PLACE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let made = PLACE.get_or_init(|| {
        let place = place();
        expect(
            &ffn_in(place.path(), &["run", "a.ron", "--threads", "1"]),
            0,
        );
        std::fs::rename(
            only_folder(&place.path().join("runs")),
            place.path().join("run"),
        )
        .unwrap();
        place
    });
    made.path()
}

fn only_folder(folder: &Path) -> PathBuf {
    let mut folders = std::fs::read_dir(folder).unwrap();
    folders.next().unwrap().unwrap().path()
}

/// `ffn why` of the finished run and a copy of it in which `edit` changed something.
fn against_edited(edit: impl FnOnce(&Path)) -> (i32, Report) {
    let other = tempfile::tempdir().unwrap();
    copy(&finished().join("run"), other.path());
    edit(other.path());
    why(finished(), &["run", other.path().to_str().unwrap()])
}

/// The stage and place of the one effect.
#[track_caller]
fn effect(report: &Report) -> (String, String) {
    let found = report.differing();
    let (stage, difference) = found.last().expect("a difference");
    let place = difference["place"].as_str().unwrap();
    (stage.clone(), place.to_owned())
}

#[test]
fn two_runs_of_one_experiment_are_the_same() {
    let other = tempfile::tempdir().unwrap();
    let out = other.path().to_str().unwrap();
    let flags = [
        "run",
        "a.ron",
        "--threads",
        "3",
        "--workers",
        "2",
        "--out",
        out,
    ];
    expect(&ffn_in(finished(), &flags), 0);
    let run = only_folder(other.path());
    let (code, report) = why(finished(), &["run", run.to_str().unwrap()]);
    assert_eq!((code, report.differing()), (0, vec![]));
    assert_eq!(report.explanation(), "");
    let same = report.same();
    assert_eq!(same.len(), 22, "{same:?}");
    assert_eq!(same.last().unwrap(), "recorded_predictions");
}

#[test]
fn a_run_and_its_experiment_are_the_same() {
    let (code, report) = why(finished(), &["a.ron", "run"]);
    assert_eq!((code, report.differing()), (0, vec![]));
    assert!(!report.same().contains(&"recorded_metrics".to_owned()));
}

#[test]
fn a_stopped_run_agrees_as_far_as_it_went() {
    let other = tempfile::tempdir().unwrap();
    let out = other.path().to_str().unwrap();
    let flags = ["run", "a.ron", "--max-minutes", "0", "--out", out];
    expect(&ffn_in(finished(), &flags), 75);
    let run = only_folder(other.path());
    let (code, report) = why(finished(), &["run", run.to_str().unwrap()]);
    assert_eq!((code, report.differing()), (0, vec![]));
    let reason = report.not_compared("recorded_predictions").unwrap();
    assert!(reason.contains("no frame count"), "{reason}");
}

#[test]
fn another_seed_draws_other_clips() {
    let place = place();
    vary(
        place.path(),
        "a.ron",
        "b.ron",
        &[("name: \"tiny\",", "name: \"tiny\", seed: 7,")],
    );
    let (code, report) = why(place.path(), &["a.ron", "b.ron"]);
    assert_eq!(code, 1);
    assert_eq!(effect(&report), ("sample_order".into(), "clip 0".into()));
}

#[test]
fn a_name_changes_nothing() {
    let place = place();
    vary(place.path(), "a.ron", "b.ron", &[("\"tiny\"", "\"other\"")]);
    let (code, report) = why(place.path(), &["a.ron", "b.ron"]);
    assert_eq!(code, 1);
    assert_eq!(effect(&report), ("experiment".into(), "name".into()));
    assert_eq!(
        report.explanation(),
        "no computed value depends on a field that differs"
    );
}

#[test]
fn another_build_explains_and_is_no_difference_by_itself() {
    let edit_manifest = |run: &Path| {
        let path = run.join("manifest.json");
        let text = std::fs::read_to_string(&path).unwrap();
        let mut manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
        manifest.as_object_mut().unwrap().remove("seal");
        manifest["builds"][0]["source_sha256"] = "0".repeat(64).into();
        std::fs::write(&path, ffn::run::seal::seal(&manifest).unwrap()).unwrap();
    };
    let (code, report) = against_edited(edit_manifest);
    assert_eq!(code, 0);
    assert_eq!(effect(&report), ("circumstances".into(), "builds".into()));

    let (code, report) = against_edited(|run| {
        edit_manifest(run);
        edit(
            &run.join("metrics.jsonl"),
            "\"step\":2,\"epoch\":0,\"lr\":0.0",
            "\"step\":2,\"epoch\":0,\"lr\":0.1",
        );
    });
    assert_eq!(code, 1);
    assert_eq!(effect(&report).0, "recorded_metrics");
    let explanation = report.explanation();
    assert!(
        explanation.ends_with("what could explain it: circumstances"),
        "{explanation}"
    );
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from} in\n{text}");
    std::fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn an_edited_line_of_metrics_is_found() {
    let (code, report) = against_edited(|run| {
        edit(
            &run.join("metrics.jsonl"),
            "\"step\":5,\"epoch\":1,\"lr\":0.0",
            "\"step\":5,\"epoch\":1,\"lr\":0.1",
        );
    });
    assert_eq!(code, 1);
    let place = "step 5, learning rate".to_owned();
    assert_eq!(effect(&report), ("recorded_metrics".into(), place));
    let explanation = report.explanation();
    assert!(
        explanation.contains("b is damaged: hash mismatch for"),
        "{explanation}"
    );
    assert!(explanation.contains("metrics.jsonl"), "{explanation}");
}

#[test]
fn a_changed_weight_of_a_checkpoint_is_found() {
    let (code, report) = against_edited(|run| {
        let path = run.join("checkpoints/step-00000012/model.safetensors");
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    });
    assert_eq!(code, 1);
    let (stage, place) = effect(&report);
    assert_eq!(stage, "recorded_checkpoints");
    assert!(
        place.starts_with("after step 12, model.safetensors: new_fc.weight"),
        "{place}"
    );
}

#[test]
fn a_changed_prediction_is_found() {
    let (code, report) = against_edited(|run| {
        edit(
            &run.join("eval/3.predictions.jsonl"),
            "\"id\":\"27\"",
            "\"id\":\"72\"",
        );
    });
    assert_eq!(code, 1);
    let place = "eval/3, line 3".to_owned();
    assert_eq!(effect(&report), ("recorded_predictions".into(), place));
}

/// A copy of the data in which clip 8, the first of step 0, is another.
fn changed_data() -> tempfile::TempDir {
    let _ = finished();
    let other = tempfile::tempdir().unwrap();
    copy(&data(), other.path());
    let video = other.path().join("8.webm");
    std::fs::remove_file(&video).unwrap();
    std::fs::copy(other.path().join("14.webm"), &video).unwrap();
    other
}

#[test]
fn a_changed_video_is_found_by_its_pixels() {
    let data = changed_data();
    let root = data.path().to_str().unwrap();
    let place = place();
    let arguments = ["a.ron", "a.ron", "--data-root-b", root];
    let (code, report) = why(place.path(), &arguments);
    assert_eq!(
        code,
        0,
        "b's data are not the pinned ones: {:?}",
        report.differing()
    );
    let reason = report.not_compared("pixels").unwrap();
    assert!(
        reason.starts_with("b: the data are not those of the pins"),
        "{reason}"
    );

    let (code, report) = why(place.path(), &[&arguments[..], &["--unpinned"]].concat());
    assert_eq!(code, 1);
    let (stage, place) = effect(&report);
    assert_eq!(stage, "pixels");
    assert!(place.starts_with("clip `8` at 2 frames: frame "), "{place}");
}

#[test]
fn other_pins_name_the_video() {
    let data = changed_data();
    let root = data.path().to_str().unwrap();
    let place = place();
    let other = place.path().join("other");
    copy(&place.path().join("pins"), &other.join("pins"));
    std::fs::copy(place.path().join("a.ron"), other.join("b.ron")).unwrap();
    let pin = [
        "data",
        "pin",
        "other/b.ron",
        "--update",
        "--data-root",
        root,
    ];
    expect(&ffn_in(place.path(), &pin), 0);
    let (code, report) = why(
        place.path(),
        &["a.ron", "other/b.ron", "--data-root-b", root],
    );
    assert_eq!(code, 1);
    let found = report.differing();
    let (stage, difference) = &found[0];
    assert_eq!(stage, "data");
    assert_eq!(difference["place"], "Merkle root of the training split");
    let note = difference["notes"][0].as_str().unwrap();
    assert!(
        note.starts_with("the first video that differs: `8`, in a "),
        "{note}"
    );
    assert_eq!(found[1].0, "pixels");
    assert_eq!(report.explanation(), "what could explain it: data");
}

#[test]
fn without_data_the_weights_are_compared_all_the_same() {
    let place = place();
    let change = (
        "Ffn(frames: [2, 4]",
        "Ffn(frames: [2, 4], alteration: KaimingFanOut",
    );
    vary(place.path(), "a.ron", "b.ron", &[change]);
    // A file is no place to render the miniature to.
    let arguments = ["a.ron", "b.ron", "--data-root", "a.ron"];
    let (code, report) = why(place.path(), &arguments);
    assert_eq!(code, 1);
    assert!(report.not_compared("sample_order").is_some());
    assert_eq!(effect(&report).0, "initial_weights");
}

#[test]
fn what_is_neither_experiment_nor_run_is_refused() {
    let tiny = "fixtures/experiments/tiny.ron";
    expect(&ffn(&["why", tiny, "fixtures"]), 5);
    expect(&ffn(&["why", tiny, "nowhere.ron"]), 8);
    expect(&ffn(&["why", tiny]), 2);
}

/// The compiled engine and dfdx's own operations: the same but for rounding, which the notes of a difference tell.
#[test]
fn two_engines_agree_but_for_rounding() {
    let place = place();
    let arguments = ["a.ron", "a.ron", "--engine-b", "dfdx"];
    let (code, report) = why(place.path(), &arguments);
    let found = report.differing();
    assert_eq!((code, found.len()), (0, 1), "{found:?}");
    assert_eq!(found[0].1["place"], "engine here");
    assert!(report.same().contains(&"evaluation_logits".to_owned()));
}

/// Which of two records is the right one, this machine can say of the steps that it computes again.
#[test]
fn a_replay_tells_whose_record_is_right() {
    let (code, report) = against_edited(|run| {
        edit(&run.join("metrics.jsonl"), "\"loss\":2.0", "\"loss\":2.1");
    });
    assert_eq!(code, 1);
    let found = report.differing();
    let (stage, difference) = found.last().unwrap();
    assert_eq!(stage, "recorded_metrics");
    let note = difference["notes"][0].as_str().unwrap();
    assert!(note.ends_with("as a recorded, and not b"), "{note}");
}

/// The experiments of the repository, of which neither the data nor the weights are here.
#[test]
fn what_needs_no_file_is_compared_without_it() {
    let experiments = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/experiments"));
    let sides = [
        "ffn_tsm_sthv2.ron",
        "ffn_tsm_sthv2_official.ron",
        "--steps",
        "0",
    ];
    let (code, report) = why(experiments, &sides);
    assert_eq!(code, 1);
    let reason = report.not_compared("initial_weights").unwrap();
    assert!(reason.contains("resnet50.safetensors"), "{reason}");
    let place = "base_model.layer1.0.adaconv_4.weight[0, 0, 0, 0]".to_owned();
    assert_eq!(effect(&report), ("initial_weights".into(), place));
    assert_eq!(report.explanation(), "it follows from method.alteration");
}
