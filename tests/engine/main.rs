//! The compiled engine: what must hold whatever the weights.

use ffn::base::rng::{Purpose, Stream};
use ffn::base::{Kind, Result};
use ffn::exec::cpu;
use ffn::exec::{self, DropoutKey, Executor, Input, Segment, Statistics, TrainOptions};
use ffn::graph::arch::tsm::{self, Tsm};
use ffn::graph::{Architecture, Graph, ParamKind};
use ffn::ops::Compute;
use ffn::program::{self, Numerics, compile_eval, compile_train};
use ffn::spec::*;

#[path = "../support/networks.rs"]
mod networks;

mod bf16;
mod fusions;

use networks::{CLASSES, flexible};

const SIDE: usize = 16;
const STEP: DropoutKey = DropoutKey {
    seed: 7,
    step: 3,
    first_clip: 0,
};

fn vanilla(block: Block, stem: Stem, place: ShiftPlace) -> Graph {
    let backbone = Backbone::ResNet(ResNet {
        block,
        blocks: vec![1, 2],
        width: 8,
        stem,
    });
    tsm::tsm(&Tsm {
        backbone: &backbone,
        shift: &Shift { div: 4, place },
        classes: CLASSES,
        frames: 4,
        input: (SIDE, SIDE),
    })
    .unwrap()
}

fn basic() -> Graph {
    vanilla(Block::Basic, Stem::Small, ShiftPlace::ResidualInput)
}

fn options() -> TrainOptions {
    TrainOptions {
        shift_segments: ShiftSegments::PerBranch,
        norm_clips: None,
        frozen_norms: FrozenNorms::Off,
        dropout: 0.0,
        drop_path: 0.0,
    }
}

fn segment(branch: usize, frames: usize, clips: usize) -> Segment {
    Segment {
        branch,
        frames,
        clips,
    }
}

fn both(clips: usize) -> [Segment; 2] {
    [segment(0, 2, clips), segment(1, 4, clips)]
}

fn normal(seed: u64, count: usize) -> Vec<f32> {
    let mut stream = Stream::new(seed, Purpose::Init, &[]);
    (0..count).map(|_| stream.normal() as f32).collect()
}

fn frames(segments: &[Segment]) -> usize {
    segments.iter().map(|s| s.frames * s.clips).sum()
}

fn pixels(seed: u64, frames: usize) -> Vec<f32> {
    normal(seed, frames * SIDE * SIDE * 3)
}

/// Weights of the usual sizes; norms near 1 and 0, statistics near 0 and 1.
struct Weights {
    params: Vec<Vec<f32>>,
    stats: Statistics,
}

impl Weights {
    fn of(graph: &Graph) -> Self {
        let params = graph.params.iter().enumerate().map(|(i, param)| {
            let fan_in: usize = param.shape[1..].iter().product();
            let (mean, std) = match param.kind {
                ParamKind::NormWeight => (1.0, 0.2),
                ParamKind::NormBias | ParamKind::ClassifierBias => (0.0, 0.2),
                ParamKind::Alteration => (0.0, 0.3),
                _ => (0.0, (2.0 / fan_in as f32).sqrt()),
            };
            let values = normal(100 + i as u64, param.count());
            values.into_iter().map(|v| mean + std * v).collect()
        });
        let mut stats = Statistics::initial(graph);
        for (i, (mean, var)) in stats.mean.iter_mut().zip(&mut stats.var).enumerate() {
            let values = normal(900 + i as u64, mean.len());
            for ((mean, var), v) in mean.iter_mut().zip(var).zip(values) {
                *mean = 0.1 * v;
                *var = 1.0 + 0.1 * v.abs();
            }
        }
        Self {
            params: params.collect(),
            stats,
        }
    }

    fn params(&self) -> Vec<&[f32]> {
        self.params.iter().map(Vec::as_slice).collect()
    }
}

fn training(
    graph: &Graph,
    segments: &[Segment],
    options: &TrainOptions,
    executor: Executor,
) -> Result<cpu::Engine> {
    let program = compile_train(graph, segments, options, &[], executor.style())?;
    cpu::Engine::new(graph, program, executor.threads)
}

fn evaluation(graph: &Graph, segments: &[Segment], executor: Executor) -> Result<cpu::Engine> {
    let program = compile_eval(graph, segments, &[], executor.style())?;
    cpu::Engine::new(graph, program, executor.threads)
}

