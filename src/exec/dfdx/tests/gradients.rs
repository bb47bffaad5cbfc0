//! Every gradient against finite differences, and logits and gradients against the reference kernels.

use dfdx::prelude::*;

use super::rows;
use crate::base::Result;
use crate::base::rng::{Purpose, Stream};
use crate::exec::dfdx::{Pass, Training, Vector};
use crate::exec::reference::Reference;
use crate::exec::{DropoutKey, Fusions, Numerics, Segment, Statistics, Style, TrainOptions};
use crate::graph::{Architecture, Builder, Graph, Network, NodeId, ParamKind};
use crate::ops::{
    Affine, Attention, BatchNorm, Binary, ConcatChannels, Conv, Dropout, Drops, Each, LayerNorm,
    Mean, MeanProbabilities, Pool, Pooled, SliceChannels, TakeFrames,
};
use crate::program::compile_train;
use crate::spec::ShiftSegments;

/// Of the networks whose gradients are checked.
pub const FRAMES: usize = 4;
const INPUT: (usize, usize) = (5, 4);
/// Of the logits of two clips, in the sum whose gradient is looked at.
const WEIGHTS: [f64; 4] = [1., -2., 3., 0.5];
/// Channels behind the stem.
const WIDTH: usize = 4;

/// A network of a stem, whose gradient has passed all that `layers` puts behind it, and a classifier.
pub fn between(layers: impl FnOnce(&mut Builder, NodeId) -> Result<NodeId>) -> Graph {
    let mut net = Builder::new(&Network {
        architecture: Architecture::Tsm,
        classes: 2,
        frames: FRAMES,
        input: INPUT,
    });
    let x = net.conv("stem", (WIDTH, 3, 1), 0).unwrap();
    let x = layers(&mut net, x).unwrap();
    net.frame_classifier(x).unwrap();
    net.finish().unwrap()
}

fn conv(net: &mut Builder, x: NodeId, shape: &[usize], rest: Conv) -> Result<NodeId> {
    let weight = net.param("conv.weight", shape, ParamKind::Conv);
    let bias = net.param("conv.bias", &shape[..1], ParamKind::Conv);
    let bias = Some(bias);
    net.layer(
        "conv",
        Conv {
            weight,
            bias,
            ..rest
        },
        &[x],
    )
}

/// Two clips in a training pass, with statistics, dropout and clips along time as a training step has them.
struct Trial {
    graph: Graph,
    options: TrainOptions,
    pixels: Vec<f32>,
}

impl Trial {
    fn new(graph: Graph, options: TrainOptions) -> Self {
        let count = 2 * FRAMES * graph.nodes[0].shape.count();
        let pixels = normal(0, count).map(|v| v as f32).collect();
        Self {
            graph,
            options,
            pixels,
        }
    }

    fn leaves(&self) -> Vec<Vec<f64>> {
        let params = self.graph.params.iter().zip(1..);
        let values = params.map(|(param, stream)| normal(stream, param.count()).collect());
        values.collect()
    }

    /// The logits, each weighed by its place.
    fn forward<T: Tape<f64, Cpu>>(&self, leaves: &[Vector<f64>]) -> Tensor<(), f64, Cpu, T> {
        let pass = Pass {
            graph: &self.graph,
            segment: Segment {
                branch: 0,
                frames: FRAMES,
                clips: 2,
            },
            training: Some(Training {
                options: &self.options,
                dropout: DropoutKey {
                    seed: 1,
                    step: 2,
                    first_clip: 0,
                },
            }),
            observed: &[],
        };
        let mut statistics = Statistics::initial(&self.graph);
        let output = pass.forward::<f64, T>(leaves, &mut statistics, &self.pixels);
        (output.unwrap().logits * rows(WEIGHTS, 2)).sum()
    }

    /// The reference kernels of the plain program, which share nothing with this engine, give the same logits and gradients.
    fn compare(&self, values: &[Vec<f64>], found: &[Vec<f64>]) {
        let segment = Segment {
            branch: 0,
            frames: FRAMES,
            clips: 2,
        };
        let style = Style {
            numerics: Numerics::Float32,
            fusions: Fusions::NONE,
        };
        let program = compile_train(&self.graph, &[segment], &self.options, &[], style).unwrap();
        let mut reference = Reference::new(&program);
        let input: Vec<f64> = self.pixels.iter().map(|&v| f64::from(v)).collect();
        let mut statistics = Statistics::initial(&self.graph);
        let key = DropoutKey {
            seed: 1,
            step: 2,
            first_clip: 0,
        };
        let logits = reference
            .forward(values, &mut statistics, &input, key)
            .unwrap();
        let total: f64 = logits.iter().zip(WEIGHTS).map(|(l, w)| l * w).sum();
        let own = self.value(values);
        assert!(
            (total - own).abs() < 1e-9 * own.abs(),
            "expected {total}, found {own}"
        );
        let expected = reference.backward(values, &WEIGHTS).unwrap();
        for ((expected, found), param) in expected.iter().zip(found).zip(&self.graph.params) {
            let error = relative_error(found, expected);
            assert!(error < 1e-8, "{}: relative error {error:.1e}", param.name);
        }
    }

