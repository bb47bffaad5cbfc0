//! The binary with a tiny data set, for suites of the tiny experiment.

use std::path::Path;
use std::process::{Command, Output, Stdio};

pub const TINY: &str = "fixtures/suites/tiny.ron";

/// The program in the project's folder, with the tiny data set and nobody's configuration.
pub fn command(arguments: &[&str]) -> Command {
    let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tiny");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ffn"));
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(arguments)
        .env("FFN_CONFIG", data.join("no-configuration.ron"))
        .env("FFN_DATA_MINIATURE", data)
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
    let found = output.status.code();
    assert_eq!(found, Some(code), "stdout:\n{out}\nstderr:\n{err}");
}
