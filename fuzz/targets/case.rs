//! Any JSON as the case of a golden bundle, down to the memory that its model would take.
#![no_main]

mod support;

use std::path::PathBuf;
use std::sync::LazyLock;

use ffn::golden::{CASE, ModelBundle};
use libfuzzer_sys::fuzz_target;

static PLACE: LazyLock<PathBuf> = LazyLock::new(|| {
    let place = support::folder("case");
    let experiment = include_str!("../../fixtures/experiments/tiny.ron");
    std::fs::write(place.join("experiment.ron"), experiment).unwrap();
    place
});

fuzz_target!(|data: &[u8]| {
    std::fs::write(PLACE.join(CASE), data).unwrap();
    // There are no expected values: a case that makes sense is refused last of all.
    assert!(ModelBundle::open(&PLACE).is_err());
});
