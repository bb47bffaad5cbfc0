//! Norm statistics estimated again, against their definition and the reference engine.

use std::path::Path;

use ffn::base::rng::{Purpose, Stream};
use ffn::exec::{DropoutKey, EngineKind, Executor, Input, Segment};
use ffn::golden::{Network, Training, experiment};
use ffn::graph::Op;
use ffn::model::objective::Targets;
use ffn::model::{Model, StepInput};
use ffn::spec::network;
use ffn::spec::*;
use proptest::prelude::*;

/// Relative error of a statistic in float32: sums of some thousand values, read back through a product with 0.1.
const TOLERANCE: f64 = 3e-5;
const SIZE: usize = 16;

fn small(method: Method) -> Experiment {
    experiment(&Network {
        method,
        model: network::tsm(Backbone::ResNet(ResNet {
            block: Block::Basic,
            blocks: vec![1, 1],
            width: 8,
            stem: Stem::Small,
        })),
        classes: 5,
        size: SIZE,
        training: Some(Training::sgd(3, 0.05, 0.9, 5e-4)),
    })
}

fn model(experiment: &Experiment, engine: EngineKind) -> Model {
    let executor = Executor {
        engine,
        ..Executor::compiled(2)
    };
    Model::new(experiment, Path::new("."), executor).unwrap()
}

fn pixels(seed: u64, frames: usize) -> Vec<f32> {
    let mut stream = Stream::new(seed, Purpose::Init, &[]);
    let count = frames * SIZE * SIZE * 3;
    (0..count).map(|_| stream.normal() as f32).collect()
}

fn close(a: f64, b: f64, scale: f64) -> bool {
    (a - b).abs() <= TOLERANCE * scale
}

/// Mean and unbiased variance of each channel of values `[n, channels, height, width]`, by definition.
fn direct(shape: &[usize], values: &[f32]) -> Vec<(f64, f64)> {
    let (channels, plane) = (shape[1], shape[2] * shape[3]);
    let of = |channel: usize| {
        let planes = values.chunks(plane).skip(channel).step_by(channels);
        let all: Vec<f64> = planes.flatten().map(|&v| f64::from(v)).collect();
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        let squares: f64 = all.iter().map(|v| (v - mean).powi(2)).sum();
        (mean, squares / (all.len() as f64 - 1.0))
    };
    (0..channels).map(of).collect()
}

/// At the training's own frame counts, over the clips of a training step: what the norms read in that step, as the
/// reference engine in float64 computes it.
fn agrees_with_a_training_step(method: Method, clips: usize, seed: u64) {
    let experiment = small(method);
    let mut reference = model(&experiment, EngineKind::DfdxF64);
    let graph = reference.graph().clone();
    let norms = graph.nodes.iter().filter_map(|node| match &node.op {
        Op::BatchNorm(norm) => Some((node.inputs[0], norm.branches.clone())),
        _ => None,
    });
    let norms: Vec<_> = norms.collect();
    let inputs: Vec<usize> = norms.iter().map(|(input, _)| *input).collect();
    reference.observe(&inputs);
    let frames: usize = graph.branches.iter().sum();
    let pixels = pixels(seed, frames * clips);
    let labels: Vec<usize> = (0..clips).map(|clip| clip % 5).collect();
    let dropout = DropoutKey {
        seed: 0,
        step: 0,
        first_clip: 0,
    };
    let input = StepInput {
        pixels: Input::Values(&pixels),
        targets: Targets::Labels(&labels),
        dropout,
        shards: 1,
    };
    reference.train_step(&input).unwrap();
    let mut observed = reference.observations().iter();

    let mut compiled = model(&experiment, EngineKind::Compiled);
    let running = compiled.statistics().clone();
    for (_, branches) in &norms {
        let mut rest = &pixels[..];
        for (branch, &frames) in graph.branches.iter().enumerate() {
            let (own, tail) = rest.split_at(frames * clips * SIZE * SIZE * 3);
            rest = tail;
            let segment = Segment {
                branch,
                frames,
                clips,
            };
            let statistics = compiled
                .batch_statistics(segment, Input::Values(own))
                .unwrap();
            let norm = branches[if branches.len() == 1 { 0 } else { branch }];
            let seen = observed.next().unwrap();
            assert_eq!(seen.frames, frames);
            for (channel, (mean, var)) in direct(&seen.shape, &seen.values).into_iter().enumerate()
            {
                let found_mean = f64::from(statistics.mean[norm.stat][channel]);
                let found_var = f64::from(statistics.var[norm.stat][channel]);
                assert!(
                    close(found_mean, mean, 1.0 + var.sqrt()),
                    "{found_mean} {mean}"
                );
                assert!(close(found_var, var, 1.0 + var), "{found_var} {var}");
                assert_eq!(statistics.batches[norm.stat], 1);
            }
        }
    }
    assert_eq!(*compiled.statistics(), running, "the model stays as it is");
}

