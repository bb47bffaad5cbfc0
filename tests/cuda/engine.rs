//! The engine on an emulated GPU beside the CPU's: the same programs, weights and inputs.

use std::rc::Rc;

use ffn::base::rng::{Purpose, Stream};
use ffn::exec::cuda::libraries::{Search, Version};
use ffn::exec::cuda::probe::Probe;
use ffn::exec::cuda::{self, Gpu};
use ffn::exec::{Device, DropoutKey, Engine, Input, Segment, Statistics, TrainOptions, cpu};
use ffn::graph::arch::tsm;
use ffn::graph::{Architecture, Graph, ParamKind, frame_flexible};
use ffn::program::{
    Dtype, Fusions, Numerics, Program, Style, compile_eval, compile_statistics, compile_train,
};
use ffn::spec::*;

use crate::emulated::libraries;
use crate::networks;

/// Images that are not square.
const INPUT: (usize, usize) = (16, 20);
pub const STEP: DropoutKey = DropoutKey {
    seed: 7,
    step: 3,
    first_clip: 0,
};

/// How far values may be apart, relative to the expected ones.
#[derive(Clone, Copy)]
struct Tolerance {
    values: f64,
    gradients: f64,
}

/// The engines round to float32 in another order, and the CPU's uses Winograd's algorithm: both stay within a few times 1e-6 of the
/// truth on these networks, sums that cancel within ten times that.
const FLOAT32: Tolerance = Tolerance {
    values: 1e-4,
    gradients: 1e-4,
};

/// A value that is stored in bf16 has 8 bits. Through a dozen layers errors of 2⁻⁹ add up at random to about 1 %; on the way
/// back ReLUs pass other values too.
const BF16: Tolerance = Tolerance {
    values: 0.02,
    gradients: 0.15,
};

fn network(block: Block, stem: Stem, norms: Norms) -> Graph {
    network_of(INPUT, block, stem, norms)
}

pub fn network_of(input: (usize, usize), block: Block, stem: Stem, norms: Norms) -> Graph {
    let backbone = Backbone::ResNet(ResNet {
        block,
        blocks: vec![1, 2],
        width: 8,
        stem,
    });
    let vanilla = tsm::tsm(&tsm::Tsm {
        backbone: &backbone,
        shift: &Shift {
            div: 4,
            place: ShiftPlace::ResidualInput,
        },
        classes: 5,
        frames: 4,
        input,
    });
    let ffn = Ffn {
        frames: vec![2, 4],
        lambda: 1.0,
        alteration: Alteration::Normal { std: 1e-3 },
        norms,
        distillation: Distillation::FromLargest,
        shift_segments: ShiftSegments::PerBranch,
    };
    frame_flexible(&vanilla.unwrap(), &ffn).unwrap()
}

pub fn options() -> TrainOptions {
    TrainOptions {
        shift_segments: ShiftSegments::PerBranch,
        norm_clips: None,
        frozen_norms: FrozenNorms::Off,
        dropout: 0.0,
        drop_path: 0.0,
    }
}

/// Three clips of two frames and three of four.
pub fn segments() -> Vec<Segment> {
    let segment = |branch, frames| Segment {
        branch,
        frames,
        clips: 3,
    };
    vec![segment(0, 2), segment(1, 4)]
}

pub fn normal(seed: u64, count: usize) -> Vec<f32> {
    let mut stream = Stream::new(seed, Purpose::Init, &[]);
    (0..count).map(|_| stream.normal() as f32).collect()
}

