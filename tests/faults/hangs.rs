//! A program that hangs fails its test, with what it had said.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::program::limit::within;

/// What the failure of a test says that runs a script.
fn failure(script: &str) -> String {
    let begun = Instant::now();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let run = AssertUnwindSafe(|| within(Duration::from_millis(300), &mut shell));
    let failure = catch_unwind(run).unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(20));
    failure.downcast_ref::<String>().unwrap().clone()
}

#[test]
fn a_program_that_does_not_end_is_told_with_its_output() {
    let message = failure("echo so far; echo and here >&2; exec sleep 60");
    for part in [
        "\"sh\" \"-c\"",
        "took longer than 300ms",
        "so far",
        "and here",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[test]
fn a_program_that_leaves_another_with_its_output_is_told() {
    let message = failure("sleep 30 & exit 0");
    assert!(message.contains("held its output open"), "{message}");
}
