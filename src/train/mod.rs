//! Optimiser, schedule, loop, checkpoint, evaluation.

pub mod optimizer;
pub mod schedule;

pub use optimizer::Optimizer;
