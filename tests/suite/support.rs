//! Runs of the tiny suite.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;

pub use crate::program::*;

pub const TINY: &str = "fixtures/suites/tiny.ron";

/// `ffn run` of a suite into `out`.
pub fn run(file: &str, out: &Path, flags: &[&str]) -> Output {
    ffn(&[&["run", file, "--out", out.to_str().unwrap()], flags].concat())
}

/// A folder with a copy of the finished tiny suite and its runs.
pub fn finished() -> tempfile::TempDir {
    static RUNS: OnceLock<PathBuf> = OnceLock::new();
    let runs = RUNS.get_or_init(|| {
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("suite-runs");
        let _ = std::fs::remove_dir_all(&out);
        expect(&run(TINY, &out, &["--jobs", "2"]), 0);
        out
    });
    let place = tempfile::tempdir().unwrap();
    copy(runs, place.path());
    place
}

/// The suite's folder below `out`.
pub fn suite_folder(out: &Path) -> PathBuf {
    let mut entries = std::fs::read_dir(out).unwrap().map(|e| e.unwrap().path());
    entries
        .find(|path| path.join("suite.ron").exists())
        .unwrap()
}