    fn value(&self, values: &[Vec<f64>]) -> f64 {
        let leaves: Vec<_> = values.iter().map(|values| leaf(values)).collect();
        self.forward::<NoneTape>(&leaves).array()
    }

    /// Every parameter's gradient against central differences, relative to its own size: no gradient may be missing.
    fn check(&self) {
        const STEP: f64 = 1e-5;
        let mut values = self.leaves();
        let leaves: Vec<_> = values.iter().map(|values| leaf(values)).collect();
        let gradients = self.forward::<OwnedTape<f64, Cpu>>(&leaves).backward();
        for (id, param) in self.graph.params.iter().enumerate() {
            let found = gradients.get(&leaves[id]).as_vec();
            let mut difference = |at: usize| {
                let mut around = |step: f64| {
                    values[id][at] += step;
                    let value = self.value(&values);
                    values[id][at] -= step;
                    value
                };
                (around(STEP) - around(-STEP)) / (2.0 * STEP)
            };
            let expected: Vec<f64> = (0..param.count()).map(&mut difference).collect();
            let size = relative_error(&expected, &vec![0.0; expected.len()]);
            assert!(
                size > 1e-3,
                "{}: the logits hardly depend on it",
                param.name
            );
            let error = relative_error(&found, &expected);
            assert!(error < 1e-6, "{}: relative error {error:.1e}", param.name);
        }
        let found = leaves.iter().map(|leaf| gradients.get(leaf).as_vec());
        self.compare(&values, &found.collect::<Vec<_>>());
    }
}

/// ‖found − expected‖ / ‖expected‖; of zeros ‖found‖.
fn relative_error(found: &[f64], expected: &[f64]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let apart = norm(&mut found.iter().zip(expected).map(|(f, e)| f - e));
    match norm(&mut expected.iter().copied()) {
        0.0 => apart,
        size => apart / size,
    }
}

fn normal(stream: u64, count: usize) -> impl Iterator<Item = f64> {
    let mut stream = Stream::new(11, Purpose::Init, &[stream]);
    (0..count).map(move |_| stream.normal())
}

fn leaf(values: &[f64]) -> Vector<f64> {
    let len = values.len();
    Cpu::default().tensor_from_vec(values.to_vec(), (len,))
}

fn check(layers: impl FnOnce(&mut Builder, NodeId) -> Result<NodeId>) {
    Trial::new(between(layers), TrainOptions::BATCH_STATISTICS).check();
}

fn plain(kernel: [usize; 3]) -> Conv {
    Conv {
        kernel,
        padding: kernel.map(|side| side / 2),
        ..Conv::of_images(0, 1, 1)
    }
}

#[test]
fn gradients_of_convolutions() {
    check(|net, x| conv(net, x, &[3, WIDTH, 3, 3, 3], plain([3, 3, 3])));
    check(|net, x| conv(net, x, &[3, WIDTH, 3], plain([3, 1, 1])));
    check(|net, x| conv(net, x, &[2, WIDTH, 1, 3], plain([1, 1, 3])));
    let strided = Conv {
        stride: [1, 2, 2],
        groups: 2,
        ..plain([1, 3, 3])
    };
    check(|net, x| conv(net, x, &[6, WIDTH / 2, 3, 3], strided));
    // Every second frame; the last window of five lies over the clip's end.
    for kernel in [[3, 1, 1], [5, 3, 1]] {
        let strided = Conv {
            stride: [2, 1, 1],
            ..plain(kernel)
        };
        let shape = [3, WIDTH, kernel[0], kernel[1], kernel[2]];
        check(|net, x| conv(net, x, &shape, strided));
    }
    for kernel in [[3, 1, 1], [1, 3, 3], [3, 3, 1]] {
        let depthwise = Conv {
            groups: WIDTH,
            ..plain(kernel)
        };
        let shape = [WIDTH, 1, kernel[0], kernel[1], kernel[2]];
        check(|net, x| conv(net, x, &shape, depthwise));
    }
}

#[test]
fn gradients_of_pooling() {
    for pooled in [Pooled::Max, Pooled::Mean] {
        for stride in [1, 2] {
            check(|net, x| net.layer("pool", Pool::of_three(pooled, stride), &[x]));
        }
    }
}

#[test]
fn gradients_of_functions() {
    check(|net, x| net.layer("sigmoid", Each::Sigmoid, &[x]));
    check(|net, x| net.layer("gelu", Each::Gelu, &[x]));
    check(|net, x| {
        let y = net.layer("add", Each::Add(0.5), &[x])?;
        net.layer("multiply", Binary::Multiply, &[x, y])
    });
    for function in [Binary::Add, Binary::Subtract, Binary::Multiply] {
        check(|net, x| {
            let squares = net.layer("squares", Binary::Multiply, &[x, x])?;
            let pixel = net.layer("pixel", Mean::Pixels, &[squares])?;
            let y = net.layer("binary", function, &[x, pixel])?;
            net.layer("sigmoid", Each::Sigmoid, &[y])
        });
    }
}

