//! Models with random weights and statistics.

use std::path::Path;

use ffn::base::rng::{Purpose, Stream, fnv1a};
use ffn::exec::Executor;
use ffn::golden::{Network, experiment};
use ffn::graph::Graph;
use ffn::model::Model;
use ffn::spec::network;
use ffn::spec::{
    Alteration, Backbone, Block, Distillation, Experiment, Ffn, Method, Norms, ResNet, ShiftPlace,
    ShiftSegments, Stem,
};

pub const CLASSES: usize = 16;

pub fn vanilla(frames: usize) -> Method {
    Method::Vanilla { frames }
}

pub fn flexible(frames: &[usize]) -> Method {
    Method::Ffn(Ffn {
        frames: frames.to_vec(),
        lambda: 1.0,
        alteration: Alteration::Normal { std: 1e-3 },
        norms: Norms::Private,
        distillation: Distillation::FromLargest,
        shift_segments: ShiftSegments::PerBranch,
    })
}

pub fn of(method: Method, backbone: Backbone, size: usize) -> Experiment {
    experiment(&Network {
        method,
        model: network::tsm(backbone),
        classes: CLASSES,
        size,
        training: None,
    })
}

/// Experiment number `number`: everything that a graph depends on is drawn.
pub fn random(number: u64) -> Experiment {
    let mut stream = Stream::new(number, Purpose::Init, &[]);
    let mut below = |bound: u64| stream.below(bound) as usize;
    let stages = 1 + below(3);
    let backbone = Backbone::ResNet(ResNet {
        block: [Block::Basic, Block::Bottleneck][below(2)],
        blocks: (0..stages).map(|_| 1 + below(2)).collect(),
        width: 3 + below(12),
        stem: [Stem::Small, Stem::ImageNet][below(2)],
    });
    let size = 11 + below(12);
    let mut method = match below(3) {
        0 => vanilla(1 + below(6)),
        _ => flexible(&[[2, 4], [3, 5]][below(2)]),
    };
    if let Method::Ffn(ffn) = &mut method {
        match below(4) {
            0 => ffn.norms = Norms::Shared,
            1 => ffn.alteration = Alteration::Off,
            _ => {}
        }
    }
    let mut experiment = of(method, backbone, size);
    let shift = &mut experiment.model.tsm_mut().unwrap().shift;
    shift.div = [2, 3, 8][below(3)];
    shift.place = [
        ShiftPlace::ResidualInput,
        ShiftPlace::ResidualInput,
        ShiftPlace::BlockInput,
        ShiftPlace::AfterFirstConv,
        ShiftPlace::Nowhere,
    ][below(5)];
    experiment
}

/// A model whose weights and running statistics are all random: no norm and no alteration is close to doing nothing.
pub fn build(experiment: &Experiment) -> Model {
    let mut model = Model::new(experiment, Path::new("."), Executor::compiled(2)).unwrap();
    let mut state = model.state_dict().unwrap();
    for (name, shape, values) in &mut state.floats {
        let mut stream = Stream::new(1, Purpose::Init, &[fnv1a(name.as_bytes())]);
        let fan_in: usize = shape.iter().skip(1).product();
        let (mean, spread) = match name.rsplit_once('.').unwrap() {
            (_, "running_var") => (1.0, 0.5),
            (module, "weight") if module.contains("adaconv") => (0.0, 0.3),
            (_, "weight") if shape.len() == 1 => (1.0, 0.4),
            (_, "weight") => (0.0, (4.0 / fan_in as f64).sqrt()),
            _ => (0.0, 0.3),
        };
        for value in values {
            *value = (mean + spread * (2.0 * stream.uniform() - 1.0)) as f32;
        }
    }
    for (number, (_, count)) in state.counters.iter_mut().enumerate() {
        *count = number as u64;
    }
    model.load_state_dict(&state).unwrap();
    model
}

/// The graph that an evaluation runs.
pub fn graph(experiment: &Experiment) -> Graph {
    let size = experiment.eval.size;
    Graph::build(experiment, (size, size)).unwrap()
}

/// Frames as they come out of the normalisation, NHWC.
pub fn pixels(frames: usize, (height, width): (usize, usize), seed: u64) -> Vec<f32> {
    let mut stream = Stream::new(seed, Purpose::Render, &[]);
    let count = frames * height * width * 3;
    (0..count).map(|_| stream.normal() as f32).collect()
}

/// NHWC → NCHW.
pub fn planes(pixels: &[f32], (height, width): (usize, usize)) -> Vec<f32> {
    let frames = pixels.chunks_exact(height * width * 3);
    let channel = |frame: &[f32], c: usize| {
        let values = frame.iter().skip(c).step_by(3);
        values.copied().collect::<Vec<f32>>()
    };
    frames
        .flat_map(|frame| (0..3).flat_map(move |c| channel(frame, c)))
        .collect()
}
