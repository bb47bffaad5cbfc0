//! Speed of the engine: `cargo bench --bench engine`, `cargo bench --bench engine -- steps` for each kind of step.
//!
//! Rates are of the products alone; the first line is what the same GEMM gives on large square matrices on all
//! threads, the ceiling of the others. Where the system tells, processor time stands beside wall time: on a machine
//! that others use, it is the better measure.

use std::collections::BTreeMap;
use std::time::Instant;

use ffn::exec::cpu::Engine;
use ffn::exec::{DropoutKey, Segment, Statistics, TrainOptions};
use ffn::graph::{Graph, frame_flexible, resnet};
use ffn::program::batch::{every_branch, served};
use ffn::spec::*;

const REPEATS: u32 = 3;

fn main() {
    let steps = std::env::args().any(|argument| argument == "steps");
    let threads = threads();
    println!("{threads} threads, best of {REPEATS}");
    println!("gemm 1536³: {:.0} GFLOP/s", gemm_peak(threads));
    let r50 = network(Backbone::ResNet50, 224, 174, None);
    evaluation(
        "tsm resnet50 224², 1 clip × 8",
        &r50,
        served(&r50, 8, 1),
        steps,
    );
    let frames = Some([4, 8, 16].as_slice());
    let r50 = network(Backbone::ResNet50, 224, 174, frames);
    training("ffn resnet50 224², 1 clip", &r50, 1, steps);
    let miniature = Backbone::ResNet(ResNet {
        block: Block::Basic,
        blocks: vec![1, 1, 1, 1],
        width: 24,
        stem: Stem::ImageNet,
    });
    let miniature = network(miniature, 48, 8, frames);
    training("ffn miniature 48², 16 clips", &miniature, 16, steps);
}

/// FFN at `frames`, else vanilla.
fn network(backbone: Backbone, side: usize, classes: usize, frames: Option<&[usize]>) -> Graph {
    let vanilla = resnet::tsm(&resnet::Tsm {
        backbone: &backbone,
        shift: &Shift {
            div: 8,
            place: ShiftPlace::ResidualInput,
        },
        classes,
        frames: 8,
        input: (side, side),
    });
    let vanilla = vanilla.expect("a legal network");
    let Some(frames) = frames else { return vanilla };
    let ffn = Ffn {
        frames: frames.to_vec(),
        lambda: 1.0,
        alteration: Alteration::Normal { std: 1e-3 },
        norms: Norms::Private,
        distillation: Distillation::FromLargest,
        shift_segments: ShiftSegments::PerBranch,
    };
    frame_flexible(&vanilla, &ffn).expect("a legal network")
}

/// Values of all sizes and signs; what they are does not matter for speed.
fn values(count: usize) -> Vec<f32> {
    (0..count)
        .map(|i| (i * 7919 % 1009) as f32 / 1009.0 - 0.5)
        .collect()
}

/// Every thread with products of its own, as in the engine.
fn gemm_peak(threads: usize) -> f64 {
    const SIDE: usize = 1536;
    const PRODUCTS: usize = 2;
    let (a, b) = (values(SIDE * SIDE), values(SIDE * SIDE));
    let seconds = best(|| {
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let mut c = vec![0.0f32; SIDE * SIDE];
                    (0..PRODUCTS).for_each(|_| square(SIDE, &a, &b, &mut c));
                });
            }
        });
    });
    2.0 * (SIDE.pow(3) * PRODUCTS * threads) as f64 / seconds / 1e9
}

fn square(n: usize, a: &[f32], b: &[f32], c: &mut [f32]) {
    assert!(a.len() == n * n && b.len() == n * n && c.len() == n * n);
    let (a, b, c, row) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr(), n as isize);
    let none = gemm::Parallelism::None;
    // SAFETY: three matrices of n rows of n values, as asserted; only `c` is written, and it is borrowed exclusively.
    unsafe {
        gemm::gemm(
            n, n, n, c, 1, row, false, a, 1, row, b, 1, row, 0.0, 1.0, false, false, false, none,
        );
    }
}

