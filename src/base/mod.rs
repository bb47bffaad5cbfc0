//! What every stage uses: errors, random numbers, files that are written whole or not at all, hashes.

pub mod error;
pub mod files;
mod mistakes;
pub mod rng;

pub use error::{Error, Kind, Result};
pub use mistakes::Mistakes;
