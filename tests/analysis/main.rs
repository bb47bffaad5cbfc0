//! What a run tells about itself: `ffn eval --all-branches`, `ffn analyse`, and the estimates behind them.

#[path = "../support/program.rs"]
mod program;

mod cli;
mod documents;
mod plot;
mod statistics;
mod support;