/// Weights of the usual sizes, statistics near 0 and 1. The norms' biases put whole channels far on one side of zero or the
/// other: where a value rounds to another sign, its ReLU would pass another gradient, and no tolerance covers that.
pub fn weights(graph: &Graph) -> (Vec<Vec<f32>>, Statistics) {
    let params = graph.params.iter().enumerate().map(|(i, param)| {
        let fan_in: usize = param.shape[1..].iter().product();
        let (mean, std) = match param.kind {
            ParamKind::NormWeight => (1.0, 0.2),
            ParamKind::ClassifierBias => (0.0, 0.2),
            ParamKind::Alteration => (0.0, 0.3),
            _ => (0.0, (2.0 / fan_in as f32).sqrt()),
        };
        let values = normal(100 + i as u64, param.count()).into_iter();
        match param.kind {
            ParamKind::NormBias => values.map(|v| 3.0 * v.signum()).collect(),
            _ => values.map(|v| mean + std * v).collect(),
        }
    });
    let mut stats = Statistics::initial(graph);
    for (i, values) in stats.mean.iter_mut().chain(&mut stats.var).enumerate() {
        let drawn = normal(900 + i as u64, values.len());
        let pairs = values.iter_mut().zip(drawn);
        pairs.for_each(|(value, v)| *value += 0.1 * v.abs());
    }
    (params.collect(), stats)
}

/// What two passes leave, by name: logits, statistics, observed values, gradients.
fn passes(device: &dyn Device, graph: &Graph, program: Program) -> [Vec<(String, Vec<f32>)>; 2] {
    let mut engine = device.engine(graph, program).unwrap();
    [(); 2].map(|()| pass(device, &mut *engine, graph))
}

fn pass(device: &dyn Device, engine: &mut dyn Engine, graph: &Graph) -> Vec<(String, Vec<f32>)> {
    let (_, mut stats) = weights(graph);
    let program = engine.program();
    let trains = program.d_logits.is_some();
    let input = normal(1, program.buffers[program.input].len());
    let d_logits = normal(2, program.buffers[program.logits].len());
    let logits = engine.forward(&mut stats, Input::Values(&input), STEP);
    let logits = logits.unwrap();
    let mut all = vec![("logits".to_owned(), logits.to_vec())];
    if trains {
        engine.backward(&d_logits).unwrap();
        let named = graph.params.iter().zip(device.gradients().unwrap());
        all.extend(named.map(|(param, values)| (format!("gradient of {}", param.name), values)));
    }
    for (stat, (mean, var)) in graph
        .stats
        .iter()
        .zip(stats.mean.into_iter().zip(stats.var))
    {
        all.push((format!("{}.running_mean", stat.name), mean));
        all.push((format!("{}.running_var", stat.name), var));
    }
    let counts = stats.batches.iter().map(|&count| count as f32).collect();
    all.push(("num_batches_tracked".to_owned(), counts));
    let observed = engine.observed().into_iter();
    all.extend(observed.map(|(node, values)| (graph.nodes[node].name.clone(), values.to_vec())));
    all
}

fn is_gradient(name: &str) -> bool {
    name.starts_with("gradient")
}

fn rms(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len().max(1) as f64;
    (values.map(|v| v * v).sum::<f64>() / count).sqrt()
}

fn size(values: &[f32]) -> f64 {
    rms(values.iter().map(|&v| f64::from(v)))
}

/// Relative to the expected values, or to `least` where that is larger.
pub fn distance(found: &[f32], expected: &[f32], least: f64) -> f64 {
    let pairs = found.iter().zip(expected);
    let apart = rms(pairs.map(|(&a, &b)| f64::from(a) - f64::from(b)));
    apart / size(expected).max(least).max(1e-12)
}

