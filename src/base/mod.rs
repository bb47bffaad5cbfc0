//! What every stage uses: errors, random numbers, files that are written whole or not at all, bounds,
//! output, hashes, medians.

pub mod error;
pub mod files;
pub mod hash;
mod held;
pub mod limits;
mod mistakes;
pub mod rng;
pub mod shown;
pub mod signals;
pub mod statistics;
pub mod temporary;
pub mod terminal;

pub use error::{Error, Kind, Result};
pub use held::Held;
pub use mistakes::Mistakes;
pub use shown::{Shown, count};
