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
                let (mut train, mut eval) = (train, eval);
                leave_enough(&data, &mut train);
                spell_usual_rules_one_way(&train, &mut eval);
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

/// A part of the data holds a step.
fn leave_enough(data: &Data, train: &mut Train) {
    let videos = data
        .train_count()
        .map(|all| train.videos(all, data.class_count()));
    if videos.is_some_and(|videos| train.clips.clips(videos) < train.batch) {
        train.subset = 1.0;
    }
}

/// The rule that both training and evaluation have by default is not written.
fn spell_usual_rules_one_way(train: &Train, eval: &mut Eval) {
    if train.clips.channels == Channels::Rgb && eval.channels == Some(Channels::Rgb) {
        eval.channels = None;
    }
    if train.clips.resize == Resize::Pillow && eval.resize == Some(Resize::Pillow) {
        eval.resize = None;
    }
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
        Data::VideoList(data) => &mut data.unreadable,
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
    prop_oneof![v2, folders, video_list(), miniature]
}

fn video_list() -> impl Strategy<Value = Data> {
    let both = || (file(), file());
    let lists = prop_oneof![
        both().prop_map(|(train, validation)| VideoLists::Text { train, validation }),
        (both(), "[a-z ]{1,9}").prop_map(|((train, validation), path)| VideoLists::Csv {
            train,
            validation,
            path,
            label: "label".into(),
        }),
        both().prop_map(|(train, validation)| VideoLists::Kinetics {
            train,
            validation,
            place: "{label}/{id}.mp4".into(),
        }),
        (file(), 1usize..=3).prop_map(|(splits, split)| VideoLists::Hmdb51 { splits, split }),
        both().prop_map(|(train, validation)| VideoLists::Folders { train, validation }),
    ];
    let missing = prop_oneof![Just(Missing::Fail), file().prop_map(Missing::Listed)];
    let files = (file(), lists, prop::option::of(file()), missing);
    let unreadable = select(&[Unreadable::Fail, Unreadable::Skip][..]);
    (files, 2usize..999, any::<bool>(), unreadable).prop_map(
        |((pins, lists, class_names, missing), class_count, direction_sensitive, unreadable)| {
            Data::VideoList(VideoList {
                root: "videos".into(),
                pins,
                lists,
                class_names,
                class_count,
                direction_sensitive,
                train_count: None,
                validation_count: Some(7),
                missing,
                unreadable,
            })
        },
    )
}

fn train(epochs: usize, batch: usize) -> impl Strategy<Value = Train> {
    let precision = select(&[Precision::Float32, Precision::Mixed][..]);
    let frozen = select(&[FrozenNorms::Off, FrozenNorms::AllButFirst, FrozenNorms::All][..]);
    let norm_clips = prop::option::of(select(&[1usize, 4, 16][..]));
    let mixing =
        (0.0..=1.0f64, 0.01..9.0f64, 0.0..=1.0f64).prop_map(|(probability, mixup, box_)| Mixing {
            probability,
            mixup,
            cutmix: 1.0,
            cutmix_probability: box_,
            group: Some(4),
        });
    let targets = (0.0..1.0f64, prop::option::of(mixing));
    (precision, frozen, norm_clips, targets, selection(), clips()).prop_map(
        move |(precision, frozen_norms, norm_clips, (smoothing, mixing), selection, clips)| {
            let (subset, class_weights, (rates, layer_decay), ema, stop) = selection;
            Train {
                epochs,
                batch,
                precision,
                shards: 1,
                running_statistics: RunningStatistics::FirstGroup,
                norm_clips,
                frozen_norms,
                smoothing,
                mixing,
                subset,
                class_weights,
                rates,
                layer_decay,
                ema,
                keep: Keep::Last,
                stop,
                clips,
            }
        },
    )
}

type Selection = (
    f64,
    ClassWeights,
    (Vec<(String, f64)>, f64),
    Option<Ema>,
    Option<EarlyStopping>,
);

