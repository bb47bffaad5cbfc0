//! Whole runs through the binary: train, stop, go on, evaluate, verify.

#[path = "../support/program.rs"]
mod program;

mod cli;
mod export;
mod resume;
mod support;
mod whole;