/// What differs by more than the tolerance, relative to the expected values. Gradients that cancel, as those of biases before
/// another norm do, are nothing but rounding: these are held against a tenth of what gradients have on average.
fn far(
    tolerance: Tolerance,
    found: &[(String, Vec<f32>)],
    expected: &[(String, Vec<f32>)],
) -> Vec<String> {
    let gradients = expected.iter().filter(|(name, _)| is_gradient(name));
    let sizes: Vec<f64> = gradients.map(|(_, values)| size(values)).collect();
    let usual = sizes.iter().sum::<f64>() / sizes.len().max(1) as f64;
    let pairs = found.iter().zip(expected);
    let far = pairs.filter_map(|((name, found), (_, expected))| {
        let (tolerance, least) = match is_gradient(name) {
            true => (tolerance.gradients, 0.1 * usual),
            false => (tolerance.values, 0.0),
        };
        let distance = distance(found, expected, least);
        match distance < tolerance {
            true => None,
            // NaN is far too.
            false => Some(format!("{name}: {distance:.1e}")),
        }
    });
    far.collect()
}

/// The emulated GPU, open.
pub fn gpu() -> Option<Rc<Gpu>> {
    let probe = Probe::new(&Search::new(Some(libraries()?)));
    assert_eq!(probe.gpus.len(), 1, "{probe:?}");
    Some(Rc::new(Gpu::open(0).unwrap()))
}

/// The gradients of each kind of parameter as one: in bf16 those of single tensors of so small a network are noise.
fn by_kind(graph: &Graph, all: Vec<(String, Vec<f32>)>) -> Vec<(String, Vec<f32>)> {
    let (gradients, mut rest): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|(name, _)| is_gradient(name));
    let gradients: Vec<_> = graph.params.iter().zip(gradients).collect();
    for kind in ParamKind::ALL {
        let members = gradients.iter().filter(|(param, _)| param.kind == kind);
        let values = members.flat_map(|(_, (_, values))| values).copied();
        rest.push((format!("gradient of {kind:?}"), values.collect()));
    }
    rest
}

/// Runs a program on the CPU in float32 and on the GPU in both precisions, backward too if it has backward steps, and
/// twice on the GPU.
#[track_caller]
fn compare(graph: &Graph, program: impl Fn(Numerics) -> Program) {
    let gradients = match graph.architecture {
        Architecture::Tsm => BF16.gradients,
        // Gates and long chains of small convolutions.
        _ => 2.0 * BF16.gradients,
    };
    let bf16 = Tolerance { gradients, ..BF16 };
    let Some(gpu) = gpu() else { return };
    let (params, _) = weights(graph);
    let cuda = cuda::Cuda::new(gpu, graph, &params).unwrap();
    let cpu = cpu::Cpu::new(1, params);
    let [expected, _] = passes(&cpu, graph, program(Numerics::Float32));
    for (numerics, tolerance) in [(Numerics::Float32, FLOAT32), (Numerics::Bf16, bf16)] {
        let [found, again] = passes(&cuda, graph, program(numerics));
        assert!(
            found == again,
            "{numerics:?}: a second pass gives other bits"
        );
        let far = match numerics.dtype() {
            Dtype::Float32 => far(tolerance, &found, &expected),
            Dtype::Bf16 => {
                let expected = by_kind(graph, expected.clone());
                far(tolerance, &by_kind(graph, found), &expected)
            }
        };
        let (count, list) = (far.len(), far.join("\n"));
        let (all, what) = (expected.len(), graph.architecture);
        assert_eq!(
            count, 0,
            "{what:?}, {numerics:?}: {count} of {all} are far:\n{list}"
        );
    }
}

#[track_caller]
fn compare_training(graph: &Graph, options: &TrainOptions) {
    compare(graph, |numerics| {
        compile_train(graph, &segments(), options, &[], numerics).unwrap()
    });
}

pub fn flexible(block: Block, stem: Stem) -> Graph {
    network(block, stem, Norms::Private)
}

#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn training_basic_blocks() {
    compare_training(&flexible(Block::Basic, Stem::Small), &options());
}

/// Borders, maximum pooling, convolutions by Winograd's algorithm on the CPU.
#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn training_bottlenecks_with_a_full_stem() {
    compare_training(&flexible(Block::Bottleneck, Stem::ImageNet), &options());
}

#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn training_shared_norms() {
    compare_training(
        &network(Block::Basic, Stem::Small, Norms::Shared),
        &options(),
    );
}

