//! A toy architecture, as the book's page on adding one has it: built, made frame flexible, compared and trained.

use ffn::base::Result;
use ffn::base::rng::{Purpose, Stream};
use ffn::exec::reference::Reference;
use ffn::exec::{DropoutKey, EngineKind, Input, Segment, Statistics, Style, TrainOptions, cpu};
use ffn::graph::{Architecture, Builder, Graph, Network, ParamKind, frame_flexible};
use ffn::ops::{Binary, Conv};
use ffn::program::{Numerics, compile_train};
use ffn::spec::{Alteration, Distillation, Ffn, FrozenNorms, Norms, ShiftSegments};

const CLASSES: usize = 3;
const KEY: DropoutKey = DropoutKey {
    seed: 1,
    step: 0,
    first_clip: 0,
};

/// relu(norm(conv x)), then y = relu(x + norm(conv(x along time))), then the usual classifier.
fn toy(frames: usize, input: (usize, usize)) -> Result<Graph> {
    let mut net = Builder::new(&Network {
        architecture: Architecture::Tsm,
        classes: CLASSES,
        frames,
        input,
    });
    let x = net.conv("base_model.conv1", (8, 3, 2), 0)?;
    let x = net.norm("base_model.bn1", x)?;
    let x = net.relu("base_model.relu", x)?;

    let weight = net.param(
        "base_model.layer1.0.time.weight",
        &[8, 1, 3],
        ParamKind::Conv,
    );
    let y = net.layer(
        "base_model.layer1.0.time",
        Conv::along_time(weight, 3, 8),
        &[x],
    )?;
    let y = net.conv("base_model.layer1.0.conv1", (8, 3, 1), y)?;
    let y = net.norm("base_model.layer1.0.bn1", y)?;
    let sum = net.layer("base_model.layer1.0.add", Binary::Add, &[y, x])?;
    let x = net.relu("base_model.layer1.0.relu", sum)?;

    net.frame_classifier(x)?;
    net.finish()
}

fn flexible(vanilla: &Graph) -> Graph {
    let ffn = Ffn {
        frames: vec![2, 4],
        lambda: 1.0,
        alteration: Alteration::Normal { std: 1e-3 },
        norms: Norms::Private,
        distillation: Distillation::FromLargest,
        shift_segments: ShiftSegments::PerBranch,
    };
    frame_flexible(vanilla, &ffn).unwrap()
}

fn random(seed: u64, count: usize, scale: f32) -> Vec<f32> {
    let mut stream = Stream::new(seed, Purpose::Init, &[]);
    (0..count).map(|_| scale * stream.normal() as f32).collect()
}

fn parameters(graph: &Graph) -> Vec<Vec<f32>> {
    let params = graph.params.iter().enumerate();
    let values = params.map(|(i, param)| match param.kind {
        ParamKind::NormWeight => vec![1.0; param.count()],
        ParamKind::NormBias | ParamKind::ClassifierBias => vec![0.0; param.count()],
        _ => random(i as u64, param.count(), 0.3),
    });
    values.collect()
}

