//! Every kernel on the emulated GPU beside the reference kernels of `src/ops`, step by step: small shapes drawn at random, images
//! that are not square, channels that fill vectors and channels that do not, float32 and bf16.

use std::collections::BTreeSet;
use std::rc::Rc;

use ffn::base::rng::{Purpose as Draws, Stream};
use ffn::base::{Error, Kind};
use ffn::exec::cuda::plan::DevicePlan;
use ffn::exec::cuda::work::Call;
use ffn::exec::cuda::{self, Gpu, compile};
use ffn::exec::{DropoutKey, Statistics};
use ffn::graph::{Architecture, Graph, Node, Param, ParamKind, Stat};
use ffn::ops::batch::BatchRules;
use ffn::ops::reference::{Array, ArrayMut};
use ffn::ops::*;
use ffn::program::{Numerics, Parameter, Program, Purpose};

use crate::engine::{gpu, normal};

const KEY: DropoutKey = DropoutKey {
    seed: 5,
    step: 2,
    first_clip: 0,
};
const EPS: f64 = 1e-3;

/// How far values may be from the reference's in float64, relative to their own size plus their root mean square. Sums of a few
/// hundred float32 values; values that are rounded to 8 bits; and hundreds of products by a weight that is rounded to them once
/// norm and alteration are folded in, whose sum the norm's bias may cancel.
const FLOAT32: f64 = 2e-5;
const BF16: f64 = 1.0 / 128.0;
const BF16_FOLDED: f64 = 1.0 / 16.0;

/// How a buffer is stored.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stored {
    /// As activations are.
    Activation,
    Float32,
}
use Stored::{Activation, Float32};

#[derive(Debug, Clone)]
struct Case {
    op: StepOp,
    reads: Vec<(Extent, Stored)>,
    writes: Vec<(Extent, Stored)>,
    /// Shapes of the parameters.
    params: Vec<Vec<usize>>,
    /// Channels of the running statistics.
    stats: Vec<usize>,
}

fn case(
    op: impl Into<StepOp>,
    reads: &[(Extent, Stored)],
    writes: &[(Extent, Stored)],
    params: &[&[usize]],
) -> Case {
    Case {
        op: op.into(),
        reads: reads.to_vec(),
        writes: writes.to_vec(),
        params: params.iter().map(|shape| shape.to_vec()).collect(),
        stats: Vec::new(),
    }
}

fn batch() -> Batch {
    let segment = |branch, frames, clips| Segment {
        branch,
        frames,
        clips,
    };
    let rules = BatchRules {
        branches: &[2, 5],
        rates: &[Rate::FRAME, Rate::Every(2), Rate::Clip],
        norm_clips: Some(2),
        period: None,
    };
    Batch::new(&[segment(0, 2, 3), segment(1, 5, 2)], &rules).unwrap()
}

/// Small numbers.
struct Dice(Stream);

impl Dice {
    fn of(&mut self, choices: &[usize]) -> usize {
        let at = self.0.uniform() * choices.len() as f64;
        choices[at as usize]
    }

    fn map(&mut self, channels: usize) -> Extent {
        let height = self.of(&[3, 4, 5, 6]);
        let width = height + self.of(&[1, 2, 3]);
        Extent {
            rate: Rate::FRAME,
            shape: Shape {
                channels,
                height,
                width,
            },
        }
    }

    fn channels(&mut self) -> usize {
        self.of(&[3, 8, 12, 16])
    }
}

fn pixel(extent: Extent) -> Extent {
    extent.with(Shape::vector(extent.shape.channels))
}

/// `x` after windows.
fn windowed_by(x: Extent, kernel: [usize; 2], stride: [usize; 2], padding: [usize; 2]) -> Shape {
    let side =
        |side, axis: usize| windowed(side, kernel[axis], stride[axis], padding[axis]).unwrap();
    Shape {
        height: side(x.shape.height, 0),
        width: side(x.shape.width, 1),
        ..x.shape
    }
}

