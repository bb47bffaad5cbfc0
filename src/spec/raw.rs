//! The raw types: what may stand in a file, field by field. The JSON Schema is made from them.
//!
//! A type whose file form equals its resolved form is not declared again: [`super::experiment`] has it, and a
//! table below names its fields or variants for the decoder.

use schemars::JsonSchema;

use super::decode::{fields, raw, variants};
use super::experiment::{
    Alteration, Block, BranchFrames, Crops, Distillation, EvalSampling, Flip, FrozenNorms, Group,
    Init, Normalize, Norms, Precision, ResNet, ScheduleShape, ScheduleStep, ShiftPlace,
    ShiftSegments, ShortVideos, Stem, TrainSampling, Unreadable, Warmup,
};
pub use super::experiment::{Backbone, Miniature};

raw! {
    /// One experiment.
    struct Experiment {
        required {
            /// Letters, digits, `-`, `_` and `.`; names the run folder.
            name: String,
            model: Model,
            method: Method,
            data: Data,
            eval: Eval,
        }
        optional {
            /// Of every random number in the experiment. Default: 1.
            seed: u64,
            train: Train,
            /// Default: `Sgd()`.
            optimizer: Optimizer,
            schedule: Schedule,
        }
    }

    /// TSM: a ResNet over frames whose residual blocks shift part of the channels in time.
    struct Tsm {
        required {
            backbone: Backbone,
            /// Initial weights.
            init: Init,
        }
        optional {
            shift: Shift,
            /// Probability that a feature is dropped before the classifier, in `[0, 1)`. Default: 0.5.
            dropout: f64,
        }
    }

    /// The shift of channels between neighbouring frames.
    struct Shift {
        optional {
            /// `C / div` of `C` channels come from the next frame, as many from the previous one. Default: 8.
            div: usize,
            /// Default: `ResidualInput`.
            place: ShiftPlace,
        }
    }

    /// Training at one frame count.
    struct Vanilla {
        required { frames: usize }
    }

    /// The Frame Flexible Network: one network for several frame counts.
    struct Ffn {
        required {
            /// Two or more frame counts, ascending; the last is the teacher.
            frames: Vec<usize>,
        }
        optional {
            /// Weight of each divergence term. Default: 1.
            lambda: f64,
            /// Default: `Normal(std: 0.001)`.
            alteration: Alteration,
            /// Default: `Private`.
            norms: Norms,
            /// Default: `FromLargest`.
            distillation: Distillation,
            /// Default: `PerBranch`.
            shift_segments: ShiftSegments,
        }
    }

    /// Something-Something V2 as distributed: `<id>.webm` with the label, train and validation JSON.
    struct SomethingV2 {
        required {
            /// Pin file, relative to the experiment's folder.
            pins: String,
            class_count: usize,
            train_count: usize,
            validation_count: usize,
        }
        optional {
            /// Name under which a machine's configuration knows the folder. Default: `sthv2`.
            root: String,
            /// Default: `Fail`.
            unreadable: Unreadable,
        }
    }

    /// Folders of pictures with the TSM lists: lines `folder frames label`.
    struct FrameFolders {
        required {
            /// Name under which a machine's configuration knows the folder.
            root: String,
            /// Pin file, relative to the experiment's folder.
            pins: String,
            train_list: String,
            validation_list: String,
            /// Name of a picture: `{}` or `{:05}` stands for its number.
            template: String,
            class_count: usize,
            /// Whether a class may change when left and right are exchanged.
            direction_sensitive: bool,
        }
        optional {
            /// File with one class name a line. Default: the numbers are the names.
            class_names: Option<String>,
            /// Number of the first picture. Default: 1.
            first: usize,
            train_count: Option<usize>,
            validation_count: Option<usize>,
            /// Default: `Fail`.
            unreadable: Unreadable,
        }
    }

    /// What a training step sees.
    struct Train {
        optional {
            /// Default: 50.
            epochs: usize,
            /// Clips of one step. Default: 32.
            batch: usize,
            /// Default: `Mixed`.
            precision: Precision,
            /// Clips that share their batch statistics. Default: `None`, the whole batch.
            norm_clips: Option<usize>,
            /// Default: `Off`.
            frozen_norms: FrozenNorms,
            clips: TrainClips,
        }
    }

    /// How a training clip becomes a tensor.
    struct TrainClips {
        optional {
            /// Default: `SegmentRandom`.
            sampling: TrainSampling,
            /// Default: `Synchronized`.
            branches: BranchFrames,
            /// Default: `Repeat`.
            short_videos: ShortVideos,
            /// Default: `MultiScale()`.
            crop: TrainCrop,
            /// Default: `Off`.
            flip: Flip,
            /// Height and width of the result in pixels. Default: 224.
            size: usize,
            /// Default: ImageNet's mean and standard deviation.
            normalize: Normalize,
        }
    }

    /// One of the official candidate boxes.
    struct MultiScale {
        optional {
            /// Sides of the candidates, as parts of the shorter side. Default: `[1, 0.875, 0.75, 0.66]`.
            scales: Vec<f64>,
            /// Most places in `scales` between height and width. Default: 1.
            max_distortion: usize,
            /// 13 positions instead of 5. Default: true.
            more_fixed: bool,
        }
    }

    /// The centre, as in evaluation.
    struct Centre {
        optional {
            /// The shorter side after resizing. Default: 256 for a size of 224, in proportion.
            short_side: usize,
        }
    }

    /// SGD with momentum as PyTorch's.
    struct Sgd {
        optional {
            /// Default: 0.01.
            lr: f64,
            /// Default: 0.9.
            momentum: f64,
            /// Default: 5e-4.
            weight_decay: f64,
            /// `None`: no clipping. Default: `(norm: 20)`.
            clip: Option<Clip>,
            groups: Groups,
        }
    }

    /// Clipping by the total L2 norm of the gradients.
    struct Clip {
        optional {
            /// Default: 20.
            norm: f64,
            /// Whether it applies under mixed precision. Default: true.
            under_mixed: bool,
        }
    }

    /// Multipliers of rate and decay for each kind of parameter.
    struct Groups {
        optional {
            /// Default: like `conv`.
            first_conv: Group,
            /// Default: rate 1, decay 1.
            conv: Group,
            /// Default: like `conv`.
            alteration: Group,
            /// Default: rate 1, decay 0.
            norm: Group,
            /// Default: rate 5, decay 1.
            classifier_weight: Group,
            /// Default: rate 10, decay 0.
            classifier_bias: Group,
        }
    }

    /// The learning rate over time.
    struct Schedule {
        optional {
            /// Default: `MultiStep(milestones: [20, 40], gamma: 0.1)`.
            shape: ScheduleShape,
            /// Default: `None`.
            warmup: Option<Warmup>,
            /// Default: `Epoch`.
            step: ScheduleStep,
        }
    }

    /// How the trained network is evaluated.
    struct Eval {
        required {
            /// Frame counts, ascending.
            frames: Vec<usize>,
        }
        optional {
            /// Default: `Centre`.
            sampling: EvalSampling,
            /// Default: as in training.
            short_videos: ShortVideos,
            /// Default: `One`.
            crops: Crops,
            /// The shorter side after resizing. Default: 256 for a size of 224, in proportion.
            short_side: usize,
            /// Height and width of a crop. Default: as in training; `Three`: the shorter side.
            size: usize,
            /// Default: as in training.
            normalize: Normalize,
            /// Views of one forward pass; changes no result. Default: 16.
            batch: usize,
            /// Evaluate after so many epochs, besides the end; 0: only at the end. Default: 5.
            every: usize,
        }
    }
}

