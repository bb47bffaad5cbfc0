//! The control: the same weights with norm statistics estimated again.

use serde::{Deserialize, Serialize};

use super::document::Content;

/// Accuracy with the statistics that training left, and with those of the inputs at hand. What the second gives back is
/// what the statistics took; the rest of a loss is the motion that fewer frames do not show, or weights that never saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreciseNorms {
    /// Training clips that the statistics are estimated from, as in [`super::Drift`].
    pub clips: usize,
    /// Clips of one batch.
    pub batch: usize,
    /// By frame count, then branch, ascending.
    pub points: Vec<Point>,
}

/// One frame count by one branch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    pub frames: usize,
    /// Frame count of the branch.
    pub branch: usize,
    /// With the running statistics that training left.
    pub before: Score,
    /// With statistics estimated at this frame count.
    pub after: Score,
}

/// Over the validation split.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    pub clips: usize,
    /// Clips whose class is the first.
    pub top1: usize,
    /// Mean cross entropy.
    pub loss: f64,
}

impl Score {
    /// In percent.
    pub fn top1_percent(&self) -> f64 {
        100.0 * self.top1 as f64 / self.clips.max(1) as f64
    }
}

impl Content for PreciseNorms {
    const NAME: &'static str = "precise_bn";
}