fn convolutions(dice: &mut Dice) -> Vec<Case> {
    let (inputs, outputs) = (dice.channels(), dice.channels());
    let x = dice.map(inputs);
    let (kernel, padding) = (
        [dice.of(&[1, 3]), dice.of(&[1, 2, 3])],
        [dice.of(&[0, 1]), 1],
    );
    let stride = [dice.of(&[1, 2]), dice.of(&[1, 2])];
    let to = windowed_by(x, kernel, stride, padding);
    let y = x.with(Shape {
        channels: outputs,
        ..to
    });
    let conv = Conv {
        weight: 0,
        bias: None,
        kernel: [1, kernel[0], kernel[1]],
        stride: [1, stride[0], stride[1]],
        padding: [0, padding[0], padding[1]],
        groups: 1,
    };
    let biased = Conv {
        bias: Some(1),
        ..conv
    };
    let weight = [outputs, inputs, kernel[0], kernel[1]];
    let mut cases = Vec::new();
    for stored in [Activation, Float32] {
        let (x, y) = ((x, stored), (y, Activation));
        cases.push(case(conv, &[x], &[y], &[&weight]));
        cases.push(case(biased, &[x], &[y], &[&weight, &[outputs]]));
        cases.push(case(ConvBackWeight(conv), &[x, y], &[], &[&weight]));
    }
    let (x, y) = ((x, Activation), (y, Activation));
    cases.push(case(ConvBackInput(conv), &[y], &[x], &[&weight]));
    let bias = ConvBackBias { bias: 0 };
    cases.push(case(bias, &[y], &[], &[&[outputs]]));
    cases.push(case(bias, &[(pixel(y.0), Float32)], &[], &[&[outputs]]));
    cases
}

fn convolutions_along_time(dice: &mut Dice) -> Vec<Case> {
    let (inputs, outputs) = (dice.channels(), dice.channels());
    let x = dice.map(inputs);
    let mut cases = Vec::new();
    for (kernel, stride, padding) in [
        ([5, 3, 3], [1, 2, 2], [2, 1, 1]),
        ([3, 1, 1], [1, 1, 1], [1, 0, 0]),
        ([7, 1, 1], [2, 1, 1], [3, 0, 0]),
        ([1, 2, 2], [2, 2, 2], [0, 0, 0]),
    ] {
        let images = |sizes: [usize; 3]| [sizes[1], sizes[2]];
        let to = windowed_by(x, images(kernel), images(stride), images(padding));
        let y = Extent {
            rate: Rate::Every(stride[0]),
            shape: Shape {
                channels: outputs,
                ..to
            },
        };
        let conv = Conv {
            weight: 0,
            bias: None,
            kernel,
            stride,
            padding,
            groups: 1,
        };
        let biased = Conv {
            bias: Some(1),
            ..conv
        };
        let weight = [&[outputs, inputs][..], &kernel].concat();
        for stored in [Activation, Float32] {
            let (x, y) = ((x, stored), (y, Activation));
            cases.push(case(biased, &[x], &[y], &[&weight, &[outputs]]));
            cases.push(case(ConvBackWeight(conv), &[x, y], &[], &[&weight]));
        }
        let op = FoldedConv {
            alter: vec![1, 2],
            norm: Some(norm(3, true)),
            relu: true,
            ..FoldedConv::plain(conv)
        };
        let (a, n) = ([inputs], [outputs]);
        let params: [&[usize]; 7] = [&weight, &a, &a, &n, &n, &n, &n];
        let (x, y) = ((x, Activation), (y, Activation));
        cases.push(Case {
            stats: vec![outputs; 2],
            ..case(op, &[x], &[y], &params)
        });
        cases.push(case(ConvBackInput(conv), &[y], &[x], &[&weight]));
    }
    cases
}

fn depthwise(dice: &mut Dice) -> Vec<Case> {
    let channels = dice.channels();
    let x = (dice.map(channels), Activation);
    let mut cases = Vec::new();
    for kernel in [[3, 1, 1], [5, 1, 1], [1, 3, 3], [3, 3, 5]] {
        let conv = Conv {
            weight: 0,
            bias: None,
            kernel,
            stride: [1; 3],
            padding: kernel.map(|side| side / 2),
            groups: channels,
        };
        let biased = Conv {
            bias: Some(1),
            ..conv
        };
        let weight = [&[channels, 1][..], &kernel].concat();
        cases.push(case(biased, &[x], &[x], &[&weight, &[channels]]));
        cases.push(case(ConvBackInput(conv), &[x], &[x], &[&weight]));
        cases.push(case(ConvBackWeight(conv), &[x, x], &[], &[&weight]));
    }
    cases
}

