//! Fusions: named patterns over the plain steps, forward and backward, which fewer or cheaper steps replace. Each can be left out;
//! the plain program is legal on every device.

mod channels;
mod fold;
mod norm;
mod recompute;
mod rewrite;
mod shift;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Program, Style};

/// A named pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fusion {
    Norm,
    Shift,
    FoldNorm,
    FoldSum,
    FoldShift,
    Channels,
    Recompute,
}

impl Fusion {
    pub const ALL: [Self; 7] = [
        Self::Norm,
        Self::Shift,
        Self::FoldNorm,
        Self::FoldSum,
        Self::FoldShift,
        Self::Channels,
        Self::Recompute,
    ];

    /// As `--fuse` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Norm => "norm",
            Self::Shift => "shift",
            Self::FoldNorm => "fold-norm",
            Self::FoldSum => "fold-sum",
            Self::FoldShift => "fold-shift",
            Self::Channels => "channels",
            Self::Recompute => "recompute",
        }
    }
}

/// A set of fusions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Fusions(u8);

impl Fusions {
    pub const ALL: Self = Self((1 << Fusion::ALL.len()) - 1);
    pub const NONE: Self = Self(0);

    pub fn has(self, fusion: Fusion) -> bool {
        self.0 >> fusion as u8 & 1 != 0
    }

    pub fn is_all(&self) -> bool {
        *self == Self::ALL
    }

    #[must_use]
    pub fn with(self, fusion: Fusion) -> Self {
        Self(self.0 | 1 << fusion as u8)
    }
}

impl From<Fusions> for String {
    fn from(fusions: Fusions) -> Self {
        fusions.to_string()
    }
}

impl TryFrom<String> for Fusions {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl Default for Fusions {
    fn default() -> Self {
        Self::ALL
    }
}

impl fmt::Display for Fusions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Fusion::ALL.into_iter().filter(|&fusion| self.has(fusion));
        match *self {
            Self::ALL => f.write_str("all"),
            Self::NONE => f.write_str("none"),
            _ => f.write_str(&names.map(Fusion::name).collect::<Vec<_>>().join(",")),
        }
    }
}

impl FromStr for Fusions {
    type Err = String;

    /// `all`, `none`, or names with commas between them.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => return Ok(Self::ALL),
            "none" => return Ok(Self::NONE),
            _ => {}
        }
        let known = || Fusion::ALL.map(Fusion::name).join(", ");
        text.split(',').try_fold(Self::NONE, |fusions, name| {
            let fusion = Fusion::ALL.into_iter().find(|fusion| fusion.name() == name);
            let fusion = fusion.ok_or_else(|| {
                format!(
                    "there is no fusion `{name}`; there are {}, all and none",
                    known()
                )
            })?;
            Ok(fusions.with(fusion))
        })
    }
}

/// Those of a program with batch statistics, with or without a backward pass.
pub fn training(style: Style, program: &mut Program) {
    let fuses = |fusion| style.fusions.has(fusion);
    if fuses(Fusion::Norm) {
        norm::with_sum_and_relu(program);
    }
    if fuses(Fusion::Shift) {
        shift::with_alteration(program);
        shift::with_sums_of_gradients(program);
    }
    if fuses(Fusion::Channels) {
        channels::gather_slices(program);
    }
    if fuses(Fusion::Recompute) {
        recompute::cheap_values(program);
    }
}

/// Those of a program with running statistics.
pub fn evaluation(style: Style, program: &mut Program) {
    let fuses = |fusion| style.fusions.has(fusion);
    if fuses(Fusion::Norm) {
        norm::with_sum_and_relu(program);
    }
    if fuses(Fusion::Shift) {
        shift::with_alteration(program);
    }
    if fuses(Fusion::FoldNorm) {
        fold::norms(program);
    }
    if fuses(Fusion::FoldSum) {
        fold::sums(program);
    }
    if fuses(Fusion::FoldShift) {
        fold::shifts(style.numerics, program);
    }
    fold::remove_unread(program);
}
