//! Whole runs through the binary: train, stop, go on, evaluate, verify.

#[path = "../support/program.rs"]
mod program;
#[path = "../support/skipped.rs"]
mod skipped;

mod adopt;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod amx;
mod cli;
mod export;
mod notify;
mod ranks;
mod recipes;
mod resume;
mod shards;
mod support;
mod whole;
