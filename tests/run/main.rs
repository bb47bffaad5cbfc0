//! Whole runs through the binary: train, stop, go on, evaluate, verify.

mod cli;
mod export;
mod resume;
mod support;
mod whole;
