//! `state_dict_names.json`: names and shapes of the official checkpoints' tensors, against the graphs'.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::IntoDeserializer;

use super::compare::{Comparison, Rule};
use super::raw::Arch;
use super::tensors::{Tensor, Tensors, damaged, read_json};
use crate::base::Result;
use crate::exchange::mapping::{Wanted, wanted};
use crate::graph::Graph;
use crate::spec::network::{Network, experiment};
use crate::spec::{Alteration, Distillation, Ffn, Method, Norms, ShiftSegments};

pub const FILE: &str = "state_dict_names.json";
const FRAMES: [usize; 3] = [4, 8, 16];
const CLASSES: usize = 174;

pub struct Bundle {
    /// Model → tensor → shape.
    models: BTreeMap<String, BTreeMap<String, Vec<usize>>>,
    networks: Vec<(String, Network)>,
}

impl Bundle {
    pub fn open(path: &Path) -> Result<Self> {
        let models: BTreeMap<String, BTreeMap<String, Vec<usize>>> = read_json(path)?;
        let networks = models.keys().map(|model| match network(model) {
            Some(network) => Ok((model.clone(), network)),
            None => {
                let what = format!(
                    "unknown model `{model}`, expected `tsm_` or `ffn_` and resnet18, resnet34, resnet50 or resnet101"
                );
                Err(damaged(path, &what))
            }
        });
        let networks = networks.collect::<Result<_>>()?;
        Ok(Self { models, networks })
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
            FILE,
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
fn network(model: &str) -> Option<Network> {
    let (method, arch) = model.split_once('_')?;
    let name: serde::de::value::StrDeserializer<'_, serde::de::value::Error> =
        arch.into_deserializer();
    let method = match method {
        "tsm" => Method::Vanilla { frames: 16 },
        "ffn" => Method::Ffn(Ffn {
            frames: FRAMES.to_vec(),
            lambda: 1.0,
            alteration: Alteration::KaimingFanOut,
            norms: Norms::Private,
            distillation: Distillation::FromLargest,
            shift_segments: ShiftSegments::PerBranch,
        }),
        _ => return None,
    };
    Some(Network {
        method,
        backbone: Arch::deserialize(name).ok()?.backbone(),
        classes: CLASSES,
        size: 224,
        training: None,
    })
}