/// What one forward and backward pass leaves.
#[derive(Debug, Clone, PartialEq)]
struct Pass {
    logits: Vec<f32>,
    grads: Vec<Vec<f32>>,
    stats: Statistics,
}

fn pass(engine: &mut cpu::Engine, weights: &Weights, input: &[f32], d_logits: &[f32]) -> Pass {
    let mut stats = weights.stats.clone();
    let params = weights.params();
    let logits = engine
        .forward(&params, &mut stats, Input::Values(input), STEP)
        .unwrap();
    let logits = logits.to_vec();
    let mut grads: Vec<Vec<f32>> = weights
        .params
        .iter()
        .map(|p| vec![f32::NAN; p.len()])
        .collect();
    let mut slices: Vec<&mut [f32]> = grads.iter_mut().map(Vec::as_mut_slice).collect();
    engine.backward(&params, d_logits, &mut slices).unwrap();
    Pass {
        logits,
        grads,
        stats,
    }
}

fn train(graph: &Graph, segments: &[Segment], options: &TrainOptions, threads: usize) -> Pass {
    let mut engine = training(graph, segments, options, Executor::compiled(threads)).unwrap();
    let clips: usize = segments.iter().map(|s| s.clips).sum();
    let d_logits = normal(2, clips * CLASSES);
    let input = pixels(1, frames(segments));
    pass(&mut engine, &Weights::of(graph), &input, &d_logits)
}

fn evaluate(graph: &Graph, weights: &Weights, segments: &[Segment], input: &[f32]) -> Vec<f32> {
    let mut engine = evaluation(graph, segments, Executor::compiled(2)).unwrap();
    let mut stats = weights.stats.clone();
    let logits = engine.forward(&weights.params(), &mut stats, Input::Values(input), STEP);
    let logits = logits.unwrap().to_vec();
    assert_eq!(stats, weights.stats, "evaluation changes nothing");
    logits
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let square = |v: f64| v * v;
    let pairs = a.iter().zip(b);
    let far: f64 = pairs
        .map(|(a, b)| square(f64::from(*a) - f64::from(*b)))
        .sum();
    let size: f64 = b.iter().map(|b| square(f64::from(*b))).sum();
    (far / size).sqrt()
}

/// Float32 through a small network.
const ROUNDING: f64 = 1e-5;

fn assert_near(what: &str, a: &[f32], b: &[f32]) {
    let distance = distance(a, b);
    assert!(
        distance < ROUNDING,
        "{what}: relative distance {distance:.1e}"
    );
}

/// Weights whose norms open or close ReLUs so far that a small step moves no value to the other side, where
/// differences would not be derivatives: every third channel is closed.
fn smooth(graph: &Graph) -> Weights {
    let mut weights = Weights::of(graph);
    for (param, values) in graph.params.iter().zip(&mut weights.params) {
        match param.kind {
            ParamKind::NormWeight => values.iter_mut().for_each(|v| *v *= 0.3),
            ParamKind::NormBias => values.iter_mut().enumerate().for_each(|(i, v)| {
                *v += if i % 3 == 0 { -1.5 } else { 1.5 };
            }),
            _ => {}
        }
    }
    weights
}

/// How far a difference may stray: the rounding of logits, divided by the step, and ReLUs that turn within it.
const DIFFERENCE_ROUNDING: f64 = 3e-3;

