//! Suites: the language, and whole suites through the binary.

#[path = "../support/program.rs"]
mod program;

mod language;
mod support;
mod whole;
mod verify;
