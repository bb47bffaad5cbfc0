//! Any JSON as the documents of a run's and of a suite's folder; those that are sealed get the seal that fits.
#![no_main]

mod support;

use std::path::PathBuf;
use std::sync::LazyLock;

use ffn::run::{Folder, folder, seal};
use ffn::suite;
use libfuzzer_sys::fuzz_target;

static PLACE: LazyLock<PathBuf> = LazyLock::new(|| support::folder("manifest"));

fuzz_target!(|data: &[u8]| {
    let put = |name: &str, bytes: &[u8]| std::fs::write(PLACE.join(name), bytes).unwrap();
    for name in [folder::CLASSES, suite::folder::VERDICTS] {
        put(name, data);
    }
    if let Ok(document) = serde_json::from_slice::<serde_json::Value>(data) {
        let sealed = seal::seal(&document).unwrap();
        for name in [folder::MANIFEST, folder::HISTORY, suite::folder::RECORD] {
            put(name, sealed.as_bytes());
        }
    }
    put(suite::folder::SUITE, b"");
    let place = Folder::at(&*PLACE);
    if let Ok(manifest) = place.manifest() {
        // What was understood can be written and is understood again.
        let sealed = seal::seal(&manifest).unwrap();
        put(folder::MANIFEST, sealed.as_bytes());
        place.manifest().unwrap();
    }
    let _ = (place.history(), place.classes());
    let _ = (suite::folder::read_record(&place), suite::folder::read_verdicts(&place));
});
