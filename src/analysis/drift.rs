//! How far a frame count's inputs are from the statistics that a norm normalises with.

use serde::{Deserialize, Serialize};

use super::document::Content;
use super::estimate::{Estimate, Extent, LayerInputs, Moments, Norm, layer_norms};
use super::subject::branch_frames;
use crate::exec::Statistics;
use crate::graph::Graph;
use crate::model::Model;

/// For each frame count and branch: the distance of every norm's running statistics, which training left, from those
/// that training clips of that frame count have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Training clips, evenly spaced over the split and sampled as in evaluation, that the statistics are estimated from.
    pub clips: usize,
    /// Clips of one batch.
    pub batch: usize,
    /// Layer norms, which keep no statistics: each normalises a pixel with the mean and variance of its own channels, whatever the
    /// frame count, so nothing of them can drift.
    #[serde(default)]
    pub layer_norms: usize,
    /// By frame count, then branch, ascending.
    pub series: Vec<Series>,
    /// Of the layer norms, for each frame count and branch: the distance of the moments of what they read, each channel's over all
    /// pixels, from those at the branch's own frame count. They differ where the frame count does something to the network; no
    /// norm takes harm from it.
    /// `None` without layer norms, and in documents from before this was computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Vec<Series>>,
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
/// With the running mean μ and variance σ² of a channel (of a layer norm those at the branch's own frame count), the mean μ′ and
/// variance σ′² of the inputs at hand, and s² = σ² + eps, s′² = σ′² + eps, what the norm divides by:
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

impl Drift {
    /// The distance of what was estimated from the model's running statistics, and of what layer norms read from what they read at
    /// their branch's own frame count.
    pub fn of(
        model: &Model,
        extent: Extent,
        estimates: &[Estimate],
        inputs: Option<&[LayerInputs]>,
    ) -> Self {
        let graph = model.graph();
        let series = estimates.iter().map(|estimate| Series {
            frames: estimate.pass.frames,
            branch: branch_frames(graph, estimate.pass.branch),
            layers: estimate
                .norms
                .iter()
                .map(|(norm, moments)| Layer::of(graph, model.statistics(), norm, moments))
                .collect(),
        });
        Self {
            clips: extent.clips,
            batch: extent.batch,
            layer_norms: layer_norms(graph).len(),
            series: series.collect(),
            inputs: inputs.map(|inputs| Series::of_inputs(graph, inputs)),
        }
    }
}

impl Drift {
    /// Whether nobody computed yet what layer norms read.
    pub fn lacks_inputs(&self) -> bool {
        self.layer_norms > 0 && self.inputs.is_none()
    }
}

impl Series {
    /// Without those whose branch was not evaluated at its own frame count.
    fn of_inputs(graph: &Graph, inputs: &[LayerInputs]) -> Vec<Self> {
        let series = |of: &LayerInputs| {
            let (frames, branch) = (of.pass.frames, branch_frames(graph, of.pass.branch));
            let own = |other: &&LayerInputs| {
                other.pass.branch == of.pass.branch && other.pass.frames == branch
            };
            let own = inputs.iter().find(own)?;
            let layers = of.norms.iter().zip(&own.norms);
            let layers = layers.map(|((norm, moments), (_, own))| {
                Layer::between(norm.name.clone(), own.all(), moments.all(), norm.eps)
            });
            Some(Self {
                frames,
                branch,
                layers: layers.collect(),
            })
        };
        inputs.iter().filter_map(series).collect()
    }
}

impl Layer {
    fn of(graph: &Graph, running: &Statistics, norm: &Norm, moments: &Moments) -> Self {
        let values = |all: &[Vec<f32>]| all.get(norm.params.stat).cloned().unwrap_or_default();
        let (mean, var) = (values(&running.mean), values(&running.var));
        let running = mean.iter().zip(&var);
        let running = running.map(|(&mean, &var)| (f64::from(mean), f64::from(var)));
        let name = vanilla_name(graph, norm);
        Self::between(name, running.collect(), moments.all(), norm.eps)
    }

    /// `from` and `to`: mean and variance of each channel.
    fn between(name: String, from: Vec<(f64, f64)>, to: Vec<(f64, f64)>, eps: f64) -> Self {
        let pairs = from.into_iter().zip(to);
        let distances: Vec<[f64; 3]> = pairs.map(|(from, to)| distance(from, to, eps)).collect();
        let channels = distances.len();
        let average = |of: usize| {
            let all = distances.iter().filter_map(|distance| distance.get(of));
            all.sum::<f64>() / channels.max(1) as f64
        };
        Self {
            name,
            channels,
            shift: average(0),
            scale: average(1),
            divergence: average(2),
        }
    }
}

/// Shift, scale and divergence of one channel, as in [`Layer`]; (mean, variance) of the running statistics, then of the
/// inputs.
fn distance((mean, var): (f64, f64), (new_mean, new_var): (f64, f64), eps: f64) -> [f64; 3] {
    let (square, new_square) = (var + eps, new_var + eps);
    let log = 0.5 * libm::log(new_square / square);
    let apart = new_mean - mean;
    let divergence = (new_square + apart * apart) / (2.0 * square) - 0.5 - log;
    [apart.abs() / square.sqrt(), log.abs(), divergence.max(0.0)]
}

fn vanilla_name(graph: &Graph, norm: &Norm) -> String {
    let stat = graph.stats.get(norm.params.stat);
    let own = stat.map_or("", |stat| stat.name.as_str());
    let name = graph
        .architecture
        .vanilla_name(&format!("{own}.running_mean"));
    name.trim_end_matches(".running_mean").to_owned()
}

#[cfg(test)]
mod tests {
    use crate::ops::BatchNorm;
    use proptest::prelude::*;

    fn distance(running: (f64, f64), new: (f64, f64)) -> [f64; 3] {
        super::distance(running, new, BatchNorm::EPS)
    }

    #[test]
    fn one_deviation_aside_and_twice_as_wide() {
        let [shift, scale, divergence] = distance((0.0, 1.0), (1.0, 1.0));
        assert!(
            (shift - 1.0).abs() < 1e-5 && scale == 0.0,
            "{shift} {scale}"
        );
        assert!((divergence - 0.5).abs() < 1e-5, "{divergence}");
        let [shift, scale, divergence] = distance((3.0, 1.0), (3.0, 4.0));
        assert_eq!(shift, 0.0);
        assert!((scale - 2f64.ln()).abs() < 1e-5, "{scale}");
        assert!(
            (divergence - (1.5 - 2f64.ln())).abs() < 1e-4,
            "{divergence}"
        );
    }

    proptest! {
        #[test]
        fn nothing_is_as_near_as_itself(
            mean in -10.0f64..10.0, var in 0.0f64..10.0,
            other in -10.0f64..10.0, other_var in 0.0f64..10.0,
        ) {
            prop_assert_eq!(distance((mean, var), (mean, var)), [0.0; 3]);
            let apart = distance((mean, var), (other, other_var));
            prop_assert!(apart.iter().all(|d| d.is_finite() && *d >= 0.0), "{:?}", apart);
        }
    }
}
