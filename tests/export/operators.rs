//! Every operation that a graph can have, in ONNX Runtime against the reference engine in float64, at images that are not square.

use dfdx::prelude::NoneTape;
use ffn::base::rng::{Purpose, Stream};
use ffn::exchange::onnx::proto::ModelProto;
use ffn::exchange::onnx::{self, Export, Frames};
use ffn::exchange::write::{Entry, Notes, Values};
use ffn::exec::dfdx::{Pass, leaves};
use ffn::exec::{Segment, Statistics};
use ffn::graph::arch::tea::{Tea, tea};
use ffn::graph::{Architecture, Builder, Graph, Network, NodeId, ParamKind};
use ffn::ops::{
    Affine, Alter, Attention, Binary, ConcatChannels, Conv, Each, LayerNorm, Linear, Mean,
    MeanProbabilities, Pool, Pooled, Shift, SliceChannels, TakeFrames,
};
use ffn::spec::Res2Net;
use prost::Message;
use serde_json::{Value, json};

use super::models::{pixels, planes};
use super::onnx::well_formed;
use super::peer::{CLIPS, Peer};
use super::python::python;

/// Height and width.
const INPUT: (usize, usize) = (7, 6);
const WIDTH: usize = 4;
const CLASSES: usize = 3;

type Layers = fn(&mut Builder, NodeId) -> ffn::base::Result<NodeId>;

/// A stem, some layers, a classifier.
fn network(layers: Layers) -> Graph {
    let mut net = Builder::new(&Network {
        architecture: Architecture::Tsm,
        classes: CLASSES,
        frames: 4,
        input: INPUT,
    });
    let x = net.conv("stem", (WIDTH, 3, 1), 0).unwrap();
    let x = layers(&mut net, x).unwrap();
    net.frame_classifier(x).unwrap();
    net.finish().unwrap()
}

fn conv(
    net: &mut Builder,
    x: NodeId,
    name: &str,
    of_group: usize,
    conv: Conv,
) -> ffn::base::Result<NodeId> {
    let [time, height, width] = conv.kernel;
    let shape = [2 * WIDTH, of_group, time, height, width];
    let weight = net.param(&format!("{name}.weight"), &shape, ParamKind::Conv);
    let bias = net.param(&format!("{name}.bias"), &[2 * WIDTH], ParamKind::Conv);
    let bias = Some(bias);
    net.layer(
        name,
        Conv {
            weight,
            bias,
            ..conv
        },
        &[x],
    )
}

fn centred(kernel: [usize; 3], groups: usize) -> Conv {
    Conv {
        kernel,
        padding: kernel.map(|side| side / 2),
        groups,
        ..Conv::of_images(0, 1, 1)
    }
}

/// Convolutions with a bias, along time, in groups, each with a norm behind it.
fn convolutions(net: &mut Builder, x: NodeId) -> ffn::base::Result<NodeId> {
    let x = conv(net, x, "whole", WIDTH, centred([3, 3, 3], 1))?;
    let x = net.norm("norm1", x)?;
    let strided = Conv {
        stride: [1, 2, 2],
        ..centred([1, 3, 3], 2)
    };
    let x = conv(net, x, "groups", WIDTH, strided)?;
    let x = conv(net, x, "depthwise", 1, centred([3, 1, 1], 2 * WIDTH))?;
    let x = net.norm("norm2", x)?;
    net.relu("relu", x)
}

/// Functions of values, with a pixel for all pixels of a row, and channels apart and together.
fn functions(net: &mut Builder, x: NodeId) -> ffn::base::Result<NodeId> {
    let y = net.layer("sigmoid", Each::Sigmoid, &[x])?;
    let y = net.layer("constant", Each::Add(-0.5), &[y])?;
    let pixel = net.layer("pixel", Mean::Pixels, &[y])?;
    let y = net.layer("multiply", Binary::Multiply, &[x, pixel])?;
    let y = net.layer("subtract", Binary::Subtract, &[y, pixel])?;
    let first = net.layer("first", SliceChannels { first: 0, count: 1 }, &[y])?;
    let rest = net.layer("rest", SliceChannels { first: 1, count: 3 }, &[y])?;
    net.layer("concat", ConcatChannels, &[rest, x, first])
}

/// Pools, and frames that are taken from before and behind.
fn frames_and_pools(net: &mut Builder, x: NodeId) -> ffn::base::Result<NodeId> {
    let next = net.layer("next", TakeFrames::Moved { offset: 1 }, &[x])?;
    let before = net.layer("before", TakeFrames::Moved { offset: -2 }, &[x])?;
    let x = net.layer("sum", Binary::Add, &[next, before])?;
    let x = net.layer("shift", Shift { div: 4 }, &[x])?;
    let x = net.layer("mean_pool", Pool::of_three(Pooled::Mean, 1), &[x])?;
    net.layer("max_pool", Pool::of_three(Pooled::Max, 2), &[x])
}

