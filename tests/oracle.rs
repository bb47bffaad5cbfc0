//! The compiled engine against the oracle, dfdx's own operations and gradients in float64, on small random networks:
//! every activation, every gradient, every running statistic, in training and in evaluation.

use std::cell::Cell;
use std::path::Path;

use ffn::base::rng::{Purpose, Stream};
use ffn::exec::{DropoutKey, EngineKind, Executor, Input};
use ffn::golden::{Network, experiment};
use ffn::graph::{Graph, Op, ParamKind};
use ffn::model::objective::Targets;
use ffn::model::{Model, Observation, StateDict, StepInput, StepOutput, first_difference};
use ffn::ops::Each;
use ffn::spec::network;
use ffn::spec::*;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestError, TestRunner};

/// Relative L2 error of an activation in float32: some roundings of 6e-8 in each of up to 25 layers, each of which a norm
/// may enlarge.
const ACTIVATION: f64 = 2e-5;
/// Of a parameter's gradient: the same once more on the way back, where batch norms subtract nearly equal sums.
const GRADIENT: f64 = 2e-4;
/// A parameter's gradient that has less than this part of the whole gradient's norm is a sum whose terms cancel: it is as
/// exact as a larger one in absolute terms only.
const CANCELLED: f64 = 0.05;
/// A value this near to a ReLU's corner or to the second largest of a window, relative to the root mean square of its
/// tensor, may be on the other side after rounding: the gradient is then that of another piece of the function, and no
/// tolerance would be right.
const CORNER: f32 = 3e-6;
/// Cases of each property.
const CASES: u32 = 24;
const CLASSES: usize = 5;

/// A network, how it is trained, and the seed of all its numbers.
#[derive(Debug, Clone)]
struct Case {
    experiment: Experiment,
    clips: usize,
    seed: u64,
}

fn executor(engine: EngineKind) -> Executor {
    Executor {
        engine,
        ..Executor::compiled(2)
    }
}

fn normal(seed: u64, parts: &[u64], count: usize) -> Vec<f32> {
    let mut stream = Stream::new(seed, Purpose::Init, parts);
    (0..count).map(|_| stream.normal() as f32).collect()
}

impl Case {
    fn model(&self, engine: EngineKind) -> Model {
        let mut model = Model::new(&self.experiment, Path::new("."), executor(engine)).unwrap();
        let state = self.weights(&model);
        model.load_state_dict(&state).unwrap();
        model
    }

    /// Weights of usual sizes, none of them at its initial value.
    fn weights(&self, model: &Model) -> StateDict {
        let mut state = model.state_dict().unwrap();
        let kinds = model.graph().params.iter().map(|p| Some(p.kind));
        let kinds = kinds.chain(std::iter::repeat(None));
        for (i, ((name, shape, values), kind)) in state.floats.iter_mut().zip(kinds).enumerate() {
            let fan_in: usize = shape[1..].iter().product();
            let (mean, std) = match kind {
                Some(ParamKind::NormWeight) => (1.0, 0.2),
                Some(ParamKind::NormBias | ParamKind::ClassifierBias) => (0.0, 0.3),
                Some(ParamKind::Alteration) => (0.0, 0.3),
                Some(_) => (0.0, (2.0 / fan_in as f32).sqrt()),
                None => (0.0, 0.2),
            };
            *values = normal(self.seed, &[1, i as u64], values.len());
            values.iter_mut().for_each(|v| *v = mean + std * *v);
            if name.ends_with("running_var") {
                values.iter_mut().for_each(|v| *v = 1.0 + v.abs());
            }
        }
        state
    }

    fn pixels(&self, part: u64, frames: usize, size: usize) -> Vec<f32> {
        normal(self.seed, &[2, part], frames * size * size * 3)
    }

    /// One training step, what the observed nodes gave, and the state that it left.
    fn train(&self, model: &mut Model) -> Trained {
        let frames: usize = self.experiment.method.frames().iter().sum();
        let labels: Vec<usize> = (0..self.clips)
            .map(|clip| (3 * clip + 1) % CLASSES)
            .collect();
        let size = self.experiment.train.clips.size;
        let input = StepInput {
            pixels: Input::Values(&self.pixels(0, frames * self.clips, size)),
            targets: Targets::Labels(&labels),
            dropout: DropoutKey {
                seed: self.seed,
                step: 3,
                first_clip: 0,
            },
            shards: 1,
        };
        let output = model.train_step(&input).unwrap();
        Trained {
            gradients: gradients(model),
            statistics: statistics(model),
            activations: model.observations().to_vec(),
            output,
        }
    }