/// The derivative along a random direction of all parameters of one kind, by central differences of Σ d·logits and
/// by the backward pass.
fn check_differences(graph: &Graph, options: &TrainOptions) {
    let segments = both(3);
    let weights = smooth(graph);
    let input = pixels(1, frames(&segments));
    let d_logits = normal(2, 6 * CLASSES);
    let mut engine = training(graph, &segments, options, Executor::compiled(2)).unwrap();
    let grads = pass(&mut engine, &weights, &input, &d_logits).grads;
    for kind in ParamKind::ALL {
        let members: Vec<usize> = (0..graph.params.len())
            .filter(|&i| graph.params[i].kind == kind)
            .collect();
        let direction = |i: usize| normal(500 + i as u64, weights.params[i].len());
        let mut loss = |step: f32| {
            let mut moved = smooth(graph);
            for &i in &members {
                let pairs = moved.params[i].iter_mut().zip(direction(i));
                pairs.for_each(|(p, d)| *p += step * d);
            }
            let mut stats = moved.stats.clone();
            let logits = engine.forward(&moved.params(), &mut stats, Input::Values(&input), STEP);
            let pairs = logits.unwrap().iter().zip(&d_logits);
            pairs
                .map(|(a, b)| f64::from(*a) * f64::from(*b))
                .sum::<f64>()
        };
        let step = 1e-3;
        let difference = (loss(step) - loss(-step)) / (2.0 * f64::from(step));
        let expected: f64 = members
            .iter()
            .flat_map(|&i| grads[i].iter().copied().zip(direction(i)))
            .map(|(g, d)| f64::from(g) * f64::from(d))
            .sum();
        let members = members
            .iter()
            .filter(|&&i| grads[i].iter().any(|g| *g != 0.0));
        if members.count() == 0 {
            // Kinds that this network does not have or does not train do not move its logits.
            assert!(
                difference.abs() < DIFFERENCE_ROUNDING,
                "{kind:?}: {difference}"
            );
            continue;
        }
        let error = (difference - expected).abs();
        let slope = difference.abs().max(expected.abs());
        println!("{kind:?}: {difference:.5} {expected:.5}, error {error:.1e}");
        assert!(
            slope > 1.5 * DIFFERENCE_ROUNDING,
            "{kind:?}: {difference} says nothing"
        );
        assert!(
            error < 0.02 * slope + DIFFERENCE_ROUNDING,
            "{kind:?}: {difference} by differences, {expected} by backward"
        );
    }
}

#[test]
fn gradients_are_derivatives() {
    for place in [
        ShiftPlace::ResidualInput,
        ShiftPlace::BlockInput,
        ShiftPlace::AfterFirstConv,
        ShiftPlace::Nowhere,
    ] {
        check_differences(
            &flexible(&vanilla(Block::Basic, Stem::Small, place)),
            &options(),
        );
    }
}

#[test]
fn gradients_are_derivatives_in_a_bottleneck_with_dropout_and_groups() {
    let graph = vanilla(Block::Bottleneck, Stem::ImageNet, ShiftPlace::ResidualInput);
    let options = TrainOptions {
        dropout: 0.5,
        norm_clips: Some(2),
        shift_segments: ShiftSegments::Shared(6),
        ..options()
    };
    check_differences(&flexible(&graph), &options);
}

#[test]
fn gradients_are_derivatives_with_frozen_norms() {
    let options = TrainOptions {
        frozen_norms: FrozenNorms::AllButFirst,
        ..options()
    };
    let graph = basic();
    let segments = [segment(0, 4, 3)];
    let weights = Weights::of(&graph);
    let trained = train(&graph, &segments, &options, 2);
    for (param, grad) in graph.params.iter().zip(&trained.grads) {
        let is_norm = matches!(param.kind, ParamKind::NormWeight | ParamKind::NormBias);
        let frozen = is_norm && !param.name.starts_with("base_model.bn1");
        assert_eq!(frozen, grad.iter().all(|&g| g == 0.0), "{}", param.name);
    }
    assert_eq!(trained.stats.mean[1..], weights.stats.mean[1..]);
    assert_eq!(
        trained.stats.batches,
        [vec![1], vec![0; graph.stats.len() - 1]].concat()
    );
}

#[test]
fn frozen_norms_train_as_they_evaluate() {
    let graph = flexible(&basic());
    let options = TrainOptions {
        frozen_norms: FrozenNorms::All,
        ..options()
    };
    let segments = both(3);
    let trained = train(&graph, &segments, &options, 2);
    let weights = Weights::of(&graph);
    let evaluated = evaluate(&graph, &weights, &segments, &pixels(1, frames(&segments)));
    assert_near("logits", &trained.logits, &evaluated);
    assert_eq!(trained.stats, weights.stats);
}

#[test]
fn no_bit_depends_on_threads() {
    let graph = flexible(&vanilla(
        Block::Bottleneck,
        Stem::ImageNet,
        ShiftPlace::ResidualInput,
    ));
    let segments = both(12);
    let options = TrainOptions {
        dropout: 0.5,
        ..options()
    };
    let one = train(&graph, &segments, &options, 1);
    assert!(one == train(&graph, &segments, &options, 2), "two threads");
    assert!(
        one == train(&graph, &segments, &options, 3),
        "three threads"
    );
}