/// Norms of two branches, whose parameters begin at `first`.
fn norm(first: usize, frozen: bool) -> Norm {
    let branch = |stat| NormParams {
        weight: first + 2 * stat,
        bias: first + 2 * stat + 1,
        stat,
    };
    Norm {
        branches: vec![branch(0), branch(1)],
        eps: EPS,
        frozen,
    }
}

fn folded(dice: &mut Dice) -> Vec<Case> {
    let (inputs, outputs) = (dice.channels(), dice.channels());
    let x = dice.map(inputs);
    let y = x.with_channels(outputs);
    let weight = [outputs, inputs, 3, 3];
    let mut cases = Vec::new();
    for shift in [None, Some(4)] {
        for altered in [false, true] {
            for (normed, residual) in [(false, false), (true, false), (true, true)] {
                let op = FoldedConv {
                    shift,
                    alter: if altered { vec![1, 2] } else { Vec::new() },
                    norm: normed.then(|| norm(3, true)),
                    residual,
                    relu: normed,
                    ..FoldedConv::plain(Conv::of_images(0, 3, 1))
                };
                let (a, n) = ([inputs], [outputs]);
                let params: [&[usize]; 7] = [&weight, &a, &a, &n, &n, &n, &n];
                let mut reads = vec![(x, Activation)];
                reads.extend(residual.then_some((y, Activation)));
                let stats = vec![outputs; 2];
                cases.push(Case {
                    stats,
                    ..case(op, &reads, &[(y, Activation)], &params)
                });
            }
        }
    }
    cases
}

fn norms(dice: &mut Dice) -> Vec<Case> {
    let channels = dice.channels();
    let map = dice.map(channels);
    let coefficients = Extent {
        rate: Rate::Group,
        shape: Shape {
            channels,
            height: 4,
            width: 1,
        },
    };
    let coefficients = (coefficients, Float32);
    let n = [channels];
    let params: [&[usize]; 4] = [&n, &n, &n, &n];
    let mut cases = Vec::new();
    for x in [(map, Activation), (pixel(map), Float32)] {
        let batch = BatchStatistics(norm(0, false));
        cases.push(case(batch, &[x], &[coefficients], &params));
        let running = RunningStatistics(norm(0, true));
        cases.push(case(running, &[], &[coefficients], &params));
        for (relu, residual) in [(false, false), (true, false), (true, true)] {
            let norm = norm(0, false);
            let op = Normalize {
                norm,
                relu,
                residual,
            };
            let mut reads = vec![x, coefficients];
            reads.extend(residual.then_some(x));
            cases.push(case(op, &reads, &[x], &params));
        }
        for mask in [Mask::All, Mask::Recomputed, Mask::Output] {
            for (keeps, frozen) in [(false, false), (true, false), (true, true), (false, true)] {
                let norm = norm(0, frozen);
                let op = NormalizeBack { norm, mask, keeps };
                let mut reads = vec![x, x, coefficients];
                reads.extend((mask == Mask::Output).then_some(x));
                let writes = if keeps { vec![x, x] } else { vec![x] };
                cases.push(case(op, &reads, &writes, &params));
            }
        }
    }
    let stats = vec![channels; 2];
    let with_statistics = |case| Case {
        stats: stats.clone(),
        ..case
    };
    cases.into_iter().map(with_statistics).collect()
}

fn single_values(dice: &mut Dice) -> Vec<Case> {
    let channels = dice.channels();
    let map = dice.map(channels);
    let x = (map, Activation);
    let mut cases = Vec::new();
    for op in [Each::Relu, Each::Sigmoid, Each::Gelu, Each::Add(-0.3)] {
        cases.push(case(op, &[x], &[x], &[]));
    }
    for op in [EachBack::Relu, EachBack::Sigmoid, EachBack::Gelu] {
        cases.push(case(op, &[x, x], &[x], &[]));
    }
    for op in [Binary::Add, Binary::Subtract, Binary::Multiply] {
        for b in [
            x,
            (map, Float32),
            (pixel(map), Float32),
            (pixel(map), Activation),
        ] {
            cases.push(case(op, &[x, b], &[x], &[]));
        }
    }
    for y in [(pixel(map), Float32), (pixel(map), Activation)] {
        for negated in [false, true] {
            cases.push(case(SumPixels { negated }, &[x], &[y], &[]));
        }
        cases.push(case(SumProducts, &[x, x], &[y], &[]));
    }
    cases.push(case(SumPixels { negated: true }, &[x], &[x], &[]));
    let dropout = Dropout {
        drops: Drops::Values,
        probability: 0.4,
        index: 1,
    };
    for x in [x, (pixel(map), Float32)] {
        cases.push(case(dropout, &[x], &[x, x], &[]));
    }
    let drops = Drops::Clips { share: 0.5 };
    let dropout = Dropout { drops, ..dropout };
    let mask = (dropout.mask(map), Activation);
    cases.push(case(dropout, &[x], &[x, mask], &[]));
    cases
}