    fn evaluate(&self, model: &mut Model, frames: usize) -> Vec<Observation> {
        let size = self.experiment.eval.size;
        let pixels = self.pixels(frames as u64, frames * self.clips, size);
        let logits = model
            .evaluate(frames, self.clips, Input::Values(&pixels))
            .unwrap();
        let logits = tensor("logits", vec![self.clips, CLASSES], logits);
        [model.observations(), &[logits]].concat()
    }
}

/// What a training step leaves.
struct Trained {
    output: StepOutput,
    activations: Vec<Observation>,
    gradients: Vec<Observation>,
    statistics: Vec<Observation>,
}

fn tensor(name: &str, shape: Vec<usize>, values: Vec<f32>) -> Observation {
    Observation {
        node: name.to_owned(),
        frames: 0,
        shape,
        values,
    }
}

fn gradients(model: &Model) -> Vec<Observation> {
    let gradients = model.device().gradients().unwrap();
    let params = model.graph().params.iter().zip(&*gradients);
    let gradient = params.map(|(p, g)| tensor(&p.name, p.shape.clone(), g.clone()));
    gradient.collect()
}

fn statistics(model: &Model) -> Vec<Observation> {
    let state = model.state_dict().unwrap();
    let counters = state.counters.into_iter();
    let counters = counters.map(|(name, count)| tensor(&name, vec![1], vec![count as f32]));
    let floats = state.floats.into_iter();
    let running = floats.filter(|(name, ..)| name.contains(".running_"));
    let running = running.map(|(name, shape, values)| tensor(&name, shape, values));
    running.chain(counters).collect()
}

/// Whether every ReLU and every largest value of a window is decided by more than rounding.
fn is_decided(model: &Model, observed: &[Observation]) -> bool {
    let graph = model.graph();
    let decides = |op: &Op| matches!(op, Op::Each(Each::Relu) | Op::Pool(_));
    let decided = graph.nodes.iter().filter(|node| decides(&node.op));
    let mut inputs = decided.flat_map(|node| {
        let input = &graph.nodes[node.inputs[0]].name;
        let segments = observed.iter().filter(move |o| o.node == *input);
        segments.map(|o| (&node.op, o))
    });
    inputs.all(|(op, o)| match op {
        Op::Each(Each::Relu) => o.values.iter().all(|v| v.abs() > corner(o)),
        _ => windows_are_decided(o),
    })
}

fn corner(o: &Observation) -> f32 {
    let square: f32 = o.values.iter().map(|v| v * v).sum();
    CORNER * (square / o.values.len() as f32).sqrt()
}

/// 3 × 3, stride 2, padding 1: the largest is well above the second, or it is zero, where no gradient passes.
fn windows_are_decided(o: &Observation) -> bool {
    let (height, width) = (o.shape[2], o.shape[3]);
    let corner = corner(o);
    let near = |place: usize, side: usize| (2 * place).saturating_sub(1)..side.min(2 * place + 2);
    o.values.chunks_exact(height * width).all(|plane| {
        let centres =
            (0..height.div_ceil(2)).flat_map(|y| (0..width.div_ceil(2)).map(move |x| (y, x)));
        centres.into_iter().all(|(y, x)| {
            let places = near(y, height).flat_map(|i| near(x, width).map(move |j| (i, j)));
            let mut values: Vec<f32> = places.map(|(i, j)| plane[i * width + j]).collect();
            values.sort_by(f32::total_cmp);
            match values[..] {
                [.., second, largest] => largest == 0.0 || largest - second > corner,
                _ => true,
            }
        })
    })
}

fn equal(
    what: &str,
    found: &[Observation],
    expected: &[Observation],
    tolerance: impl Fn(&Observation) -> f64,
) -> Result<(), TestCaseError> {
    match first_difference(found, expected, tolerance) {
        None => Ok(()),
        Some(difference) => Err(TestCaseError::fail(format!("{what}: {difference}"))),
    }
}

fn activation(_: &Observation) -> f64 {
    ACTIVATION
}

fn gradient(all: &[Observation]) -> impl Fn(&Observation) -> f64 {
    let norm = |values: &[f32]| -> f64 {
        let squares = values.iter().map(|&v| f64::from(v).powi(2));
        squares.sum::<f64>().sqrt()
    };
    let whole = norm(
        &all.iter()
            .flat_map(|o| o.values.clone())
            .collect::<Vec<_>>(),
    );
    move |one| match norm(&one.values) {
        0.0 => GRADIENT,
        own => GRADIENT * (CANCELLED * whole / own).max(1.0),
    }
}

