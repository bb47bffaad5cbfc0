//! The network.

use std::ops::{Range, RangeInclusive};

use serde::Serialize;

use crate::spec::decode::language;
use crate::spec::rules::{FILE, SHA256};
use crate::spec::setting::{default, of_its_type, required};
use crate::spec::stage::Stage;

/// Channels of the first stage.
pub(in crate::spec) const WIDTHS: RangeInclusive<usize> = 1..=WIDEST;
const WIDEST: usize = 1024;

/// Of a probability that is not certain.
const DROPOUT: Range<f64> = 0.0..1.0;

language! {
    /// The network.
    #[derive(Debug, Clone, PartialEq, Serialize)]
    pub enum Model: "a model" {
        Tsm(Tsm = required()),
        Tea(Tea = required()),
        SlowFast(SlowFast = required()),
        UniFormer(UniFormer = required()),
    }

    /// TSM: a ResNet over frames whose residual blocks shift part of the channels in time (ICCV 2019).
    #[derive(Debug, Clone, PartialEq, Serialize)]
    pub struct Tsm {
        backbone: Backbone = required(),
        shift: Shift = of_its_type(),
        /// Probability that a feature is dropped before the classifier.
        dropout: f64 = default(0.5).number(DROPOUT).acts_on(Stage::Activations),
        /// Initial weights.
        init: Init = required(),
    }

    /// A residual network.
    #[derive(Debug, Clone, PartialEq, Serialize)]
    pub enum Backbone: "a backbone" {
        /// 2, 2, 2, 2 basic blocks.
        ResNet18,
        /// 3, 4, 6, 3 basic blocks.
        ResNet34,
        /// 3, 4, 6, 3 bottlenecks.
        ResNet50,
        /// 3, 4, 23, 3 bottlenecks.
        ResNet101,
        /// A ResNet of another size, for small studies.
        ResNet(ResNet = required()),
    }

    /// Stage `i` (from 0) has `blocks[i]` blocks of width `width · 2^i`; from the second stage on its first block
    /// has stride 2. A bottleneck's output has four times the width.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
    pub struct ResNet {
        block: Block = required(),
        /// Blocks of each of 1 to 6 stages.
        blocks: Vec<usize> = required().whole(1..=100),
        /// Channels of the first stage.
        width: usize = required().whole(WIDTHS),
        stem: Stem = required(),
    }

    /// What a ResNet repeats.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
    pub enum Block: "a block" {
        /// Two 3×3 convolutions.
        Basic,
        /// 1×1, 3×3 (which has the stride), 1×1 with four times the width.
        Bottleneck,
    }

    /// How a ResNet begins.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
    pub enum Stem: "a stem" {
        /// 7×7 convolution of stride 2, norm, ReLU, 3×3 max pooling of stride 2.
        ImageNet,
        /// 3×3 convolution of stride 1, norm, ReLU: for small images.
        Small,
    }

    /// Of `C` channels, `C / div` come from the next frame, as many from the previous one, zero at the clip's ends.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
    pub struct Shift {
        /// 2 or more; divides the width of the backbone.
        div: usize = default(8).acts_on(Stage::Activations),
        place: ShiftPlace = default(ShiftPlace::ResidualInput).differs("place of the shift", Stage::Activations),
    }

    /// What is shifted in a residual block.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
    pub enum ShiftPlace: "a place of the shift" {
        /// On the input of the first convolution of the residual branch (the official code).
        ResidualInput,
        /// On the input of the whole block, identity included.
        BlockInput,
        /// On the output of the block's first convolution, before its norm (a later report's reading).
        AfterFirstConv,
        /// Nowhere: TSN.
        Nowhere,
    }

    /// TEA: a Res2Net over frames, with motion excitation and learned temporal convolutions in every block (CVPR 2020).
    #[derive(Debug, Clone, PartialEq, Serialize)]
    pub struct Tea {
        backbone: Res2Net = of_its_type(),
        /// Probability that a feature is dropped before the classifier.
        dropout: f64 = default(0.5).number(DROPOUT).acts_on(Stage::Activations),
        /// Initial weights.
        init: Init = required(),
    }

    /// Stage `i` (from 0) has `blocks[i]` blocks of `p = planes · 2^i` planes: `scale` parts of `⌊width · p / 64⌋` channels
    /// each, and `4 · p` channels out. The default is Res2Net-50 26w4s; others are for small studies.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
    pub struct Res2Net {
        /// Blocks of each stage.
        blocks: [usize; 4] = default([3, 4, 6, 3]).whole(1..=100),
        /// Planes of the first stage.
        planes: usize = default(64).whole(WIDTHS),
        /// Channels of a part at 64 planes.
        width: usize = default(26).whole(WIDTHS),
        /// Parts of a block.
        scale: usize = default(4).whole(2..=16),
    }

    /// SlowFast: a ResNet of many channels that sees every `alpha`-th frame beside one of few that sees them all (ICCV 2019).
    /// Stage `i` (from 0) has `blocks[i]` bottlenecks; 3, 4, 6, 3 is R50 and 3, 4, 23, 3 is R101.
    #[derive(Debug, Clone, PartialEq, Serialize)]
    pub struct SlowFast {
        /// Blocks of each stage.
        blocks: [usize; 4] = default([3, 4, 6, 3]).whole(1..=100),
        /// Channels of the slow pathway's first stage.
        width: usize = default(64).whole(WIDTHS),
        /// Fast frames for each slow one: frame counts are multiples of it.
        alpha: usize = default(4).whole(1..=64).acts_on(Stage::Activations),
        /// Channels of the slow pathway for each of the fast one.
        beta: usize = default(8).whole(1..=WIDEST),
        /// Channels that the slow pathway gets for each of the fast one.
        fusion_ratio: usize = default(2).whole(1..=64),
        /// Along time, of the convolution that gives them; odd.
        fusion_kernel: usize = default(7).whole(1..=63),
        slow_frames: SlowFrames = default(SlowFrames::PerClip)
            .differs("slow frames in training", Stage::Activations),
        head: Head = default(Head::Mean).differs("head at larger images", Stage::Activations),
        /// Probability that a feature is dropped before the classifier.
        dropout: f64 = default(0.5).number(DROPOUT).acts_on(Stage::Activations),
        /// Initial weights.
        init: Init = required(),
    }

    /// What the classifier sees of images that are larger than those of training.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
    pub enum Head: "a head" {
        /// The mean of everything, as the official code of FFN.
        Mean,
        /// Windows as large as a training image gives, one beside the other at every pixel; their probabilities are averaged, as
        /// in the official code of the vanilla network.
        Windows,
    }

    /// Which frames the slow pathway sees in training; in evaluation those of `PerClip`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
    pub enum SlowFrames: "a rule of slow frames" {
        /// Of a clip of T frames those at ⌊i·(T − 1)/(T/alpha − 1)⌋: the first and the last among them.
        PerClip,
        /// The same of all branches' clips laid end to end, the largest first, and then cut apart: as the official code does.
        Joined,
    }

    /// UniFormer: depthwise convolutions in the first two stages, attention over all pixels of a clip in the last two (ICLR
    /// 2022). The default is UniFormer-S; depths 5, 8, 20, 7 are B.
    #[derive(Debug, Clone, PartialEq, Serialize)]
    pub struct UniFormer {
        /// Channels of each stage.
        widths: [usize; 4] = default([64, 128, 320, 512]).whole(1..=4096),
        /// Blocks of each stage.
        depths: [usize; 4] = default([3, 4, 8, 3]).whole(1..=100),
        /// Channels of an attention's head; divides the last two widths.
        head_width: usize = default(64).whole(1..=4096),
        /// Channels inside an MLP for each outside.
        mlp_ratio: usize = default(4).whole(1..=16),
        /// Probability that a residual of the last block is dropped, by clip; it grows with depth from 0.
        drop_path: f64 = default(0.0).number(DROPOUT).acts_on(Stage::Activations),
        /// Initial weights.
        init: Init = required(),
    }

    /// Parameters and running statistics before the first step.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
    pub enum Init: "initial weights" {
        /// Convolutions Kaiming normal, fan-out; norms 1 and 0; classifier normal with standard deviation 1e-3, bias 0.
        Random,
        /// A file that `ffn import` reads or writes, pinned by its SHA-256; a classifier in it is dropped.
        Pretrained {
            file: String = required().text(&FILE),
            /// Until somebody hashed the file (`None`) no run starts from it.
            sha256: Option<String> = default(None).text(&SHA256),
        },
    }
}

