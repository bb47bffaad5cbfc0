//! Any bytes as the lists of a data set of frame folders: training, validation, names of classes, with zero bytes between.
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
    data: FrameFolders(root: "fuzz", pins: "p.ron", train_list: "train.txt", validation_list: "validation.txt",
        class_names: Some("classes.txt"), template: "{}.jpg", class_count: 2, direction_sensitive: false),
    eval: (frames: [8]),
)"#;

static EXPERIMENT_AND_ROOT: LazyLock<(Experiment, PathBuf)> = LazyLock::new(|| {
    let root = support::folder("frame-lists");
    std::fs::create_dir_all(root.join("a")).unwrap();
    for number in 1..4 {
        std::fs::write(root.join(format!("a/{number}.jpg")), "").unwrap();
    }
    (ffn::spec::parse("fuzz.ron", EXPERIMENT).unwrap().0, root)
});

fuzz_target!(|data: &[u8]| {
    let (experiment, root) = &*EXPERIMENT_AND_ROOT;
    support::write_pieces(root, &["train.txt", "validation.txt", "classes.txt"], data);
    if let Some(dataset) = support::find(experiment, root) {
        assert_eq!(dataset.classes.len(), 2);
        assert!(dataset.train.iter().all(|sample| sample.label < 2));
    }
});