/// A norm that a node besides its convolution's reader needs, an alteration that more than convolutions read, and features of a
/// linear layer with pixels again.
fn unfolded(net: &mut Builder, x: NodeId) -> ffn::base::Result<NodeId> {
    let y = net.norm("norm", x)?;
    let weight = net.param("alter.weight", &[WIDTH, 1, 1, 1], ParamKind::Alteration);
    let weights = vec![weight];
    let altered = net.layer("alter", Alter { weights }, &[y])?;
    let y = net.conv("conv", (WIDTH, 3, 1), altered)?;
    let y = net.layer("add", Binary::Add, &[y, altered])?;
    let pixel = net.layer("pixel", Mean::Pixels, &[y])?;
    let weight = net.param("inner.weight", &[WIDTH, WIDTH], ParamKind::Conv);
    let bias = net.param("inner.bias", &[WIDTH], ParamKind::Conv);
    let pixel = net.layer("inner", Linear { weight, bias }, &[pixel])?;
    let pixel = net.layer("gate", Each::Sigmoid, &[pixel])?;
    let y = net.layer("gated", Binary::Multiply, &[y, pixel])?;
    net.layer("outer", Binary::Add, &[x, y])
}

/// A layer norm, attention of two heads over every second frame, GELU.
fn attention(net: &mut Builder, x: NodeId) -> ffn::base::Result<NodeId> {
    let strided = Conv {
        stride: [2, 2, 1],
        ..centred([3, 3, 1], 1)
    };
    let x = conv(net, x, "strided", WIDTH, strided)?;
    let weight = net.param("norm.weight", &[2 * WIDTH], ParamKind::NormWeight);
    let bias = net.param("norm.bias", &[2 * WIDTH], ParamKind::NormBias);
    let branches = vec![Affine { weight, bias }];
    let y = net.layer(
        "norm",
        LayerNorm {
            branches,
            eps: 1e-6,
        },
        &[x],
    )?;
    let y = net.conv("qkv", (6 * WIDTH, 1, 1), y)?;
    let op = Attention {
        heads: 2,
        scale: 0.5,
    };
    let y = net.layer("attention", op, &[y])?;
    let y = net.layer("gelu", Each::Gelu, &[y])?;
    net.layer("sum", Binary::Add, &[x, y])
}

/// The slow frames of a clip beside all of them.
fn slow_frames(net: &mut Builder, x: NodeId) -> ffn::base::Result<NodeId> {
    let slow = TakeFrames::Spread {
        every: 2,
        joined: false,
    };
    let slow = net.layer("slow", slow, &[x])?;
    let lateral = Conv {
        stride: [2, 1, 1],
        ..centred([5, 1, 1], 1)
    };
    let fast = conv(net, x, "lateral", WIDTH, lateral)?;
    net.layer("concat", ConcatChannels, &[slow, fast])
}

/// Probabilities that are averaged over the windows of a head.
fn windows() -> Graph {
    let mut net = Builder::new(&Network {
        architecture: Architecture::Tsm,
        classes: CLASSES,
        frames: 4,
        input: INPUT,
    });
    let x = net.conv("stem", (WIDTH, 3, 1), 0).unwrap();
    let x = net.layer("rows", Mean::Rows, &[x]).unwrap();
    let pool = Pool {
        padding: 0,
        ..Pool::of_three(Pooled::Mean, 1)
    };
    let x = net.layer("windows", pool, &[x]).unwrap();
    let x = net.conv("classes", (CLASSES, 1, 1), x).unwrap();
    net.layer("probabilities", MeanProbabilities, &[x]).unwrap();
    net.finish().unwrap()
}

/// The mean of the frames' pixels first, and a linear layer behind it.
fn late_classifier() -> Graph {
    let mut net = Builder::new(&Network {
        architecture: Architecture::Tsm,
        classes: CLASSES,
        frames: 4,
        input: INPUT,
    });
    let x = net.conv("stem", (WIDTH, 3, 1), 0).unwrap();
    let x = net.layer("rows", Mean::Rows, &[x]).unwrap();
    let x = net.layer("pixels", Mean::Pixels, &[x]).unwrap();
    let kind = ParamKind::ClassifierWeight;
    let weight = net.param("new_fc.weight", &[CLASSES, WIDTH], kind);
    let bias = net.param("new_fc.bias", &[CLASSES], ParamKind::ClassifierBias);
    net.layer("new_fc", Linear { weight, bias }, &[x]).unwrap();
    net.finish().unwrap()
}

fn small_tea() -> Graph {
    let graph = tea(&Tea {
        backbone: &Res2Net {
            blocks: [2, 2, 1, 1],
            planes: 8,
            width: 26,
            scale: 4,
        },
        classes: CLASSES,
        frames: 4,
        input: (33, 40),
    });
    graph.unwrap()
}

/// Random parameters and running statistics of a graph.
struct State {
    params: Vec<Vec<f32>>,
    statistics: Statistics,
}