/// The weights of a flexible graph's branch under the vanilla graph's names.
fn vanilla_name(name: &str, frames: usize) -> String {
    name.replace("downsample_conv", "downsample.0")
        .replace(&format!("downsample_bn_{frames}"), "downsample.1")
        .replace(&format!("_{frames}."), ".")
}

#[test]
fn flexible_without_alteration_and_with_equal_norms_is_vanilla() {
    let graph = vanilla(Block::Bottleneck, Stem::ImageNet, ShiftPlace::ResidualInput);
    let flexible = flexible(&graph);
    let weights = Weights::of(&graph);
    let mut equal = Weights::of(&flexible);
    for (param, values) in flexible.params.iter().zip(&mut equal.params) {
        let source = |frames| {
            let name = vanilla_name(&param.name, frames);
            graph.params.iter().position(|p| p.name == name)
        };
        match source(2).or(source(4)) {
            Some(i) => values.clone_from(&weights.params[i]),
            None => values.fill(0.0),
        }
    }
    for (i, stat) in flexible.stats.iter().enumerate() {
        let source = |frames| {
            let name = vanilla_name(&format!("{}.", stat.name), frames);
            graph
                .stats
                .iter()
                .position(|s| format!("{}.", s.name) == name)
        };
        let source = source(2).or(source(4)).unwrap();
        equal.stats.mean[i].clone_from(&weights.stats.mean[source]);
        equal.stats.var[i].clone_from(&weights.stats.var[source]);
    }
    for (branch, frames) in [(0, 2), (1, 4)] {
        let input = pixels(1, 3 * frames);
        let wanted = evaluate(&graph, &weights, &[segment(0, frames, 3)], &input);
        let found = evaluate(&flexible, &equal, &[segment(branch, frames, 3)], &input);
        assert_eq!(found, wanted, "evaluation at {frames} frames");
        let d_logits = normal(2, 3 * CLASSES);
        let run = |graph: &Graph, weights: &Weights, branch: usize| {
            let segments = [segment(branch, frames, 3)];
            let mut engine = training(graph, &segments, &options(), Executor::compiled(2)).unwrap();
            pass(&mut engine, weights, &input, &d_logits)
        };
        let (wanted, found) = (run(&graph, &weights, 0), run(&flexible, &equal, branch));
        assert_near("logits", &found.logits, &wanted.logits);
        assert_near("first gradient", &found.grads[0], &wanted.grads[0]);
    }
}

#[test]
fn training_a_branch_leaves_the_others_untouched() {
    let graph = flexible(&basic());
    let weights = Weights::of(&graph);
    let trained = train(&graph, &[segment(1, 4, 3)], &options(), 2);
    for (i, stat) in graph.stats.iter().enumerate() {
        let own = stat.name.ends_with("_4");
        assert_eq!(
            own,
            trained.stats.mean[i] != weights.stats.mean[i],
            "{}",
            stat.name
        );
        assert_eq!(
            own,
            trained.stats.var[i] != weights.stats.var[i],
            "{}",
            stat.name
        );
        assert_eq!(own, trained.stats.batches[i] == 1, "{}", stat.name);
    }
    for (param, grad) in graph.params.iter().zip(&trained.grads) {
        let others = param.name.contains("_2.");
        assert_eq!(others, grad.iter().all(|&g| g == 0.0), "{}", param.name);
    }
}

#[test]
fn branches_of_one_batch_do_not_meet() {
    let graph = flexible(&basic());
    let segments = both(3);
    let weights = Weights::of(&graph);
    let input = pixels(1, frames(&segments));
    let cut = 6 * SIDE * SIDE * 3;
    let together = evaluate(&graph, &weights, &segments, &input);
    let small = evaluate(&graph, &weights, &segments[..1], &input[..cut]);
    let large = evaluate(&graph, &weights, &segments[1..], &input[cut..]);
    assert_near("evaluation", &together, &[small, large].concat());
    let trained = train(&graph, &segments, &options(), 2);
    let small = train(&graph, &segments[..1], &options(), 2);
    assert_near("training", &trained.logits[..3 * CLASSES], &small.logits);
}

