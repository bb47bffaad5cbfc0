//! Runs and their analyses → what people read: tables, plots, the book, metrics in the formats of other programs.
//!
//! Nothing here computes a result: everything is read from run folders whose hashes are looked at first
//! ([`source::Run`]).

pub mod book;
mod escape;
pub mod metrics;
pub mod numbers;
pub mod results;
pub mod plot;
pub mod source;
pub mod table;
pub mod verdicts;
