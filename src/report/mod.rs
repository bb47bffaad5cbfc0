//! Runs and their analyses → what people read.

pub mod plot;