#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn training_several_groups_and_dropout() {
    for (norm_clips, dropout) in [(Some(1), 0.0), (Some(2), 0.0), (None, 0.5)] {
        let options = TrainOptions {
            norm_clips,
            dropout,
            ..options()
        };
        compare_training(&flexible(Block::Basic, Stem::Small), &options);
    }
}

#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn training_frozen_norms() {
    let graph = flexible(Block::Basic, Stem::Small);
    for frozen_norms in [FrozenNorms::AllButFirst, FrozenNorms::All] {
        compare_training(
            &graph,
            &TrainOptions {
                frozen_norms,
                ..options()
            },
        );
    }
}

#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn training_shift_across_clips() {
    let options = TrainOptions {
        shift_segments: ShiftSegments::Shared(6),
        ..options()
    };
    compare_training(&flexible(Block::Basic, Stem::Small), &options);
}

#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn statistics_of_a_batch() {
    let graph = flexible(Block::Basic, Stem::Small);
    compare(&graph, |_| {
        compile_statistics(&graph, &segments(), Fusions::ALL).unwrap()
    });
}

/// Convolutions along time, channels of two pathways, layer norms, attention; dropout of values and of clips.
#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn the_other_architectures() {
    let options = TrainOptions {
        dropout: 0.3,
        drop_path: 0.5,
        ..options()
    };
    let vanilla = [
        networks::tea((30, 24)),
        networks::slowfast((48, 40)),
        networks::uniformer((40, 33)),
    ];
    for graph in vanilla.iter().map(networks::flexible) {
        compare_training(&graph, &options);
        compare(&graph, |numerics| {
            compile_eval(&graph, &segments(), &[], numerics).unwrap()
        });
    }
}

/// The plain steps, which no fusion has touched.
#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn without_fusions() {
    let graph = flexible(Block::Basic, Stem::ImageNet);
    let style = |numerics| Style {
        numerics,
        fusions: Fusions::NONE,
    };
    compare(&graph, |numerics| {
        compile_train(&graph, &segments(), &options(), &[], style(numerics)).unwrap()
    });
    compare(&graph, |numerics| {
        compile_eval(&graph, &segments(), &[], style(numerics)).unwrap()
    });
}

/// Norms, shift and alteration folded into convolutions, for each branch.
#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn evaluation() {
    for block in [Block::Basic, Block::Bottleneck] {
        let graph = flexible(block, Stem::ImageNet);
        compare(&graph, |numerics| {
            compile_eval(&graph, &segments(), &[], numerics).unwrap()
        });
    }
}

/// What is observed is not folded: each step by itself.
#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn observed() {
    let graph = flexible(Block::Bottleneck, Stem::ImageNet);
    let nodes: Vec<usize> = (0..graph.nodes.len()).collect();
    compare(&graph, |numerics| {
        compile_eval(&graph, &segments(), &nodes, numerics).unwrap()
    });
    compare(&graph, |numerics| {
        compile_train(&graph, &segments(), &options(), &nodes, numerics).unwrap()
    });
}

#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn gpus_without_tensor_cores_for_bf16_are_refused() {
    let Some(folder) = libraries() else { return };
    let probe = Probe::new(&Search::new(Some(folder)));
    let mut gpu = Gpu::open(0).unwrap();
    assert_eq!(probe.gpus[0].architecture, gpu.info.architecture);
    gpu.info.architecture = Version(7, 5);
    let graph = flexible(Block::Basic, Stem::Small);
    let program = compile_train(&graph, &segments(), &options(), &[], Numerics::Bf16).unwrap();
    let error = cuda::Engine::new(&graph, program, Rc::new(gpu))
        .err()
        .unwrap();
    assert_eq!(
        error.message,
        "Emulated GPU: bf16 needs compute capability 8.0, the GPU has 7.5"
    );
}