#[test]
fn norm_groups_see_their_own_clips_and_the_first_is_remembered() {
    let graph = basic();
    let options = TrainOptions {
        norm_clips: Some(2),
        ..options()
    };
    let grouped = train(&graph, &[segment(0, 4, 4)], &options, 2);
    let first = train(&graph, &[segment(0, 4, 2)], &options, 2);
    assert_near("logits", &grouped.logits[..2 * CLASSES], &first.logits);
    assert_near("mean", &grouped.stats.mean[3], &first.stats.mean[3]);
    assert_near("variance", &grouped.stats.var[3], &first.stats.var[3]);
    assert_eq!(grouped.stats.batches, first.stats.batches);
}

/// Two clips of two frames, shifted in groups of four, are one clip of four frames up to the mean of their logits.
#[test]
fn shared_shift_crosses_clips() {
    let graph = basic();
    let shared = TrainOptions {
        shift_segments: ShiftSegments::Shared(4),
        ..options()
    };
    let halves = train(&graph, &[segment(0, 2, 2)], &shared, 2).logits;
    let whole = train(&graph, &[segment(0, 4, 1)], &options(), 2).logits;
    let (first, second) = halves.split_at(CLASSES);
    let mean: Vec<f32> = first
        .iter()
        .zip(second)
        .map(|(a, b)| (a + b) / 2.0)
        .collect();
    assert_near("logits", &mean, &whole);
}

#[test]
fn dropout_follows_its_key() {
    let graph = basic();
    let options = TrainOptions {
        dropout: 0.5,
        ..options()
    };
    let segments = [segment(0, 4, 2)];
    let weights = Weights::of(&graph);
    let mut engine = training(&graph, &segments, &options, Executor::compiled(2)).unwrap();
    let mut logits = |step: u64| {
        let key = DropoutKey {
            seed: 7,
            step,
            first_clip: 0,
        };
        let mut stats = weights.stats.clone();
        let logits = engine.forward(
            &weights.params(),
            &mut stats,
            Input::Values(&pixels(1, 8)),
            key,
        );
        logits.unwrap().to_vec()
    };
    let first = logits(0);
    assert_ne!(first, logits(1));
    assert_eq!(first, logits(0));
}

#[test]
fn batches_that_cannot_be_are_refused() {
    let graph = flexible(&basic());
    let refused = |segments: &[Segment], options: TrainOptions| {
        let error = training(&graph, segments, &options, Executor::compiled(1)).err();
        error.unwrap().to_string()
    };
    let shared = TrainOptions {
        shift_segments: ShiftSegments::Shared(4),
        ..options()
    };
    assert_eq!(
        refused(&[segment(0, 2, 3)], shared),
        "the shift takes groups of 4 frames, but 3 clips of 2 frames do not fill whole groups\n\n\
         hint: choose a batch so that every branch has a multiple of that many frames"
    );
    assert_eq!(
        refused(&[segment(2, 2, 3)], options()),
        "3 clips of 2 frames for branch 2 make no batch"
    );
    assert_eq!(refused(&[], options()), "a batch without frames");
}

const IMAGENET: Normalize = Normalize {
    mean: [0.485, 0.456, 0.406],
    std: [0.229, 0.224, 0.225],
};

fn bytes(bytes: &[u8]) -> Input<'_> {
    let normalize = &IMAGENET;
    Input::Pixels {
        bytes,
        normalize,
        next: None,
    }
}

#[test]
fn pixels_are_normalized_whatever_the_threads() {
    let graph = basic();
    let segments = [segment(0, 4, 1)];
    let pixels: Vec<u8> = (0..3072).map(|i| (i % 253) as u8).collect();
    let pixels = bytes(&pixels);
    let weights = Weights::of(&graph);
    let expected = evaluate(&graph, &weights, &segments, &pixels.values());
    for threads in [1, 3] {
        let mut engine = evaluation(&graph, &segments, Executor::compiled(threads)).unwrap();
        let mut stats = weights.stats.clone();
        let found = engine.forward(&weights.params(), &mut stats, pixels, STEP);
        assert_eq!(found.unwrap(), expected);
    }
}

