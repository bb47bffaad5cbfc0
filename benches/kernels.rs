//! The compiled engine's kernels on the shapes of ResNet-50: `cargo bench --bench kernels [-- FILTER]`.
//!
//! Each layer is a network of its own, so that what runs is what the compiler makes of it, and no kernel needs a door for
//! benchmarks alone. The time is that of one task of the engine's plan, by its own clock; its throughput is in operations, two for each
//! multiply-add of the network's definition (`Gelem/s` are GFLOP/s; Winograd's algorithm needs fewer), and for
//! tasks without products in bytes that are read and written.

use std::collections::BTreeSet;
use std::time::Duration;

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use ffn::base::Result;
use ffn::exec::{
    DropoutKey, Engine, EngineKind, Executor, Input, Segment, Statistics, TrainOptions, device,
};
use ffn::graph::{Architecture, Builder, Graph, Network, NodeId, Param, ParamKind};
use ffn::ops::{Alter, Op, Pool, Pooled, Shift};
use ffn::program::{compile_eval, compile_train};

/// Of the one clip that is computed.
const FRAMES: usize = 8;

/// A network around the layers that are looked at: a convolution before them makes the channels that they want of the
/// input's three; pooling and a classifier behind them make the logits that every network has.
struct Layers {
    net: Builder,
    last: NodeId,
}

impl Layers {
    fn new(channels: usize, side: usize) -> Result<Self> {
        let net = Builder::new(&Network {
            architecture: Architecture::Tsm,
            classes: 1,
            frames: FRAMES,
            input: (side, side),
        });
        Self { net, last: 0 }.conv("stem", channels, 1)
    }

    fn then(mut self, name: &str, op: impl Into<Op>) -> Result<Self> {
        self.last = self.net.layer(name, op, &[self.last])?;
        Ok(self)
    }

    fn conv(mut self, name: &str, channels: usize, kernel: usize) -> Result<Self> {
        self.last = self.net.conv(name, (channels, kernel, 1), self.last)?;
        Ok(self)
    }

    fn norm(mut self) -> Result<Self> {
        let norm = self.net.norm("norm", self.last)?;
        self.last = self.net.relu("relu", norm)?;
        Ok(self)
    }

    fn shift(mut self) -> Result<Self> {
        let shape = [self.net.channels(self.last), 1, 1, 1];
        let weight = self
            .net
            .param("alter.weight", &shape, ParamKind::Alteration);
        let weights = vec![weight];
        self.then("shift", Shift { div: 8 })?
            .then("alter", Alter { weights })
    }

    fn pool(self) -> Result<Self> {
        self.then("pool", Pool::of_three(Pooled::Max, 2))
    }

    fn finish(mut self) -> Result<Graph> {
        self.net.frame_classifier(self.last)?;
        self.net.finish()
    }
}

/// A program with everything that it reads.
struct Work {
    engine: Box<dyn Engine>,
    stats: Statistics,
    input: Vec<f32>,
}

impl Work {
    fn new(graph: &Graph, train: bool, engine: EngineKind) -> Result<Self> {
        let segments = [Segment {
            branch: 0,
            frames: FRAMES,
            clips: 1,
        }];
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let executor = Executor {
            engine,
            ..Executor::compiled(threads)
        };
        let (options, style) = (TrainOptions::BATCH_STATISTICS, executor.style());
        let program = match train {
            true => compile_train(graph, &segments, &options, &[], style)?,
            false => compile_eval(graph, &segments, &[], style)?,
        };
        let params = graph.params.iter().map(Param::count).map(values).collect();
        let device = device::place(executor, graph, params)?;
        Ok(Self {
            engine: device.engine(graph, program)?,
            stats: Statistics::initial(graph),
            input: values(FRAMES * graph.nodes[0].shape.count()),
        })
    }

    /// A pass; the time of task `task` in it.
    fn time(&mut self, task: usize) -> Duration {
        let before = self.spent(task);
        self.pass();
        self.spent(task) - before
    }

    /// Time that a task took so far.
    fn spent(&self, task: usize) -> Duration {
        let time = self.engine.times().into_iter().nth(task);
        time.map_or(Duration::ZERO, |task| task.time)
    }

    fn pass(&mut self) {
        let dropout = DropoutKey {
            seed: 0,
            step: 0,
            first_clip: 0,
        };
        let input = Input::Values(&self.input);
        let forward = self.engine.forward(&mut self.stats, input, dropout);
        forward.expect("the slices are as long as the program wants them");
        if !self.engine.program().backward.is_empty() {
            let backward = self.engine.backward(&[1.0]);
            backward.expect("it is a program for training");
        }
    }
}

/// Values between −0.5 and 0.5 that do not repeat soon.
fn values(count: usize) -> Vec<f32> {
    let value = |i: usize| (i * 7919 % 10007) as f32 / 10007.0 - 0.5;
    (0..count).map(value).collect()
}

/// A task of the engine's plan: node, kind, multiply-adds and bytes.
struct Measured {
    index: usize,
    node: String,
    kind: &'static str,
    throughput: Throughput,
}

impl Work {
    /// The tasks that every pass runs.
    fn tasks(&mut self) -> Vec<Measured> {
        self.pass();
        let before: Vec<Duration> = self.engine.times().iter().map(|task| task.time).collect();
        self.pass();
        let tasks = self.engine.times().into_iter().enumerate();
        let runs = tasks.filter(|(index, task)| task.time > before[*index]);
        runs.map(|(index, task)| Measured {
            index,
            node: task.name.to_owned(),
            kind: task.kind,
            throughput: match task.cost.multiply_adds {
                0 => Throughput::Bytes(task.cost.bytes),
                products => Throughput::Elements(2 * products),
            },
        })
        .collect()
    }
}

/// A benchmark for each of the network's tasks that `wanted` picks, in training and in evaluation.
fn measure(
    criterion: &mut Criterion,
    name: &str,
    layers: Result<Layers>,
    wanted: fn(&Measured) -> bool,
) {
    let graph = layers.and_then(Layers::finish).expect("the layers fit");
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
        for task in work.tasks() {
            let name = format!("{}: {}", task.node, task.kind);
            // The backward pass computes some of the forward's steps again.
            if !wanted(&task) || !seen.insert(name.clone()) {
                continue;
            }
            group.throughput(task.throughput.clone());
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|times| (0..times).map(|_| work.time(task.index)).sum());
            });
        }
    }
}

/// Whether it is part of the layers that are looked at, and not of what stands around them.
fn is_inner(task: &Measured) -> bool {
    !["stem", "new_fc", "consensus"].contains(&task.node.as_str())
}

fn is_product(task: &Measured) -> bool {
    task.kind.starts_with("convolution")
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
            let layers = Layers::new(from, side).and_then(|layers| layers.conv("conv", to, kernel));
            let layers = layers.and_then(Layers::norm);
            measure(criterion, &name, layers, |task| {
                is_inner(task) && is_product(task)
            });
        }
    }
}

/// What goes over activations once: those of the first stage are the largest.
fn passes(criterion: &mut Criterion) {
    let layers = Layers::new(256, 56).and_then(Layers::norm);
    let layers = layers.and_then(Layers::shift).and_then(Layers::pool);
    measure(criterion, "256 channels, 56x56", layers, |task| {
        is_inner(task) && !is_product(task)
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
