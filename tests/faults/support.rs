//! A place to work in, and programs under limits.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

pub use crate::program::*;

pub const TINY: &str = "fixtures/experiments/tiny.ron";

/// Of address space, in KiB: what an ordinary laptop has left.
const MEMORY: u64 = 4_000_000;

/// Above what any of the cases takes on a busy machine of two cores.
const TIME: Duration = Duration::from_secs(60);

pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The path as an argument.
    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), content).unwrap();
        self.text(name)
    }

    /// The tiny experiment with its pins, changed by `edit`; the path of its file.
    pub fn experiment(&self, name: &str, edit: impl Fn(String) -> String) -> String {
        copy(Path::new("fixtures/experiments/pins"), &self.path("pins"));
        self.write(name, edit(fs::read_to_string(TINY).unwrap()))
    }

    /// An experiment on a data set of one training and one validation clip, `d/7.webm` and `d/v.webm`, with the lists below
    /// `d`; the path of its file.
    pub fn two_clips(&self) -> String {
        let data = "SomethingV2(pins: \"p.pins.ron\", class_count: 2, train_count: 1, validation_count: 1)";
        self.write("d/labels.json", r#"{"a": "0", "b": "1"}"#);
        self.write("d/train.json", r#"[{"id": "7", "template": "a"}]"#);
        self.write("d/validation.json", r#"[{"id": "v", "template": "a"}]"#);
        self.experiment("e.ron", |text| {
            let (before, rest) = text.split_once("Miniature(").unwrap();
            let (_, after) = rest.split_once(')').unwrap();
            format!("{before}{data}{after}").replace("batch: 8", "batch: 1")
        })
    }

    /// A finished run of the tiny experiment; its folder.
    pub fn finished(&self, out: &str) -> PathBuf {
        expect(&run(&["run", TINY, "--out", &self.text(out)]), 0);
        self.only_run(out)
    }

    /// A run of the tiny experiment that was stopped after its first step; its folder.
    pub fn begun(&self, out: &str) -> PathBuf {
        let out_path = self.text(out);
        let output = run(&["run", TINY, "--out", &out_path, "--max-minutes", "0"]);
        expect(&output, 75);
        self.only_run(out)
    }

    pub fn only_run(&self, out: &str) -> PathBuf {
        let mut folders = fs::read_dir(self.path(out)).unwrap();
        let folder = folders.next().unwrap().unwrap().path();
        assert!(folders.next().is_none(), "more than one run");
        folder
    }
}

/// The one checkpoint of a run that has one.
pub fn only_checkpoint(run: &Path) -> PathBuf {
    let mut checkpoints = fs::read_dir(run.join("checkpoints")).unwrap();
    checkpoints.next().unwrap().unwrap().path()
}

/// Fails unless stderr has this text.
#[track_caller]
pub fn says(output: &Output, text: &str) {
    let message = stderr(output);
    assert!(message.contains(text), "{message}");
}

/// The program with limits of memory: a shell sets them.
pub fn limited(arguments: &[&str]) -> Command {
    let command = command(&[]);
    let program = command.get_program().to_owned();
    let mut shell = Command::new("bash");
    shell
        .args(["-c", "ulimit -v $0; exec \"$@\""])
        .arg(MEMORY.to_string())
        .arg(program)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (name, value) in command.get_envs() {
        shell.env(name, value.unwrap());
    }
    shell
}

/// Runs the program under the limits; fails where it takes longer, or ends by a panic or an abort.
#[track_caller]
pub fn run(arguments: &[&str]) -> Output {
    within(TIME, limited(arguments))
}

/// As [`run`], of any command. An abort has no exit code.
#[track_caller]
pub fn within(time: Duration, mut command: Command) -> Output {
    let output = limit::within(time, &mut command);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!message.contains("panicked"), "{message}");
    assert_ne!(output.status.code(), Some(101), "{message}");
    assert!(
        output.status.code().is_some(),
        "{:?} {message}",
        output.status
    );
    output
}

/// Changes a sealed document and seals it again, as somebody would who knows how.
pub fn reseal(path: &Path, edit: impl Fn(&str) -> String) {
    let text = fs::read_to_string(path).unwrap();
    let (opening, rest) = text.split_at("{\n  \"seal\": \"".len());
    let body = edit(&rest[64..]);
    let zeroed = format!("{opening}{}{body}", "0".repeat(64));
    let seal = ffn::base::files::sha256(zeroed.as_bytes());
    fs::write(path, format!("{opening}{seal}{body}")).unwrap();
}
