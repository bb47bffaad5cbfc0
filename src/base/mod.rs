//! What every stage uses: errors, random numbers, files that are written whole or not at all, hashes, medians.

pub mod error;
pub mod files;
mod mistakes;
pub mod rng;
pub mod statistics;

pub use error::{Error, Kind, Result};
pub use mistakes::Mistakes;
