//! An experiment without a file: a golden case's or a test's, which names the network and its training; every other field
//! has the official code's value. And a person's own, held still as a case.

use super::*;

/// The network and its training.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    pub method: Method,
    pub model: Model,
    pub classes: usize,
    /// Side of the frames in the experiment.
    pub size: usize,
    pub training: Option<Training>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Training {
    pub batch: usize,
    pub optimizer: Optimizer,
}

impl Training {
    /// SGD in the official parameter groups of TSM and TEA.
    pub fn sgd(batch: usize, lr: f64, momentum: f64, weight_decay: f64) -> Self {
        let group = Group::new;
        let optimizer = Optimizer::Sgd(Sgd {
            lr,
            momentum,
            nesterov: false,
            weight_decay,
            clip: None,
            groups: Groups {
                first_conv: group(1.0, 1.0),
                conv: group(1.0, 1.0),
                alteration: group(1.0, 1.0),
                norm: group(1.0, 0.0),
                classifier_weight: group(5.0, 1.0),
                classifier_bias: group(10.0, 0.0),
            },
        });
        Self { batch, optimizer }
    }

    /// With gradients clipped to a norm.
    pub fn clipped(mut self, norm: f64) -> Self {
        *self.optimizer.clip_mut() = Some(Clip {
            norm,
            value: None,
            under_mixed: false,
        });
        self
    }
}

pub const NORMALIZE: Normalize = Normalize {
    mean: [0.485, 0.456, 0.406],
    std: [0.229, 0.224, 0.225],
};

/// TSM with shift divisor 8 and no dropout.
pub fn tsm(backbone: Backbone) -> Model {
    Model::Tsm(Tsm {
        backbone,
        shift: Shift {
            div: 8,
            place: ShiftPlace::ResidualInput,
        },
        dropout: 0.0,
        init: Init::Random,
    })
}

/// TEA on Res2Net-50 26w4s, without dropout.
pub fn tea() -> Model {
    Model::Tea(Tea {
        backbone: Res2Net {
            blocks: [3, 4, 6, 3],
            planes: 64,
            width: 26,
            scale: 4,
        },
        dropout: 0.0,
        init: Init::Random,
    })
}

/// SlowFast-R50, without dropout.
pub fn slowfast() -> SlowFast {
    SlowFast {
        blocks: [3, 4, 6, 3],
        width: 64,
        alpha: 4,
        beta: 8,
        fusion_ratio: 2,
        fusion_kernel: 7,
        slow_frames: SlowFrames::PerClip,
        head: Head::Mean,
        dropout: 0.0,
        init: Init::Random,
    }
}

/// One block on eight channels, for tests that look at single numbers.
#[cfg(test)]
pub fn smallest() -> Backbone {
    Backbone::ResNet(ResNet {
        block: Block::Basic,
        blocks: vec![1],
        width: 8,
        stem: Stem::Small,
    })
}

/// UniFormer-S, without drop path.
pub fn uniformer() -> UniFormer {
    UniFormer {
        widths: [64, 128, 320, 512],
        depths: [3, 4, 8, 3],
        head_width: 64,
        mlp_ratio: 4,
        drop_path: 0.0,
        init: Init::Random,
    }
}

/// A constant rate and no dropout.
pub fn experiment(network: &Network) -> Experiment {
    Experiment {
        name: "golden".to_owned(),
        seed: 0,
        model: network.model.clone(),
        method: network.method.clone(),
        data: Data::SomethingV2(SomethingV2 {
            root: "golden".to_owned(),
            pins: String::new(),
            class_count: network.classes,
            train_count: 0,
            validation_count: 0,
            unreadable: Unreadable::Fail,
        }),
        train: train(network),
        optimizer: match &network.training {
            Some(training) => training.optimizer.clone(),
            None => Training::sgd(1, 0.0, 0.0, 0.0).optimizer,
        },
        schedule: constant_rate(),
        eval: Eval {
            frames: network.method.frames().to_vec(),
            sampling: EvalSampling::Centre,
            short_videos: ShortVideos::FirstFrame,
            crops: Crops::One,
            short_side: network.size,
            size: network.size,
            normalize: NORMALIZE,
            channels: None,
            resize: None,
            average: Average::Logits,
            batch: 1,
            every: 0,
        },
    }
}

/// A person's experiment as a case runs it: its network, objective and optimiser, at images of `size`. There is no
/// dropout, for nobody else's random numbers can be repeated; the rate is constant, for a case has no epochs; and the
/// case says which weights and inputs there are.
pub fn held_still(mut experiment: Experiment, size: usize) -> Experiment {
    experiment.model.hold_still();
    *experiment.model.init_mut() = Init::Random;
    experiment.schedule = constant_rate();
    experiment.train.clips.size = size;
    experiment.eval.crops = Crops::One;
    experiment.eval.short_side = size;
    experiment.eval.size = size;
    experiment
}

fn constant_rate() -> Schedule {
    Schedule {
        shape: ScheduleShape::MultiStep {
            milestones: Vec::new(),
            gamma: 1.0,
        },
        warmup: None,
        step: ScheduleStep::Epoch,
    }
}

fn train(network: &Network) -> Train {
    Train {
        epochs: 1,
        batch: network.training.as_ref().map_or(1, |t| t.batch),
        shards: 1,
        precision: Precision::Float32,
        norm_clips: None,
        running_statistics: RunningStatistics::FirstGroup,
        frozen_norms: FrozenNorms::Off,
        smoothing: 0.0,
        mixing: None,
        subset: 1.0,
        class_weights: ClassWeights::Equal,
        rates: Vec::new(),
        layer_decay: 1.0,
        ema: None,
        keep: Keep::Last,
        stop: None,
        clips: TrainClips {
            sampling: TrainSampling::SegmentRandom,
            branches: BranchFrames::Independent,
            short_videos: ShortVideos::FirstFrame,
            repeats: 1,
            channels: Channels::Rgb,
            rand_augment: None,
            color_jitter: None,
            crop: TrainCrop::Centre {
                short_side: network.size,
            },
            resize: Resize::Pillow,
            flip: Flip::Off,
            size: network.size,
            normalize: NORMALIZE,
            erasing: None,
        },
    }
}
