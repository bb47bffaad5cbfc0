//! Any text as a suite; one without mistakes has a canonical form that is a suite of the same identity.
#![no_main]

use std::path::Path;

use ffn::spec::Settings;
use ffn::spec::suite::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/suites"));
    let read = |name, text: &str| parse(name, text, folder, &Settings::default());
    let Ok(loaded) = read("fuzz.ron", text) else {
        return;
    };
    let again = read("canonical.ron", &loaded.suite.canonical()).unwrap();
    assert_eq!(again.suite.identity(), loaded.suite.identity());
});
