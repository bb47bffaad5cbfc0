//! How the trained network is evaluated.

use serde::Serialize;

use super::{BATCH, Channels, FRAMES, Normalize, PIXELS, RATE, Resize, ShortVideos, WINDOW, usual};
use crate::spec::decode::language;
use crate::spec::setting::{default, follows, required};
use crate::spec::stage::Stage;

language! {
    /// How the trained network is evaluated.
    #[derive(Debug, Clone, PartialEq, Serialize)]
    pub struct Eval {
        /// Frame counts, ascending. A count without a branch of its own takes the nearest branch, ties to the larger.
        frames: Vec<usize> = required().whole(FRAMES).acts_on(Stage::EvaluationFrames),
        sampling: EvalSampling = default(EvalSampling::Centre).acts_on(Stage::EvaluationFrames),
        short_videos: ShortVideos = follows("as in training")
            .differs("short videos in evaluation", Stage::EvaluationFrames),
        crops: Crops = default(Crops::One).differs("crop in evaluation", Stage::EvaluationPixels),
        /// The shorter side after resizing.
        short_side: usize = follows("256 for a size of 224, in proportion")
            .whole(PIXELS)
            .acts_on(Stage::EvaluationPixels),
        /// Height and width of a crop.
        size: usize = follows("as in training; `Three`: the shorter side")
            .whole(PIXELS)
            .acts_on(Stage::EvaluationPixels),
        normalize: Normalize = follows("as in training").acts_on(Stage::EvaluationLogits),
        #[serde(skip_serializing_if = "usual")]
        channels: Option<Channels> = follows("as in training").acts_on(Stage::EvaluationPixels),
        #[serde(skip_serializing_if = "usual")]
        resize: Option<Resize> = follows("as in training").acts_on(Stage::EvaluationPixels),
        /// What is averaged over the views of a clip.
        #[serde(skip_serializing_if = "usual")]
        average: Average = default(Average::Logits).differs("average over views", Stage::EvaluationLogits),
        /// Views (clips × crops) of one forward pass; changes no result.
        batch: usize = default(16).whole(BATCH).idle(),
        /// Evaluate after every so many epochs, besides the end; 0: only at the end. Changes no result but under `train.keep: Best`
        /// and `train.stop`.
        every: usize = default(5).whole(0..=100_000).acts_on(Stage::Schedule),
    }

    /// Which frames of a video are seen in evaluation.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
    pub enum EvalSampling: "an evaluation sampling" {
        /// The centre of each segment.
        Centre,
        /// Centre and start of each segment, two clips.
        Twice,
        /// `clips` clips of stride `window / T`, starts evenly spaced.
        Dense {
            window: usize = required().whole(WINDOW),
            clips: usize = required().whole(1..=1000),
        },
        /// Of each of T segments of (n − 1) / T the frame at (v + 1) / (`clips` + 1) of it, for clip v from 0 (the official
        /// code of SlowFast and UniFormer).
        SegmentInclusive {
            clips: usize = default(1).whole(1..=1000),
        },
        /// `clips` clips of T frames evenly over `rate · T` neighbouring ones of n; clip v begins at (n − rate · T)·v/`clips` (SlowFast's
        /// code on Kinetics, without its offset); behind the video's end its last frame.
        DenseAtRate {
            rate: usize = required().whole(RATE),
            clips: usize = required().whole(1..=1000),
        },
    }

    /// What is averaged over the views of a clip.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
    pub enum Average: "an average" {
        /// The logits.
        #[default]
        Logits,
        /// The probabilities (the official code of SlowFast).
        Probabilities,
    }

    /// Which parts of a frame are seen in evaluation.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
    pub enum Crops: "crops" {
        /// The centre.
        One,
        /// The left end of a wide image, the top of a high one (the official code of SlowFast and UniFormer, where it names one
        /// crop).
        Left,
        /// Three along the longer side, of size `short_side`.
        Three,
        /// The left end, the centre and the right end; of a high image top, centre and bottom. An odd rest goes to the left of
        /// the centre (the official code of SlowFast and UniFormer).
        LeftCentreRight,
        /// Corners and centre, and the same flipped.
        Ten,
    }
}

impl Eval {
    pub fn channels(&self) -> Channels {
        self.channels.unwrap_or_default()
    }

    pub fn resize(&self) -> Resize {
        self.resize.unwrap_or_default()
    }
}