impl State {
    fn new(graph: &Graph) -> Self {
        let mut stream = Stream::new(5, Purpose::Init, &[]);
        let mut values = |count: usize, mean: f64, spread: f64| -> Vec<f32> {
            let value = |_| (mean + spread * (2.0 * stream.uniform() - 1.0)) as f32;
            (0..count).map(value).collect()
        };
        let params = graph.params.iter().map(|param| {
            let fan_in: usize = param.shape.iter().skip(1).product();
            match param.shape.len() {
                1 => values(param.count(), 1.0, 0.4),
                _ => values(param.count(), 0.0, (4.0 / fan_in as f64).sqrt()),
            }
        });
        let params = params.collect();
        let mut statistics = Statistics::initial(graph);
        for (mean, var) in statistics.mean.iter_mut().zip(&mut statistics.var) {
            *mean = values(mean.len(), 0.0, 0.3);
            *var = values(var.len(), 1.0, 0.5);
        }
        Self { params, statistics }
    }

    fn encode(&self, graph: &Graph, frames: Frames) -> Vec<u8> {
        let params = graph.params.iter().zip(&self.params);
        let params = params.map(|(p, values)| (p.name.clone(), p.shape.clone(), values));
        let statistics = graph.stats.iter().enumerate().flat_map(|(id, stat)| {
            let named = |kind: &str| format!("{}.{kind}", stat.name);
            let Statistics { mean, var, .. } = &self.statistics;
            [
                (named("running_mean"), vec![stat.channels], &mean[id]),
                (named("running_var"), vec![stat.channels], &var[id]),
            ]
        });
        let named: Vec<_> = params.chain(statistics).collect();
        let entries = named.iter().map(|(name, shape, values)| Entry {
            name,
            shape,
            values: Values::Float32(values),
        });
        let entries: Vec<Entry<'_>> = entries.collect();
        onnx::encode(&Export {
            name: "test",
            graph,
            entries: &entries,
            branch: 0,
            frames,
            notes: &Notes::new(),
        })
        .unwrap()
    }

    /// The logits by the reference engine.
    fn logits(&self, graph: &Graph, frames: usize, input: &[f32]) -> Vec<f32> {
        let pass = Pass {
            graph,
            segment: Segment {
                branch: 0,
                frames,
                clips: CLIPS,
            },
            training: None,
            observed: &[],
        };
        let leaves = leaves::<f64>(&self.params).unwrap();
        let mut statistics = self.statistics.clone();
        let output = pass.forward::<f64, NoneTape>(&leaves, &mut statistics, input);
        let logits = output.unwrap().logits.as_vec().into_iter();
        logits.map(|v| v as f32).collect()
    }
}

#[test]
fn onnx_runtime_computes_every_operation() {
    let Some(python) = python(&["numpy", "onnx", "onnxruntime"]) else {
        return;
    };
    let graphs = [
        ("convolutions", network(convolutions)),
        ("functions", network(functions)),
        ("frames and pools", network(frames_and_pools)),
        ("unfolded", network(unfolded)),
        ("late classifier", late_classifier()),
        ("windows", windows()),
        ("attention", network(attention)),
        ("slow frames", network(slow_frames)),
        ("tea", small_tea()),
    ];
    let (mut jobs, mut peer) = (Vec::new(), Peer::new());
    for (name, graph) in &graphs {
        let state = State::new(graph);
        let counts = match *name {
            // As many fast frames as slow ones need.
            "slow frames" => [2, 4, 10],
            _ => [1, 2, 5],
        };
        for frames in counts {
            let input = pixels(CLIPS * frames, graph.input, frames as u64);
            let expected = state.logits(graph, frames, &input);
            for count in [Frames::Fixed(frames), Frames::Any] {
                let number = jobs.len();
                let planes = planes(&input, graph.input);
                let about = format!("{name} ({count}) at {frames} frames");
                let (height, width) = graph.input;
                let shape = [CLIPS, frames, 3, height, width];
                let mut job = peer.question(about, &planes, shape, expected.clone());
                let bytes = state.encode(graph, count);
                job["model"] = json!(peer.file(&format!("{number}.onnx"), &bytes));
                jobs.push(job);
            }
        }
    }
    let largest = peer.compare(python, "run_onnx.py", &Value::Array(jobs));
    println!("largest error {largest:.1e}");
}

/// No operation makes a model that is not well formed.
#[test]
fn models_of_every_operation_are_well_formed() {
    for graph in [
        network(convolutions),
        network(functions),
        network(frames_and_pools),
        network(unfolded),
        late_classifier(),
        windows(),
        network(attention),
        network(slow_frames),
        small_tea(),
    ] {
        for frames in [Frames::Fixed(4), Frames::Any] {
            let bytes = State::new(&graph).encode(&graph, frames);
            well_formed(&ModelProto::decode(bytes.as_slice()).unwrap());
        }
    }
}
