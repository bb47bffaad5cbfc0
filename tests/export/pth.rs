//! PyTorch checkpoints: torch reads what was written bit for bit, and computes with it what we compute.

use ffn::base::files::sha256;
use ffn::exchange::write::pth::{self, Layout};
use ffn::exchange::write::{Entry, Notes, Values};
use ffn::model::Model;
use ffn::spec::{Backbone, Experiment};
use serde_json::{Value, json};

use super::models::*;
use super::peer::{Peer, run, script, to_bytes};
use super::python::python;

/// As `read_pth.py` prints it.
fn described(entry: &Entry<'_>, prefix: &str) -> Value {
    let (kind, bytes) = match entry.values {
        Values::Float32(values) => ("torch.float32", to_bytes(values)),
        Values::Int64(value) => ("torch.int64", value.to_le_bytes().to_vec()),
    };
    json!([
        format!("{prefix}{}", entry.name),
        kind,
        entry.shape,
        sha256(&bytes)
    ])
}

#[test]
fn torch_reads_every_tensor_bit_for_bit() {
    let Some(mut python) = python(&["torch", "numpy"]) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let extremes = [-0.0, f32::MIN_POSITIVE, 1e-45, f32::MAX, f32::MIN];
    let mut state = build(&random(1)).state_dict().unwrap();
    state
        .floats
        .push(("extremes".into(), vec![1, 5], extremes.to_vec()));
    state.floats.push(("none".into(), vec![0, 3], Vec::new()));
    state.counters.push(("counter".into(), u64::MAX >> 1));
    let entries = state.entries();
    let notes = Notes::from([("run".to_owned(), "tiny–1".to_owned())]);
    let official = Layout::Official {
        epoch: Some(50),
        arch: "resnet50",
        notes: &notes,
    };
    python.arg(script("read_pth.py"));
    let mut expected = Vec::new();
    for (name, layout, prefix, rest) in [
        (
            "official.pth",
            official,
            "module.",
            json!({"epoch": 50, "arch": "resnet50", "ffn": {"run": "tiny–1"}}),
        ),
        ("plain.pth", Layout::Plain, "", json!({})),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, pth::encode(&entries, layout).unwrap()).unwrap();
        python.arg(&path);
        let tensors: Vec<Value> = entries
            .iter()
            .map(|entry| described(entry, prefix))
            .collect();
        expected.push(json!({"rest": rest, "tensors": tensors}));
    }
    let text = run(&mut python);
    let found: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(found, expected);
}

/// `DataParallel(…).load_state_dict(checkpoint["state_dict"], strict=True)`, then logits.
#[test]
fn torch_computes_what_we_compute() {
    let Some(python) = python(&["torch", "numpy"]) else {
        return;
    };
    let mut peer = Peer::new();
    let cases: [(&str, Experiment, &[usize]); 2] = [
        ("resnet18", of(vanilla(4), Backbone::ResNet18, 40), &[3, 4]),
        (
            "resnet50",
            of(flexible(&[2, 3]), Backbone::ResNet50, 33),
            &[2, 3],
        ),
    ];
    let mut jobs = Vec::new();
    for (arch, experiment, counts) in cases {
        let mut model = build(&experiment);
        let runs = counts
            .iter()
            .map(|&frames| peer.ask(arch, &mut model, frames));
        let runs: Vec<Value> = runs.collect();
        let branches = experiment.method.frames();
        jobs.push(json!({
            "checkpoint": peer.file(&format!("{arch}.pth"), &official(&model, arch)),
            "arch": arch, "classes": CLASSES, "branches": branches, "flexible": branches.len() > 1,
            "runs": runs,
        }));
    }
    let largest = peer.compare(python, "run_pth.py", &Value::Array(jobs));
    println!("largest error {largest:.1e}");
}

fn official(model: &Model, arch: &str) -> Vec<u8> {
    let layout = Layout::Official {
        epoch: None,
        arch,
        notes: &Notes::new(),
    };
    pth::encode(&model.state_dict().unwrap().entries(), layout).unwrap()
}
