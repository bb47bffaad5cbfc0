//! The compiled engine's kernels on the shapes of ResNet-50: `cargo bench --bench kernels [-- FILTER]`.
//!
//! Each layer is a network of its own, so that what runs is what the compiler makes of it, and no kernel needs a door for
//! benchmarks alone. The time is that of one step, by the engine's own clock; its throughput is in operations, two for each
//! multiply-add of the network's definition (`Gelem/s` are GFLOP/s; minimal filtering needs fewer), and for
//! steps without products in bytes that are read and written.

use std::collections::BTreeSet;
use std::time::Duration;

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use ffn::exec::{
    DropoutKey, Engine, EngineKind, Engines, Executor, Input, Segment, Statistics, TrainOptions,
    Weights,
};
use ffn::graph::op::windowed;
use ffn::graph::{Conv, Graph, Node, NodeId, NormParams, Op, Param, ParamKind, Role, Shape, Stat};
use ffn::program::Step;

/// Of the one clip that is computed.
const FRAMES: usize = 8;

/// A network around the layers that are looked at: a convolution before them makes the channels that they want of the
/// input's three; pooling and a classifier behind them make the logits that every network has.
struct Network {
    graph: Graph,
}

impl Network {
    fn new(channels: usize, side: usize) -> Self {
        let shape = square(3, side);
        let graph = Graph {
            nodes: vec![node("input", Op::Input, vec![], shape)],
            params: vec![],
            stats: vec![],
            branches: vec![FRAMES],
            classes: 1,
            input: (side, side),
        };
        Self { graph }.conv("stem", channels, 1, 1)
    }

    fn shape(&self) -> Shape {
        self.graph.nodes[self.graph.nodes.len() - 1].shape
    }

    fn then(mut self, name: &str, op: Op, shape: Shape) -> Self {
        let last: NodeId = self.graph.nodes.len() - 1;
        self.graph.nodes.push(node(name, op, vec![last], shape));
        self
    }

    fn param(&mut self, name: String, shape: &[usize]) -> usize {
        let (shape, kind) = (shape.to_vec(), ParamKind::Conv);
        self.graph.params.push(Param { name, shape, kind });
        self.graph.params.len() - 1
    }

    fn conv(mut self, name: &str, channels: usize, kernel: usize, stride: usize) -> Self {
        let from = self.shape();
        let shape = [channels, from.channels, kernel, kernel];
        let conv = Conv {
            weight: self.param(format!("{name}.weight"), &shape),
            kernel,
            stride,
            padding: kernel / 2,
            role: Role::Inner,
        };
        let side = windowed(from.width, kernel, stride, conv.padding);
        let side = side.expect("the window fits");
        self.then(name, Op::Conv(conv), square(channels, side))
    }

    fn norm(mut self) -> Self {
        let shape = self.shape();
        let [weight, bias] =
            ["norm.weight", "norm.bias"].map(|name| self.param(name.to_owned(), &[shape.channels]));
        self.graph.stats.push(Stat {
            name: "norm".to_owned(),
            channels: shape.channels,
        });
        let norm = NormParams {
            weight,
            bias,
            stat: 0,
        };
        self.then("norm", Op::Norm(vec![norm]), shape)
            .then("relu", Op::Relu, shape)
    }

    fn shift(mut self) -> Self {
        let shape = self.shape();
        let weight = self.param("alter.weight".to_owned(), &[shape.channels, 1, 1, 1]);
        self.then("shift", Op::Shift { div: 8 }, shape).then(
            "alter",
            Op::Alter(vec![weight]),
            shape,
        )
    }

    fn pool(self) -> Self {
        let Shape {
            channels, width, ..
        } = self.shape();
        self.then("pool", Op::MaxPool, square(channels, width.div_ceil(2)))
    }

    fn finish(mut self) -> Graph {
        let features = self.shape().channels;
        let weight = self.param("fc.weight".to_owned(), &[1, features]);
        let bias = self.param("fc.bias".to_owned(), &[1]);
        let logits = square(1, 1);
        self.then("average", Op::GlobalAveragePool, square(features, 1))
            .then("fc", Op::Linear { weight, bias }, logits)
            .then("mean", Op::FrameMean, logits)
            .graph
    }
}

fn square(channels: usize, side: usize) -> Shape {
    Shape {
        channels,
        height: side,
        width: side,
    }
}

fn node(name: &str, op: Op, inputs: Vec<NodeId>, shape: Shape) -> Node {
    Node {
        name: name.to_owned(),
        op,
        inputs,
        shape,
    }
}

/// A program with everything that it reads.
struct Work {
    engine: Engine,
    weights: Weights,
    stats: Statistics,
    input: Vec<f32>,
    grads: Vec<Vec<f32>>,
}

