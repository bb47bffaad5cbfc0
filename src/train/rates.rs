//! What the learning rate of each parameter is multiplied by, beside its kind's multiplier: `train.rates` and `train.layer_decay`.
//!
//! A layer is a block of the network with all that is called after it, in every pathway and branch; stems, embeddings, fusions and the classifier are
//! layers too. They are counted in the order of the graph: layer k of L has the multiplier decay^(L − 1 − k), the classifier 1 (Clark et al.,
//! ICLR 2020, as BEiT and VideoMAE use it).

use crate::base::{Error, Kind, Result};
use crate::graph::Graph;
use crate::spec::Train;

/// For each parameter of the graph its multiplier; 0 freezes it.
///
/// # Errors
/// A name in `train.rates` with which no parameter begins.
pub fn multipliers(train: &Train, graph: &Graph) -> Result<Vec<f64>> {
    let names = || graph.params.iter().map(|param| param.name.as_str());
    for (begin, _) in &train.rates {
        if !names().any(|name| name.starts_with(begin.as_str())) {
            return Err(no_parameter(begin, names()));
        }
    }
    let layers = layers(graph);
    let last = layers.iter().copied().max().unwrap_or(0);
    let of = |(name, layer): (&str, usize)| {
        let begins = train
            .rates
            .iter()
            .filter(|(begin, _)| name.starts_with(begin.as_str()));
        let own = begins
            .max_by_key(|(begin, _)| begin.len())
            .map_or(1.0, |(_, rate)| *rate);
        // `libm` for the same bits on every machine.
        own * libm::pow(train.layer_decay, (last - layer) as f64)
    };
    Ok(names().zip(layers).map(of).collect())
}

/// For each parameter the number of its layer, from 0.
fn layers(graph: &Graph) -> Vec<usize> {
    let mut known: Vec<String> = Vec::new();
    let number = |name: &str| {
        let layer = graph.architecture.layer(name);
        known
            .iter()
            .position(|one| *one == layer)
            .unwrap_or_else(|| {
                known.push(layer);
                known.len() - 1
            })
    };
    graph
        .params
        .iter()
        .map(|param| param.name.as_str())
        .map(number)
        .collect()
}

fn no_parameter<'a>(begin: &str, names: impl Iterator<Item = &'a str>) -> Error {
    // A name that has the text later comes first: people leave `base_model.` out.
    let near = |name: &&str| match name.contains(begin) {
        true => 2.0,
        false => strsim::jaro(begin, name.get(..begin.len()).unwrap_or(name)),
    };
    let nearest = names.max_by(|a, b| near(a).total_cmp(&near(b)).then(b.cmp(a)));
    let error = Error::new(
        Kind::Experiment,
        format!("`train.rates` names `{begin}`, with which no parameter begins"),
    );
    match nearest {
        Some(nearest) => error.hint(format!(
            "the nearest parameter is `{nearest}`; `ffn plan EXPERIMENT --layers` has all"
        )),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::network::{Network, experiment, slowfast, tea, tsm, uniformer};
    use crate::spec::{Backbone, Experiment, Method, Model};

    fn of(model: Model) -> (Experiment, Graph) {
        let experiment = experiment(&Network {
            method: Method::Vanilla { frames: 16 },
            model,
            classes: 3,
            size: 64,
            training: None,
        });
        let graph = Graph::build(&experiment, (64, 64)).unwrap();
        (experiment, graph)
    }

    fn rate(experiment: &Experiment, graph: &Graph, name: &str) -> f64 {
        let all = multipliers(&experiment.train, graph).unwrap();
        let place = graph
            .params
            .iter()
            .position(|param| param.name == name)
            .unwrap();
        all[place]
    }

    /// Blocks of the networks, and the ends: 16 blocks and stem and classifier; SlowFast has four fusions more.
    #[test]
    fn layers_are_blocks() {
        let count = |model| {
            let (_, graph) = of(model);
            layers(&graph).into_iter().max().unwrap() + 1
        };
        assert_eq!(count(tsm(Backbone::ResNet50)), 18);
        assert_eq!(count(tea()), 18);
        assert_eq!(count(Model::SlowFast(slowfast())), 22);
        // 18 blocks, four embeddings, the last norm and the classifier.
        assert_eq!(count(Model::UniFormer(uniformer())), 24);
    }

    #[test]
    fn rates_fall_from_the_classifier_down() {
        let (mut experiment, graph) = of(tsm(Backbone::ResNet18));
        experiment.train.layer_decay = 0.5;
        let rate = |name| rate(&experiment, &graph, name);
        assert_eq!(rate("new_fc.weight"), 1.0);
        assert_eq!(rate("base_model.layer4.1.conv2.weight"), 0.5);
        assert_eq!(rate("base_model.layer4.1.bn1.bias"), 0.5);
        assert_eq!(rate("base_model.conv1.weight"), 0.5f64.powi(9));
    }

    #[test]
    fn the_longest_begin_counts() {
        let (mut experiment, graph) = of(tsm(Backbone::ResNet18));
        experiment.train.rates = vec![
            ("base_model.".into(), 0.0),
            ("base_model.layer4".into(), 0.1),
        ];
        let rate = |name| rate(&experiment, &graph, name);
        assert_eq!(rate("base_model.conv1.weight"), 0.0);
        assert_eq!(rate("base_model.layer4.0.conv1.weight"), 0.1);
        assert_eq!(rate("new_fc.bias"), 1.0);
        experiment.train.rates = vec![("base_model.layer5".into(), 0.0)];
        let error = multipliers(&experiment.train, &graph).unwrap_err();
        assert!(error.message.contains("`base_model.layer5`"), "{error}");
    }
}
