//! Any text as an experiment; one without mistakes has a canonical form that is an experiment of the same identity.
#![no_main]

use ffn::spec::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok((experiment, _)) = parse("fuzz.ron", text) else {
        return;
    };
    let (again, _) = parse("canonical.ron", &experiment.canonical()).unwrap();
    assert_eq!(again.identity(), experiment.identity());
});
