//! Manifest and pins → decode → sample → transform → batches.

pub mod names;
pub mod store;
pub mod video;
pub mod miniature;
pub mod sampling;
pub mod resize;
pub mod normalize;
pub mod interpolate;
pub mod crop;
pub mod pixels;
pub mod transform;
pub mod roots;
pub mod staging;
pub mod texts;
pub mod listing;
pub mod something_v2;
pub mod frame_folders;
pub mod video_list;
pub mod hashes;
pub mod pins;
pub mod look;
pub mod dataset;
pub mod subset;
pub mod open;
pub mod augment;
pub mod clip;
pub mod mixing;
mod prefetch;
pub mod certificate;
pub mod pack;
pub mod loader;
pub mod stats;
pub mod sheet;

pub use dataset::{Dataset, Sample, Split};
pub use loader::{EvalBatch, EvalLoader, LoaderReport, TrainBatch, TrainLoader, TrainPlan};
pub use pixels::Pixels;
