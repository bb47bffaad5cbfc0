//! `state_dict_names.json` and its siblings of other networks: names and shapes of the official checkpoints' tensors, against the graphs'.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use serde::Deserialize;
use serde::de::IntoDeserializer;

use super::compare::{Comparison, Rule};
use super::raw::Arch;
use super::tensors::{Tensor, Tensors, damaged, read_json};
use crate::base::Result;
use crate::exchange::mapping::{Wanted, wanted};
use crate::graph::Graph;
use crate::spec::network::{self, Network, experiment};
use crate::spec::{Alteration, Backbone, Distillation, Ffn, Method, Model, Norms, ShiftSegments};

const FILES: [&str; 4] = [
    "state_dict_names.json",
    "state_dict_names_tea.json",
    "state_dict_names_slowfast.json",
    "state_dict_names_uniformer.json",
];
/// What such a file says besides names and shapes.
const ABOUT: [&str; 2] = ["note", "counts"];
/// How the names of entries end that only count.
const COUNTS: &str = ".counts";
const FRAMES: [usize; 3] = [4, 8, 16];
const SLOWFAST_FRAMES: [usize; 3] = [16, 32, 64];
const CLASSES: usize = 174;

/// Whether it is the name of such a file.
pub fn is_file(name: &OsStr) -> bool {
    FILES.iter().any(|file| name == *file)
}

/// Tensor → shape.
type Shapes = BTreeMap<String, Vec<usize>>;

pub struct Bundle {
    /// Of the file.
    name: String,
    /// Model → its tensors.
    models: BTreeMap<String, Shapes>,
    networks: Vec<(String, Network)>,
}

impl Bundle {
    pub fn open(path: &Path) -> Result<Self> {
        let mut file: BTreeMap<String, serde_json::Value> = read_json(path)?;
        file.retain(|name, _| !ABOUT.contains(&name.as_str()));
        let (mut models, mut networks) = (BTreeMap::new(), Vec::new());
        for (model, about) in file {
            // Of UniFormer the tensors stand beside their counts; a model that says in words what it shares with another has none.
            let tensors = about.get("tensors").cloned().unwrap_or(about);
            if model.ends_with(COUNTS) || tensors.is_string() {
                continue;
            }
            let Some(network) = network(&model) else {
                let model = model.escape_default();
                let what = format!(
                    "unknown model `{model}`, expected `tsm_` or `ffn_` and resnet18, resnet34, resnet50 or resnet101, tea, tea_ffn, slowfast_r50_vanilla, slowfast_r50_ffn, uniformer_s_vanilla_174 or uniformer_s_ffn_174"
                );
                return Err(damaged(path, &what));
            };
            let shapes: Shapes = serde_json::from_value(tensors)
                .map_err(|e| damaged(path, &format!("`{}`: {e}", model.escape_default())))?;
            networks.push((model.clone(), network));
            models.insert(model, shapes);
        }
        let name = path.file_name().unwrap_or_default();
        Ok(Self {
            name: name.to_string_lossy().into_owned(),
            models,
            networks,
        })
    }

    pub fn verify(&self) -> Result<Comparison> {
        let mut computed = Tensors::new();
        for (model, network) in &self.networks {
            let graph = Graph::build(&experiment(network), (network.size, network.size))?;
            for Wanted { name, shape, .. } in wanted(&graph) {
                computed.insert(format!("{model}/{name}"), nameplate(shape));
            }
        }
        let expected = self.models.iter().flat_map(|(model, tensors)| {
            let named = tensors.iter();
            named.map(move |(name, shape)| (format!("{model}/{name}"), nameplate(shape.clone())))
        });
        Ok(Comparison::new(
            &self.name,
            &expected.collect(),
            &computed,
            Rule::Exact,
        ))
    }
}

/// What of a tensor is compared here: its shape, and that it is there.
fn nameplate(shape: Vec<usize>) -> Tensor {
    Tensor {
        shape,
        values: vec![0.0],
    }
}

/// The network behind a name such as `ffn_resnet50`.
fn network(name: &str) -> Option<Network> {
    let vanilla = Method::Vanilla { frames: 16 };
    let altered = |frames| flexible(frames, Alteration::KaimingFanOut);
    let slowfast = || Model::SlowFast(network::slowfast());
    let uniformer = || Model::UniFormer(network::uniformer());
    let (method, model) = match name.split_once('_') {
        Some(("slowfast", "r50_vanilla")) => (vanilla, slowfast()),
        Some(("slowfast", "r50_ffn")) => (altered(SLOWFAST_FRAMES), slowfast()),
        Some(("uniformer", "s_vanilla_174")) => (vanilla, uniformer()),
        Some(("uniformer", "s_ffn_174")) => (altered(FRAMES), uniformer()),
        Some(("tsm", arch)) => (vanilla, network::tsm(backbone(arch)?)),
        Some(("ffn", arch)) => (altered(FRAMES), network::tsm(backbone(arch)?)),
        Some(("tea", "ffn")) => (flexible(FRAMES, Alteration::Off), network::tea()),
        None if name == "tea" => (vanilla, network::tea()),
        Some(_) | None => return None,
    };
    Some(Network {
        method,
        model,
        classes: CLASSES,
        size: 224,
        training: None,
    })
}

fn backbone(arch: &str) -> Option<Backbone> {
    let arch: serde::de::value::StrDeserializer<'_, serde::de::value::Error> =
        arch.into_deserializer();
    Arch::deserialize(arch).ok()?.backbone()
}

fn flexible(frames: [usize; 3], alteration: Alteration) -> Method {
    Method::Ffn(Ffn {
        frames: frames.to_vec(),
        lambda: 1.0,
        alteration,
        norms: Norms::Private,
        distillation: Distillation::FromLargest,
        shift_segments: ShiftSegments::PerBranch,
    })
}
