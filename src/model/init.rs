//! Initial weights.

use std::path::Path;

use super::pretrained;
use crate::base::Result;
use crate::base::rng::{Purpose, Stream, fnv1a};
use crate::exec::Statistics;
use crate::graph::arch::{Initial, kaiming_fan_out};
use crate::graph::{Graph, Param};
use crate::spec::{Alteration, Experiment, Init, Method};

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
    let architecture = graph.architecture;
    let random = |param: &Param| {
        let shared = architecture.vanilla_name(&param.name);
        // A branch's alteration has a stream of its own.
        let (initial, stream) = match architecture.initial(graph, param) {
            Initial::Alteration => (altered(alteration, param), &param.name),
            initial => (initial, &shared),
        };
        draw(&initial, param.count(), experiment.seed, stream)
    };
    let mut params: Vec<Vec<f32>> = graph.params.iter().map(random).collect();
    let mut statistics = Statistics::initial(graph);
    if let Init::Pretrained { file, sha256 } = experiment.model.init() {
        let weights = pretrained::Weights::read(&base.join(file), sha256.as_deref())?;
        weights.copy_into(graph, &mut params, &mut statistics)?;
    }
    Ok((params, statistics))
}

/// What an alteration begins with.
fn altered(alteration: Alteration, param: &Param) -> Initial {
    match alteration {
        Alteration::Normal { std } => Initial::Normal { std },
        Alteration::KaimingFanOut => Initial::Normal {
            std: kaiming_fan_out(&param.shape),
        },
        Alteration::Off => Initial::Constant(0.0),
    }
}

/// The stream is keyed by the tensor's name in the vanilla model: initial weights depend on no order, and a Frame Flexible Network
/// starts from the vanilla model of the same seed.
fn draw(initial: &Initial, count: usize, seed: u64, name: &str) -> Vec<f32> {
    let mut stream = Stream::new(seed, Purpose::Init, &[fnv1a(name.as_bytes())]);
    match initial {
        Initial::Constant(value) => vec![*value; count],
        Initial::Values(values) => values.clone(),
        Initial::Normal { std } => (0..count).map(|_| (stream.normal() * std) as f32).collect(),
        Initial::Uniform { bound } => (0..count)
            .map(|_| ((2.0 * stream.uniform() - 1.0) * bound) as f32)
            .collect(),
        // Of no network without alterations.
        Initial::Alteration => vec![0.0; count],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Architecture;
    use crate::spec::network::{self, Network, experiment};
    use crate::spec::{Backbone, Block, Distillation, Ffn, Norms, ResNet, ShiftSegments, Stem};

    fn small(method: Method) -> (Experiment, Graph) {
        let experiment = experiment(&Network {
            method,
            model: network::tsm(Backbone::ResNet(ResNet {
                block: Block::Bottleneck,
                blocks: vec![1, 1],
                width: 16,
                stem: Stem::ImageNet,
            })),
            classes: 10,
            size: 32,
            training: None,
        });
        let graph = Graph::build(&experiment, (32, 32)).unwrap();
        (experiment, graph)
    }

    fn ffn(alteration: Alteration) -> Method {
        Method::Ffn(Ffn {
            frames: vec![4, 8],
            lambda: 1.0,
            alteration,
            norms: Norms::Private,
            distillation: Distillation::FromLargest,
            shift_segments: ShiftSegments::PerBranch,
        })
    }

    fn weights(method: Method) -> std::collections::BTreeMap<String, Vec<f32>> {
        let (experiment, graph) = small(method);
        let (values, _) = initial(&experiment, &graph, Path::new(".")).unwrap();
        let names = graph.params.into_iter().map(|param| param.name);
        names.zip(values).collect()
    }

    fn std(values: &[f32]) -> f64 {
        let squares = values.iter().map(|&v| f64::from(v).powi(2));
        (squares.sum::<f64>() / values.len() as f64).sqrt()
    }

    #[test]
    fn a_flexible_network_starts_from_the_vanilla_one() {
        let vanilla = weights(Method::Vanilla { frames: 8 });
        let flexible = weights(ffn(Alteration::KaimingFanOut));
        assert!(flexible.len() > vanilla.len());
        for (name, values) in flexible
            .iter()
            .filter(|(name, _)| !name.contains("adaconv"))
        {
            let shared = Architecture::Tsm.vanilla_name(name);
            assert_eq!(values, &vanilla[&shared], "{name}");
        }
    }

    #[test]
    fn standard_deviations_are_the_declared_ones() {
        let found = weights(ffn(Alteration::Normal { std: 0.5 }));
        for (name, expected) in [
            ("base_model.conv1.weight", (2.0 / (16.0 * 49.0f64)).sqrt()),
            (
                "base_model.layer2.0.conv2.weight",
                (2.0 / (32.0 * 9.0f64)).sqrt(),
            ),
            ("new_fc.weight", 1e-3),
        ] {
            let ratio = std(&found[name]) / expected;
            assert!((ratio - 1.0).abs() < 0.1, "{name}: {ratio}");
        }
        assert!((std(&found["base_model.layer2.0.adaconv_4.weight"]) / 0.5 - 1.0).abs() < 0.3);
        assert_ne!(
            found["base_model.layer2.0.adaconv_4.weight"],
            found["base_model.layer2.0.adaconv_8.weight"]
        );
        assert!((kaiming_fan_out(&[64, 1, 1, 1]) - (2.0f64 / 64.0).sqrt()).abs() < 1e-15);
        assert!(found["base_model.bn1_4.weight"].iter().all(|&v| v == 1.0));
    }

    #[test]
    fn seeds_differ() {
        let (mut experiment, graph) = small(Method::Vanilla { frames: 8 });
        let initial = |e: &Experiment| initial(e, &graph, Path::new(".")).unwrap().0;
        let first = initial(&experiment);
        assert_eq!(first, initial(&experiment));
        experiment.seed = 1;
        assert_ne!(first[0], initial(&experiment)[0]);
    }
}
