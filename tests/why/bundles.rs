//! An experiment against a golden bundle, of this program or of the official code.

use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::support::*;

/// The tiny experiment's training step, recorded with the outputs of all nodes of its stem and first stage.
fn recorded(place: &Path) {
    let taps = "stem,layer1.0.shift,layer1.0.conv1,layer1";
    let flags = [
        "golden", "record", "a.ron", "--out", "bundle", "--mode", "train", "--taps", taps,
    ];
    expect(&ffn_in(place, &flags), 0);
}

#[test]
fn a_bundle_of_the_same_experiment_is_the_same() {
    let place = place();
    recorded(place.path());
    let (code, report) = why(place.path(), &["a.ron", "bundle"]);
    assert_eq!((code, report.differing()), (0, vec![]));
    let stages = [
        "experiment",
        "initial_weights",
        "bundle",
        "activations",
        "loss",
        "gradients",
        "update",
    ];
    assert_eq!(report.same(), stages);
}

#[test]
fn another_experiment_parts_at_the_first_tap() {
    let place = place();
    recorded(place.path());
    let change = (
        "Ffn(frames: [2, 4]",
        "Ffn(frames: [2, 4], shift_segments: Shared(4)",
    );
    vary(place.path(), "a.ron", "b.ron", &[change]);
    let (code, report) = why(place.path(), &["b.ron", "bundle"]);
    assert_eq!(code, 1);
    let found = report.differing();
    let (stage, effect) = &found[1];
    assert_eq!(stage, "activations");
    let at = effect["place"].as_str().unwrap();
    assert!(
        at.starts_with("step0.tap.2.base_model.layer1.0.shift ["),
        "{at}"
    );
    assert_eq!(
        report.explanation(),
        "it follows from method.shift_segments"
    );
}

#[test]
fn a_damaged_expectation_is_named() {
    let place = place();
    recorded(place.path());
    let path = place.path().join("bundle/expected.safetensors");
    edit(&path, "step0.grad_head/new_fc.weight", |value| value * 1.5);
    let (code, report) = why(place.path(), &["a.ron", "bundle"]);
    assert_eq!(code, 1);
    let found = report.differing();
    let [(stage, effect)] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(stage, "gradients");
    let at = effect["place"].as_str().unwrap();
    assert!(at.starts_with("step0.grad_head/new_fc.weight ["), "{at}");
    assert_eq!(
        report.explanation(),
        "nothing that is declared could explain it"
    );
}

/// Changes a float32 tensor of a file.
fn edit(path: &Path, name: &str, change: impl Fn(f32) -> f32) {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let changed = file.tensors().into_iter().map(|(tensor, view)| {
        let mut data = view.data().to_vec();
        if tensor == name {
            assert_eq!(view.dtype(), Dtype::F32);
            for value in data.as_chunks_mut::<4>().0 {
                *value = change(f32::from_le_bytes(*value)).to_le_bytes();
            }
        }
        (tensor, view.dtype(), view.shape().to_vec(), data)
    });
    let changed: Vec<_> = changed.collect();
    let views = changed.iter().map(|(name, dtype, shape, data)| {
        (name, TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn another_network_has_no_place_for_the_weights() {
    let place = place();
    recorded(place.path());
    vary(place.path(), "a.ron", "b.ron", &[("width: 8", "width: 16")]);
    let (code, report) = why(place.path(), &["b.ron", "bundle"]);
    assert_eq!(code, 1);
    let found = report.differing();
    assert_eq!(found[1].0, "initial_weights");
    assert_eq!(found[1].1["a"], "base_model.conv1.weight [16, 3, 3, 3]");
    assert_eq!(report.explanation(), "it follows from model.backbone.width");
}

/// What the official code computed, and an experiment with the other direction of the divergence.
#[test]
fn the_official_code_is_told_from_a_later_report() {
    let place = place();
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/ffn_r18_train");
    let text = r#"Experiment(
        name: "reversed",
        model: Tsm(backbone: ResNet18, dropout: 0.5, init: Random),
        method: Ffn(frames: [4, 8, 16], distillation: Reversed),
        data: SomethingV2(pins: "pins/none.ron", class_count: 174, train_count: 168913, validation_count: 24777),
        optimizer: Sgd(lr: 0.01),
        eval: (frames: [4, 8, 16]),
    )"#;
    std::fs::write(place.path().join("b.ron"), text).unwrap();
    let (code, report) = why(place.path(), &["b.ron", golden]);
    assert_eq!(code, 1);
    let found = report.differing();
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(
        found[0].1["named"]["subject"],
        "direction of the divergence"
    );
    assert_eq!(found[1].0, "loss");
    assert_eq!(found[1].1["place"], "step0.loss.kl.4 [0]");
}
