//! The raw type that mirrors `case.json`, field by field, for reading and for writing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::procedural::Version;
use crate::spec::Backbone;

/// Fields that a case leaves out are `None`; which may be left out when is a matter of [`super::case`].
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    pub name: String,
    pub mode: Mode,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<MethodName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arch: Option<Arch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<usize>,
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub frames: Vec<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branches: Option<Vec<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shift_segments: Option<String>,
    pub weights: Source,
    pub inputs: Source,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taps: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<Vec<String>>,
    /// Of SlowFast, as the six that follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<usize>,
    /// Channels of the slow pathway for each of the fast one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta_inv: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fusion_ratio: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fusion_kernel: Option<usize>,
    /// Side of the head's windows; the mean of everything if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_window: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_frames: Option<SlowFramesName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop_path: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soft_targets: Option<Vec<Vec<Vec<f32>>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lambda: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optimizer: Option<Optimizer>,
    pub reference_f32_error: BTreeMap<String, ReferenceError>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_bf16_error: Option<BTreeMap<String, ReferenceError>>,
}

#[derive(Debug, Deserialize, Serialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Eval,
    Train,
}

#[derive(Debug, Deserialize, Serialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum MethodName {
    /// The vanilla network of cases that name no model.
    Tsm,
    Vanilla,
    Ffn,
}

impl MethodName {
    /// As in a case.
    pub fn text(self) -> &'static str {
        match self {
            Self::Tsm => "tsm",
            Self::Vanilla => "vanilla",
            Self::Ffn => "ffn",
        }
    }
}

#[derive(Debug, Deserialize, Serialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum SlowFramesName {
    PerClip,
    /// Of all branches' clips laid end to end.
    Joint,
}

/// Which network a case is of.
#[derive(Debug, Deserialize, Serialize, Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum ModelName {
    #[default]
    Tsm,
    Tea,
    SlowFast,
    UniFormer,
}

#[derive(Debug, Deserialize, Serialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    ResNet18,
    ResNet34,
    ResNet50,
    ResNet101,
    /// TEA's.
    #[serde(rename = "res2net50_26w_4s")]
    Res2Net50,
    /// SlowFast's.
    #[serde(rename = "slowfast_r50")]
    SlowFastR50,
    /// UniFormer's.
    #[serde(rename = "uniformer_s")]
    UniFormerS,
}

impl Arch {
    /// TSM's backbone; none of another network's.
    pub fn backbone(self) -> Option<Backbone> {
        match self {
            Arch::ResNet18 => Some(Backbone::ResNet18),
            Arch::ResNet34 => Some(Backbone::ResNet34),
            Arch::ResNet50 => Some(Backbone::ResNet50),
            Arch::ResNet101 => Some(Backbone::ResNet101),
            Arch::Res2Net50 | Arch::SlowFastR50 | Arch::UniFormerS => None,
        }
    }
}

/// The optimiser of a case that names no experiment. Which fields it has is a matter of its kind.
#[derive(Debug, Deserialize, Serialize, Clone)]
#[serde(deny_unknown_fields)]
pub struct Optimizer {
    #[serde(default)]
    pub kind: Kind,
    pub lr: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nesterov: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub betas: Option<[f64; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eps: Option<f64>,
    pub weight_decay: f64,
    /// Of norms, of an optimiser without other groups; else the groups are TSM's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm_weight_decay: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decay_1d: Option<bool>,
    pub clip_norm: Option<f64>,
}

#[derive(Debug, Deserialize, Serialize, Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    #[default]
    Sgd,
    AdamW,
}

/// How far float32 strays from the expected values of a group.
#[derive(Debug, Deserialize, Serialize, Clone, Copy, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct ReferenceError {
    pub rel_l2: f64,
    pub max_abs: f64,
}

/// Where weights or inputs come from.
#[derive(Debug, Deserialize, Serialize, Clone, PartialEq, Eq)]
#[serde(try_from = "String", into = "String")]
pub enum Source {
    /// Functions of the tensors' names.
    Procedural(Version),
    /// A file in the bundle's folder: safetensors; for weights also a PyTorch checkpoint.
    File(String),
}

/// How names of files with tensors end; what is inside is told by the file itself.
const ENDINGS: [&str; 3] = [".safetensors", ".pth", ".pth.tar"];

const PROCEDURAL_V1: &str = "procedural-v1";
const PROCEDURAL_V2: &str = "procedural-v2";

impl TryFrom<String> for Source {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            PROCEDURAL_V1 => Ok(Self::Procedural(Version::V1)),
            PROCEDURAL_V2 => Ok(Self::Procedural(Version::V2)),
            name if ENDINGS.iter().any(|end| name.ends_with(end)) => {
                in_bundle(name).map(Self::File)
            }
            other => Err(format!(
                "unknown source `{}`, expected `{PROCEDURAL_V1}`, `{PROCEDURAL_V2}` or a file of the bundle such as `weights.safetensors`",
                other.escape_default()
            )),
        }
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        match source {
            Source::Procedural(Version::V1) => PROCEDURAL_V1.to_owned(),
            Source::Procedural(Version::V2) => PROCEDURAL_V2.to_owned(),
            Source::File(name) => name,
        }
    }
}

/// A file's name, if it can only be that of a file in the bundle's own folder.
pub fn in_bundle(name: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    match !name.is_empty() && !name.starts_with('.') && name.chars().all(plain) {
        true => Ok(name.to_owned()),
        false => Err(format!(
            "`{}` is no name of a file in the bundle: letters, digits, `_`, `-` and `.`",
            name.escape_default()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_procedural_or_a_file_of_the_bundle() {
        let source = |text: &str| Source::try_from(text.to_owned());
        for (name, version) in [(PROCEDURAL_V1, Version::V1), (PROCEDURAL_V2, Version::V2)] {
            assert_eq!(source(name), Ok(Source::Procedural(version)));
            assert_eq!(String::from(Source::Procedural(version)), name);
        }
        for file in ["weights_2.safetensors", "best.pth", "ckpt.best.pth.tar"] {
            assert_eq!(source(file), Ok(Source::File(file.to_owned())));
        }
        for text in [
            "",
            "procedural-v3",
            "weights.bin",
            "../weights.safetensors",
            "/etc/weights.safetensors",
            "a\\b.safetensors",
            ".safetensors",
            "C:x.safetensors",
        ] {
            assert!(source(text).is_err(), "{text}");
        }
    }
}
