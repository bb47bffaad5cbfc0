//! `ffn`: a declarative experiment language and reproducibility harness for video recognition.
//!
//! The modules are the stages of the pipeline. No stage reads one that stands below it in this list.

pub mod base;
pub mod spec;
pub mod data;
pub mod graph;
pub mod program;
pub mod exec;
pub mod model;
pub mod run;
pub mod train;
pub mod golden;
pub mod cli;