/// Holds one training step and some evaluations of `engine` against the oracle; whether the gradients were compared.
fn compare(engine: EngineKind, case: &Case) -> Result<bool, TestCaseError> {
    let mut oracle = case.model(EngineKind::DfdxF64);
    let all: Vec<usize> = (0..oracle.graph().nodes.len()).collect();
    oracle.observe(&all);
    let expected = case.train(&mut oracle);
    let decided = is_decided(&oracle, &expected.activations);

    // What is observed is not fused: both the fused and the observable program are compared.
    for observed in [&all[..], &[]] {
        let mut model = case.model(engine);
        model.observe(observed);
        let found = case.train(&mut model);
        if !observed.is_empty() {
            equal(
                "training",
                &found.activations,
                &expected.activations,
                activation,
            )?;
        }
        equal(
            "running statistics",
            &found.statistics,
            &expected.statistics,
            activation,
        )?;
        losses(&found.output, &expected.output)?;
        if decided {
            equal(
                "gradient",
                &found.gradients,
                &expected.gradients,
                gradient(&expected.gradients),
            )?;
        }
        let largest = case.experiment.method.frames().last().copied().unwrap_or(1);
        for frames in [largest, largest + 1, 1] {
            let expected = case.evaluate(&mut oracle, frames);
            let found = case.evaluate(&mut model, frames);
            let expected = match observed.is_empty() {
                true => expected.last().cloned().into_iter().collect(),
                false => expected,
            };
            equal("evaluation", &found, &expected, activation)?;
        }
    }
    Ok(decided)
}

fn losses(found: &StepOutput, expected: &StepOutput) -> Result<(), TestCaseError> {
    let near = |a: f64, b: f64| (a - b).abs() <= ACTIVATION * (1.0 + expected.total.abs());
    prop_assert!(
        near(found.total, expected.total),
        "{} {}",
        found.total,
        expected.total
    );
    for ((name, f), (expected_name, e)) in found.terms.iter().zip(&expected.terms) {
        prop_assert_eq!(name, expected_name);
        prop_assert!(near(*f, *e), "{}: expected {}, found {}", name, e, f);
    }
    prop_assert_eq!(found.terms.len(), expected.terms.len());
    Ok(())
}

fn resnet() -> impl Strategy<Value = (ResNet, usize)> {
    let stem = prop_oneof![
        3 => (Just(Stem::Small), 5_usize..10),
        1 => (Just(Stem::ImageNet), 13_usize..20),
    ];
    let block = prop_oneof![Just(Block::Basic), Just(Block::Bottleneck)];
    let blocks = prop::collection::vec(1_usize..3, 1..3);
    (stem, block, blocks, 3_usize..9).prop_map(|((stem, size), block, blocks, width)| {
        let resnet = ResNet {
            block,
            blocks,
            width,
            stem,
        };
        (resnet, size)
    })
}

fn ffn(clips: usize) -> impl Strategy<Value = Ffn> {
    let frames = prop::sample::subsequence(vec![2_usize, 3, 4, 5, 6], 2..4);
    let alteration = prop_oneof![3 => Just(Alteration::KaimingFanOut), 1 => Just(Alteration::Off)];
    let norms = prop_oneof![3 => Just(Norms::Private), 1 => Just(Norms::Shared)];
    let distillation = prop_oneof![
        Just(Distillation::FromLargest),
        Just(Distillation::Reversed),
        Just(Distillation::Off)
    ];
    let shared = any::<prop::sample::Index>();
    (
        frames,
        alteration,
        norms,
        distillation,
        prop::option::of(shared),
        0.0..3.0,
    )
        .prop_map(
            move |(frames, alteration, norms, distillation, shared, lambda)| {
                let all = |period: usize| frames.iter().all(|t| (clips * t).is_multiple_of(period));
                let periods: Vec<usize> = (1..=clips * 6).filter(|&period| all(period)).collect();
                Ffn {
                    shift_segments: match shared {
                        None => ShiftSegments::PerBranch,
                        Some(index) => ShiftSegments::Shared(*index.get(&periods)),
                    },
                    frames,
                    lambda,
                    alteration,
                    norms,
                    distillation,
                }
            },
        )
}

fn method(clips: usize) -> impl Strategy<Value = Method> {
    prop_oneof![
        1 => (2_usize..7).prop_map(|frames| Method::Vanilla { frames }),
        3 => ffn(clips).prop_map(Method::Ffn),
    ]
}

prop_compose! {
    fn options()(
        place in prop::sample::select(vec![
            ShiftPlace::ResidualInput,
            ShiftPlace::ResidualInput,
            ShiftPlace::BlockInput,
            ShiftPlace::AfterFirstConv,
            ShiftPlace::Nowhere,
        ]),
        div in 2_usize..9,
        dropout in prop_oneof![Just(0.0), 0.1..0.8],
        norm_clips in prop::option::of(1_usize..4),
        frozen_norms in prop_oneof![
            4 => Just(FrozenNorms::Off),
            1 => Just(FrozenNorms::AllButFirst),
            1 => Just(FrozenNorms::All),
        ],
        larger in 0_usize..3,
    ) -> (Shift, f64, Option<usize>, FrozenNorms, usize) {
        (Shift { div, place }, dropout, norm_clips, frozen_norms, larger)
    }
}