#[test]
fn buffers_of_wrong_sizes_are_refused() {
    let graph = basic();
    let mut engine = evaluation(&graph, &[segment(0, 4, 1)], Executor::compiled(1)).unwrap();
    let mut weights = Weights::of(&graph);
    let mut stats = weights.stats.clone();
    let mut refused = |params: &[&[f32]], input: Input<'_>| {
        let error = engine.forward(params, &mut stats, input, STEP).err();
        error.unwrap().to_string()
    };
    assert_eq!(
        refused(&weights.params(), Input::Values(&[0.0])),
        "input: expected 3072 values, found 1"
    );
    assert_eq!(
        refused(&weights.params(), bytes(&[0; 3073])),
        "input: expected 3072 values, found 3073"
    );
    assert_eq!(
        refused(&[], Input::Values(&pixels(1, 4))),
        format!("parameters: expected {}, found 0", graph.params.len())
    );
    weights.params[0].pop();
    assert_eq!(
        refused(&weights.params(), Input::Values(&pixels(1, 4))),
        "parameters: expected 216 values, found 215"
    );
}

#[test]
fn memory_beyond_the_machine_is_an_error() {
    let mut graph = basic();
    for node in &mut graph.nodes {
        (node.shape.height, node.shape.width) = (1 << 13, 1 << 13);
    }
    let refused = |clips| {
        evaluation(&graph, &[segment(0, 4, clips)], Executor::compiled(1))
            .err()
            .unwrap()
    };
    let clips = (1..).take_while(|clips| graph.check_size(4 * clips).is_ok());
    let most = refused(clips.last().unwrap());
    assert_eq!(most.kind, Kind::Device);
    assert!(most.message.starts_with("the arena needs"), "{most}");

    let beyond_any_program = refused(1 << 12);
    assert_eq!(beyond_any_program.kind, Kind::Experiment);
    let message = beyond_any_program.message;
    assert!(message.contains("a program has at most"), "{message}");
}

#[test]
fn verify_plan_invalid() {
    let graph = flexible(&basic());
    let program =
        program::compile_train(&graph, &both(2), &options(), &[], Numerics::Float32).unwrap();
    let refused = |wanted: &str, change: fn(&mut cpu::plan::CpuPlan)| {
        let mut broken = cpu::plan::plan(&program).unwrap();
        change(&mut broken);
        let message = exec::arena::verify(&broken).unwrap_err().to_string();
        assert!(message.contains(wanted), "{message}");
    };
    refused("overlaps another buffer", |p| {
        p.places.iter_mut().for_each(|place| place.offset = 0);
    });
    refused("reaches beyond its end", |p| p.arena -= 1);
    refused("is read and written at once", |p| {
        let task = &mut p.forward[0];
        task.reads.clone_from(&task.writes);
    });
}

#[test]
fn verify_program_invalid() {
    let graph = flexible(&basic());
    let program =
        program::compile_train(&graph, &both(2), &options(), &[], Numerics::Float32).unwrap();
    let refused = |wanted: &str, change: fn(&mut program::Program)| {
        let mut broken = program.clone();
        change(&mut broken);
        let message = broken.verify().unwrap_err().to_string();
        assert!(message.contains(wanted), "{message}");
    };
    refused("is read before it is written", |p| p.forward.swap(1, 2));
    refused("is written twice", |p| p.forward.push(p.forward[0].clone()));
    refused("gets 0 gradients, expected 1", |p| {
        p.backward.retain(|step| !step.op.gradients().contains(&0));
    });
    refused("gets 2 gradients, expected 1", |p| {
        let mut again = p
            .backward
            .iter()
            .find(|step| step.op.gradients() == [0])
            .cloned();
        again.iter_mut().for_each(|step| step.writes.clear());
        p.backward.extend(again);
    });
    refused("is never written", |p| {
        p.backward.clear();
        p.forward.pop();
    });
}

/// A training step of FFN-TSM-R50 on one clip keeps what design says is worth keeping: PyTorch takes 4.4 GB a clip.
#[test]
fn memory_of_resnet50_is_known_without_allocating_it() {
    let resnet50 = tsm::tsm(&Tsm {
        backbone: &Backbone::ResNet50,
        shift: &Shift {
            div: 8,
            place: ShiftPlace::ResidualInput,
        },
        classes: 174,
        frames: 16,
        input: (224, 224),
    });
    let segments = [segment(0, 28, 1)];
    let program = program::compile_train(
        &resnet50.unwrap(),
        &segments,
        &options(),
        &[],
        Numerics::Float32,
    )
    .unwrap();
    let plan = cpu::plan::plan(&program).unwrap();
    let bytes = cpu::plan::memory(&plan, 2);
    assert!(bytes < 2_000_000_000, "{bytes}");
}