fn segments() -> [Segment; 2] {
    [(0, 2), (1, 4)].map(|(branch, frames)| Segment {
        branch,
        frames,
        clips: 3,
    })
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

fn assert_near(what: &str, found: &[f32], expected: &[f64]) {
    let squares = found
        .iter()
        .zip(expected)
        .map(|(a, b)| (f64::from(*a) - b).powi(2));
    let length: f64 = expected.iter().map(|b| b * b).sum();
    let distance = (squares.sum::<f64>() / length).sqrt();
    assert!(distance < 1e-5, "{what}: {distance:.1e}");
}

/// One forward and backward pass of the compiled engine.
fn learn(
    engine: &mut cpu::Engine,
    params: &[Vec<f32>],
    stats: &mut Statistics,
    pixels: &[f32],
    d_logits: impl Fn(&[f32]) -> Vec<f32>,
) -> (Vec<f32>, Vec<Vec<f32>>) {
    let params: Vec<&[f32]> = params.iter().map(Vec::as_slice).collect();
    let logits = engine.forward(&params, stats, Input::Values(pixels), KEY);
    let logits = logits.unwrap().to_vec();
    let mut grads: Vec<Vec<f32>> = params.iter().map(|p| vec![0.0; p.len()]).collect();
    let mut written: Vec<&mut [f32]> = grads.iter_mut().map(Vec::as_mut_slice).collect();
    engine
        .backward(&params, &d_logits(&logits), &mut written)
        .unwrap();
    (logits, grads)
}

#[test]
fn toy_is_what_its_reference_says_and_learns() {
    let graph = flexible(&toy(4, (9, 12)).unwrap());
    let options = TrainOptions {
        shift_segments: ShiftSegments::PerBranch,
        norm_clips: None,
        frozen_norms: FrozenNorms::Off,
        dropout: 0.0,
        drop_path: 0.0,
    };
    let style = Style::from(Numerics::Float32);
    let program = compile_train(&graph, &segments(), &options, &[], style).unwrap();
    let pixels = random(77, program.batch.frames * 9 * 12 * 3, 1.0);
    let mut params = parameters(&graph);

    let mut reference = Reference::<f64>::new(&program);
    let exact: Vec<Vec<f64>> = params.iter().map(|p| wide(p)).collect();
    let mut stats = Statistics::initial(&graph);
    let logits = reference.forward(&exact, &mut stats, &wide(&pixels), KEY);
    let expected = logits.unwrap().to_vec();
    let d_logits = random(5, expected.len(), 1.0);
    let gradients = reference.backward(&exact, &wide(&d_logits)).unwrap();

    let mut engine = cpu::Engine::new(&graph, program.clone(), 2).unwrap();
    let mut stats = Statistics::initial(&graph);
    let (logits, grads) = learn(&mut engine, &params, &mut stats, &pixels, |_| {
        d_logits.clone()
    });
    assert_near("logits", &logits, &expected);
    for (param, (found, expected)) in graph.params.iter().zip(grads.iter().zip(&gradients)) {
        assert_near(&param.name, found, expected);
    }

    // Least squares: the logits of clip i shall be those of class i.
    let target = |at: usize| f32::from(u8::from(at % CLASSES == at / CLASSES % CLASSES));
    let error = |logits: &[f32]| -> Vec<f32> {
        let values = logits.iter().enumerate();
        values.map(|(at, v)| v - target(at)).collect()
    };
    let loss = |logits: &[f32]| error(logits).iter().map(|e| e * e).sum::<f32>();
    let (first, _) = learn(&mut engine, &params, &mut stats, &pixels, error);
    let mut last = first.clone();
    for _ in 0..200 {
        let (logits, grads) = learn(&mut engine, &params, &mut stats, &pixels, error);
        for (param, grad) in params.iter_mut().zip(grads) {
            param.iter_mut().zip(grad).for_each(|(p, g)| *p -= 0.01 * g);
        }
        last = logits;
    }
    assert!(
        loss(&last) < 0.2 * loss(&first),
        "{} to {}",
        loss(&first),
        loss(&last)
    );
}

/// The oracle knows nothing of programs.
#[test]
fn toy_is_what_dfdx_says() {
    use ffn::exec::dfdx::{Output, Pass, leaves};

    let graph = flexible(&toy(4, (9, 12)).unwrap());
    let params = parameters(&graph);
    let segment = segments()[1];
    let pixels = random(77, segment.clips * segment.frames * 9 * 12 * 3, 1.0);
    let mut stats = Statistics::initial(&graph);
    let pass = Pass {
        graph: &graph,
        segment,
        training: None,
        observed: &[],
    };
    let output: Output<f64, dfdx::prelude::NoneTape> = pass
        .forward(&leaves(&params).unwrap(), &mut stats, &pixels)
        .unwrap();
    let style = Style::from(EngineKind::Compiled.numerics());
    let program = ffn::program::compile_eval(&graph, &[segment], &[], style).unwrap();
    let mut engine = cpu::Engine::new(&graph, program, 2).unwrap();
    let params: Vec<&[f32]> = params.iter().map(Vec::as_slice).collect();
    let found = engine
        .forward(&params, &mut stats, Input::Values(&pixels), KEY)
        .unwrap();
    assert_near("logits", found, &output.logits.as_vec());
}
