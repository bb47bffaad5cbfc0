//! What the weight alteration learned.

use serde::{Deserialize, Serialize};

use super::document::Content;
use crate::base::Result;
use crate::graph::{Node, Op, ParamId};
use crate::model::Model;

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

/// Where the quantiles of a [`Layer`] are.
const QUANTILES: [f64; 7] = [0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0];

impl Alterations {
    pub fn of(model: &Model) -> Result<Self> {
        let graph = model.graph();
        let values = model.state_dict()?.floats;
        let layer = |(param, &branch): (&usize, &usize)| {
            let (name, _, values) = values.get(*param)?;
            let block = graph.architecture.altered_block(name)?;
            Some(Layer::of(block, branch, values))
        };
        let layers = graph.nodes.iter().filter_map(weights);
        let layers = layers.flat_map(|weights| weights.iter().zip(&graph.branches));
        Ok(Self {
            layers: layers.filter_map(layer).collect(),
        })
    }
}

/// The parameters of an alteration, one for each branch.
fn weights(node: &Node) -> Option<&[ParamId]> {
    if let Op::Alter(alter) = &node.op {
        Some(&alter.weights)
    } else {
        None
    }
}

impl Layer {
    fn of(block: &str, branch: usize, values: &[f32]) -> Self {
        let mut sorted: Vec<f64> = values.iter().map(|&v| f64::from(v)).collect();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len().max(1) as f64;
        Self {
            block: block.to_owned(),
            branch,
            channels: sorted.len(),
            mean: sorted.iter().sum::<f64>() / count,
            mean_size: sorted.iter().map(|w| w.abs()).sum::<f64>() / count,
            quantiles: QUANTILES.map(|part| quantile(&sorted, part)),
        }
    }
}

/// Linear between the values at both sides, as NumPy's default.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let place = part * sorted.len().saturating_sub(1) as f64;
    let (below, rest) = (place.floor(), place.fract());
    let at = |index: f64| sorted.get(index as usize).copied();
    match (at(below), at(below + 1.0)) {
        (Some(low), Some(high)) => low + rest * (high - low),
        (Some(low), None) => low,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_numpys() {
        // numpy.quantile([1, 2, 4, 8], [0, .05, .25, .5, .75, .95, 1])
        let expected = [1.0, 1.15, 1.75, 3.0, 5.0, 7.4, 8.0];
        let layer = Layer::of("a", 4, &[8.0, 1.0, 4.0, 2.0]);
        for (found, expected) in layer.quantiles.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        assert_eq!((layer.channels, layer.mean), (4, 3.75));
    }
}