fn flexible(norms: Norms) -> Method {
    Method::Ffn(Ffn {
        frames: vec![2, 4],
        lambda: 1.0,
        alteration: Alteration::Normal { std: 0.1 },
        norms,
        distillation: Distillation::FromLargest,
        shift_segments: ShiftSegments::PerBranch,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn vanilla(clips in 1usize..4, seed: u64) {
        agrees_with_a_training_step(Method::Vanilla { frames: 4 }, clips, seed);
    }

    #[test]
    fn private_norms(clips in 1usize..4, seed: u64) {
        agrees_with_a_training_step(flexible(Norms::Private), clips, seed);
    }

    #[test]
    fn shared_norms(clips in 1usize..4, seed: u64) {
        agrees_with_a_training_step(flexible(Norms::Shared), clips, seed);
    }
}

#[test]
fn every_branch_is_reached_at_any_frame_count() {
    let experiment = small(flexible(Norms::Private));
    let frames = 3;
    let pixels = pixels(7, frames * 2);
    let logits = |engine, branch| {
        let segment = Segment {
            branch,
            frames,
            clips: 2,
        };
        model(&experiment, engine)
            .evaluate_batch(segment, Input::Values(&pixels))
            .unwrap()
    };
    let (small, large) = (
        logits(EngineKind::Compiled, 0),
        logits(EngineKind::Compiled, 1),
    );
    assert_ne!(small, large, "the branches have alterations of their own");
    assert_eq!(
        model(&experiment, EngineKind::Compiled)
            .evaluate(3, 2, Input::Values(&pixels))
            .unwrap(),
        large
    );
    for (branch, compiled) in [small, large].iter().enumerate() {
        for (a, b) in compiled.iter().zip(logits(EngineKind::DfdxF64, branch)) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
    let mut compiled = model(&experiment, EngineKind::Compiled);
    let wrong = Segment {
        branch: 9,
        frames,
        clips: 2,
    };
    assert!(
        compiled
            .evaluate_batch(wrong, Input::Values(&pixels))
            .is_err()
    );
}

#[test]
fn statistics_of_another_network_are_refused() {
    let mut one = model(&small(flexible(Norms::Private)), EngineKind::Compiled);
    let other = model(&small(flexible(Norms::Shared)), EngineKind::Compiled);
    assert!(one.replace_statistics(other.statistics().clone()).is_err());
}

#[test]
fn giving_memory_back_changes_nothing() {
    let mut model = model(&small(flexible(Norms::Private)), EngineKind::Compiled);
    let pixels = pixels(1, 4);
    let before = model.evaluate(4, 1, Input::Values(&pixels)).unwrap();
    assert!(model.memory() > 0);
    model.release();
    assert_eq!(model.memory(), 0);
    assert_eq!(
        model.evaluate(4, 1, Input::Values(&pixels)).unwrap(),
        before
    );
}
