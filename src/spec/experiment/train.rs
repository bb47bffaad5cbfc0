//! What a training step sees.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::base::limits;
use crate::spec::decode::language;
use crate::spec::legal::above_zero;
use crate::spec::setting::{default, follows, of_its_type, required};
use crate::spec::stage::Stage;

/// Heights and widths of images in pixels.
pub(in crate::spec) const PIXELS: RangeInclusive<usize> = 16..=limits::PIXELS.most as usize;

/// Clips of a batch.
pub(in crate::spec) const BATCH: RangeInclusive<usize> = 1..=limits::BATCH.most as usize;

/// Frames of a dense clip's window.
pub(in crate::spec) const WINDOW: RangeInclusive<usize> = 1..=100_000;

/// Of ImageNet's images, which the pretrained weights expect.
const IMAGENET: Normalize = Normalize {
    mean: [0.485, 0.456, 0.406],
    std: [0.229, 0.224, 0.225],
};

language! {
    /// What a training step sees.
    #[derive(Debug, Clone, PartialEq, Serialize)]
    pub struct Train {
        epochs: usize = default(50).whole(1..=100_000).acts_on(Stage::Schedule),
        /// Clips of one step.
        batch: usize = default(32).whole(BATCH).differs("schedule and batch", Stage::SampleOrder),
        precision: Precision = default(Precision::Mixed).acts_on(Stage::Activations),
        /// Clips that share their batch statistics; `None`: the whole batch (the official code on two GPUs: 16 of 32,
        /// with the running statistics of the first group).
        norm_clips: Option<usize> = default(None).whole(BATCH).differs("schedule and batch", Stage::Activations),
        frozen_norms: FrozenNorms = default(FrozenNorms::Off).acts_on(Stage::Activations),
        clips: TrainClips = of_its_type(),
    }

    /// In what training computes.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    pub enum Precision: "a precision" {
        /// 32-bit floating point throughout.
        Float32,
        /// 16-bit products with float32 master weights and statistics where the device multiplies faster so: bf16 on
        /// processors with AMX or a fast AVX512-BF16 and on GPUs, float32 elsewhere.
        Mixed,
    }

    /// Norms that keep their running statistics and weights while training.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
    pub enum FrozenNorms: "frozen norms" {
        /// None.
        Off,
        /// All but the first (TSN's partial batch norm).
        AllButFirst,
        /// All.
        All,
    }

    /// How a training clip becomes a tensor.
    #[derive(Debug, Clone, PartialEq, Serialize)]
    pub struct TrainClips {
        sampling: TrainSampling = default(TrainSampling::SegmentRandom)
            .differs("frames in training", Stage::FrameIndices),
        branches: BranchFrames = default(BranchFrames::Synchronized)
            .differs("frames of the branches", Stage::FrameIndices),
        short_videos: ShortVideos = default(ShortVideos::Repeat).acts_on(Stage::FrameIndices),
        crop: TrainCrop = default(of_its_type().stand_in).acts_on(Stage::Augmentation),
        flip: Flip = default(Flip::Off).acts_on(Stage::Augmentation),
        /// Height and width of the result in pixels.
        size: usize = default(224).whole(PIXELS).acts_on(Stage::Augmentation),
        /// The default is ImageNet's.
        normalize: Normalize = default(IMAGENET).acts_on(Stage::Activations),
    }

    /// Which frames of a video are seen in training.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
    pub enum TrainSampling: "a training sampling" {
        /// One frame at a random offset in each of T equal segments.
        SegmentRandom,
        /// The centre of each segment.
        SegmentCentre,
        /// T frames at stride `window / T` from a random start.
        Dense {
            window: usize = required().whole(WINDOW),
        },
    }

    /// How the branches' frames relate.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
    pub enum BranchFrames: "a relation of the branches' frames" {
        /// One draw for each branch (the official code).
        Independent,
        /// One draw for the largest; a branch of T takes those of its frames nearest to T segment centres.
        Synchronized,
    }

    /// What is taken from a video with too few frames.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
    pub enum ShortVideos: "a rule for short videos" {
        /// Official: the first frame T times when a video has too few, in evaluation at most T, in training fewer.
        FirstFrame,
        /// The segment rule as it is, frames repeated in order.
        Repeat,
    }

    /// Which part of a training frame is seen.
    #[derive(Debug, Clone, PartialEq, Serialize)]
    pub enum TrainCrop: "a crop" {
        /// One of the official candidate boxes, resized to `size`.
        MultiScale {
            /// Sides of the candidates, as parts of the shorter side; one or more.
            scales: Vec<f64> = default(vec![1.0, 0.875, 0.75, 0.66]).number(above_zero(1.0)),
            /// Most places in `scales` between height and width.
            max_distortion: usize = default(1).whole(0..=100),
            /// 13 positions instead of 5.
            more_fixed: bool = default(true),
        },
        /// The centre, as in evaluation.
        Centre {
            /// The shorter side after resizing.
            short_side: usize = follows("256 for a size of 224, in proportion").whole(PIXELS),
        },
    }

    /// Whether clips are mirrored.
    #[derive(Debug, Clone, PartialEq, Serialize)]
    pub enum Flip: "a flip" {
        /// Never.
        Off,
        /// Left and right exchanged with probability one half.
        Random,
        /// The same, and the class follows.
        Mapped {
            /// Pairs of class names that a flip exchanges.
            classes: Vec<(String, String)> = required(),
        },
    }

    /// v ← (v / 255 − mean) / std, for red, green, blue.
    #[derive(Debug, Clone, Copy, PartialEq, Serialize)]
    pub struct Normalize {
        mean: [f64; 3] = required().number(0.0..=1.0),
        std: [f64; 3] = required().number(above_zero(10.0)),
    }
}
