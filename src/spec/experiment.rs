//! The resolved experiment: every default explicit. Its canonical form is hashed into the experiment's identity.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One experiment, complete. Nothing here depends on the machine: no roots, no thread counts, no device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Experiment {
    pub name: String,
    pub seed: u64,
    pub model: Model,
    pub method: Method,
    pub data: Data,
    pub train: Train,
    pub optimizer: Sgd,
    pub schedule: Schedule,
    pub eval: Eval,
}

/// TSM: a ResNet over frames whose residual blocks shift part of the channels in time (ICCV 2019).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename = "Tsm")]
pub struct Model {
    pub backbone: Backbone,
    pub shift: Shift,
    /// Probability that a feature is dropped before the classifier, in `[0, 1)`.
    pub dropout: f64,
    pub init: Init,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub enum Backbone {
    ResNet18,
    ResNet34,
    ResNet50,
    ResNet101,
    /// A ResNet of another size, for small studies.
    ResNet(ResNet),
}

/// Stage `i` (from 0) has `blocks[i]` blocks of width `width · 2^i`; from the second stage on its first block
/// has stride 2. A bottleneck's output has four times the width.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ResNet {
    pub block: Block,
    pub blocks: Vec<usize>,
    pub width: usize,
    pub stem: Stem,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub enum Block {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1, 3×3 (which has the stride), 1×1 with four times the width.
    Bottleneck,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub enum Stem {
    /// 7×7 convolution of stride 2, norm, ReLU, 3×3 max pooling of stride 2.
    ImageNet,
    /// 3×3 convolution of stride 1, norm, ReLU: for small pictures.
    Small,
}

impl Backbone {
    /// The sizes behind the name.
    pub fn layout(&self) -> ResNet {
        let named = |block, blocks: [usize; 4]| ResNet {
            block,
            blocks: blocks.to_vec(),
            width: 64,
            stem: Stem::ImageNet,
        };
        match self {
            Backbone::ResNet18 => named(Block::Basic, [2, 2, 2, 2]),
            Backbone::ResNet34 => named(Block::Basic, [3, 4, 6, 3]),
            Backbone::ResNet50 => named(Block::Bottleneck, [3, 4, 6, 3]),
            Backbone::ResNet101 => named(Block::Bottleneck, [3, 4, 23, 3]),
            Backbone::ResNet(layout) => layout.clone(),
        }
    }
}

/// Of `C` channels, `C / div` come from the next frame, as many from the previous one, zero at the clip's ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shift {
    pub div: usize,
    pub place: ShiftPlace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub enum ShiftPlace {
    /// On the input of the first convolution of the residual branch (the official code).
    ResidualInput,
    /// On the input of the whole block, identity included.
    BlockInput,
    /// On the output of the block's first convolution, before its norm (a later report's reading).
    AfterFirstConv,
    /// Nowhere: TSN.
    Nowhere,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub enum Init {
    /// Convolutions Kaiming normal, fan-out; norms 1 and 0; classifier normal with standard deviation 1e-3, bias 0.
    Random,
    /// A file that `ffn import` reads or writes, pinned by its SHA-256; a classifier in it is dropped.
    /// Until somebody hashed the file (`sha256: None`) no run starts from it.
    Pretrained {
        file: String,
        sha256: Option<String>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Method {
    /// Trained at one frame count.
    Vanilla {
        frames: usize,
    },
    Ffn(Ffn),
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

/// The Frame Flexible Network (CVPR 2023, arXiv 2303.14817).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ffn {
    /// Two or more, ascending; the last is the teacher.
    pub frames: Vec<usize>,
    /// Weight of each divergence term.
    pub lambda: f64,
    pub alteration: Alteration,
    pub norms: Norms,
    pub distillation: Distillation,
    pub shift_segments: ShiftSegments,
}

/// A depthwise 1×1 convolution with a residual, on the input of each block's first convolution, private to each
/// frame count: x ← x + w ∗ x.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub enum Alteration {
    /// Initial weights normal with this standard deviation (the paper: 1e-3).
    Normal { std: f64 },
    /// Initial weights normal with standard deviation sqrt(2 / C) (what the official code does in the end).
    KaimingFanOut,
    /// No alteration at all.
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub enum Norms {
    Private,
    Shared,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub enum Distillation {
    /// KL(p_largest ‖ p_smaller), the largest detached (equation 4 and the official code).
    FromLargest,
    /// KL(p_smaller ‖ p_largest), the largest detached (as a later report writes it).
    Reversed,
    /// Every branch learns from the labels with cross entropy; the terms of the smaller branches keep weight lambda.
    Off,
}

/// In what the shift takes for a clip while training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub enum ShiftSegments {
    /// Every branch inside its own clips.
    PerBranch,
    /// Groups of so many consecutive frames of the batch, whatever the branch (the official code: 16).
    Shared(usize),
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Data {
    SomethingV2(SomethingV2),
    FrameFolders(FrameFolders),
    Miniature(Miniature),
}

impl Data {
    /// The name under which a machine's configuration knows the root folder.
    pub fn root_name(&self) -> &str {
        match self {
            Data::SomethingV2(data) => &data.root,
            Data::FrameFolders(data) => &data.root,
            Data::Miniature(_) => "miniature",
        }
    }

    pub fn class_count(&self) -> usize {
        match self {
            Data::SomethingV2(data) => data.class_count,
            Data::FrameFolders(data) => data.class_count,
            Data::Miniature(_) => Miniature::CLASS_COUNT,
        }
    }

    /// Path of the pin file, relative to the experiment file's folder.
    pub fn pins(&self) -> &str {
        match self {
            Data::SomethingV2(data) => &data.pins,
            Data::FrameFolders(data) => &data.pins,
            Data::Miniature(data) => &data.pins,
        }
    }

    /// Whether a class may change when left and right are exchanged.
    pub fn direction_sensitive(&self) -> bool {
        match self {
            Data::SomethingV2(_) | Data::Miniature(_) => true,
            Data::FrameFolders(data) => data.direction_sensitive,
        }
    }

    pub fn unreadable(&self) -> Unreadable {
        match self {
            Data::SomethingV2(data) => data.unreadable,
            Data::FrameFolders(data) => data.unreadable,
            Data::Miniature(_) => Unreadable::Fail,
        }
    }
}

/// WebM files `<id>.webm` with the label, train and validation JSON of the distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SomethingV2 {
    pub root: String,
    pub pins: String,
    pub class_count: usize,
    pub train_count: usize,
    pub validation_count: usize,
    pub unreadable: Unreadable,
}

/// The TSM lists: lines `folder frames label`, pictures named by a template such as `img_{:05}.jpg`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FrameFolders {
    pub root: String,
    pub pins: String,
    pub train_list: String,
    pub validation_list: String,
    /// File with one class name a line, in label order; without one the names are the numbers.
    pub class_names: Option<String>,
    pub template: String,
    /// Number of the first picture.
    pub first: usize,
    pub class_count: usize,
    /// Whether a class may change when left and right are exchanged; the lists do not say.
    pub direction_sensitive: bool,
    pub train_count: Option<usize>,
    pub validation_count: Option<usize>,
    pub unreadable: Unreadable,
}

/// Rendered clips whose classes differ only in motion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Miniature {
    pub pins: String,
    /// Clips of the training split; a multiple of the class count.
    pub train: usize,
    /// Clips of the validation split; a multiple of the class count.
    pub validation: usize,
    /// Height and width of a clip in pixels.
    pub size: usize,
    /// Frames of a clip.
    pub frames: usize,
}

impl Miniature {
    /// The motions: see `data::miniature`.
    pub const CLASS_COUNT: usize = 8;
}

/// What becomes of a video that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub enum Unreadable {
    /// The run stops.
    Fail,
    /// Left out, counted and reported; in training only, evaluation still stops.
    Skip,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Train {
    pub epochs: usize,
    /// Clips of one step.
    pub batch: usize,
    pub precision: Precision,
    /// Clips that share their batch statistics; `None`: the whole batch (the official code on two GPUs: 16 of 32,
    /// with the running statistics of the first group).
    pub norm_clips: Option<usize>,
    pub frozen_norms: FrozenNorms,
    pub clips: TrainClips,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Precision {
    Float32,
    /// 16-bit products with float32 master weights and statistics where the device multiplies faster so: bf16 on processors
    /// with AMX or a fast AVX512-BF16 and on cards, float32 elsewhere.
    Mixed,
}

/// Norms that keep their running statistics and weights while training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub enum FrozenNorms {
    Off,
    /// All but the first (TSN's partial batch norm).
    AllButFirst,
    All,
}

/// How a training clip becomes a tensor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainClips {
    pub sampling: TrainSampling,
    pub branches: BranchFrames,
    pub short_videos: ShortVideos,
    pub crop: TrainCrop,
    pub flip: Flip,
    /// Height and width of the result in pixels.
    pub size: usize,
    pub normalize: Normalize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub enum TrainSampling {
    /// One frame at a random offset in each of T equal segments.
    SegmentRandom,
    /// The centre of each segment.
    SegmentCentre,
    /// T frames at stride `window / T` from a random start.
    Dense { window: usize },
}

/// How the branches' frames relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub enum BranchFrames {
    /// One draw for each branch (the official code).
    Independent,
    /// One draw for the largest; a branch of T takes those of its frames nearest to T segment centres.
    Synchronized,
}

/// What is taken from a video with too few frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub enum ShortVideos {
    /// Official: the first frame T times when a video has too few, in evaluation at most T, in training fewer.
    FirstFrame,
    /// The segment rule as it is, frames repeated in order.
    Repeat,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum TrainCrop {
    /// One of the official candidate boxes, resized to `size`.
    MultiScale {
        scales: Vec<f64>,
        max_distortion: usize,
        more_fixed: bool,
    },
    /// As in evaluation.
    Centre { short_side: usize },
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub enum Flip {
    Off,
    /// Left and right exchanged with probability one half.
    Random,
    /// The same, and the class follows: pairs of class names that a flip exchanges.
    Mapped {
        classes: Vec<(String, String)>,
    },
}

/// v ← (v / 255 − mean) / std, for red, green, blue.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Normalize {
    pub mean: [f64; 3],
    pub std: [f64; 3],
}

/// SGD with momentum as PyTorch's: v ← m·v + g + wd·p (in the first step v = g + wd·p); p ← p − lr·v.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sgd {
    pub lr: f64,
    pub momentum: f64,
    pub weight_decay: f64,
    pub clip: Option<Clip>,
    pub groups: Groups,
}

/// Gradients are scaled down so that their total L2 norm is at most `norm`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Clip {
    pub norm: f64,
    /// Whether it applies under mixed precision (in the official code it does not).
    pub under_mixed: bool,
}

