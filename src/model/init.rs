//! Initial weights.

use std::path::Path;

use super::{names, pretrained};
use crate::base::Result;
use crate::base::rng::{Purpose, Stream, fnv1a};
use crate::exec::Statistics;
use crate::graph::{Graph, Param, ParamKind};
use crate::spec::{Alteration, Experiment, Init, Method};

/// Standard deviation of a random classifier's weight, as in the official code.
const CLASSIFIER_STD: f64 = 1e-3;

/// Parameters and running statistics before the first step. `base`: folder of the experiment.
pub fn initial(
    experiment: &Experiment,
    graph: &Graph,
    base: &Path,
) -> Result<(Vec<Vec<f32>>, Statistics)> {
    let alteration = match &experiment.method {
        Method::Vanilla { .. } => Alteration::Off,
        Method::Ffn(ffn) => ffn.alteration,
    };
    let random = |param| random(param, experiment.seed, alteration);
    let mut params: Vec<Vec<f32>> = graph.params.iter().map(random).collect();
    let mut statistics = fresh_statistics(graph);
    if let Init::Pretrained { file, sha256 } = &experiment.model.init {
        let weights = pretrained::Weights::read(&base.join(file), sha256.as_deref())?;
        weights.copy_into(graph, &mut params, &mut statistics)?;
    }
    Ok((params, statistics))
}

/// Mean 0, variance 1, no batch seen.
fn fresh_statistics(graph: &Graph) -> Statistics {
    let filled = |value| {
        graph
            .stats
            .iter()
            .map(|s| vec![value; s.channels])
            .collect()
    };
    Statistics {
        mean: filled(0.0),
        var: filled(1.0),
        batches: vec![0; graph.stats.len()],
    }
}

/// Convolutions Kaiming normal with fan-out, std sqrt(2 / (out · height · width)); norms 1 and 0; classifier std 1e-3
/// and 0; the alteration as the experiment says.
///
/// The stream is keyed by the tensor's name in the vanilla model: initial weights depend on no order, and a Frame
/// Flexible Network starts from the vanilla model of the same seed.
fn random(param: &Param, seed: u64, alteration: Alteration) -> Vec<f32> {
    let count = param.shape.iter().product();
    let normal = |name: &str, std: f64| {
        let mut stream = Stream::new(seed, Purpose::Init, &[fnv1a(name.as_bytes())]);
        (0..count).map(|_| (stream.normal() * std) as f32).collect()
    };
    let shared = names::vanilla(&param.name);
    match param.kind {
        ParamKind::FirstConv | ParamKind::Conv => normal(&shared, kaiming_fan_out(&param.shape)),
        ParamKind::ClassifierWeight => normal(&shared, CLASSIFIER_STD),
        ParamKind::NormWeight => vec![1.0; count],
        ParamKind::NormBias | ParamKind::ClassifierBias => vec![0.0; count],
        ParamKind::Alteration => match alteration {
            Alteration::Normal { std } => normal(&param.name, std),
            Alteration::KaimingFanOut => normal(&param.name, kaiming_fan_out(&param.shape)),
            Alteration::Off => vec![0.0; count],
        },
    }
}

/// sqrt(2 / fan-out) of a weight `[out, in, height, width]`. A depthwise 1×1 convolution counts, as in PyTorch, all
/// its channels: sqrt(2 / C).
fn kaiming_fan_out(shape: &[usize]) -> f64 {
    let fan_out: usize = shape
        .iter()
        .enumerate()
        .map(|(i, &n)| if i == 1 { 1 } else { n })
        .product();
    (2.0 / fan_out as f64).sqrt()
}
