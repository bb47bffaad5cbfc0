//! What the stored predictions say: flips, confusion, gains.

use serde::{Deserialize, Serialize};

use super::document::Content;

/// Clips whose verdict changes with the frame count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Flips {
    pub clips: usize,
    /// The largest frame count with each smaller one, descending.
    pub pairs: Vec<Pair>,
}

/// Two frame counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    pub from: usize,
    pub to: usize,
    /// Clips that are right at both.
    pub right: usize,
    /// Clips that are wrong at both.
    pub wrong: usize,
    /// Right at `from`, wrong at `to`.
    pub lost: Vec<Flip>,
    /// Wrong at `from`, right at `to`.
    pub won: Vec<Flip>,
}

/// One clip. Classes are numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flip {
    pub id: String,
    pub label: usize,
    /// What was said at `from`.
    pub from: usize,
    /// What was said at `to`.
    pub to: usize,
}

/// Which class is taken for which.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Confusion {
    /// Names in label order.
    pub classes: Vec<String>,
    /// By frame count, ascending.
    pub matrices: Vec<Matrix>,
}

/// One frame count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matrix {
    pub frames: usize,
    /// Frame count of the branch that served it.
    pub branch: usize,
    /// `counts[label][predicted]`, in clips.
    pub counts: Vec<Vec<usize>>,
}

/// Accuracy of each class in two runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gains {
    /// Name of the folder of the run that is compared with.
    pub against: String,
    /// The frame counts that both have, ascending.
    pub frames: Vec<FrameGains>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrameGains {
    pub frames: usize,
    /// In label order.
    pub classes: Vec<ClassGain>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassGain {
    pub class: String,
    pub clips: usize,
    /// Clips that this run has right.
    pub top1: usize,
    /// Clips that the other run has right.
    pub against: usize,
}

impl ClassGain {
    /// In percentage points.
    pub fn gain(&self) -> f64 {
        100.0 * (self.top1 as f64 - self.against as f64) / self.clips.max(1) as f64
    }
}

impl Content for Flips {
    const NAME: &'static str = "flips";
}

impl Content for Confusion {
    const NAME: &'static str = "confusion";
}

impl Content for Gains {
    const NAME: &'static str = "gains";
}
