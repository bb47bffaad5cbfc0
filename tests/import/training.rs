//! Checkpoints as training programs keep them, which PyTorch wrote: `fixtures/checkpoints/make.py`.

use std::path::Path;

use ffn::exchange::read::{Checkpoint, open, parse_taking};

fn path(name: &str) -> std::path::PathBuf {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/checkpoints");
    fixtures.join(name)
}

/// What a person hears of a file, and the first value of each tensor.
fn told(read: &Checkpoint) -> String {
    let mut text = format!("taken `{}`\n", read.taken);
    for tensor in &read.tensors {
        let first = tensor.floats().and_then(|f| f.values.first().copied());
        text += &format!("  {}: {:?} {first:?}\n", tensor.name, tensor.shape);
    }
    for other in &read.others {
        text += &format!("also `{}`, {} tensors\n", other.name, other.tensors);
    }
    for extra in &read.extras {
        text += &format!("beside {}: {}\n", extra.path, extra.what);
    }
    text
}

/// Objects of other programs beside the weights are named and do not matter; of two sets of weights one is taken.
#[test]
fn weights_of_training_programs_are_read_and_the_rest_is_named() {
    let mut text = String::new();
    for name in [
        "lightning.ckpt",
        "mmengine.pth",
        "timm.pth.tar",
        "ema_alone.pth",
        "averaged.pth",
    ] {
        text += &format!("== {name}\n{}\n", told(&open(&path(name)).unwrap()));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn the_other_weights_are_read_on_request() {
    for (name, take) in [
        ("mmengine.pth", "ema_state_dict"),
        ("timm.pth.tar", "state_dict_ema"),
    ] {
        let bytes = std::fs::read(path(name)).unwrap();
        let read = parse_taking(&bytes, Some(take)).unwrap();
        assert_eq!((read.taken.as_str(), &read.asked), (take, &None));
        assert_eq!(read.tensors[0].floats().unwrap().values, [0.25; 6]);
        let others: Vec<&str> = read.others.iter().map(|o| o.name.as_str()).collect();
        assert_eq!(others, ["state_dict"], "{name}");
    }
}