fn case() -> impl Strategy<Value = Case> {
    let clips = 1_usize..4;
    clips.prop_flat_map(|clips| {
        (resnet(), method(clips), options(), any::<u64>()).prop_map(
            move |((resnet, size), method, options, seed)| {
                let mut experiment = small(method, resnet, size);
                let (shift, dropout, norm_clips, frozen_norms, larger) = options;
                experiment.model.tsm_mut().unwrap().shift = shift;
                experiment.model.tsm_mut().unwrap().dropout = dropout;
                experiment.train.norm_clips = norm_clips;
                experiment.train.frozen_norms = frozen_norms;
                experiment.eval.size += larger;
                experiment.eval.short_side += larger;
                Case {
                    experiment,
                    clips,
                    seed,
                }
            },
        )
    })
}

fn small(method: Method, resnet: ResNet, size: usize) -> Experiment {
    experiment(&Network {
        method,
        model: network::tsm(Backbone::ResNet(resnet)),
        classes: CLASSES,
        size,
        training: None,
    })
}

/// Runs the property on cases that are the same every time; `PROPTEST_CASES` and `PROPTEST_RNG_SEED` widen it.
fn check(engine: EngineKind) {
    let mut config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(16);
    }
    let counts = Cell::new((0, 0));
    let outcome = TestRunner::new(config).run(&case(), |case| {
        let decided = compare(engine, &case)?;
        let (cases, gradients) = counts.get();
        counts.set((cases + 1, gradients + usize::from(decided)));
        Ok(())
    });
    let (cases, gradients) = counts.get();
    println!("{cases} cases, {gradients} of them with gradients");
    match outcome {
        Ok(()) => assert!(2 * gradients > cases, "{gradients} of {cases}"),
        Err(TestError::Fail(reason, case)) => panic!("{reason}\n{case:#?}"),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

#[test]
fn the_compiled_engine_computes_what_the_oracle_does() {
    check(EngineKind::Compiled);
}

#[test]
fn the_oracle_is_the_same_in_float32() {
    check(EngineKind::Dfdx);
}

/// The first seeds whose case decides every ReLU: gradients are compared.
fn check_one(experiment: &Experiment, clips: usize) {
    let mut seeds = 0..20;
    let decided = seeds.find(|&seed| {
        let case = Case {
            experiment: experiment.clone(),
            clips,
            seed,
        };
        let decided = compare(EngineKind::Compiled, &case);
        decided.unwrap_or_else(|failure| panic!("seed {seed}: {failure}"))
    });
    assert!(decided.is_some(), "no seed decides every ReLU");
}

/// What no golden bundle trains: the official code's shift in groups of 16 frames, whatever the branch; the other
/// direction of the divergence; no distillation.
#[test]
fn groups_of_sixteen_frames_in_every_direction_of_distillation() {
    for distillation in [
        Distillation::FromLargest,
        Distillation::Reversed,
        Distillation::Off,
    ] {
        let method = Method::Ffn(Ffn {
            frames: vec![4, 8, 16],
            lambda: 1.5,
            alteration: Alteration::KaimingFanOut,
            norms: Norms::Private,
            distillation,
            shift_segments: ShiftSegments::Shared(16),
        });
        let resnet = ResNet {
            block: Block::Basic,
            blocks: vec![1],
            width: 8,
            stem: Stem::Small,
        };
        check_one(&small(method, resnet, 3), 4);
    }
}

/// ResNet-101's rule: where a third stage has 23 blocks, every second block shifts.
#[test]
fn every_second_block_shifts_in_a_long_stage() {
    let method = Method::Ffn(Ffn {
        frames: vec![2, 3],
        lambda: 1.0,
        alteration: Alteration::KaimingFanOut,
        norms: Norms::Private,
        distillation: Distillation::FromLargest,
        shift_segments: ShiftSegments::PerBranch,
    });
    let resnet = ResNet {
        block: Block::Bottleneck,
        blocks: vec![1, 1, 23],
        width: 2,
        stem: Stem::Small,
    };
    let experiment = small(method, resnet, 7);
    let graph = Graph::build(&experiment, (7, 7)).unwrap();
    let shifts = graph.nodes.iter().filter(|n| matches!(n.op, Op::Shift(_)));
    assert_eq!(shifts.count(), 1 + 1 + 12);
    check_one(&experiment, 2);
}