/// No early stopping: it watches a frame count of the evaluation.
fn selection() -> impl Strategy<Value = Selection> {
    let weights = prop_oneof![
        Just(ClassWeights::Equal),
        Just(ClassWeights::Balanced),
        Just(ClassWeights::Listed(vec![("to \"left\"".into(), 0.25)])),
    ];
    let rates = prop_oneof![
        Just(Vec::new()),
        (0.0..9.0f64).prop_map(|rate| vec![("a".into(), rate), ("b.c".into(), 0.0)]),
    ];
    let ema = prop::option::of((0.0..0.99f64).prop_map(|decay| Ema { decay }));
    (
        0.01..=1.0f64,
        weights,
        (rates, 0.01..=1.0f64),
        ema,
        Just(None),
    )
}

fn clips() -> impl Strategy<Value = TrainClips> {
    let sampling = prop_oneof![
        Just(TrainSampling::SegmentRandom),
        Just(TrainSampling::SegmentCentre),
        (8usize..99).prop_map(|window| TrainSampling::Dense { window }),
        Just(TrainSampling::SegmentInclusive),
        (1usize..99).prop_map(|rate| TrainSampling::DenseAtRate { rate }),
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
        (256usize..300, any::<bool>()).prop_map(|(least, inverse)| TrainCrop::ScaleJitter {
            short_side: [least, least + 64],
            inverse,
        }),
        (0.01..0.5f64, 0.1..1.0f64).prop_map(|(area, aspect)| TrainCrop::RandomResized {
            area: [area, 1.0],
            aspect: [aspect, 2.0],
        }),
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
        (
            select(&[1usize, 2, 16][..]),
            channels(),
            resize(),
            augmentations(),
        ),
    )
        .prop_map(
            |(sampling, branches, short_videos, crop, flip, size, normalize, more)| {
                let (repeats, channels, resize, (rand_augment, color_jitter, erasing)) = more;
                TrainClips {
                    sampling,
                    branches,
                    short_videos,
                    repeats,
                    channels,
                    rand_augment,
                    color_jitter,
                    crop,
                    resize,
                    flip,
                    size,
                    normalize,
                    erasing,
                }
            },
        )
}

type Augmentations = (Option<RandAugment>, Option<ColorJitter>, Option<Erasing>);

fn augmentations() -> impl Strategy<Value = Augmentations> {
    let rand_augment =
        (1usize..9, 0.0..10.0f64, 0.0..=1.0f64).prop_map(|(operations, magnitude, probability)| {
            RandAugment {
                operations,
                magnitude,
                std: 0.5,
                probability,
            }
        });
    let color_jitter = (0.0..1.0f64).prop_map(|most| ColorJitter {
        brightness: most,
        contrast: most,
        saturation: 0.0,
    });
    let erasing = (0.0..=1.0f64, 0.01..0.3f64).prop_map(|(probability, area)| Erasing {
        probability,
        area: [area, 0.3],
        aspect: [0.5, 2.0],
    });
    let option = prop::option::of::<BoxedStrategy<RandAugment>>;
    (
        option(rand_augment.boxed()),
        prop::option::of(color_jitter),
        prop::option::of(erasing),
    )
}

fn channels() -> impl Strategy<Value = Channels> {
    select(&[Channels::Rgb, Channels::Bgr][..])
}

fn resize() -> impl Strategy<Value = Resize> {
    select(&[Resize::Pillow, Resize::Torch][..])
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
    let clip = (1e-9..1e8f64, prop::option::of(1e-9..1e8f64), any::<bool>()).prop_map(
        |(norm, value, under_mixed)| Clip {
            norm,
            value,
            under_mixed,
        },
    );
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
        (1usize..12).prop_map(|clips| EvalSampling::SegmentInclusive { clips }),
        (1usize..9, 1usize..12).prop_map(|(rate, clips)| EvalSampling::DenseAtRate { rate, clips }),
    ];
    let views = (
        select(
            &[
                Crops::One,
                Crops::Left,
                Crops::Three,
                Crops::LeftCentreRight,
            ][..],
        ),
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
        (1usize..99, 0usize..99),
        (
            channels(),
            resize(),
            select(&[Average::Logits, Average::Probabilities][..]),
        ),
    )
        .prop_map(
            |(
                frames,
                sampling,
                short_videos,
                (crops, size, short_side),
                normalize,
                (batch, every),
                (channels, resize, average),
            )| Eval {
                frames,
                sampling,
                short_videos,
                crops,
                short_side,
                size,
                normalize,
                channels: Some(channels),
                resize: Some(resize),
                average,
                batch,
                every,
            },
        )
}
