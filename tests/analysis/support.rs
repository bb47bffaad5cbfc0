//! The binary and a tiny finished run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

pub const TINY: &str = "fixtures/experiments/tiny.ron";

/// The tiny data set, the one of the tests of whole runs: rendered by whoever comes first.
pub fn data() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("tiny")
}

/// The program in the project's folder, with the tiny data set and nobody's configuration.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ffn"));
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(arguments)
        .env("FFN_DATA_MINIATURE", data())
        .env("FFN_CONFIG", data().join("no-configuration.ron"))
        .env("COLUMNS", "100")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub fn ffn(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Fails unless the program ended with this code.
#[track_caller]
pub fn expect(output: &Output, code: i32) {
    let (out, err) = (stdout(output), stderr(output));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
}

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

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &target),
            false => drop(std::fs::copy(&path, &target).unwrap()),
        }
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
