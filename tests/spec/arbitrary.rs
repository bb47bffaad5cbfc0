//! Arbitrary valid experiments.

use ffn::spec::*;
use proptest::prelude::*;
use proptest::sample::select;

pub fn experiment() -> impl Strategy<Value = Experiment> {
    (2usize..200, 1usize..9).prop_flat_map(|(epochs, groups)| {
        let batch = groups * 16;
        let parts = (network(), data(), train(epochs, batch));
        let rest = (optimizer(), schedule(epochs), eval());
        ("[a-z][a-z0-9_.-]{0,20}", any::<u64>(), parts, rest).prop_map(
            |(name, seed, ((model, method), mut data, train), (optimizer, schedule, eval))| {
                leave_nothing_out_of_shared_segments(&method, &mut data);
                Experiment {
                    name,
                    seed,
                    model,
                    method,
                    data,
                    train,
                    optimizer,
                    schedule,
                    eval,
                }
            },
        )
    })
}

/// A shortened step must fall into whole groups too.
fn leave_nothing_out_of_shared_segments(method: &Method, data: &mut Data) {
    let Method::Ffn(Ffn {
        frames,
        shift_segments: ShiftSegments::Shared(group),
        ..
    }) = method
    else {
        return;
    };
    let unreadable = match data {
        Data::SomethingV2(data) => &mut data.unreadable,
        Data::FrameFolders(data) => &mut data.unreadable,
        Data::Miniature(_) => return,
    };
    if frames.iter().any(|frames| frames % group != 0) {
        *unreadable = Unreadable::Fail;
    }
}

/// FFN on TEA alters nothing.
fn network() -> impl Strategy<Value = (Model, Method)> {
    let models = prop_oneof![tsm(), tea(), slowfast(), uniformer()];
    (models, method()).prop_map(|(model, mut method)| {
        if let (Model::Tea(_), Method::Ffn(ffn)) = (&model, &mut method) {
            ffn.alteration = Alteration::Off;
        }
        (model, method)
    })
}

fn slowfast() -> impl Strategy<Value = Model> {
    let blocks = [1usize..9, 1usize..9, 1usize..9, 1usize..9];
    let rules = prop::sample::select(vec![
        (SlowFrames::PerClip, Head::Windows),
        (SlowFrames::Joined, Head::Mean),
    ]);
    let sizes = (1usize..9, 1usize..9, 1usize..9, 0usize..8);
    (blocks, sizes, rules, 0.0..1.0f64, init()).prop_map(
        |(blocks, (beta, channels, fusion_ratio, half), (slow_frames, head), dropout, init)| {
            Model::SlowFast(SlowFast {
                blocks,
                width: beta * channels,
                // Of every frame count.
                alpha: 1,
                beta,
                fusion_ratio,
                fusion_kernel: 2 * half + 1,
                slow_frames,
                head,
                dropout,
                init,
            })
        },
    )
}

fn uniformer() -> impl Strategy<Value = Model> {
    let depths = [1usize..9, 1usize..9, 1usize..9, 1usize..9];
    let heads = (1usize..9, 1usize..9, 1usize..9, 1usize..9, 1usize..9);
    (depths, heads, 1usize..9, 0.0..1.0f64, init()).prop_map(
        |(depths, (first, second, head_width, third, last), mlp_ratio, drop_path, init)| {
            Model::UniFormer(UniFormer {
                widths: [first, second, third * head_width, last * head_width],
                depths,
                head_width,
                mlp_ratio,
                drop_path,
                init,
            })
        },
    )
}

fn tea() -> impl Strategy<Value = Model> {
    let blocks = [1usize..9, 1usize..9, 1usize..9, 1usize..9];
    let backbone = (blocks, 16usize..99, 16usize..99, 4usize..9);
    let backbone = backbone.prop_map(|(blocks, planes, width, scale)| Res2Net {
        blocks,
        planes,
        width,
        scale,
    });
    (backbone, 0.0..1.0f64, init()).prop_map(|(backbone, dropout, init)| {
        Model::Tea(Tea {
            backbone,
            dropout,
            init,
        })
    })
}

fn init() -> impl Strategy<Value = Init> {
    let pretrained = (file(), prop::option::of("[0-9a-f]{64}"))
        .prop_map(|(file, sha256)| Init::Pretrained { file, sha256 });
    prop_oneof![Just(Init::Random), pretrained]
}