fn layer_norms(dice: &mut Dice) -> Vec<Case> {
    let channels = dice.channels();
    let x = (dice.map(channels), Activation);
    let n = [channels];
    let params: [&[usize]; 4] = [&n; 4];
    let branch = |first| Affine {
        weight: first,
        bias: first + 1,
    };
    let mut cases = Vec::new();
    for branches in [vec![branch(0)], vec![branch(0), branch(2)]] {
        let norm = LayerNorm { branches, eps: EPS };
        cases.push(case(norm.clone(), &[x], &[x], &params));
        cases.push(case(LayerNormBack(norm), &[x, x], &[x], &params));
    }
    cases
}

fn attention(dice: &mut Dice) -> Vec<Case> {
    let (heads, width) = (dice.of(&[1, 2, 3]), dice.of(&[3, 4, 8]));
    let y = dice.map(heads * width);
    let (x, y) = (
        (y.with_channels(3 * heads * width), Activation),
        (y, Activation),
    );
    let scale = 0.4;
    let attention = Attention { heads, scale };
    vec![
        case(attention, &[x], &[y], &[]),
        case(AttentionBack(attention), &[y, x], &[x], &[]),
    ]
}

fn probabilities(dice: &mut Dice) -> Vec<Case> {
    let channels = dice.channels();
    let map = dice.map(channels);
    let x = (map, Activation);
    let mut cases = Vec::new();
    for y in [(pixel(map), Float32), (pixel(map), Activation)] {
        cases.push(case(MeanProbabilities, &[x], &[y], &[]));
        cases.push(case(MeanProbabilitiesBack, &[y, x, y], &[x], &[]));
    }
    cases
}

fn pooling(dice: &mut Dice) -> Vec<Case> {
    let channels = dice.channels();
    let x = dice.map(channels);
    let mut cases = Vec::new();
    for pooled in [Pooled::Max, Pooled::Mean] {
        for (window, stride, padding) in [(3, 2, 1), (3, 1, 1), (2, 2, 0), (3, 3, 2)] {
            let pool = Pool {
                pooled,
                window,
                stride,
                padding,
            };
            let y = x.with(windowed_by(x, [window; 2], [stride; 2], [padding; 2]));
            let (x, y) = ((x, Activation), (y, Activation));
            cases.push(case(pool, &[x], &[y], &[]));
            let reads = match pooled {
                Pooled::Max => vec![y, x],
                Pooled::Mean => vec![y],
            };
            cases.push(case(PoolBack(pool), &reads, &[x], &[]));
        }
    }
    for stored in [Activation, Float32] {
        let (map, pixel) = ((x, Activation), (pixel(x), stored));
        cases.push(case(Mean::Pixels, &[map], &[pixel], &[]));
        cases.push(case(MeanBack(Mean::Pixels), &[pixel], &[map], &[]));
        let rate = Rate::Clip;
        let clip = (Extent { rate, ..x }, stored);
        cases.push(case(Mean::Rows, &[map], &[clip], &[]));
        cases.push(case(MeanBack(Mean::Rows), &[clip], &[map], &[]));
    }
    cases
}

