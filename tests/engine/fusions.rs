//! Fusions and fast kernels change how a network is computed, not what: the plain program by the reference kernels in float64 says
//! what.

use ffn::exec::reference::Reference;
use ffn::exec::{Fusions, Style};
use ffn::ops::{Rate, Real};
use ffn::program::{Fusion, Program, compile_eval, compile_train};
use proptest::prelude::*;

use super::*;

/// Distance of float32 from float64, relative to the length of the tensor.
const FLOAT32: f64 = 1e-5;
/// How many times as far as the plain reference itself in float32: where norms see few values, all of float32 loses digits.
const TIMES: f64 = 30.0;
/// Of two orders of sums in float64, in the same networks.
const FLOAT64: f64 = 1e-6;
/// Of bf16, of logits and of all gradients together: norms over few values amplify its errors.
const BF16: [f64; 2] = [0.15, 0.8];

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

fn all_wide(values: &[Vec<f32>]) -> Vec<Vec<f64>> {
    values.iter().map(|v| wide(v)).collect()
}

fn relative(found: &[f64], expected: &[f64]) -> f64 {
    let squares = found.iter().zip(expected).map(|(a, b)| (a - b) * (a - b));
    let length: f64 = expected.iter().map(|b| b * b).sum();
    (squares.sum::<f64>() / length.max(1e-30)).sqrt()
}

/// A network, a batch for it, and how it is trained.
#[derive(Debug)]
struct Case {
    graph: Graph,
    segments: Vec<Segment>,
    options: TrainOptions,
}

/// What a pass leaves, in float64.
struct Outcome {
    logits: Vec<f64>,
    grads: Vec<Vec<f64>>,
    stats: Statistics,
}

impl Case {
    fn program(&self, style: Style) -> Program {
        compile_train(&self.graph, &self.segments, &self.options, &[], style).unwrap()
    }

    fn pixels(&self, frames: usize) -> Vec<f32> {
        let (height, width) = self.graph.input;
        normal(5, frames * height * width * 3)
    }

    fn d_logits(&self) -> Vec<f32> {
        let clips: usize = self.segments.iter().map(|s| s.clips).sum();
        normal(6, clips * CLASSES)
    }

    fn by_reference<R: Real>(&self, style: Style) -> Outcome {
        let of =
            |values: &[f32]| -> Vec<R> { values.iter().map(|&v| R::of(f64::from(v))).collect() };
        let exact = |values: &[R]| values.iter().map(|v| v.exact()).collect();
        let program = self.program(style);
        let weights = smooth(&self.graph);
        let params: Vec<Vec<R>> = weights.params.iter().map(|p| of(p)).collect();
        let (pixels, mut stats) = (of(&self.pixels(program.batch.frames)), weights.stats);
        let mut reference = Reference::<R>::new(&program);
        let logits = reference
            .forward(&params, &mut stats, &pixels, STEP)
            .unwrap();
        let logits = exact(logits);
        let grads = reference.backward(&params, &of(&self.d_logits())).unwrap();
        let grads = grads.iter().map(|g| exact(g)).collect();
        Outcome {
            logits,
            grads,
            stats,
        }
    }

    /// How far the plain reference in float32 strays from float64, in the tensor where it strays most.
    fn float32_error(&self, expected: &Outcome) -> f64 {
        let found = self.by_reference::<f32>(PLAIN);
        let grads = found.grads.iter().zip(&expected.grads);
        let errors = grads.map(|(found, expected)| relative(found, expected));
        errors.fold(relative(&found.logits, &expected.logits), f64::max)
    }

    fn by_engine(&self, style: Style) -> Outcome {
        let program = self.program(style);
        let pixels = self.pixels(program.batch.frames);
        let weights = smooth(&self.graph);
        let params: Vec<&[f32]> = weights.params.iter().map(Vec::as_slice).collect();
        let mut stats = weights.stats.clone();
        let mut engine = cpu::Engine::new(&self.graph, program, 2).unwrap();
        let logits = engine.forward(&params, &mut stats, Input::Values(&pixels), STEP);
        let logits = wide(logits.unwrap());
        let mut grads: Vec<Vec<f32>> = params.iter().map(|p| vec![f32::NAN; p.len()]).collect();
        let mut written: Vec<&mut [f32]> = grads.iter_mut().map(Vec::as_mut_slice).collect();
        engine
            .backward(&params, &self.d_logits(), &mut written)
            .unwrap();
        let grads = all_wide(&grads);
        Outcome {
            logits,
            grads,
            stats,
        }
    }