impl Model {
    pub fn tsm(&self) -> Option<&Tsm> {
        match self {
            Model::Tsm(tsm) => Some(tsm),
            Model::Tea(_) | Model::SlowFast(_) | Model::UniFormer(_) => None,
        }
    }

    pub fn tsm_mut(&mut self) -> Option<&mut Tsm> {
        match self {
            Model::Tsm(tsm) => Some(tsm),
            Model::Tea(_) | Model::SlowFast(_) | Model::UniFormer(_) => None,
        }
    }

    pub fn dropout(&self) -> f64 {
        match self {
            Model::Tsm(tsm) => tsm.dropout,
            Model::Tea(tea) => tea.dropout,
            Model::SlowFast(slowfast) => slowfast.dropout,
            Model::UniFormer(_) => 0.0,
        }
    }

    /// The probability with which the deepest residual of a clip is dropped.
    pub fn drop_path(&self) -> f64 {
        match self {
            Model::Tsm(_) | Model::Tea(_) | Model::SlowFast(_) => 0.0,
            Model::UniFormer(uniformer) => uniformer.drop_path,
        }
    }

    /// Nothing is dropped any more.
    pub fn hold_still(&mut self) {
        match self {
            Model::Tsm(tsm) => tsm.dropout = 0.0,
            Model::Tea(tea) => tea.dropout = 0.0,
            Model::SlowFast(slowfast) => slowfast.dropout = 0.0,
            Model::UniFormer(uniformer) => uniformer.drop_path = 0.0,
        }
    }

    pub fn init(&self) -> &Init {
        match self {
            Model::Tsm(tsm) => &tsm.init,
            Model::Tea(tea) => &tea.init,
            Model::SlowFast(slowfast) => &slowfast.init,
            Model::UniFormer(uniformer) => &uniformer.init,
        }
    }

    pub fn init_mut(&mut self) -> &mut Init {
        match self {
            Model::Tsm(tsm) => &mut tsm.init,
            Model::Tea(tea) => &mut tea.init,
            Model::SlowFast(slowfast) => &mut slowfast.init,
            Model::UniFormer(uniformer) => &mut uniformer.init,
        }
    }
}

impl Res2Net {
    /// Channels of a part of the blocks of a stage (from 0).
    pub fn part(&self, stage: u32) -> usize {
        let planes = self.planes.saturating_mul(1 << stage);
        self.width.saturating_mul(planes) / 64
    }
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
