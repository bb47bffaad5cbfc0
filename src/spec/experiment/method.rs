//! How the network learns to serve its frame counts.

use std::ops::RangeInclusive;

use serde::Serialize;

use crate::base::limits;
use crate::spec::decode::language;
use crate::spec::setting::{default, follows, required};
use crate::spec::stage::Stage;

/// Frames of one clip: more is a mistake of the pen.
pub(in crate::spec) const FRAMES: RangeInclusive<usize> = 1..=limits::FRAMES.most as usize;

language! {
    /// How the network learns to serve its frame counts.
    #[derive(Debug, Clone, PartialEq, Serialize)]
    pub enum Method: "a method" {
        /// Trained at one frame count.
        Vanilla {
            frames: usize = required().whole(FRAMES),
        },
        Ffn(Ffn = required()),
    }

    /// The Frame Flexible Network: one network for several frame counts (CVPR 2023, arXiv 2303.14817).
    #[derive(Debug, Clone, PartialEq, Serialize)]
    pub struct Ffn {
        /// Two or more frame counts, ascending; the last is the teacher.
        frames: Vec<usize> = required().whole(FRAMES),
        /// Weight of each divergence term.
        lambda: f64 = default(1.0).number(0.0..=1000.0).acts_on(Stage::Loss),
        /// FFN on TEA has none.
        alteration: Alteration = follows("`Normal(std: 0.001)`; with TEA `Off`")
            .differs("alteration's initial weights", Stage::InitialWeights),
        norms: Norms = default(Norms::Private).acts_on(Stage::InitialWeights),
        distillation: Distillation = default(Distillation::FromLargest)
            .differs("direction of the divergence", Stage::Loss),
        shift_segments: ShiftSegments = default(ShiftSegments::PerBranch)
            .differs("shift in training", Stage::Activations),
    }

    /// A depthwise 1×1 convolution with a residual, on the input of each block's first convolution, private to each
    /// frame count: x ← x + w ∗ x.
    #[derive(Debug, Clone, Copy, PartialEq, Serialize)]
    pub enum Alteration: "an alteration" {
        /// Initial weights normal with this standard deviation (the paper: 1e-3).
        Normal {
            std: f64 = required().number(0.0..=1.0),
        },
        /// Initial weights normal with standard deviation sqrt(2 / C) (what the official code does in the end).
        KaimingFanOut,
        /// No alteration at all.
        Off,
    }

    /// Whose the batch norms are.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
    pub enum Norms: "a kind of norms" {
        /// Each frame count has its own.
        Private,
        /// All frame counts have the same.
        Shared,
    }

    /// What the branches learn from.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
    pub enum Distillation: "a distillation" {
        /// KL(p_largest ‖ p_smaller), the largest detached (equation 4 and the official code).
        FromLargest,
        /// KL(p_smaller ‖ p_largest), the largest detached (as a later report writes it).
        Reversed,
        /// Every branch learns from the labels with cross entropy; the terms of the smaller branches keep weight lambda.
        Off,
    }

    /// What the shift takes for a clip while training; with TEA, what motion excitation and temporal convolutions do.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
    pub enum ShiftSegments: "shift segments" {
        /// Every branch inside its own clips.
        PerBranch,
        /// Groups of so many consecutive frames of the batch, whatever the branch (the official code: 16).
        Shared(usize = required().whole(FRAMES)),
    }
}

impl Method {
    /// The frame counts that are trained, ascending.
    pub fn frames(&self) -> &[usize] {
        match self {
            Method::Vanilla { frames } => std::slice::from_ref(frames),
            Method::Ffn(ffn) => &ffn.frames,
        }
    }
}
