//! Any bytes as a video: container and the headers of its frames, all that is read before the first frame is decoded.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use ffn::data::video::{Source, Video};
use libfuzzer_sys::fuzz_target;

/// Videos are read from files.
static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("ffn-fuzz-{}.webm", std::process::id())));

fuzz_target!(|data: &[u8]| {
    std::fs::write(&*FILE, data).unwrap();
    if let Ok(video) = Video::open(&Source::File(FILE.clone())) {
        video.frame_count();
    }
});