    /// The logits in evaluation of one segment, by the plain reference and by the engine.
    fn evaluated(&self, segment: Segment, style: Style) -> [Vec<f64>; 3] {
        let weights = smooth(&self.graph);
        let pixels = self.pixels(segment.clips * segment.frames);
        let reference = |style: Style| {
            let program = compile_eval(&self.graph, &[segment], &[], style).unwrap();
            let mut stats = weights.stats.clone();
            let params = all_wide(&weights.params);
            let mut reference = Reference::<f64>::new(&program);
            let logits = reference.forward(&params, &mut stats, &wide(&pixels), STEP);
            logits.unwrap().to_vec()
        };
        let program = compile_eval(&self.graph, &[segment], &[], style).unwrap();
        let params: Vec<&[f32]> = weights.params.iter().map(Vec::as_slice).collect();
        let mut stats = weights.stats.clone();
        let mut engine = cpu::Engine::new(&self.graph, program, 2).unwrap();
        let logits = engine.forward(&params, &mut stats, Input::Values(&pixels), STEP);
        [reference(PLAIN), reference(style), wide(logits.unwrap())]
    }

    fn assert_near(&self, found: &Outcome, expected: &Outcome, tolerance: f64, what: &str) {
        let logits = relative(&found.logits, &expected.logits);
        assert!(logits < tolerance, "{what}: logits {logits:.1e}");
        let grads = found.grads.iter().zip(&expected.grads);
        for (param, (found, expected)) in self.graph.params.iter().zip(grads) {
            let distance = relative(found, expected);
            assert!(
                distance < tolerance,
                "{what}: {} {distance:.1e}",
                param.name
            );
        }
        let means = found.stats.mean.iter().zip(&expected.stats.mean);
        for (found, expected) in means.chain(found.stats.var.iter().zip(&expected.stats.var)) {
            let distance = relative(&wide(found), &wide(expected));
            assert!(
                distance < tolerance.max(1e-6),
                "{what}: statistics {distance:.1e}"
            );
        }
        assert_eq!(found.stats.batches, expected.stats.batches, "{what}");
    }

    /// Training in float32 with these fusions.
    fn check_training(&self, fusions: Fusions) {
        let style = Style {
            fusions,
            numerics: Numerics::Float32,
        };
        let expected = self.by_reference::<f64>(PLAIN);
        let tolerance = FLOAT32.max(TIMES * self.float32_error(&expected));
        let what = format!("--fuse {fusions}");
        self.assert_near(&self.by_reference::<f64>(style), &expected, FLOAT64, &what);
        self.assert_near(&self.by_engine(style), &expected, tolerance, &what);
    }

    fn check_evaluation(&self, fusions: Fusions) {
        let style = Style {
            fusions,
            numerics: Numerics::Float32,
        };
        for segment in [segment(1, 3, 2), segment(0, 2, 1)] {
            let [expected, fused, engine] = self.evaluated(segment, style);
            assert!(relative(&fused, &expected) < FLOAT64, "--fuse {fusions}");
            assert!(relative(&engine, &expected) < FLOAT32, "--fuse {fusions}");
        }
    }
}

const PLAIN: Style = Style {
    numerics: Numerics::Float32,
    fusions: Fusions::NONE,
};

fn each_fusion() -> impl Iterator<Item = Fusions> {
    let single = Fusion::ALL
        .into_iter()
        .map(|fusion| Fusions::NONE.with(fusion));
    [Fusions::NONE, Fusions::ALL].into_iter().chain(single)
}

fn small_tsm(block: Block, input: (usize, usize)) -> Graph {
    let backbone = Backbone::ResNet(ResNet {
        block,
        blocks: vec![1, 2],
        width: 8,
        stem: Stem::ImageNet,
    });
    let place = ShiftPlace::ResidualInput;
    let tsm = Tsm {
        backbone: &backbone,
        shift: &Shift { div: 4, place },
        classes: CLASSES,
        frames: 4,
        input,
    };
    flexible(&tsm::tsm(&tsm).unwrap())
}

fn case(graph: Graph) -> Case {
    Case {
        graph,
        segments: both(2).to_vec(),
        options: TrainOptions {
            dropout: 0.3,
            drop_path: 0.5,
            ..options()
        },
    }
}