fn tsm() -> impl Strategy<Value = Model> {
    let resnet = (
        select(&[Block::Basic, Block::Bottleneck][..]),
        prop::collection::vec(1usize..9, 1..6),
        1usize..9,
        select(&[Stem::ImageNet, Stem::Small][..]),
    );
    let resnet = resnet.prop_map(|(block, blocks, width, stem)| {
        let width = width * 8;
        Backbone::ResNet(ResNet {
            block,
            blocks,
            width,
            stem,
        })
    });
    let named = [
        Backbone::ResNet18,
        Backbone::ResNet34,
        Backbone::ResNet50,
        Backbone::ResNet101,
    ];
    let backbone = prop_oneof![select(named.to_vec()), resnet];
    let places = [
        ShiftPlace::ResidualInput,
        ShiftPlace::BlockInput,
        ShiftPlace::AfterFirstConv,
        ShiftPlace::Nowhere,
    ];
    let shift = (select(&[2usize, 4, 8][..]), select(places.to_vec()));
    (backbone, shift, 0.0..1.0f64, init()).prop_map(|(backbone, (div, place), dropout, init)| {
        Model::Tsm(Tsm {
            backbone,
            shift: Shift { div, place },
            dropout,
            init,
        })
    })
}

/// Any characters that a relative path may have.
fn file() -> impl Strategy<Value = String> {
    let seen = |path: &String| !path.contains(ffn::base::shown::is_hidden);
    "[^/\\\\:\\pC][^\\\\:\\pC]{0,12}".prop_filter("a character that cannot be seen", seen)
}

fn ascending(most: usize) -> impl Strategy<Value = Vec<usize>> {
    prop::collection::btree_set(4usize..=8, 2..=most).prop_map(|set| set.into_iter().collect())
}

fn method() -> impl Strategy<Value = Method> {
    let alterations = prop_oneof![
        (0.0..1.0f64).prop_map(|std| Alteration::Normal { std }),
        Just(Alteration::KaimingFanOut),
        Just(Alteration::Off),
    ];
    let kinds = (
        select(&[Norms::Private, Norms::Shared][..]),
        select(
            &[
                Distillation::FromLargest,
                Distillation::Reversed,
                Distillation::Off,
            ][..],
        ),
        select(
            &[
                ShiftSegments::PerBranch,
                ShiftSegments::Shared(16),
                ShiftSegments::Shared(8),
            ][..],
        ),
    );
    let ffn = (ascending(4), 0.0..10.0f64, alterations, kinds).prop_map(
        |(frames, lambda, alteration, (norms, distillation, shift_segments))| {
            Method::Ffn(Ffn {
                frames,
                lambda,
                alteration,
                norms,
                distillation,
                shift_segments,
            })
        },
    );
    prop_oneof![
        (1usize..9).prop_map(|frames| Method::Vanilla { frames }),
        ffn
    ]
}

fn data() -> impl Strategy<Value = Data> {
    let unreadable = || select(&[Unreadable::Fail, Unreadable::Skip][..]);
    let v2 = (
        "[a-z0-9_]{1,9}",
        file(),
        2usize..999,
        128usize..999_999,
        1usize..9999,
        unreadable(),
    );
    let v2 = v2.prop_map(
        |(root, pins, class_count, train_count, validation_count, unreadable)| {
            Data::SomethingV2(SomethingV2 {
                root,
                pins,
                class_count,
                train_count,
                validation_count,
                unreadable,
            })
        },
    );
    let files = (file(), file(), file(), prop::option::of(file()));
    let counts = (
        prop::option::of(128usize..9999),
        prop::option::of(1usize..9999),
    );
    let rest = (0usize..9, 2usize..999, any::<bool>(), counts, unreadable());
    let folders = ("[a-z0-9_]{1,9}", files, rest).prop_map(
        |(root, (pins, train_list, validation_list, class_names), rest)| {
            let (first, class_count, direction_sensitive, counts, unreadable) = rest;
            Data::FrameFolders(FrameFolders {
                root,
                pins,
                train_list,
                validation_list,
                class_names,
                template: "img_{:05}.jpg".into(),
                first,
                class_count,
                direction_sensitive,
                train_count: counts.0,
                validation_count: counts.1,
                unreadable,
            })
        },
    );
    let miniature = (file(), 16usize..99, 1usize..99, 16usize..99, 2usize..99);
    let miniature = miniature.prop_map(|(pins, train, validation, size, frames)| {
        let (train, validation) = (train * 8, validation * 8);
        Data::Miniature(Miniature {
            pins,
            train,
            validation,
            size,
            frames,
        })
    });
    prop_oneof![v2, folders, miniature]
}

fn train(epochs: usize, batch: usize) -> impl Strategy<Value = Train> {
    let precision = select(&[Precision::Float32, Precision::Mixed][..]);
    let frozen = select(&[FrozenNorms::Off, FrozenNorms::AllButFirst, FrozenNorms::All][..]);
    let norm_clips = prop::option::of(select(&[1usize, 4, 16][..]));
    (precision, frozen, norm_clips, clips()).prop_map(
        move |(precision, frozen_norms, norm_clips, clips)| Train {
            epochs,
            batch,
            precision,
            norm_clips,
            frozen_norms,
            clips,
        },
    )
}

