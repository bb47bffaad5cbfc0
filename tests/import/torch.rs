//! Files that PyTorch itself writes.

use std::path::Path;
use std::process::Output;

use ffn::exchange::read::{self, Format};

use crate::cli::{import, told};
use crate::limit::InTime;
use crate::python::python;

/// Writes DIR/{zip,legacy}.pth, and DIR/expected.safetensors with the same tensors as PyTorch makes them float32.
const WRITE: &str = r#"
import argparse, collections, sys
import numpy, torch
from safetensors.torch import save_file
torch.manual_seed(7)
base = torch.randn(6, 8)
tensors = {
    "plain": torch.randn(3, 4),
    "transposed": base.t(),
    "sliced": base[1:5:2, 2:],
    "expanded": torch.randn(3, 1).expand(3, 5),
    "scalar": torch.tensor(2.5),
    "empty": torch.zeros(0, 3),
    "half": torch.randn(5).half(),
    "bfloat": torch.randn(5).bfloat16(),
    "double": torch.randn(2, 2, dtype=torch.float64),
    "parameter": torch.nn.Parameter(torch.randn(2)),
}
state = collections.OrderedDict(("module." + name, tensor) for name, tensor in tensors.items())
state["module.norm.num_batches_tracked"] = torch.tensor(12345678901)
norm = torch.nn.BatchNorm1d(2)
sgd = torch.optim.SGD(norm.parameters(), lr=0.1, momentum=0.9)
norm(torch.randn(4, 2)).sum().backward()
sgd.step()
checkpoint = {
    "epoch": 3, "arch": "resnet50", "state_dict": state, "optimizer": sgd.state_dict(),
    "scheduler": torch.optim.lr_scheduler.MultiStepLR(sgd, [2, 3]).state_dict(),
    "best_prec1": torch.tensor(61.86), "best": numpy.float64(61.86), "args": argparse.Namespace(lr=0.01),
    "seen": {1, 2}, "dtype": torch.float32, "device": torch.device("cpu"), "shape": torch.Size([1, 2]),
}
out = sys.argv[1]
torch.save(checkpoint, out + "/zip.pth")
torch.save(checkpoint, out + "/legacy.pth", _use_new_zipfile_serialization=False)
torch.save(norm.state_dict(), out + "/bare.pth")
torch.save(norm, out + "/module.pth")
save_file({name: tensor.detach().float().contiguous().clone() for name, tensor in tensors.items()}, out + "/expected.safetensors")
"#;

#[test]
fn files_of_pytorch_are_read_to_the_last_bit() {
    let Some(mut python) = python(&["torch", "numpy", "safetensors"]) else {
        return;
    };
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    expect_success(
        &python
            .args(["-c", WRITE, place.to_str().unwrap()])
            .in_time(),
    );
    let expected = read::open(&place.join("expected.safetensors")).unwrap();
    for (name, format) in [
        ("zip", Format::PyTorchZip),
        ("legacy", Format::PyTorchLegacy),
    ] {
        let found = read::open(&place.join(format!("{name}.pth"))).unwrap();
        assert_eq!(found.format, format);
        assert_eq!(found.tensors.len(), expected.tensors.len() + 1);
        for tensor in &expected.tensors {
            let other = found
                .tensors
                .iter()
                .find(|t| t.name == tensor.name)
                .unwrap();
            assert_eq!(tensor.shape, other.shape, "{name}: {other:?}");
            let bits = |t: &read::Tensor| -> Vec<u32> {
                t.floats()
                    .unwrap()
                    .values
                    .iter()
                    .map(|v| v.to_bits())
                    .collect()
            };
            assert_eq!(bits(tensor), bits(other), "{name}: {other:?}");
        }
        let counter = found.tensors.last().unwrap();
        assert_eq!(counter.integer(), Some(12_345_678_901));
        let extras: Vec<&str> = found.extras.iter().map(|e| e.path.as_str()).collect();
        let beside = [
            "epoch",
            "arch",
            "optimizer",
            "scheduler",
            "best_prec1",
            "best",
            "args",
            "seen",
            "dtype",
            "device",
            "shape",
        ];
        assert_eq!(extras, beside, "{name}");
    }
    assert_eq!(
        read::open(&place.join("bare.pth")).unwrap().tensors.len(),
        5
    );
    let module = read::open(&place.join("module.pth")).unwrap_err();
    assert!(
        module
            .message
            .contains("torch.nn.modules.batchnorm.BatchNorm1d"),
        "{module}"
    );
}

/// A network that golden/pytorch/networks.py describes; weights are random and come as a checkpoint.
const CASE: &str = r#"{"name": "imported", "mode": "eval", "method": "ffn", "arch": "resnet18", "classes": 7,
"batch": 2, "height": 32, "width": 32, "frames": [4, 8], "branches": [4, 8], "shift_segments": "per_branch",
"weights": "procedural-v1", "inputs": "procedural-v1"}"#;

const EXPERIMENT: &str = r#"Experiment(
    name: "imported",
    model: Tsm(backbone: ResNet18, dropout: 0.5, init: Random),
    method: Ffn(frames: [4, 8]),
    data: SomethingV2(pins: "none.ron", class_count: 7, train_count: 64, validation_count: 8),
    eval: (frames: [4, 8]),
)"#;

/// `golden/pytorch/bundle.py` saves random weights as training scripts do, with the logits that PyTorch computes from
/// them; imported, they give the same logits here.
#[test]
fn an_imported_checkpoint_gives_the_logits_of_pytorch() {
    let Some(mut python) = python(&["torch", "numpy", "safetensors"]) else {
        return;
    };
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let path = |name: &str| place.join(name).to_str().unwrap().to_owned();
    std::fs::write(path("case.json"), CASE).unwrap();
    std::fs::write(path("experiment.ron"), EXPERIMENT).unwrap();
    let (checkpoint, bundle) = (path("checkpoint.pth.tar"), path("bundle"));
    let python = python.current_dir(env!("CARGO_MANIFEST_DIR"));
    let python = python.args([
        "golden/pytorch/bundle.py",
        &path("case.json"),
        "--out",
        &bundle,
    ]);
    expect_success(&python.args(["--checkpoint", &checkpoint]).in_time());

    let weights = path("bundle/weights.safetensors");
    let flags = ["--out", &weights];
    let imported = import(Path::new(&checkpoint), &path("experiment.ron"), &flags);
    let report = told(&imported, 0, place);
    assert!(
        report.contains("not read: optimizer: a dictionary of 2"),
        "{report}"
    );
    let mut verify = std::process::Command::new(env!("CARGO_BIN_EXE_ffn"));
    let verified = verify.args(["golden", "verify", &bundle]).in_time();
    assert!(told(&verified, 0, place).contains("failures: 0"));
}

#[track_caller]
fn expect_success(output: &Output) {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
