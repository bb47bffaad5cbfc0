//! Suites: the language, and whole suites through the binary.

#[path = "../support/program.rs"]
mod program;
#[path = "../support/skipped.rs"]
mod skipped;

mod language;
#[cfg(unix)]
mod members;
#[cfg(unix)]
mod slurm;
#[cfg(unix)]
mod submit;
mod support;
mod whole;
mod verify;