fn along_time(dice: &mut Dice) -> Vec<Case> {
    let channels = dice.channels();
    let map = dice.map(channels);
    let x = (map, Activation);
    let div = dice.of(&[2, 3, 4]);
    let weights = vec![0, 1];
    let a = [channels];
    let params: [&[usize]; 2] = [&a, &a];
    let mut cases = vec![
        case(Shift { div }, &[x], &[x], &[]),
        case(ShiftBack { div }, &[x], &[x], &[]),
    ];
    let alter = Alter {
        weights: weights.clone(),
    };
    cases.push(case(alter, &[x], &[x], &params));
    let back = AlterBack {
        weights: weights.clone(),
    };
    cases.push(case(back, &[x, x], &[x], &params));
    for (div, weights) in [
        (Some(div), weights.clone()),
        (Some(div), Vec::new()),
        (None, weights),
    ] {
        let of = ShiftAlter { div, weights };
        cases.push(case(of.clone(), &[x], &[x], &params));
        for adds in [false, true] {
            let count = 1 + usize::from(!of.weights.is_empty()) + usize::from(adds);
            let of = of.clone();
            let back = ShiftAlterBack { of, adds };
            cases.push(case(back, &vec![x; count], &[x], &params));
        }
    }
    for (offset, rate) in [(1, Rate::FRAME), (-2, Rate::FRAME), (-1, Rate::Every(2))] {
        let x = (Extent { rate, ..map }, Activation);
        cases.push(case(TakeFrames::Moved { offset }, &[x], &[x], &[]));
    }
    for joined in [false, true] {
        let every = 2;
        let slow = Extent {
            rate: Rate::Every(every),
            ..map
        };
        let rule = TakeFrames::Spread { every, joined };
        let (fast, slow) = (x, (slow, Activation));
        cases.push(case(rule, &[fast], &[slow], &[]));
        cases.push(case(TakeFramesBack(rule), &[slow], &[fast], &[]));
    }
    cases
}

fn channels(dice: &mut Dice) -> Vec<Case> {
    let parts = [dice.channels(), dice.channels(), dice.channels()];
    let whole = dice.map(parts.iter().sum());
    let part = |index: usize| (whole.with_channels(parts[index]), Activation);
    let (first, whole) = (parts[0], (whole, Activation));
    let slice = SliceChannels {
        first,
        count: parts[1],
    };
    vec![
        case(slice, &[whole], &[part(1)], &[]),
        case(PadChannels { first }, &[part(1)], &[whole], &[]),
        case(ConcatChannels, &[part(0), part(1), part(2)], &[whole], &[]),
    ]
}

impl Case {
    /// A program of this step alone.
    fn program(&self, numerics: Numerics) -> Program {
        let batch = batch();
        let all = self.reads.iter().chain(&self.writes).enumerate();
        let buffers = all.map(|(id, &(extent, stored))| Buffer {
            name: format!("buffer {id}"),
            rows: batch.at(extent.rate).rows,
            dtype: match stored {
                Activation => numerics.dtype(),
                Float32 => Dtype::Float32,
            },
            extent,
        });
        let buffers: Vec<Buffer> = buffers.collect();
        let reads = self.reads.len();
        let step = Step {
            name: "step".to_owned(),
            op: self.op.clone(),
            reads: (0..reads).collect(),
            writes: (reads..buffers.len()).collect(),
        };
        let params = self.params.iter().map(|shape| Parameter {
            name: "parameter".to_owned(),
            shape: shape.clone(),
            trained: true,
        });
        Program {
            purpose: Purpose::Training,
            numerics,
            logits: buffers.len() - 1,
            buffers,
            forward: vec![step],
            backward: Vec::new(),
            input: 0,
            observed: Vec::new(),
            d_logits: None,
            params: params.collect(),
            batch,
        }
    }

    fn graph(&self) -> Graph {
        let shape = Shape::vector(3);
        let input = Node {
            name: "input".to_owned(),
            op: Input.into(),
            inputs: Vec::new(),
            rate: Rate::FRAME,
            shape,
        };
        let param = |shape: &Vec<usize>| Param {
            name: "parameter".to_owned(),
            shape: shape.clone(),
            kind: ParamKind::Conv,
        };
        let stat = |&channels: &usize| Stat {
            name: "statistic".to_owned(),
            channels,
        };
        Graph {
            architecture: Architecture::Tsm,
            nodes: vec![input],
            params: self.params.iter().map(param).collect(),
            stats: self.stats.iter().map(stat).collect(),
            branches: vec![2, 5],
            classes: 1,
            input: (1, 1),
        }
    }

    fn statistics(&self) -> Statistics {
        let stats = self.stats.iter().enumerate();
        let mean = |(at, &count): (usize, &usize)| normal(700 + at as u64, count);
        let var = |values: Vec<f32>| values.iter().map(|v| 0.5 + v.abs()).collect();
        Statistics {
            mean: stats.clone().map(mean).collect(),
            var: stats
                .map(|(at, &count)| var(normal(800 + at as u64, count)))
                .collect(),
            batches: vec![0; self.stats.len()],
        }
    }
}

