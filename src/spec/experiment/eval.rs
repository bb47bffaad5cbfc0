//! How the trained network is evaluated.

use serde::Serialize;

use super::{BATCH, FRAMES, Normalize, PIXELS, ShortVideos, WINDOW};
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
        crops: Crops = default(Crops::One).acts_on(Stage::EvaluationPixels),
        /// The shorter side after resizing.
        short_side: usize = follows("256 for a size of 224, in proportion")
            .whole(PIXELS)
            .acts_on(Stage::EvaluationPixels),
        /// Height and width of a crop.
        size: usize = follows("as in training; `Three`: the shorter side")
            .whole(PIXELS)
            .acts_on(Stage::EvaluationPixels),
        normalize: Normalize = follows("as in training").acts_on(Stage::EvaluationLogits),
        /// Views (clips × crops) of one forward pass; changes no result.
        batch: usize = default(16).whole(BATCH).idle(),
        /// Evaluate after every so many epochs, besides the end; 0: only at the end.
        every: usize = default(5).whole(0..=100_000).idle(),
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
    }

    /// Which parts of a frame are seen in evaluation.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
    pub enum Crops: "crops" {
        /// The centre.
        One,
        /// Three along the longer side, of size `short_side`.
        Three,
        /// Corners and centre, and the same flipped.
        Ten,
    }
}
