//! Raw types → [`Experiment`]. The only place where defaults are chosen.
//!
//! They are those of the official TSM and FFN scripts for Something-Something, except where the paper and its
//! code differ: then the paper's reading is the default and the code's has a name.

use super::decode::Decode;
use super::experiment::*;
use super::raw;

pub fn resolve(raw: raw::Experiment) -> Experiment {
    let train = train(raw.train.or_empty());
    let raw::Model::Tsm(tsm) = raw.model;
    let raw::Optimizer::Sgd(sgd) = match raw.optimizer.given() {
        Some(optimizer) => optimizer,
        None => raw::Optimizer::Sgd(Decode::placeholder()),
    };
    Experiment {
        name: raw.name,
        seed: raw.seed.or(1),
        model: model(tsm),
        method: method(raw.method),
        data: data(raw.data),
        eval: eval(raw.eval, &train.clips),
        train,
        optimizer: optimizer(sgd),
        schedule: schedule(raw.schedule.or_empty()),
    }
}

fn model(raw: raw::Tsm) -> Model {
    let shift = raw.shift.or_empty();
    Model {
        backbone: raw.backbone,
        shift: Shift {
            div: shift.div.or(8),
            place: shift.place.or(ShiftPlace::ResidualInput),
        },
        dropout: raw.dropout.or(0.5),
        init: match raw.init {
            Init::Random => Init::Random,
            Init::Pretrained { file, sha256 } => Init::Pretrained {
                file,
                sha256: sha256.map(|hash| hash.to_ascii_lowercase()),
            },
        },
    }
}

fn method(raw: raw::Method) -> Method {
    match raw {
        raw::Method::Vanilla(raw) => Method::Vanilla { frames: raw.frames },
        raw::Method::Ffn(raw) => Method::Ffn(Ffn {
            frames: raw.frames,
            lambda: raw.lambda.or(1.0),
            alteration: raw.alteration.or(Alteration::Normal { std: 1e-3 }),
            norms: raw.norms.or(Norms::Private),
            distillation: raw.distillation.or(Distillation::FromLargest),
            shift_segments: raw.shift_segments.or(ShiftSegments::PerBranch),
        }),
    }
}

fn data(raw: raw::Data) -> Data {
    match raw {
        raw::Data::SomethingV2(raw) => Data::SomethingV2(SomethingV2 {
            root: raw.root.or("sthv2".into()),
            pins: raw.pins,
            class_count: raw.class_count,
            train_count: raw.train_count,
            validation_count: raw.validation_count,
            unreadable: raw.unreadable.or(Unreadable::Fail),
        }),
        raw::Data::FrameFolders(raw) => Data::FrameFolders(FrameFolders {
            root: raw.root,
            pins: raw.pins,
            train_list: raw.train_list,
            validation_list: raw.validation_list,
            class_names: raw.class_names.or(None),
            template: raw.template,
            first: raw.first.or(1),
            class_count: raw.class_count,
            direction_sensitive: raw.direction_sensitive,
            train_count: raw.train_count.or(None),
            validation_count: raw.validation_count.or(None),
            unreadable: raw.unreadable.or(Unreadable::Fail),
        }),
        raw::Data::Miniature(data) => Data::Miniature(data),
    }
}

fn train(raw: raw::Train) -> Train {
    Train {
        epochs: raw.epochs.or(50),
        batch: raw.batch.or(32),
        precision: raw.precision.or(Precision::Mixed),
        norm_clips: raw.norm_clips.or(None),
        frozen_norms: raw.frozen_norms.or(FrozenNorms::Off),
        clips: train_clips(raw.clips.or_empty()),
    }
}

fn train_clips(raw: raw::TrainClips) -> TrainClips {
    let size = raw.size.or(224);
    let crop = raw.crop.given();
    TrainClips {
        sampling: raw.sampling.or(TrainSampling::SegmentRandom),
        branches: raw.branches.or(BranchFrames::Synchronized),
        short_videos: raw.short_videos.or(ShortVideos::Repeat),
        crop: match crop {
            Some(raw::TrainCrop::Centre(raw)) => TrainCrop::Centre {
                short_side: raw.short_side.or(usual_short_side(size)),
            },
            Some(raw::TrainCrop::MultiScale(raw)) => multi_scale(raw),
            None => multi_scale(Decode::placeholder()),
        },
        flip: raw.flip.or(Flip::Off),
        size,
        normalize: raw.normalize.or(IMAGENET),
    }
}

fn multi_scale(raw: raw::MultiScale) -> TrainCrop {
    TrainCrop::MultiScale {
        scales: raw.scales.or(vec![1.0, 0.875, 0.75, 0.66]),
        max_distortion: raw.max_distortion.or(1),
        more_fixed: raw.more_fixed.or(true),
    }
}

/// Of ImageNet's pictures, which the pretrained weights expect.
const IMAGENET: Normalize = Normalize {
    mean: [0.485, 0.456, 0.406],
    std: [0.229, 0.224, 0.225],
};

/// The official resizing before a centre crop: 256 for 224.
fn usual_short_side(size: usize) -> usize {
    size.saturating_mul(256) / 224
}

fn optimizer(raw: raw::Sgd) -> Sgd {
    let clip = |raw: raw::Clip| Clip {
        norm: raw.norm.or(20.0),
        under_mixed: raw.under_mixed.or(true),
    };
    let usual = Some(Decode::placeholder());
    Sgd {
        lr: raw.lr.or(0.01),
        momentum: raw.momentum.or(0.9),
        weight_decay: raw.weight_decay.or(5e-4),
        clip: raw.clip.or(usual).map(clip),
        groups: groups(raw.groups.or_empty()),
    }
}

fn groups(raw: raw::Groups) -> Groups {
    let group = |lr, decay| Group { lr, decay };
    let conv = raw.conv.or(group(1.0, 1.0));
    Groups {
        first_conv: raw.first_conv.or(conv),
        conv,
        alteration: raw.alteration.or(conv),
        norm: raw.norm.or(group(1.0, 0.0)),
        classifier_weight: raw.classifier_weight.or(group(5.0, 1.0)),
        classifier_bias: raw.classifier_bias.or(group(10.0, 0.0)),
    }
}

fn schedule(raw: raw::Schedule) -> Schedule {
    Schedule {
        shape: raw.shape.or(ScheduleShape::MultiStep {
            milestones: vec![20.0, 40.0],
            gamma: 0.1,
        }),
        warmup: raw.warmup.or(None),
        step: raw.step.or(ScheduleStep::Epoch),
    }
}

fn eval(raw: raw::Eval, train: &TrainClips) -> Eval {
    let crops = raw.crops.or(Crops::One);
    let (short_side, size) = match crops {
        // Three crops are as large as the shorter side.
        Crops::Three => {
            let short_side = raw.short_side.or(usual_short_side(train.size));
            (short_side, raw.size.or(short_side))
        }
        Crops::One | Crops::Ten => {
            let size = raw.size.or(train.size);
            (raw.short_side.or(usual_short_side(size)), size)
        }
    };
    Eval {
        frames: raw.frames,
        sampling: raw.sampling.or(EvalSampling::Centre),
        short_videos: raw.short_videos.or(train.short_videos),
        crops,
        short_side,
        size,
        normalize: raw.normalize.or(train.normalize),
        batch: raw.batch.or(16),
        every: raw.every.or(5),
    }
}