/// What a step leaves, by name.
type Left = Vec<(String, Vec<f64>)>;

/// What goes into a step.
struct Given {
    reads: Vec<Vec<f32>>,
    params: Vec<Vec<f32>>,
    stats: Statistics,
}

impl Given {
    /// Values that bf16 can hold: what is compared is what kernels do with them.
    fn new(case: &Case, program: &Program) -> Self {
        let rounded = |seed, count| -> Vec<f32> {
            let values = normal(seed, count).into_iter();
            values
                .map(|v| f32::from_bits(v.to_bits() & 0xffff_0000))
                .collect()
        };
        let reads = program.buffers[..case.reads.len()].iter().enumerate();
        let params = program.params.iter().enumerate();
        let count = |param: &Parameter| param.shape.iter().product();
        Self {
            reads: reads
                .map(|(at, buffer)| rounded(at as u64, buffer.len()))
                .collect(),
            params: params
                .map(|(at, p)| rounded(500 + at as u64, count(p)))
                .collect(),
            stats: case.statistics(),
        }
    }
}

fn exact(all: &[Vec<f32>]) -> Vec<Vec<f64>> {
    let exact = |values: &Vec<f32>| values.iter().map(|&v| f64::from(v)).collect();
    all.iter().map(exact).collect()
}

fn named(what: &str, all: Vec<Vec<f64>>) -> Left {
    let all = all.into_iter().enumerate();
    all.map(|(index, values)| (format!("{what} {index}"), values))
        .collect()
}

fn reference(case: &Case, program: &Program, given: &Given) -> Left {
    let (reads, params) = (exact(&given.reads), exact(&given.params));
    let count = case.reads.len();
    let mut writes: Vec<_> = program.buffers[count..]
        .iter()
        .map(|b| vec![0.0; b.len()])
        .collect();
    let mut grads: Vec<Vec<f64>> = params.iter().map(|p| vec![0.0; p.len()]).collect();
    let mut stats = given.stats.clone();
    let arrays = program.buffers[..count].iter().zip(&reads);
    let written = program.buffers[count..].iter().zip(&mut writes);
    let slices: Vec<&[f64]> = params.iter().map(Vec::as_slice).collect();
    let mut gradients: Vec<&mut [f64]> = grads.iter_mut().map(Vec::as_mut_slice).collect();
    case.op.reference(Site {
        batch: &program.batch,
        reads: arrays
            .map(|(b, values)| Array {
                extent: b.extent,
                values,
            })
            .collect(),
        writes: written
            .map(|(b, values)| ArrayMut {
                extent: b.extent,
                values,
            })
            .collect(),
        params: &slices,
        grads: &mut gradients,
        stats: &mut stats,
        dropout: KEY,
    });
    let mut left = named("output", writes);
    left.extend(named("gradient", grads));
    left.extend(named("running mean", exact(&stats.mean)));
    left.extend(named("running variance", exact(&stats.var)));
    left
}

fn computed(gpu: &Rc<Gpu>, case: &Case, program: &Program, given: &Given) -> Left {
    let graph = case.graph();
    let weights = cuda::Weights::new(Rc::clone(gpu), &graph, &given.params).unwrap();
    weights.prepare_gradients().unwrap();
    weights.write_statistics(&given.stats).unwrap();
    let mut engine = cuda::Engine::new(&graph, program.clone(), Rc::clone(gpu)).unwrap();
    let reads = given.reads.iter().map(Vec::as_slice).enumerate();
    let (reads, wanted) = (reads.collect::<Vec<_>>(), program.forward[0].writes.clone());
    let writes = engine.compute(&weights, &reads, &wanted, KEY).unwrap();
    let mut stats = given.stats.clone();
    weights.queue_statistics().unwrap();
    weights.take_statistics(&mut stats);
    let mut left = named("output", exact(&writes));
    left.extend(named("gradient", exact(&weights.read_gradients().unwrap())));
    left.extend(named("running mean", exact(&stats.mean)));
    left.extend(named("running variance", exact(&stats.var)));
    left
}

