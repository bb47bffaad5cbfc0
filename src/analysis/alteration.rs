//! What the weight alteration learned.

use serde::{Deserialize, Serialize};

use super::document::Content;

/// The learned values w of the alteration x ← x + w·x (FFN, section 3.4), for each block and branch; empty for a model
/// without alteration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alterations {
    /// In the network's order, the branches of a block ascending.
    pub layers: Vec<Layer>,
}

/// One block's values of one branch; they have no unit: 0.1 makes a channel 10 % stronger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// `base_model.layer1.0`
    pub block: String,
    /// Frame count of the branch.
    pub branch: usize,
    pub channels: usize,
    /// Mean over channels.
    pub mean: f64,
    /// Mean of |w| over channels: how far the branch is from the shared weights.
    pub mean_size: f64,
    /// Least, 5 %, 25 %, 50 %, 75 %, 95 % and greatest, interpolated linearly between channels.
    pub quantiles: [f64; 7],
}

impl Content for Alterations {
    const NAME: &'static str = "alteration";
}
