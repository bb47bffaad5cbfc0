//! Taps: the outputs of single nodes among a bundle's tensors.
//!
//! A tap is called `tap.T.NODE`, in training `step{s}.tap.T.NODE`, and is a group of its own: the first row that fails,
//! in the order of computation, is the place where two programs part. Its shape is (clips·T, channels, height, width) or, for
//! the classifier's mean over frames, (clips, classes).

use crate::base::{Error, Kind, Result};
use crate::graph::{Graph, Node, NodeId};
use crate::ops::Op;

/// Below this, a name is not worth proposing for a misspelt one.
const ALIKE: f64 = 0.7;
/// How many names are proposed.
const PROPOSED: usize = 3;

/// The name of a tap. `step`: empty, or `step{s}.`.
pub fn name(step: &str, frames: usize, node: &str) -> String {
    format!("{step}tap.{frames}.{node}")
}

/// What is before the node's name in the name of a tap, and the node's name.
pub fn split(name: &str) -> Option<(&str, &str)> {
    let start = match name.strip_prefix("tap.") {
        Some(_) => 4,
        None => name.find(".tap.")? + 5,
    };
    let node = start + name.get(start..)?.find('.')? + 1;
    Some((name.get(..node)?, name.get(node..)?))
}

/// The nodes of these names.
pub fn nodes(graph: &Graph, names: &[String]) -> Result<Vec<NodeId>, String> {
    let find = |name: &String| {
        let node = graph.nodes.iter().position(|node| node.name == *name);
        node.ok_or_else(|| format!("taps: the network has no node `{}`", name.escape_default()))
    };
    names.iter().map(find).collect()
}

/// Names of nodes for what a person writes: `stem`, or a node's or module's name, its wrapper's left out or not. A module
/// stands for its output: `layer1` for the last node of its last block. Each once, in the order of computation.
pub fn select(graph: &Graph, words: &[String]) -> Result<Vec<String>> {
    let mut chosen = Vec::new();
    for word in words {
        chosen.push(find(graph, word).ok_or_else(|| unknown(graph, word))?);
    }
    chosen.sort_unstable();
    chosen.dedup();
    let names = chosen.into_iter().filter_map(|id| graph.nodes.get(id));
    Ok(names.map(|node| node.name.clone()).collect())
}

fn find(graph: &Graph, word: &str) -> Option<NodeId> {
    let (architecture, nodes) = (graph.architecture, graph.nodes.iter());
    if word == "stem" {
        return nodes
            .take_while(|node| !architecture.is_in_stage(&node.name))
            .count()
            .checked_sub(1);
    }
    let word = architecture.short_name(word);
    let within = |node: &Node| {
        let rest = architecture.short_name(&node.name).strip_prefix(word);
        !is_input(node) && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    graph.nodes.iter().rposition(within)
}

fn is_input(node: &Node) -> bool {
    matches!(node.op, Op::Input(_))
}

fn unknown(graph: &Graph, word: &str) -> Error {
    let mut names = vec!["stem"];
    for node in graph.nodes.iter().filter(|node| !is_input(node)) {
        let name = graph.architecture.short_name(&node.name);
        let modules = name.match_indices('.').map(|(at, _)| &name[..at]);
        names.extend(modules.chain([name]));
    }
    names.sort_unstable();
    names.dedup();
    let given = graph.architecture.short_name(word);
    let mut near: Vec<(f64, &str)> = names
        .iter()
        .map(|name| (strsim::normalized_damerau_levenshtein(given, name), *name))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    let near: Vec<String> = near
        .iter()
        .take(PROPOSED)
        .map(|(_, name)| format!("`{name}`"))
        .collect();
    let error = Error::new(
        Kind::Usage,
        format!(
            "the network has no node or module `{}`",
            word.escape_default()
        ),
    );
    error.hint(match near.is_empty() {
        false => format!("did you mean {}?", near.join(", ")),
        true => "`stem`, `layer1` and so on, or a name that `ffn plan EXPERIMENT --layers` lists"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::network::{self, Network, experiment};
    use crate::spec::{Backbone, Method};

    fn graph() -> Graph {
        let experiment = experiment(&Network {
            method: Method::Vanilla { frames: 4 },
            model: network::tsm(Backbone::ResNet18),
            classes: 3,
            size: 32,
            training: None,
        });
        Graph::build(&experiment, (32, 32)).unwrap()
    }

    fn select(words: &[&str]) -> Result<Vec<String>> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        super::select(&graph(), &words)
    }

    #[test]
    fn a_module_stands_for_its_output() {
        for (word, node) in [
            ("stem", "base_model.maxpool"),
            ("layer1", "base_model.layer1.1.relu"),
            ("base_model.layer2", "base_model.layer2.1.relu"),
            ("layer2.0", "base_model.layer2.0.relu"),
            ("layer2.0.conv1", "base_model.layer2.0.conv1"),
            ("layer2.0.downsample", "base_model.layer2.0.downsample.1"),
            ("base_model.bn1", "base_model.bn1"),
            ("new_fc", "new_fc"),
        ] {
            assert_eq!(select(&[word]).unwrap(), [node], "{word}");
        }
    }

    #[test]
    fn taps_come_once_in_the_order_of_computation() {
        let found = select(&["new_fc", "layer1.1", "stem", "layer1"]).unwrap();
        assert_eq!(
            found,
            ["base_model.maxpool", "base_model.layer1.1.relu", "new_fc"]
        );
    }

    #[test]
    fn a_misspelt_name_is_refused_with_the_near_ones() {
        let refused = |word: &str| {
            let error = select(&[word]).unwrap_err();
            assert_eq!(error.kind, Kind::Usage);
            error.hint.unwrap()
        };
        assert_eq!(refused("layr1"), "did you mean `layer1`?");
        assert!(refused("layer2.0.cnov1").contains("`layer2.0.conv1`"));
        assert!(refused("input").contains("--layers"));
        assert!(refused("").contains("--layers"));
        assert!(refused("layer9.9.conv1").contains("did you mean"));
    }

    #[test]
    fn names_of_taps_fall_apart_as_they_were_put_together() {
        for step in ["", "step0."] {
            let tap = name(step, 16, "base_model.layer1.0.conv1");
            let (before, node) = split(&tap).unwrap();
            assert_eq!(before, format!("{step}tap.16."));
            assert_eq!(node, "base_model.layer1.0.conv1");
        }
        for other in ["logits.4", "tap.4", "tapestry.4.a", "", "tap."] {
            assert_eq!(split(other), None, "{other}");
        }
    }
}
