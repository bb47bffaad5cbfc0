//! How far a frame count's inputs are from the statistics that a norm normalises with.

use serde::{Deserialize, Serialize};

use super::document::Content;

/// For each frame count and branch: the distance of every norm's running statistics, which training left, from those
/// that training clips of that frame count have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Training clips, evenly spaced over the split and sampled as in evaluation, that the statistics are estimated from.
    pub clips: usize,
    /// Clips of one batch.
    pub batch: usize,
    /// By frame count, then branch, ascending.
    pub series: Vec<Series>,
}

/// Inputs of `frames` frames through the norms of `branch`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    pub frames: usize,
    /// Frame count of the branch.
    pub branch: usize,
    /// In the network's order.
    pub layers: Vec<Layer>,
}

/// One norm.
///
/// With the running mean μ and variance σ² of a channel, the mean μ′ and variance σ′² of the inputs at hand, and
/// s² = σ² + 1e-5, s′² = σ′² + 1e-5, what the norm divides by:
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// Its name in the vanilla model, so that models can be compared.
    pub name: String,
    pub channels: usize,
    /// Mean over channels of |μ′ − μ| / s, in running standard deviations: how far from 0 the norm's output is centred.
    pub shift: f64,
    /// Mean over channels of |ln(s′ / s)|, in nepers: 0.1 is about 10 % too wide or too narrow.
    pub scale: f64,
    /// Mean over channels of KL(N(μ′, s′²) ‖ N(μ, s²)) = ln(s / s′) + (s′² + (μ′ − μ)²) / (2 s²) − 1/2, in nats.
    pub divergence: f64,
}

impl Content for Drift {
    const NAME: &'static str = "drift";
}