fn clips() -> impl Strategy<Value = TrainClips> {
    let sampling = prop_oneof![
        Just(TrainSampling::SegmentRandom),
        Just(TrainSampling::SegmentCentre),
        (8usize..99).prop_map(|window| TrainSampling::Dense { window }),
    ];
    let scales = prop::collection::vec(0.1..1.0f64, 1..5);
    let crop = prop_oneof![
        (scales, 0usize..3, any::<bool>()).prop_map(|(scales, max_distortion, more_fixed)| {
            TrainCrop::MultiScale {
                scales,
                max_distortion,
                more_fixed,
            }
        }),
        (256usize..300).prop_map(|short_side| TrainCrop::Centre { short_side }),
    ];
    let flip = prop_oneof![
        Just(Flip::Off),
        Just(Flip::Mapped {
            classes: vec![("to \"left\"".into(), "to right".into())]
        }),
    ];
    let branches = select(&[BranchFrames::Independent, BranchFrames::Synchronized][..]);
    (
        sampling,
        branches,
        short_videos(),
        crop,
        flip,
        16usize..256,
        normalize(),
    )
        .prop_map(
            |(sampling, branches, short_videos, crop, flip, size, normalize)| TrainClips {
                sampling,
                branches,
                short_videos,
                crop,
                flip,
                size,
                normalize,
            },
        )
}

fn short_videos() -> impl Strategy<Value = ShortVideos> {
    select(&[ShortVideos::FirstFrame, ShortVideos::Repeat][..])
}

fn normalize() -> impl Strategy<Value = Normalize> {
    let three = |least: f64| [least..1.0, least..1.0, least..1.0];
    (three(0.0), three(1e-9)).prop_map(|(mean, std)| Normalize { mean, std })
}

fn optimizer() -> impl Strategy<Value = Optimizer> {
    let group = || (0.0..10.0f64, 0.0..1.0f64).prop_map(|(lr, decay)| Group { lr, decay });
    let groups = (group(), group(), group(), group(), group(), group()).prop_map(
        |(first_conv, conv, alteration, norm, classifier_weight, classifier_bias)| Groups {
            first_conv,
            conv,
            alteration,
            norm,
            classifier_weight,
            classifier_bias,
        },
    );
    let clip =
        (1e-9..1e8f64, any::<bool>()).prop_map(|(norm, under_mixed)| Clip { norm, under_mixed });
    let sgd = (0.0..1.0f64, any::<bool>(), groups);
    let adam = (0.0..1.0f64, 0.0..1.0f64, 1e-12..1.0f64, any::<bool>());
    let common = (1e-12..1.0f64, 0.0..1.0f64, prop::option::of(clip));
    (common, any::<bool>(), sgd, adam).prop_map(
        |((lr, weight_decay, clip), is_sgd, (momentum, nesterov, groups), adam)| match is_sgd {
            true => Optimizer::Sgd(Sgd {
                lr,
                momentum,
                nesterov,
                weight_decay,
                clip,
                groups,
            }),
            false => Optimizer::AdamW(AdamW {
                lr,
                beta1: adam.0,
                beta2: adam.1,
                eps: adam.2,
                weight_decay,
                decay_1d: adam.3,
                clip,
            }),
        },
    )
}

fn schedule(epochs: usize) -> impl Strategy<Value = Schedule> {
    let inside = move || (1..epochs * 8).prop_map(|eighths| eighths as f64 / 8.0);
    let milestones = prop::collection::btree_set(1..epochs * 8, 0..4);
    let milestones = milestones.prop_map(|set| set.iter().map(|&n| n as f64 / 8.0).collect());
    let shape = prop_oneof![
        (milestones, 0.001..1.0f64)
            .prop_map(|(milestones, gamma)| ScheduleShape::MultiStep { milestones, gamma }),
        (0.0..1.0f64).prop_map(|last| ScheduleShape::Cosine { last }),
    ];
    let warmup = (inside(), 0.0..1.0f64).prop_map(|(epochs, from)| Warmup { epochs, from });
    (shape, prop::option::of(warmup)).prop_map(|(shape, warmup)| Schedule {
        shape,
        warmup,
        step: ScheduleStep::Iteration,
    })
}

fn eval() -> impl Strategy<Value = Eval> {
    let sampling = prop_oneof![
        Just(EvalSampling::Centre),
        Just(EvalSampling::Twice),
        (16usize..99, 1usize..12).prop_map(|(window, clips)| EvalSampling::Dense { window, clips }),
    ];
    let views = (
        select(&[Crops::One, Crops::Three][..]),
        16usize..256,
        0usize..99,
    );
    let views = views.prop_map(|(crops, size, more)| match crops {
        Crops::Three => (crops, size, size),
        _ => (crops, size, size + more),
    });
    (
        ascending(3),
        sampling,
        short_videos(),
        views,
        normalize(),
        1usize..99,
        0usize..99,
    )
        .prop_map(
            |(
                frames,
                sampling,
                short_videos,
                (crops, size, short_side),
                normalize,
                batch,
                every,
            )| Eval {
                frames,
                sampling,
                short_videos,
                crops,
                short_side,
                size,
                normalize,
                batch,
                every,
            },
        )
}
