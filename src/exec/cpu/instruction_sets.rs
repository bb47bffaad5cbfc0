//! Whole steps on each instruction set that the machine has: all give the same bits.

use pulp::Arch;

use super::simd::{CEILING, widest};
use super::*;
use crate::base::rng::{Purpose, Stream};
use crate::exec::{Input, Numerics, Segment, TrainOptions};
use crate::graph::arch::tsm::{self, Tsm};
use crate::graph::arch::uniformer::{self, UniFormer};
use crate::graph::{Graph, frame_flexible};
use crate::program::{compile_eval, compile_train};
use crate::spec::{
    self, Alteration, Backbone, Block, Distillation, Ffn, Init, Norms, ResNet, Shift, ShiftPlace,
    ShiftSegments, Stem,
};

const SIDE: usize = 32;
const FRAMES: [usize; 2] = [2, 3];

/// Every kind of step: windows of one, three and seven pixels with and without stride, pooling, norms, shift, alteration, dropout;
/// depthwise convolutions, attention, layer norms. 20 channels and their multiples leave strips, panels and vectors partly empty; 4
/// are computed with their neighbours.
fn graphs() -> [Graph; 3] {
    let uniformer = uniformer::uniformer(&UniFormer {
        layout: &spec::UniFormer {
            widths: [20, 24, 40, 24],
            depths: [1; 4],
            head_width: 8,
            mlp_ratio: 2,
            drop_path: 0.0,
            init: Init::Random,
        },
        classes: 7,
        frames: FRAMES[1],
        input: (SIDE, SIDE),
    });
    [
        tsm_of(Block::Bottleneck, 20),
        tsm_of(Block::Basic, 4),
        flexible(uniformer.unwrap()),
    ]
}

fn tsm_of(block: Block, width: usize) -> Graph {
    let vanilla = tsm::tsm(&Tsm {
        backbone: &Backbone::ResNet(ResNet {
            block,
            blocks: vec![1, 2],
            width,
            stem: Stem::ImageNet,
        }),
        shift: &Shift {
            div: 4,
            place: ShiftPlace::ResidualInput,
        },
        classes: 7,
        frames: FRAMES[1],
        input: (SIDE, SIDE),
    });
    flexible(vanilla.unwrap())
}

fn flexible(vanilla: Graph) -> Graph {
    let ffn = Ffn {
        frames: FRAMES.to_vec(),
        lambda: 1.0,
        alteration: Alteration::Normal { std: 1e-3 },
        norms: Norms::Private,
        distillation: Distillation::FromLargest,
        shift_segments: ShiftSegments::PerBranch,
    };
    frame_flexible(&vanilla, &ffn).unwrap()
}

fn segments() -> [Segment; 2] {
    [0, 1].map(|branch| Segment {
        branch,
        frames: FRAMES[branch],
        clips: 2,
    })
}

fn normal(seed: u64, count: usize, std: f32) -> Vec<f32> {
    let mut stream = Stream::new(seed, Purpose::Init, &[]);
    (0..count).map(|_| std * stream.normal() as f32).collect()
}

/// An engine whose threads see vectors no wider than `ceiling`'s.
fn below(graph: &Graph, program: Program, ceiling: Option<Arch>) -> Engine {
    let engine = Engine::new(graph, program, 2).unwrap();
    engine.pool.broadcast(|_| CEILING.set(ceiling));
    engine
}

fn bits(values: &[f32]) -> Vec<u32> {
    assert!(values.iter().all(|v| v.is_finite()));
    values.iter().map(|v| v.to_bits()).collect()
}

/// What a training step leaves (logits, gradients, running statistics) and the logits of an evaluation after it.
fn steps(graph: &Graph, numerics: Numerics, ceiling: Option<Arch>) -> Vec<Vec<u32>> {
    let params: Vec<_> = (graph.params.iter().enumerate())
        .map(|(i, param)| normal(i as u64, param.count(), 0.1))
        .collect();
    let params: Vec<_> = params.iter().map(Vec::as_slice).collect();
    let input = normal(99, 2 * (FRAMES[0] + FRAMES[1]) * SIDE * SIDE * 3, 1.0);
    let mut grads: Vec<_> = params.iter().map(|p| vec![0.0; p.len()]).collect();
    let mut stats = Statistics::initial(graph);
    let step = DropoutKey {
        seed: 1,
        step: 2,
        first_clip: 0,
    };
    let options = TrainOptions {
        dropout: 0.3,
        ..TrainOptions::BATCH_STATISTICS
    };

    let program = compile_train(graph, &segments(), &options, &[], numerics).unwrap();
    let mut engine = below(graph, program, ceiling);
    let logits = engine
        .forward(&params, &mut stats, Input::Values(&input), step)
        .unwrap();
    let mut found = vec![bits(logits)];
    let d_logits = normal(98, logits.len(), 1.0);
    let mut slices: Vec<_> = grads.iter_mut().map(Vec::as_mut_slice).collect();
    engine.backward(&params, &d_logits, &mut slices).unwrap();
    found.extend(grads.iter().map(|gradient| bits(gradient)));
    found.extend(stats.mean.iter().chain(&stats.var).map(|of| bits(of)));

    let program = compile_eval(graph, &segments(), &[], numerics).unwrap();
    let mut engine = below(graph, program, ceiling);
    let logits = engine
        .forward(&params, &mut stats, Input::Values(&input), step)
        .unwrap();
    found.push(bits(logits));
    found
}

/// The instruction sets below the machine's best.
fn ceilings() -> Vec<(&'static str, Arch)> {
    let mut ceilings = vec![("no vectors", Arch::Scalar)];
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    match pulp::x86::V3::try_new() {
        Some(simd) => ceilings.push(("AVX2", Arch::V3(simd))),
        None => eprintln!("skipped: AVX2, which this machine does not have"),
    }
    #[cfg(target_arch = "x86_64")]
    match pulp::x86::V4::try_new() {
        Some(simd) => ceilings.push(("AVX-512 without AMX", Arch::V4(simd))),
        None => eprintln!("skipped: AVX-512, which this machine does not have"),
    }
    ceilings
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    let all = [Numerics::Float32, Numerics::Bf16, Numerics::Bf16Amx];
    let graphs = graphs();
    let pairs = graphs
        .iter()
        .flat_map(|graph| all.map(|numerics| (graph, numerics)));
    for (graph, numerics) in pairs {
        let widest = steps(graph, numerics, None);
        for (name, ceiling) in ceilings() {
            let found = steps(graph, numerics, Some(ceiling));
            for (place, (found, wanted)) in found.iter().zip(&widest).enumerate() {
                let differ = found.iter().zip(wanted).filter(|(a, b)| a != b).count();
                let of = format!(
                    "{:?}, {numerics:?}, {name}: tensor {place}",
                    graph.architecture
                );
                assert_eq!(differ, 0, "{of}: {differ} of {} values", wanted.len());
            }
        }
    }
}

#[test]
fn a_ceiling_holds_on_the_engines_threads() {
    let [graph, ..] = graphs();
    let program = compile_eval(&graph, &segments(), &[], Numerics::Float32).unwrap();
    let engine = below(&graph, program, Some(Arch::Scalar));
    let held = engine.pool.broadcast(|_| matches!(widest(), Arch::Scalar));
    assert_eq!(held, [true, true]);
}
