//! The experiments and suites of the repository, as they are in the program, so that it knows them where there is no clone.

use super::decode::nearest;
use super::syntax::{Body, Kind, Node};
use super::{parser, suite};
use crate::base::{self, Error, Result, Shown};

/// A file of the repository's `experiments`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Example {
    /// The file's name, without its ending.
    pub name: &'static str,
    pub text: &'static str,
}

macro_rules! examples {
    ($($name:literal)*) => {
        &[$(Example {
            name: $name,
            text: include_str!(concat!("../../experiments/", $name, ".ron")),
        }),*]
    };
}

/// All of them, in the order of their names.
pub const ALL: &[Example] = examples![
    "ffn_slowfast_miniature"
    "ffn_slowfast_sthv1"
    "ffn_slowfast_sthv1_official"
    "ffn_tea_miniature"
    "ffn_tea_sthv1"
    "ffn_tea_sthv1_official"
    "ffn_tsm_hmdb51"
    "ffn_tsm_k400"
    "ffn_tsm_k400_official"
    "ffn_tsm_k400_videos"
    "ffn_tsm_miniature"
    "ffn_tsm_sthv1"
    "ffn_tsm_sthv1_official"
    "ffn_tsm_sthv2"
    "ffn_tsm_sthv2_official"
    "ffn_uniformer_miniature"
    "ffn_uniformer_sthv1"
    "ffn_uniformer_sthv1_official"
    "hmdb51"
    "k400"
    "miniature"
    "miniature_ablation"
    "miniature_architectures"
    "miniature_differences"
    "slowfast_miniature"
    "slowfast_sthv1"
    "slowfast_sthv1_official"
    "sthv1"
    "sthv1_architectures"
    "sthv2"
    "tea_miniature"
    "tea_sthv1"
    "tea_sthv1_4f"
    "tea_sthv1_8f"
    "tea_sthv1_official"
    "tsm_hmdb51"
    "tsm_k400"
    "tsm_k400_videos"
    "tsm_miniature"
    "tsm_sthv1"
    "tsm_sthv2"
    "tsm_sthv2_4f"
    "tsm_sthv2_8f"
    "uniformer_miniature"
    "uniformer_sthv1"
    "uniformer_sthv1_official"
];

impl Example {
    pub fn is_suite(&self) -> bool {
        suite::is_suite(&parser::parse(self.text).0)
    }
}

/// Those that are experiments.
pub fn experiments() -> impl Iterator<Item = &'static Example> {
    ALL.iter().filter(|example| !example.is_suite())
}

/// The text of the experiment of a name.
pub fn find(name: &str) -> Result<&'static str> {
    match ALL.iter().find(|example| example.name == name) {
        Some(example) => only_experiment(&format!("`{name}`"), example.text),
        None => Err(unknown(name)),
    }
}

/// The text, if it is no suite's. `who` names it.
pub fn only_experiment<'t>(who: &str, text: &'t str) -> Result<&'t str> {
    let (node, _) = parser::parse(text);
    if !suite::is_suite(&node) {
        return Ok(text);
    }
    let mut members = Vec::new();
    named(&node, &mut members);
    let members: Vec<String> = members
        .iter()
        .map(|name| format!("`{}`", name.shown()))
        .collect();
    let message =
        format!("{who} is a suite: it compares experiments, and has no recipe of its own");
    let error = Error::new(base::Kind::Usage, message);
    Err(match members.is_empty() {
        true => error.hint("take one of its experiments"),
        false => error.hint(format!(
            "take one of its experiments: {}",
            members.join(", ")
        )),
    })
}

/// The experiments that a suite names, each once, without the files' ending.
fn named<'a>(node: &'a Node, names: &mut Vec<&'a str>) {
    match &node.kind {
        Kind::List(nodes) => nodes.iter().for_each(|node| named(node, names)),
        Kind::Item {
            body: Body::Fields(fields),
            ..
        } => {
            for field in fields {
                match &field.value.kind {
                    Kind::Text(file) if field.name.text == "experiment" => {
                        let name = file.strip_suffix(".ron").unwrap_or(file);
                        if !names.contains(&name) {
                            names.push(name);
                        }
                    }
                    _ => named(&field.value, names),
                }
            }
        }
        _ => {}
    }
}

fn unknown(name: &str) -> Error {
    let message = format!("there is no experiment `{}` in this program", name.shown());
    let known: Vec<&str> = experiments().map(|example| example.name).collect();
    let list =
        "`ffn new --list` prints those that there are; a file is given with its ending, `mine.ron`";
    let with_ffn = format!("ffn_{name}");
    let near = nearest(name, &known).or_else(|| nearest(&with_ffn, &known));
    Error::new(base::Kind::Usage, message).hint(match near {
        Some(near) => format!("did you mean `{near}`? {list}"),
        None => list.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_known() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
        let entries = std::fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut files: Vec<String> = names
            .filter_map(|name| name.strip_suffix(".ron").map(str::to_owned))
            .collect();
        files.sort();
        let known: Vec<&str> = ALL.iter().map(|example| example.name).collect();
        assert_eq!(known, files);
    }

    #[test]
    fn what_is_no_experiment_is_said() {
        let refusals = ["miniature", "tsm_sthv3", "tsm_miniatur", "resnet", "a\nb"];
        let refusals = refusals.map(|name| format!("--- {name:?}\n{}\n", find(name).unwrap_err()));
        insta::assert_snapshot!(refusals.concat());
        assert!(find("tsm_sthv2").unwrap().contains("Experiment("));
    }
}
