//! What a training step sees.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::FRAMES;
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

/// Frames of a video for each of a clip.
pub(in crate::spec) const RATE: RangeInclusive<usize> = 1..=1000;

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
        /// Passes of a step, each over `batch / shards` clips: as many need so much less memory. The gradients of the passes are added
        /// in a binary tree, so that the same bits come of it whatever computes which pass.
        #[serde(skip_serializing_if = "once")]
        shards: usize = default(1).whole(BATCH).acts_on(Stage::Activations),
        precision: Precision = default(Precision::Mixed).acts_on(Stage::Activations),
        /// Clips that share their batch statistics; `None`: the whole batch (the official code on two GPUs: 16 of 32,
        /// with the running statistics of the first group).
        norm_clips: Option<usize> = default(None).whole(BATCH).differs("schedule and batch", Stage::Activations),
        #[serde(skip_serializing_if = "usual")]
        running_statistics: RunningStatistics = default(RunningStatistics::FirstGroup).acts_on(Stage::Activations),
        frozen_norms: FrozenNorms = default(FrozenNorms::Off).acts_on(Stage::Activations),
        /// Label smoothing: so much of a clip's target is shared out among all classes.
        #[serde(skip_serializing_if = "usual")]
        smoothing: f64 = default(0.0).number(0.0..1.0).acts_on(Stage::Mixing),
        /// Clips of a step mixed with one another, and their targets with them.
        #[serde(skip_serializing_if = "usual")]
        mixing: Option<Mixing> = default(None).acts_on(Stage::Mixing),
        /// So much of each class's training videos, those whose ids have the smallest SHA-256, and one at least: the same for everybody.
        #[serde(skip_serializing_if = "whole")]
        subset: f64 = default(1.0).number(above_zero(1.0)).acts_on(Stage::SampleOrder),
        #[serde(skip_serializing_if = "usual")]
        class_weights: ClassWeights = default(ClassWeights::Equal).acts_on(Stage::Mixing),
        /// What the learning rate of parameters is multiplied by whose official names begin so; of several the longest begin counts,
        /// and 0 freezes.
        #[serde(skip_serializing_if = "usual")]
        rates: Vec<(String, f64)> = default(Vec::new()).acts_on(Stage::Optimizer),
        /// What a layer's learning rate is multiplied by for each layer between it and the classifier.
        #[serde(skip_serializing_if = "whole")]
        layer_decay: f64 = default(1.0).number(above_zero(1.0)).acts_on(Stage::Optimizer),
        /// Averaged weights, which are evaluated and exported in place of the last.
        #[serde(skip_serializing_if = "usual")]
        ema: Option<Ema> = default(None).acts_on(Stage::EvaluationLogits),
        #[serde(skip_serializing_if = "usual")]
        keep: Keep = default(Keep::Last).acts_on(Stage::EvaluationLogits),
        #[serde(skip_serializing_if = "usual")]
        stop: Option<EarlyStopping> = default(None).acts_on(Stage::Schedule),
        clips: TrainClips = of_its_type(),
    }

    /// How much the clips of a class weigh in the loss: each target times its class's weight, divided by what the clips of a shard weigh
    /// on the mean. With labels that is PyTorch's weighted cross entropy; with soft targets PyTorch divides by the clips alone.
    #[derive(Debug, Clone, Default, PartialEq, Serialize)]
    pub enum ClassWeights: "weights of the classes" {
        /// All the same.
        #[default]
        Equal,
        /// Inversely to the clips that the class has in training; their mean is 1.
        Balanced,
        /// By class name; the others 1.
        Listed(Vec<(String, f64)> = required()),
    }

    /// Exponential moving average of parameters and running statistics: a ← decay · a + (1 − decay) · w after each step, from the
    /// initial weights on, in float32.
    #[derive(Debug, Clone, Copy, PartialEq, Serialize)]
    pub struct Ema {
        decay: f64 = default(0.9999).number(0.0..=0.999_999),
    }

    /// Which weights are the result of a training.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
    pub enum Keep: "a rule of what is kept" {
        /// Those of the last step.
        #[default]
        Last,
        /// Those of the evaluation with the highest top-1 at `frames`, of equal ones the first; the last are kept beside them.
        Best {
            frames: usize = required().whole(FRAMES),
        },
    }

    /// Training ends after `patience` evaluations in turn that are not better than the best before by more than `least`.
    #[derive(Debug, Clone, Copy, PartialEq, Serialize)]
    pub struct EarlyStopping {
        /// Frame count whose top-1 is watched.
        frames: usize = required().whole(FRAMES),
        patience: usize = default(3).whole(1..=100_000),
        /// Points of top-1.
        least: f64 = default(0.0).number(0.0..=100.0),
    }

    /// Each clip of a group is mixed with the clip at the same distance from the group's other end. One draw serves the whole
    /// group and all branches: with probability `cutmix_probability` a box of the partner is pasted (CutMix, ICCV 2019), else the
    /// two are blended (mixup, ICLR 2018). The targets are mixed in the same proportion.
    #[derive(Debug, Clone, Copy, PartialEq, Serialize)]
    pub struct Mixing {
        /// With which a group is mixed at all.
        probability: f64 = default(1.0).number(0.0..=1.0),
        /// The proportion of a blend is drawn from Beta(mixup, mixup).
        mixup: f64 = default(0.8).number(above_zero(100.0)),
        /// The proportion of the area outside the box is drawn from Beta(cutmix, cutmix).
        cutmix: f64 = default(1.0).number(above_zero(100.0)),
        /// 0: blends alone; 1: boxes alone.
        cutmix_probability: f64 = default(0.5).number(0.0..=1.0),
        /// Clips of a group; `None`: the whole batch (the official code: those of one GPU).
        group: Option<usize> = default(None).whole(BATCH),
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

    /// Which clips of a step the running statistics of batch norms follow.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
    pub enum RunningStatistics: "a rule of running statistics" {
        /// Those of the first norm group (the official code: of the first GPU).
        #[default]
        FirstGroup,
        /// All: the mean over the shards, each of which is one norm group.
        MeanOfShards,
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
        /// Clips that are made of each video's frames, one beside the other in the batch, each augmented anew.
        #[serde(skip_serializing_if = "once")]
        repeats: usize = default(1).whole(1..=64).acts_on(Stage::SampleOrder),
        #[serde(skip_serializing_if = "usual")]
        channels: Channels = default(Channels::Rgb).differs("channel order", Stage::Pixels),
        #[serde(skip_serializing_if = "usual")]
        rand_augment: Option<RandAugment> = default(None).acts_on(Stage::Augmentation),
        #[serde(skip_serializing_if = "usual")]
        color_jitter: Option<ColorJitter> = default(None).acts_on(Stage::Augmentation),
        crop: TrainCrop = default(of_its_type().stand_in).acts_on(Stage::Augmentation),
        #[serde(skip_serializing_if = "usual")]
        resize: Resize = default(Resize::Pillow).differs("rule of resizing", Stage::Pixels),
        flip: Flip = default(Flip::Off).acts_on(Stage::Augmentation),
        /// Height and width of the result in pixels.
        size: usize = default(224).whole(PIXELS).acts_on(Stage::Augmentation),
        /// The default is ImageNet's.
        normalize: Normalize = default(IMAGENET).acts_on(Stage::Activations),
        #[serde(skip_serializing_if = "usual")]
        erasing: Option<Erasing> = default(None).acts_on(Stage::Pixels),
    }

    /// In which order the network sees the colours. Augmentations see them in this order too.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
    pub enum Channels: "an order of channels" {
        /// Red, green, blue.
        #[default]
        Rgb,
        /// Blue, green, red, as OpenCV decodes (the official code of UniFormer).
        Bgr,
    }

    /// How images become larger or smaller.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
    pub enum Resize: "a rule of resizing" {
        /// Pillow's bilinear filter, which averages where it shrinks, on bytes.
        #[default]
        Pillow,
        /// PyTorch's bilinear interpolation without antialiasing, on normalised values (the official code of SlowFast and
        /// UniFormer).
        Torch,
    }

    /// RandAugment (NeurIPS 2020) with timm's fifteen operations of increasing strength; the default is `rand-m7-n4-mstd0.5-inc1`.
    #[derive(Debug, Clone, Copy, PartialEq, Serialize)]
    pub struct RandAugment {
        /// Operations that are drawn for a clip, with replacement.
        operations: usize = default(4).whole(1..=16),
        /// Mean of each operation's strength, which is cut to 0 to 10.
        magnitude: f64 = default(7.0).number(0.0..=10.0),
        /// Its standard deviation.
        std: f64 = default(0.5).number(0.0..=10.0),
        /// With which a drawn operation is applied.
        probability: f64 = default(0.5).number(0.0..=1.0),
    }

    /// Factors of brightness, contrast and saturation, each drawn for a clip from 1 − x to 1 + x, and applied in a random order
    /// (torchvision's ColorJitter on Pillow's images).
    #[derive(Debug, Clone, Copy, PartialEq, Serialize)]
    pub struct ColorJitter {
        brightness: f64 = default(0.4).number(0.0..=1.0),
        contrast: f64 = default(0.4).number(0.0..=1.0),
        saturation: f64 = default(0.4).number(0.0..=1.0),
    }

    /// A box of every frame of a clip, the same in all, is filled with noise, standard normal in normalised values (AAAI 2020).
    #[derive(Debug, Clone, Copy, PartialEq, Serialize)]
    pub struct Erasing {
        /// With which a clip is erased.
        probability: f64 = default(0.25).number(0.0..=1.0),
        /// Least and most part of the image.
        area: [f64; 2] = default([0.02, 1.0 / 3.0]).number(above_zero(1.0)),
        /// Least and most height of the box for a width of 1.
        aspect: [f64; 2] = default([0.3, 1.0 / 0.3]).number(above_zero(100.0)),
    }

    /// Which frames of a video are seen in training.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
    pub enum TrainSampling: "a training sampling" {
        /// One frame at a random offset in each of T equal segments.
        SegmentRandom,
        /// The centre of each segment.
        SegmentCentre,
        /// A random frame of each of T segments of (n − 1) / T, both ends included, so that neighbours may coincide (the
        /// official code of SlowFast and UniFormer).
        SegmentInclusive,
        /// T frames at stride `window / T` from a random start.
        Dense {
            window: usize = required().whole(WINDOW),
        },
        /// T frames, evenly over `rate · T` neighbouring ones from a random start; behind the video's end its last frame
        /// (SlowFast's code on Kinetics).
        DenseAtRate {
            rate: usize = required().whole(RATE),
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
        /// A random place of the image resized so that its shorter side has a random length (the official code of SlowFast).
        ScaleJitter {
            /// Least and most length of the shorter side.
            short_side: [usize; 2] = follows("256 and 320 for a size of 224, in proportion").whole(PIXELS),
            /// The length's inverse is uniform, not the length.
            inverse: bool = default(true),
        },
        /// A random box of random area and aspect, resized to `size` (the official code of UniFormer; Szegedy et al., CVPR 2015).
        RandomResized {
            /// Least and most part of the image.
            area: [f64; 2] = default([0.08, 1.0]).number(above_zero(1.0)),
            /// Least and most width of the box for a height of 1.
            aspect: [f64; 2] = default([0.75, 1.3333]).number(above_zero(100.0)),
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

    /// v ← (v / 255 − mean) / std, for the channels in the order in which the network sees them.
    #[derive(Debug, Clone, Copy, PartialEq, Serialize)]
    pub struct Normalize {
        mean: [f64; 3] = required().number(0.0..=1.0),
        std: [f64; 3] = required().number(above_zero(10.0)),
    }
}

/// Whether a field that is younger than some experiments' identities has the value that those had.
pub(in crate::spec) fn usual<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// As [`usual`], of a part of which all is the usual.
fn whole(part: &f64) -> bool {
    *part == 1.0
}

/// As [`usual`], of a count.
fn once(count: &usize) -> bool {
    *count == 1
}

impl Train {
    /// Clips of a shard.
    pub fn shard_clips(&self) -> usize {
        self.batch / self.shards.max(1)
    }

    /// Whether what is trained, or what comes of it, depends on evaluations.
    pub fn depends_on_evaluation(&self) -> bool {
        self.stop.is_some() || self.keep != Keep::Last
    }

    /// Where training sees a part of the data, that it does, for a person: it follows a number of clips.
    pub fn part(&self) -> String {
        match self.subset < 1.0 {
            true => format!(", {} % of each class trained on", 100.0 * self.subset),
            false => String::new(),
        }
    }

    /// Videos of an epoch, of `all` of so many classes: about, because each class is rounded by itself.
    pub fn videos(&self, all: usize, classes: usize) -> usize {
        match self.subset < 1.0 {
            true => ((self.subset * all as f64).round() as usize).max(classes.min(all)),
            false => all,
        }
    }
}

impl TrainClips {
    /// Clips of an epoch of `videos` videos.
    pub fn clips(&self, videos: usize) -> usize {
        videos.saturating_mul(self.repeats)
    }
}
