//! `ffn new`: from a folder of clips to an experiment that is checked, pinned and run.

#[path = "../support/program.rs"]
mod program;

mod clips;
mod folders;
mod recipes;
mod refusals;