#[test]
fn gradients_along_time_and_of_channels() {
    for offset in [1, -1, 2] {
        check(|net, x| net.layer("take", TakeFrames::Moved { offset }, &[x]));
    }
    check(|net, x| {
        let first = net.layer("first", SliceChannels { first: 0, count: 1 }, &[x])?;
        let rest = net.layer("rest", SliceChannels { first: 1, count: 3 }, &[x])?;
        let rest = net.layer("sigmoid", Each::Sigmoid, &[rest])?;
        net.layer("concat", ConcatChannels, &[rest, x, first, x])
    });
    check(|net, x| {
        let y = net.layer("rows", Each::Sigmoid, &[x])?;
        let y = net.layer("shift", crate::ops::Shift { div: 4 }, &[y])?;
        net.layer("relu", Each::Relu, &[y])
    });
}

/// The slow frames of a clip, beside every second one that a convolution leaves.
#[test]
fn gradients_of_slow_frames() {
    for joined in [false, true] {
        check(|net, x| {
            let slow = TakeFrames::Spread { every: 2, joined };
            let slow = net.layer("slow", slow, &[x])?;
            let strided = Conv {
                stride: [2, 1, 1],
                ..plain([3, 1, 1])
            };
            let fast = conv(net, x, &[3, WIDTH, 3, 1, 1], strided)?;
            net.layer("concat", ConcatChannels, &[slow, fast])
        });
    }
}

/// Two heads over all pixels of a clip, behind a layer norm.
#[test]
fn gradients_of_layer_norm_and_attention() {
    check(|net, x| {
        let weight = net.param("norm.weight", &[WIDTH], ParamKind::NormWeight);
        let bias = net.param("norm.bias", &[WIDTH], ParamKind::NormBias);
        let branches = vec![Affine { weight, bias }];
        let norm = LayerNorm { branches, eps: 0.1 };
        let x = net.layer("norm", norm, &[x])?;
        let x = net.conv("qkv", (3 * WIDTH, 1, 1), x)?;
        let attention = Attention {
            heads: 2,
            scale: 0.4,
        };
        net.layer("attention", attention, &[x])
    });
}

#[test]
fn gradients_of_mean_probabilities() {
    check(|net, x| net.layer("probabilities", MeanProbabilities, &[x]));
}

/// A clip's residual is dropped, or not, as a whole; two layers draw by themselves.
#[test]
fn gradients_of_drop_path() {
    let graph = between(|net, x| {
        let y = net.layer("gelu", Each::Gelu, &[x])?;
        let y = net.layer(
            "first",
            Dropout::layer(Drops::Clips { share: 2.0 / 3.0 }),
            &[y],
        )?;
        let y = net.layer("sum", Binary::Add, &[x, y])?;
        let z = net.layer("sigmoid", Each::Sigmoid, &[y])?;
        let z = net.layer("second", Dropout::layer(Drops::Clips { share: 1.0 }), &[z])?;
        net.layer("all", Binary::Add, &[y, z])
    });
    let options = TrainOptions {
        // Kept values are multiplied by 2 and by 4, which no precision rounds.
        drop_path: 0.75,
        ..TrainOptions::BATCH_STATISTICS
    };
    let trial = Trial::new(graph.clone(), options);
    trial.check();
    let whole = Trial::new(graph, TrainOptions::BATCH_STATISTICS);
    let leaves = trial.leaves();
    assert_ne!(trial.value(&leaves), whole.value(&leaves));
}

/// Norms with an eps of their own, in groups of a clip; two dropout layers; time across clips.
#[test]
fn gradients_of_norms_and_dropout() {
    let graph = between(|net, x| {
        let x = net.norm("norm", x)?;
        let x = net.layer("drop", Dropout::layer(Drops::Values), &[x])?;
        net.layer("take", TakeFrames::Moved { offset: 1 }, &[x])
    });
    let mut graph = graph;
    for node in &mut graph.nodes {
        if let crate::graph::Op::BatchNorm(norm) = &mut node.op {
            norm.eps = 0.5;
        }
    }
    let options = TrainOptions {
        shift_segments: ShiftSegments::Shared(2 * FRAMES),
        norm_clips: Some(1),
        dropout: 0.5,
        ..TrainOptions::BATCH_STATISTICS
    };
    Trial::new(graph, options).check();
}

/// What stands under the root is the norm's own eps.
#[test]
fn a_norm_takes_its_own_eps() {
    let output = |eps: f64| {
        let mut graph = between(|net, x| net.norm("norm", x));
        for node in &mut graph.nodes {
            if let crate::graph::Op::BatchNorm(norm) = &mut node.op {
                norm.eps = eps;
            }
        }
        let trial = Trial::new(graph, TrainOptions::BATCH_STATISTICS);
        trial.value(&trial.leaves())
    };
    assert!((output(1.0) - output(BatchNorm::EPS)).abs() > 1e-3);
}