/// Least wall time of a run; where the machine was busy with other things, what it would have been alone, by the
/// processor time of this process.
fn best(mut run: impl FnMut()) -> f64 {
    let threads = threads() as f64;
    let times = (0..REPEATS).map(|_| {
        let (start, processor) = (Instant::now(), processor_seconds());
        run();
        let wall = start.elapsed().as_secs_f64();
        let alone = processor_seconds()
            .zip(processor)
            .map(|(end, start)| (end - start) / threads);
        wall.min(alone.filter(|&seconds| seconds > 0.1).unwrap_or(wall))
    });
    times.fold(f64::INFINITY, f64::min)
}

/// Processor time of this process in user mode, where the system tells; clock ticks are hundredths.
fn processor_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields = text.rsplit(')').next()?;
    let ticks: f64 = fields.split_whitespace().nth(11)?.parse().ok()?;
    Some(ticks / 100.0)
}

fn evaluation(what: &str, graph: &Graph, segment: Segment, steps: bool) {
    let params: Vec<Vec<f32>> = graph.params.iter().map(|p| values(p.count())).collect();
    let params: Vec<&[f32]> = params.iter().map(Vec::as_slice).collect();
    let frames = segment.frames * segment.clips;
    let input = values(frames * graph.input.0 * graph.input.1 * 3);
    let mut stats = Statistics::initial(graph);
    let mut engine = Engine::eval(graph, &[segment], &[], threads()).expect("enough memory");
    let seconds = best(|| {
        let key = DropoutKey { seed: 0, step: 0 };
        engine
            .forward(&params, &mut stats, &input, key)
            .expect("fitting buffers");
    });
    report(
        what,
        &engine,
        seconds,
        frames,
        graph.clip_multiply_adds(frames),
        steps,
    );
}

fn training(what: &str, graph: &Graph, clips: usize, steps: bool) {
    let params: Vec<Vec<f32>> = graph.params.iter().map(|p| values(p.count())).collect();
    let params: Vec<&[f32]> = params.iter().map(Vec::as_slice).collect();
    let segments = every_branch(graph, clips);
    let frames = segments.iter().map(|s| s.frames * s.clips).sum();
    let input = values(frames * graph.input.0 * graph.input.1 * 3);
    let d_logits = values(segments.len() * clips * graph.classes);
    let mut grads: Vec<Vec<f32>> = params.iter().map(|p| vec![0.0; p.len()]).collect();
    let mut grads: Vec<&mut [f32]> = grads.iter_mut().map(Vec::as_mut_slice).collect();
    let options = TrainOptions {
        shift_segments: ShiftSegments::PerBranch,
        norm_clips: None,
        frozen_norms: FrozenNorms::Off,
        dropout: 0.5,
    };
    let mut stats = Statistics::initial(graph);
    let mut engine =
        Engine::train(graph, &segments, &options, &[], threads()).expect("enough memory");
    let seconds = best(|| {
        let key = DropoutKey { seed: 0, step: 0 };
        engine
            .forward(&params, &mut stats, &input, key)
            .expect("fitting buffers");
        engine
            .backward(&params, &d_logits, &mut grads)
            .expect("fitting buffers");
    });
    report(
        what,
        &engine,
        seconds,
        frames,
        3 * graph.clip_multiply_adds(frames),
        steps,
    );
}

fn report(
    what: &str,
    engine: &Engine,
    seconds: f64,
    frames: usize,
    multiply_adds: u64,
    steps: bool,
) {
    println!(
        "{what}: {:.3} s, {:.1} frames/s, {:.0} GFLOP/s, {:.0} MB",
        seconds,
        frames as f64 / seconds,
        2.0 * multiply_adds as f64 / seconds / 1e9,
        engine.memory() as f64 / 1e6,
    );
    if !steps {
        return;
    }
    let mut kinds: BTreeMap<String, f64> = BTreeMap::new();
    for (step, time) in engine.times() {
        let text = format!("{:?}", step.op);
        let kind = text.split([' ', '{']).next().unwrap_or_default();
        *kinds.entry(kind.to_owned()).or_default() += time.as_secs_f64() / f64::from(REPEATS);
    }
    for (kind, seconds) in kinds {
        println!("    {kind:<20} {seconds:.4} s");
    }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
