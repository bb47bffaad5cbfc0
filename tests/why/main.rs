//! `ffn why`: two experiments or runs are told apart by the first place where they part.

#[path = "../support/program.rs"]
mod program;

mod bundles;
mod named;
mod runs;
mod support;
