//! Manifest and pins → decode → sample → transform → batches.

pub mod video;
pub mod miniature;
pub mod sampling;
pub mod resize;
pub mod crop;
pub mod transform;
pub mod dataset;
pub mod loader;

pub use dataset::{Dataset, Sample, Split};
pub use loader::{EvalBatch, EvalLoader, LoaderReport, TrainBatch, TrainLoader};
