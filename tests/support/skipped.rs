//! Tests that need what this machine does not have.

use std::io::Write;

/// Says on standard error, past the capture of a test's output, that a test has compared nothing, and why.
pub fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("skipped: {test}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}
