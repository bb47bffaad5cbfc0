//! Manifest and pins → decode → sample → transform → batches.

pub mod video;
pub mod miniature;
pub mod dataset;
pub mod loader;

pub use dataset::{Dataset, Sample, Split};
pub use loader::{EvalBatch, EvalLoader, LoaderReport, TrainBatch, TrainLoader};
