//! `ffn export` of a run.

use ffn::run::tensors;

use crate::support::*;

#[test]
fn a_run_is_exported_with_the_weights_of_its_last_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tiny.safetensors");
    let run = undisturbed();
    let arguments = [
        "export",
        run.to_str().unwrap(),
        "--out",
        file.to_str().unwrap(),
    ];
    let output = ffn(&arguments);
    expect(&output, 0);
    assert!(
        stdout(&output).contains("after 12 steps"),
        "{}",
        stdout(&output)
    );
    let checkpoint = run.join("checkpoints/step-00000012/model.safetensors");
    let tensors = |path| tensors::encode(&tensors::decode(path).unwrap()).unwrap();
    assert!(tensors(&file) == std::fs::read(&checkpoint).unwrap());

    let bytes = std::fs::read(&file).unwrap();
    let file = safetensors::SafeTensors::read_metadata(&bytes).unwrap().1;
    let notes = &file.metadata().as_ref().unwrap()["ffn"];
    let notes: serde_json::Value = serde_json::from_str(notes).unwrap();
    assert_eq!(notes["step"], "12");
    assert_eq!(notes["run"], run.file_name().unwrap().to_str().unwrap());
}

#[test]
fn a_damaged_checkpoint_is_not_exported() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    copy(undisturbed(), &run);
    flip_bit(&run.join("checkpoints/step-00000012/model.safetensors"));
    let file = folder.path().join("model.onnx");
    let output = ffn(&[
        "export",
        run.to_str().unwrap(),
        "--out",
        file.to_str().unwrap(),
    ]);
    expect(&output, 5);
    assert!(
        stderr(&output).contains("hash mismatch"),
        "{}",
        stderr(&output)
    );
    assert!(!file.exists());
}
