//! Any text as a suite; one without mistakes has a canonical form that is a suite of the same identity.
#![no_main]

use std::path::Path;

use ffn::spec::suite::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/suites"));
    let Ok(loaded) = parse("fuzz.ron", text, folder) else {
        return;
    };
    let again = parse("canonical.ron", &loaded.suite.canonical(), folder).unwrap();
    assert_eq!(again.suite.identity(), loaded.suite.identity());
});
