//! The binary, as a person calls it in the project's folder, with the tiny data set and nobody's configuration.

#[path = "limit.rs"]
pub mod limit;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The data set of the tiny experiment: rendered by whoever comes first.
pub fn data() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("tiny")
}

pub use limit::InTime;

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
    command(arguments).in_time()
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
    let found = output.status.code();
    assert_eq!(found, Some(code), "stdout:\n{out}\nstderr:\n{err}");
}

/// A copy of a folder.
pub fn copy(from: &Path, to: &Path) {
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
