//! `case.json`: the raw type that mirrors the file, and what it means. Anything unknown is refused.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::experiment::{Network, Training};
use super::tensors::{damaged, read_json};
use crate::base::Result;
use crate::spec::{Alteration, Backbone, Distillation, Ffn, Method, Norms, ShiftSegments};

/// Largest number of input values of one branch: 4 GiB of float32. A larger case is a typing error.
const MAX_INPUT: usize = 1 << 30;
/// Largest number of classes and frames, for the same reason.
const MAX_COUNT: usize = 1 << 16;

/// A case that makes sense.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    pub name: String,
    pub network: Network,
    pub batch: usize,
    /// Frame counts that are run, as the file lists them.
    pub frames: Vec<usize>,
    /// `None` for an evaluation.
    pub steps: Option<Steps>,
    /// Relative L2 error of the reference's own float32, for each group.
    pub reference: BTreeMap<String, f64>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Steps {
    pub count: u64,
    pub labels: Vec<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    mode: Mode,
    method: MethodName,
    arch: Arch,
    classes: usize,
    batch: usize,
    height: usize,
    width: usize,
    frames: Vec<usize>,
    branches: Vec<usize>,
    shift_segments: String,
    #[serde(rename = "weights")]
    _weights: Values,
    #[serde(rename = "inputs")]
    _inputs: Values,
    dropout: Option<f64>,
    steps: Option<u64>,
    labels: Option<Vec<usize>>,
    lambda: Option<f64>,
    optimizer: Option<RawOptimizer>,
    reference_f32_error: BTreeMap<String, RawError>,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Eval,
    Train,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum MethodName {
    Tsm,
    Ffn,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    ResNet18,
    ResNet34,
    ResNet50,
    ResNet101,
}

impl Arch {
    pub fn backbone(self) -> Backbone {
        match self {
            Arch::ResNet18 => Backbone::ResNet18,
            Arch::ResNet34 => Backbone::ResNet34,
            Arch::ResNet50 => Backbone::ResNet50,
            Arch::ResNet101 => Backbone::ResNet101,
        }
    }
}

#[derive(Deserialize)]
enum Values {
    #[serde(rename = "procedural-v1")]
    ProceduralV1,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
struct RawOptimizer {
    lr: f64,
    momentum: f64,
    weight_decay: f64,
    clip_norm: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawError {
    rel_l2: f64,
    #[serde(rename = "max_abs")]
    _max_abs: f64,
}

impl Case {
    pub fn read(path: &Path) -> Result<Self> {
        let raw: Raw = read_json(path)?;
        resolve(raw).map_err(|what| damaged(path, &what))
    }
}

/// The rules across fields; the error says which is broken.
fn resolve(raw: Raw) -> Result<Case, String> {
    check_sizes(&raw)?;
    let method = method(&raw)?;
    let training = training(&raw)?;
    let steps = match raw.mode {
        Mode::Eval => None,
        Mode::Train => Some(steps(&raw)?),
    };
    Ok(Case {
        network: Network {
            method,
            backbone: raw.arch.backbone(),
            classes: raw.classes,
            size: raw.height,
            training,
        },
        name: raw.name,
        batch: raw.batch,
        frames: raw.frames,
        steps,
        reference: raw
            .reference_f32_error
            .into_iter()
            .map(|(group, error)| (group, error.rel_l2))
            .collect(),
    })
}

fn check_sizes(raw: &Raw) -> Result<(), String> {
    if raw.height != raw.width || raw.height == 0 {
        return Err(format!(
            "height {} and width {} must be equal and above 0",
            raw.height, raw.width
        ));
    }
    if raw.batch == 0 || raw.classes == 0 || raw.classes > MAX_COUNT {
        return Err(format!(
            "batch must be above 0 and classes in 1..={MAX_COUNT}"
        ));
    }
    for (field, counts) in [("frames", &raw.frames), ("branches", &raw.branches)] {
        let ascending = counts.windows(2).all(|pair| pair[0] < pair[1]);
        if counts.is_empty() || !ascending || counts[0] == 0 {
            return Err(format!(
                "{field} must be ascending and above 0, found {counts:?}"
            ));
        }
    }
    let largest = raw.frames.iter().chain(&raw.branches).max().copied();
    let values = [raw.batch, raw.height, raw.width, 3]
        .iter()
        .try_fold(largest.unwrap_or(1), |product, &n| product.checked_mul(n));
    match values {
        Some(values) if values <= MAX_INPUT => Ok(()),
        _ => Err(format!("an input has more than {MAX_INPUT} values")),
    }
}

fn method(raw: &Raw) -> Result<Method, String> {
    let segments = shift_segments(&raw.shift_segments)?;
    match (raw.method, raw.branches.as_slice()) {
        (MethodName::Tsm, &[frames]) if segments == ShiftSegments::PerBranch => {
            Ok(Method::Vanilla { frames })
        }
        (MethodName::Tsm, [_]) => {
            Err("method tsm knows shift_segments `per_branch` only".to_owned())
        }
        (MethodName::Tsm, branches) => {
            Err(format!("method tsm has one branch, found {branches:?}"))
        }
        (MethodName::Ffn, [_]) => Err("method ffn needs two branches or more".to_owned()),
        (MethodName::Ffn, branches) => Ok(Method::Ffn(Ffn {
            frames: branches.to_vec(),
            lambda: raw.lambda.unwrap_or(1.0),
            alteration: Alteration::KaimingFanOut,
            norms: Norms::Private,
            distillation: Distillation::FromLargest,
            shift_segments: segments,
        })),
    }
}

fn shift_segments(text: &str) -> Result<ShiftSegments, String> {
    let shared = text.strip_prefix("shared_").map(str::parse::<usize>);
    match shared {
        _ if text == "per_branch" => Ok(ShiftSegments::PerBranch),
        Some(Ok(frames)) if frames > 0 => Ok(ShiftSegments::Shared(frames)),
        _ => Err(format!(
            "unknown shift_segments `{text}`, expected `per_branch` or `shared_N` such as `shared_16`"
        )),
    }
}

/// Each of the fields that only training has, or the name of the first that is missing or too many.
fn training(raw: &Raw) -> Result<Option<Training>, String> {
    let fields = [
        ("dropout", raw.dropout.is_some()),
        ("steps", raw.steps.is_some()),
        ("labels", raw.labels.is_some()),
        ("lambda", raw.lambda.is_some()),
        ("optimizer", raw.optimizer.is_some()),
    ];
    let train = raw.mode == Mode::Train;
    if let Some((field, there)) = fields.iter().find(|(_, there)| *there != train) {
        return Err(match there {
            true => format!("mode eval has no field `{field}`"),
            false => format!("mode train needs the field `{field}`"),
        });
    }
    Ok(raw.optimizer.clone().map(|optimizer| Training {
        batch: raw.batch,
        lr: optimizer.lr,
        momentum: optimizer.momentum,
        weight_decay: optimizer.weight_decay,
        clip_norm: optimizer.clip_norm,
    }))
}

fn steps(raw: &Raw) -> Result<Steps, String> {
    if raw.dropout != Some(0.0) {
        return Err("dropout must be 0: nobody else's random numbers can be repeated".to_owned());
    }
    if raw.frames != raw.branches {
        return Err(format!(
            "training runs every branch: frames {:?} must be branches {:?}",
            raw.frames, raw.branches
        ));
    }
    let labels = raw.labels.clone().unwrap_or_default();
    if labels.len() != raw.batch || labels.iter().any(|&label| label >= raw.classes) {
        return Err(format!(
            "labels must be {} numbers below {}, found {labels:?}",
            raw.batch, raw.classes
        ));
    }
    let count = raw.steps.unwrap_or(0);
    if count == 0 || count > MAX_COUNT as u64 {
        return Err(format!("steps must be in 1..={MAX_COUNT}, found {count}"));
    }
    Ok(Steps { count, labels })
}
