//! The bundles that `golden/pytorch` writes; skipped where no Python with torch is installed.

use std::path::Path;
use std::process::Command;

use crate::limit::InTime;
use crate::python::python;
use crate::support::{expect, ffn_golden, golden};

/// Python with torch, to run a script of `golden/pytorch`.
fn script(name: &str) -> Option<Command> {
    let mut command = python(&["torch", "numpy", "safetensors"])?;
    command.arg(golden("pytorch").join(name));
    Some(command)
}

/// The same tensors as the official code's, to the rounding of the float32 in which those are stored. All six:
/// `python golden/pytorch/bundle.py --check golden/*_eval golden/*_train`.
#[test]
fn pytorch_agrees_with_the_goldens() {
    let Some(mut script) = script("bundle.py") else {
        return;
    };
    script
        .arg("--check")
        .args(["ffn_r18_eval", "tsm_r18_train"].map(golden));
    let printed = expect(&script.in_time(), 0);
    assert!(printed.contains("ffn_r18_eval: 3 tensors"), "{printed}");
    assert!(printed.contains("tsm_r18_train: 460 tensors"), "{printed}");
    assert_eq!(printed.matches(": agrees").count(), 2, "{printed}");
}

/// The walkthrough of the book: a network of one's own, its experiment, its taps and its training steps.
#[test]
fn a_network_of_ones_own_passes_until_it_differs() {
    let Some(mut script) = script("small.py") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("small");
    script
        .arg(golden("pytorch/small.json"))
        .arg("--out")
        .arg(&bundle);
    expect(&script.in_time(), 0);
    let path = bundle.to_str().unwrap();
    let table = expect(&ffn_golden(&["verify", path]), 0);
    assert!(
        table.contains("step1.tap.4.base_model.layer2.0.relu"),
        "{table}"
    );

    let experiment = bundle.join("small.ron");
    let text = std::fs::read_to_string(&experiment).unwrap();
    let other = text.replace("place: BlockInput", "place: ResidualInput");
    assert_ne!(text, other);
    std::fs::write(&experiment, other).unwrap();
    let table = expect(&ffn_golden(&["verify", path]), 1);
    let first = table
        .lines()
        .find(|l| l.contains(".tap.") && l.ends_with("FAIL"))
        .unwrap();
    assert!(
        first.contains("step0.tap.4.base_model.layer1.0.relu"),
        "{table}"
    );
}

/// A `.pth` that PyTorch wrote, with the official key names and random weights, gives PyTorch's logits: in the format of
/// today and in that before it.
#[test]
fn a_checkpoint_of_pytorch_gives_pytorchs_logits() {
    let folder = tempfile::tempdir().unwrap();
    let case = std::fs::read_to_string(golden("ffn_r18_eval/case.json")).unwrap();
    let case = case.replace("\"batch\": 2", "\"batch\": 1");
    let small = folder.path().join("case.json");
    std::fs::write(&small, case.replace("\": 64", "\": 32")).unwrap();
    for (name, flag) in [("zip", None), ("legacy", Some("--legacy"))] {
        let Some(mut script) = script("bundle.py") else {
            return;
        };
        let bundle = folder.path().join(name);
        script.arg(&small).arg("--out").arg(&bundle);
        script
            .arg("--checkpoint")
            .arg(bundle.join("weights.pth"))
            .args(flag);
        expect(&script.in_time(), 0);
        let starts = starts_as_zip(&bundle.join("weights.pth"));
        assert_eq!(starts, flag.is_none(), "{name}");
        let table = expect(&ffn_golden(&["verify", bundle.to_str().unwrap()]), 0);
        assert!(table.contains("groups: 3, failures: 0"), "{table}");
    }
}

fn starts_as_zip(path: &Path) -> bool {
    std::fs::read(path).unwrap().starts_with(b"PK")
}
