//! A tiny finished run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;

use serde_json::Value;

pub use crate::program::*;

pub const TINY: &str = "fixtures/experiments/tiny.ron";

/// A copy of a run that is finished and was never analysed, below a folder of its own.
pub struct Run {
    place: tempfile::TempDir,
    name: String,
}

impl Run {
    pub fn new() -> Self {
        static RUNS: OnceLock<PathBuf> = OnceLock::new();
        let runs = RUNS.get_or_init(|| {
            let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("analysis-runs");
            let _ = std::fs::remove_dir_all(&out);
            expect(&ffn(&["run", TINY, "--out", out.to_str().unwrap()]), 0);
            out
        });
        let place = tempfile::tempdir().unwrap();
        copy(runs, place.path());
        let mut folders = std::fs::read_dir(place.path()).unwrap();
        let name = folders.next().unwrap().unwrap().file_name();
        Self {
            place,
            name: name.into_string().unwrap(),
        }
    }

    pub fn path(&self) -> String {
        let path = self.place.path().join(&self.name);
        path.to_str().unwrap().to_owned()
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.place.path().join(&self.name).join(name)
    }

    /// `ffn analyse` with more arguments.
    pub fn analyse(&self, arguments: &[&str]) -> Output {
        ffn(&[&["analyse", &self.path()], arguments].concat())
    }

    /// The document `analysis/<name>.json`.
    pub fn document(&self, name: &str) -> Value {
        let text = std::fs::read_to_string(self.join(&format!("analysis/{name}.json"))).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// The bytes of every analysis but the measured latency.
    pub fn analyses(&self) -> BTreeMap<String, Vec<u8>> {
        let files = std::fs::read_dir(self.join("analysis")).unwrap();
        let files = files.map(|file| {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read(&path).unwrap())
        });
        files.filter(|(name, _)| name != "latency.json").collect()
    }
}

/// Without the last column of the surface, which a clock measured, and the machine on which it did.
pub fn without_latency(text: &str) -> String {
    let mut surface = false;
    let line = |line: &str| {
        surface = line.ends_with(" ms") || surface && !line.starts_with("ms: ");
        match line.rsplit_once(' ') {
            _ if line.starts_with("ms: ") => "ms: …".to_owned(),
            Some((rest, _)) if surface => format!("{}  …", rest.trim_end()),
            _ => line.to_owned(),
        }
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n") + "\n"
}