/// The network.
#[derive(Debug, Clone, JsonSchema)]
pub enum Model {
    Tsm(Tsm),
}

/// How the network learns to serve its frame counts.
#[derive(Debug, Clone, JsonSchema)]
pub enum Method {
    Vanilla(Vanilla),
    Ffn(Ffn),
}

/// The data set.
#[derive(Debug, Clone, JsonSchema)]
pub enum Data {
    SomethingV2(SomethingV2),
    FrameFolders(FrameFolders),
    Miniature(Miniature),
}

#[derive(Debug, Clone, JsonSchema)]
pub enum Optimizer {
    Sgd(Sgd),
}

/// Which part of a training frame is seen.
#[derive(Debug, Clone, JsonSchema)]
pub enum TrainCrop {
    MultiScale(MultiScale),
    Centre(Centre),
}

fields! {
    ResNet { block, blocks, width, stem }
    Miniature { pins, train, validation, size, frames }
    Normalize { mean, std }
    Group { lr, decay }
    Warmup { epochs, from }
}

variants! {
    Model, "a model" { Tsm(_) }
    Method, "a method" { Vanilla(_), Ffn(_) }
    Data, "a data set" { SomethingV2(_), FrameFolders(_), Miniature(_) }
    Optimizer, "an optimizer" { Sgd(_) }
    TrainCrop, "a crop" { MultiScale(_), Centre(_) }
    Backbone, "a backbone" { ResNet18, ResNet34, ResNet50, ResNet101, ResNet(_) }
    Block, "a block" { Basic, Bottleneck }
    Stem, "a stem" { ImageNet, Small }
    ShiftPlace, "a place of the shift" { ResidualInput, BlockInput, AfterFirstConv, Nowhere }
    Init, "initial weights" { Random, Pretrained { file, sha256 } }
    Alteration, "an alteration" { Normal { std }, KaimingFanOut, Off }
    Norms, "a kind of norms" { Private, Shared }
    Distillation, "a distillation" { FromLargest, Reversed, Off }
    ShiftSegments, "shift segments" { PerBranch, Shared(_) }
    Unreadable, "a policy for unreadable videos" { Fail, Skip }
    Precision, "a precision" { Float32, Mixed }
    FrozenNorms, "frozen norms" { Off, AllButFirst, All }
    TrainSampling, "a training sampling" { SegmentRandom, SegmentCentre, Dense { window } }
    BranchFrames, "a relation of the branches' frames" { Independent, Synchronized }
    ShortVideos, "a rule for short videos" { FirstFrame, Repeat }
    Flip, "a flip" { Off, Random, Mapped { classes } }
    ScheduleShape, "a schedule" { MultiStep { milestones, gamma }, Cosine { last } }
    ScheduleStep, "a step of the schedule" { Epoch, Iteration }
    EvalSampling, "an evaluation sampling" { Centre, Twice, Dense { window, clips } }
    Crops, "crops" { One, Three, Ten }
}
