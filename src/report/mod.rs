//! Runs and their analyses → what people read: lists, tables, plots, the live page, the book, metrics in the formats of other programs.
//!
//! Nothing here computes a result: everything is read from run folders, those of finished runs after their hashes were looked at
//! ([`source::Run`]).

pub mod book;
mod escape;
pub mod listing;
pub mod live;
pub mod metrics;
pub mod numbers;
pub mod results;
pub mod plot;
pub mod source;
pub mod table;
pub mod verdicts;