/// Images of different height and width through whole networks.
fn cases() -> Vec<Case> {
    let tsm = [Block::Basic, Block::Bottleneck].map(|block| small_tsm(block, (24, 30)));
    let others = [
        flexible(&networks::tea((30, 24))),
        flexible(&networks::slowfast((48, 40))),
        flexible(&networks::uniformer((40, 33))),
    ];
    tsm.into_iter().chain(others).map(case).collect()
}

#[test]
fn each_fusion_computes_what_the_plain_program_does() {
    for case in cases() {
        for fusions in each_fusion() {
            case.check_training(fusions);
            case.check_evaluation(fusions);
        }
    }
}

#[test]
fn fusions_save_steps() {
    // What is computed again costs a step and saves memory.
    let saving = Fusion::ALL.into_iter().filter(|&f| f != Fusion::Recompute);
    let style = Style {
        fusions: saving.fold(Fusions::NONE, Fusions::with),
        ..PLAIN
    };
    for case in cases() {
        let (fused, plain) = (case.program(style), case.program(PLAIN));
        let (fused, plain) = (fused.steps().count(), plain.steps().count());
        match case.graph.architecture {
            // Nothing stands behind its batch norms, and nothing is folded in training.
            Architecture::UniFormer => assert_eq!(fused, plain),
            Architecture::SlowFast { .. } => assert!(fused < plain),
            _ => assert!(fused < plain * 9 / 10),
        }
    }
}

#[test]
fn bf16_stays_near() {
    for case in cases() {
        let expected = case.by_reference::<f64>(PLAIN);
        for numerics in [Numerics::Bf16, Numerics::Bf16Amx] {
            for fusions in [Fusions::ALL, Fusions::NONE] {
                let found = case.by_engine(Style { numerics, fusions });
                let architecture = case.graph.architecture;
                let what = format!("{architecture:?}, {numerics:?} --fuse {fusions}");
                let logits = relative(&found.logits, &expected.logits);
                let grads = relative(&found.grads.concat(), &expected.grads.concat());
                assert!(logits < BF16[0], "{what}: logits {logits:.2}");
                assert!(grads < BF16[1], "{what}: gradients {grads:.2}");
            }
        }
    }
}

fn any_case() -> impl Strategy<Value = Case> {
    let sides = (13..28usize, 13..28usize);
    let frozen = prop_oneof![
        Just(FrozenNorms::Off),
        Just(FrozenNorms::AllButFirst),
        Just(FrozenNorms::All)
    ];
    let shared = prop_oneof![
        Just(ShiftSegments::PerBranch),
        Just(ShiftSegments::Shared(4))
    ];
    let training = (frozen, shared, prop::option::of(1..3usize), 0..2u8);
    (0..5u8, sides, training, 1..3usize).prop_map(|(network, sides, training, clips)| {
        let graph = match network {
            0 => small_tsm(Block::Basic, sides),
            1 => small_tsm(Block::Bottleneck, sides),
            2 => flexible(&networks::tea(sides)),
            3 => flexible(&networks::slowfast(sides)),
            // Four halvings, and a first one by four.
            _ => flexible(&networks::uniformer((20 + sides.0, 20 + sides.1))),
        };
        let (frozen_norms, mut shift_segments, norm_clips, dropout) = training;
        if graph
            .rates()
            .iter()
            .any(|rate| matches!(rate, Rate::Every(2..)))
        {
            // Clips are not joined where time has strides.
            shift_segments = ShiftSegments::PerBranch;
        }
        Case {
            graph,
            segments: both(2 * clips).to_vec(),
            options: TrainOptions {
                shift_segments,
                norm_clips,
                frozen_norms,
                dropout: 0.3 * f32::from(dropout),
                drop_path: 0.5 * f32::from(dropout),
            },
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    /// Whatever the network, its images' sides, the batch, and how norms and time are grouped.
    #[test]
    fn any_fusions_of_any_network(case in any_case(), set in 0..1u8 << Fusion::ALL.len()) {
        let all = Fusion::ALL.into_iter().enumerate();
        let chosen = all.filter(|(i, _)| set >> i & 1 != 0);
        let fusions = chosen.fold(Fusions::NONE, |set, (_, fusion)| set.with(fusion));
        case.check_training(fusions);
        case.check_evaluation(fusions);
    }
}