impl Work {
    fn new(graph: &Graph, train: bool, engine: EngineKind) -> ffn::base::Result<Self> {
        let segments = [Segment {
            branch: 0,
            frames: FRAMES,
            clips: 1,
        }];
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let engines = Engines::new(Executor {
            engine,
            ..Executor::compiled(threads)
        });
        let options = TrainOptions::BATCH_STATISTICS;
        let engine = match train {
            true => engines.train(graph, &segments, &options, &[])?,
            false => engines.eval(graph, &segments, &[])?,
        };
        let counts = graph.params.iter().map(Param::count);
        let params: Vec<Vec<f32>> = counts.map(values).collect();
        Ok(Self {
            engine,
            grads: params.clone(),
            weights: Weights::Host(params.into()),
            stats: Statistics::initial(graph),
            input: values(FRAMES * graph.nodes[0].shape.count()),
        })
    }

    /// A pass as far as step `step`, forward or backward; its time.
    fn time(&mut self, step: usize) -> Duration {
        let spent = |engine: &Engine| {
            engine
                .times()
                .into_iter()
                .nth(step)
                .map_or(Duration::ZERO, |t| t.1)
        };
        let before = spent(&self.engine);
        let dropout = DropoutKey { seed: 0, step: 0 };
        let input = Input::Values(&self.input);
        let forward = (self.engine).forward(&self.weights, &mut self.stats, input, dropout);
        forward.expect("the slices are as long as the program wants them");
        if step >= self.engine.program().forward.len() {
            let mut grads: Vec<&mut [f32]> = self.grads.iter_mut().map(Vec::as_mut_slice).collect();
            let backward = self.engine.backward(&self.weights, &[1.0], &mut grads);
            backward.expect("it is a program for training");
        }
        spent(&self.engine) - before
    }
}

/// Values between −0.5 and 0.5 that do not repeat soon.
fn values(count: usize) -> Vec<f32> {
    let value = |i: usize| (i * 7919 % 10007) as f32 / 10007.0 - 0.5;
    (0..count).map(value).collect()
}

/// A benchmark for each of the network's steps that `wanted` picks, in training and in evaluation.
fn measure(criterion: &mut Criterion, name: &str, network: Network, wanted: fn(&Step) -> bool) {
    let graph = network.finish();
    graph.verify().expect("the layers fit");
    let engines = [
        EngineKind::Compiled,
        EngineKind::CompiledBf16,
        EngineKind::CompiledAmx,
    ];
    for (engine, (program, train)) in engines
        .into_iter()
        .flat_map(|engine| [("train", true), ("eval", false)].map(|program| (engine, program)))
    {
        let mut work = Work::new(&graph, train, engine).expect("the program fits into memory");
        let title = format!("{name}, {program}, {}", engine.name());
        let mut group = criterion.benchmark_group(title);
        // As many passes for each sample: the engine's clock runs in a part of them alone.
        group.sampling_mode(SamplingMode::Flat);
        let mut seen = BTreeSet::new();
        let steps: Vec<_> = (work.engine.program().forward.iter())
            .chain(&work.engine.program().backward)
            .cloned()
            .collect();
        for (index, step) in steps.into_iter().enumerate() {
            let name = format!("{}: {}", step.name, step.op.kind());
            // The backward pass computes some of the forward's steps again.
            if !wanted(&step) || !seen.insert(name.clone()) {
                continue;
            }
            let cost = work.engine.program().cost(&step);
            group.throughput(match cost.multiply_adds {
                0 => Throughput::Bytes(cost.bytes),
                products => Throughput::Elements(2 * products),
            });
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|times| (0..times).map(|_| work.time(index)).sum());
            });
        }
    }
}

/// Whether it is part of the layers that are looked at, and not of what stands around them.
fn is_inner(step: &Step) -> bool {
    !["stem", "fc", "mean"].contains(&step.name.as_str())
}

fn is_product(step: &Step) -> bool {
    step.op.kind().starts_with("convolution")
}

/// The three convolutions of a bottleneck block at each of the four stages.
fn convolutions(criterion: &mut Criterion) {
    for stage in 0..4 {
        let (width, side) = (64 << stage, 56 >> stage);
        for (kernel, from, to) in [
            (1, 4 * width, width),
            (3, width, width),
            (1, width, 4 * width),
        ] {
            let name = format!("{kernel}x{kernel}, {from} to {to} channels, {side}x{side}");
            let network = Network::new(from, side).conv("conv", to, kernel, 1).norm();
            measure(criterion, &name, network, |step| {
                is_inner(step) && is_product(step)
            });
        }
    }
}

/// What goes over activations once: those of the first stage are the largest.
fn passes(criterion: &mut Criterion) {
    let network = Network::new(256, 56).norm().shift().pool();
    measure(criterion, "256 channels, 56x56", network, |step| {
        is_inner(step) && !is_product(step)
    });
}

criterion_group! {
    name = kernels;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(500));
    targets = convolutions, passes
}
criterion_main!(kernels);