/// Multipliers for each kind of parameter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Groups {
    pub first_conv: Group,
    pub conv: Group,
    pub alteration: Group,
    pub norm: Group,
    pub classifier_weight: Group,
    pub classifier_bias: Group,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Group {
    pub lr: f64,
    pub decay: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Schedule {
    pub shape: ScheduleShape,
    pub warmup: Option<Warmup>,
    pub step: ScheduleStep,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub enum ScheduleShape {
    /// The rate is multiplied by `gamma` at each of these epochs.
    MultiStep { milestones: Vec<f64>, gamma: f64 },
    /// Half a cosine from the rate to `last` times the rate at the end of training.
    Cosine { last: f64 },
}

/// Linear from `from` times the rate to the rate over the first `epochs`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Warmup {
    pub epochs: f64,
    pub from: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub enum ScheduleStep {
    /// The rate is that of the epoch's start.
    Epoch,
    /// The rate follows every iteration.
    Iteration,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Eval {
    /// Ascending. A count without a branch of its own takes the nearest branch, ties to the larger.
    pub frames: Vec<usize>,
    pub sampling: EvalSampling,
    pub short_videos: ShortVideos,
    pub crops: Crops,
    /// The shorter side after resizing.
    pub short_side: usize,
    /// Height and width of a crop.
    pub size: usize,
    pub normalize: Normalize,
    /// Views (clips × crops) of one forward pass; changes no result.
    pub batch: usize,
    /// Evaluate after every so many epochs besides the end; 0: only at the end.
    pub every: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub enum EvalSampling {
    /// The centre of each segment.
    Centre,
    /// Centre and start of each segment, two clips.
    Twice,
    /// `clips` clips of stride `window / T`, starts evenly spaced.
    Dense { window: usize, clips: usize },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub enum Crops {
    /// The centre.
    One,
    /// Three along the longer side, of size `short_side`.
    Three,
    /// Corners and centre, and the same flipped.
    Ten,
}