/// How many values are further apart than they may, and the first of them.
fn far(found: &[f64], expected: &[f64], tolerance: f64) -> Option<String> {
    let square: f64 = expected.iter().map(|v| v * v).sum();
    let size = (square / expected.len().max(1) as f64).sqrt();
    let is_far = |&(_, (a, b)): &(usize, (&f64, &f64))| {
        let distance = (a - b).abs();
        distance.is_nan() || distance > tolerance * (b.abs() + size) + 1e-30
    };
    let far: Vec<_> = found
        .iter()
        .zip(expected)
        .enumerate()
        .filter(is_far)
        .collect();
    let (at, (a, b)) = far.first()?;
    let (count, all) = (far.len(), expected.len());
    Some(format!(
        "{count} of {all} values, value {at}: {a}, expected {b}"
    ))
}

#[test]
fn every_kernel_computes_its_reference() {
    let Some(gpu) = gpu() else { return };
    let mut mistakes = Vec::new();
    let mut launched = BTreeSet::new();
    for seed in 0..4 {
        let mut dice = Dice(Stream::new(seed, Draws::Init, &[7]));
        let families = [
            convolutions,
            convolutions_along_time,
            depthwise,
            folded,
            norms,
            layer_norms,
            attention,
            probabilities,
            single_values,
            pooling,
            along_time,
            channels,
        ];
        for case in families.iter().flat_map(|family| family(&mut dice)) {
            let bf16 = match case.op {
                StepOp::FoldedConv(_) => BF16_FOLDED,
                // What a row gets from each of its readers is rounded before it is added up.
                StepOp::ConvBackInput(ConvBackInput(conv)) if conv.kernel[0] > 1 => BF16_FOLDED,
                _ => BF16,
            };
            for (numerics, tolerance) in [(Numerics::Float32, FLOAT32), (Numerics::Bf16, bf16)] {
                let program = case.program(numerics);
                launched.extend(kernels(&program));
                let given = Given::new(&case, &program);
                let expected = reference(&case, &program, &given);
                let found = computed(&gpu, &case, &program, &given);
                for ((name, found), (_, expected)) in found.iter().zip(&expected) {
                    if let Some(far) = far(found, expected, tolerance) {
                        mistakes.push(format!("{numerics:?} {:?}\n  {name}: {far}", case));
                    }
                }
            }
        }
    }
    let count = mistakes.len();
    assert_eq!(count, 0, "{count} are far:\n{}", mistakes.join("\n"));
    // What is no step's has tests of its own.
    launched.extend(
        [
            "normalize_pixels",
            "squares",
            "clamp_gradients",
            "update",
            "adamw",
        ]
        .map(str::to_owned),
    );
    assert_eq!(launched, all_kernels());
}

/// The kernels that a program launches.
fn kernels(program: &Program) -> Vec<String> {
    let plan = DevicePlan::of(program).unwrap();
    let calls = plan.plan.tasks().flat_map(|task| &task.kernel);
    let names = calls.filter_map(|call| match call {
        Call::Launch(launch) => Some(launch.kernel.name.to_owned()),
        Call::Convolve(_) | Call::CopyMask { .. } => None,
    });
    names.collect()
}

fn all_kernels() -> BTreeSet<String> {
    let text = compile::kernels();
    let names = text.split("\nKERNEL void ").skip(1);
    names
        .map(|rest| rest.split('(').next().unwrap().to_owned())
        .collect()
}

/// What no kernel computes is refused before a device is asked for anything.
#[test]
fn steps_without_a_kernel_are_refused() {
    let refused =
        |case: &Case, numerics| -> Error { DevicePlan::of(&case.program(numerics)).err().unwrap() };
    let x = Extent {
        rate: Rate::FRAME,
        shape: Shape {
            channels: 4,
            height: 3,
            width: 5,
        },
    };
    let conv = Conv {
        groups: 2,
        ..Conv::of_images(0, 3, 1)
    };
    let grouped = case(
        conv,
        &[(x, Activation)],
        &[(x, Activation)],
        &[&[4, 2, 3, 3]],
    );
    let error = refused(&grouped, Numerics::Float32);
    assert_eq!(error.kind, Kind::Device);
    assert_eq!(
        error.message,
        "`step`: CUDA has no kernel for this grouped convolution, from 4×3×5 Float32 to 4×3×5 Float32"
    );
    let mixed = case(Each::Relu, &[(x, Float32)], &[(x, Activation)], &[]);
    let error = refused(&mixed, Numerics::Bf16);
    assert!(
        error.message.contains("from 4×3×5 Float32 to 4×3×5 Bf16"),
        "{error}"
    );
    assert!(DevicePlan::of(&mixed.program(Numerics::Float32)).is_ok());
}
