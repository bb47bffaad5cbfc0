//! Any bytes as a checkpoint, and what is read of it as weights of a small network.
#![no_main]

use std::sync::LazyLock;

use ffn::exchange::mapping::{Mapping, Purpose};
use ffn::exchange::read::parse;
use ffn::graph::Graph;
use libfuzzer_sys::fuzz_target;

static GRAPH: LazyLock<Graph> = LazyLock::new(|| {
    let text = include_str!("../../fixtures/experiments/tiny.ron");
    let (experiment, _) = ffn::spec::parse("tiny.ron", text).unwrap();
    Graph::build(&experiment, (24, 24)).unwrap()
});

fuzz_target!(|data: &[u8]| {
    let Ok(read) = parse(data) else { return };
    let total: usize = read.tensors.iter().map(|tensor| tensor.bytes.len()).sum();
    assert!(
        total <= 8 * data.len() + (1 << 20),
        "{total} bytes from {}",
        data.len()
    );
    let waive = ["*".to_owned()];
    for purpose in [Purpose::Whole, Purpose::Initial] {
        if let Ok(mapping) = Mapping::new("checkpoint", &GRAPH, &read, purpose, &waive) {
            mapping.load(true).unwrap();
        }
    }
});
