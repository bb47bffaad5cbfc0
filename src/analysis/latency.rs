//! How long one clip takes. A clock decides it: no other document holds such a value.

use serde::{Deserialize, Serialize};

use super::document::Content;
use crate::exec::EngineKind;
use crate::run::provenance::{Build, Machine};

/// Time of a pass over one view of a clip that is in memory already: normalised pixels in, logits out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    pub machine: Machine,
    pub build: Build,
    pub engine: EngineKind,
    pub threads: usize,
    /// Passes that were timed at each point, after one that was not.
    pub passes: usize,
    /// By frame count, then branch, ascending.
    pub points: Vec<Timed>,
}

/// Milliseconds of one frame count by one branch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timed {
    pub frames: usize,
    pub branch: usize,
    /// The median pass.
    pub median_ms: f64,
    pub fastest_ms: f64,
    pub slowest_ms: f64,
}

impl Content for Latency {
    const NAME: &'static str = "latency";
}
