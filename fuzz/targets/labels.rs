//! Any bytes as the label files of Something-Something V2: classes, training, validation, with zero bytes between.
#![no_main]

mod support;

use std::path::PathBuf;
use std::sync::LazyLock;

use ffn::spec::Experiment;
use libfuzzer_sys::fuzz_target;

const EXPERIMENT: &str = r#"Experiment(
    name: "fuzz",
    model: Tsm(backbone: ResNet18, dropout: 0.5, init: Random),
    method: Vanilla(frames: 8),
    data: SomethingV2(pins: "p.ron", class_count: 2, train_count: 1, validation_count: 1),
    train: (batch: 1),
    eval: (frames: [8]),
)"#;

static EXPERIMENT_AND_ROOT: LazyLock<(Experiment, PathBuf)> = LazyLock::new(|| {
    let root = support::folder("labels");
    for id in ["1", "2"] {
        std::fs::write(root.join(format!("{id}.webm")), "").unwrap();
    }
    (ffn::spec::parse("fuzz.ron", EXPERIMENT).unwrap().0, root)
});

fuzz_target!(|data: &[u8]| {
    let (experiment, root) = &*EXPERIMENT_AND_ROOT;
    support::write_pieces(root, &["labels.json", "train.json", "validation.json"], data);
    if let Some(dataset) = support::find(experiment, root) {
        assert_eq!((dataset.classes.len(), dataset.train.len()), (2, 1));
    }
});
