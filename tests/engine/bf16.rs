//! The engines in bf16: nearly float32, and as reproducible.

use ffn::exec::{EngineKind, Input};

use super::*;

/// A value that is stored has 8 bits. Through the dozen layers of these networks errors of 2⁻⁹ add up at random to about
/// 1 %, and norms over few values, of which some are nearly constant, amplify some of them.
const FORWARD: f64 = 0.05;
/// On the way back once more: PyTorch's own mixed precision strays by 0.2 to 0.4 from the goldens' gradients.
const GRADIENTS: f64 = 0.15;
/// Of a network of nine channels, whose norms see little: as far as PyTorch strays.
const NARROW_GRADIENTS: f64 = 0.4;

const ENGINES: [EngineKind; 2] = [EngineKind::CompiledBf16, EngineKind::CompiledAmx];

fn executor(engine: EngineKind, threads: usize) -> Executor {
    Executor {
        engine,
        ..Executor::compiled(threads)
    }
}

/// Every graph on every engine.
fn each(check: impl Fn(&Graph, EngineKind)) {
    for graph in graphs() {
        ENGINES.iter().for_each(|&engine| check(&graph, engine));
    }
}

fn graphs() -> [Graph; 3] {
    let place = ShiftPlace::ResidualInput;
    let block = ShiftPlace::BlockInput;
    [
        flexible(&vanilla(Block::Basic, Stem::Small, place)),
        flexible(&vanilla(Block::Bottleneck, Stem::ImageNet, place)),
        flexible(&vanilla(Block::Bottleneck, Stem::Small, block)),
    ]
}

fn train_on(graph: &Graph, executor: Executor) -> Pass {
    let segments = both(4);
    let mut engine = training(graph, &segments, &options(), executor).unwrap();
    let input = pixels(1, frames(&segments));
    let d_logits = normal(2, 8 * CLASSES);
    pass(&mut engine, &smooth(graph), &input, &d_logits)
}

fn assert_within(bound: f64, what: &str, found: &[f32], wanted: &[f32]) {
    let distance = distance(found, wanted);
    assert!(distance < bound, "{what}: relative distance {distance:.3}");
}

fn assert_trains_nearly_as_float32(graph: &Graph, engine: EngineKind, bound: f64) {
    let (found, wanted) = (
        train_on(graph, executor(engine, 2)),
        train_on(graph, Executor::compiled(2)),
    );
    assert_within(FORWARD, "logits", &found.logits, &wanted.logits);
    let has = |kind: &ParamKind| graph.params.iter().any(|param| param.kind == *kind);
    for kind in ParamKind::ALL.into_iter().filter(has) {
        let gradients = |pass: &Pass| {
            let members = graph.params.iter().zip(&pass.grads);
            let members = members.filter(|(param, _)| param.kind == kind);
            members.flat_map(|(_, g)| g.clone()).collect::<Vec<f32>>()
        };
        let name = format!("{engine:?}: gradient of {kind:?}");
        assert_within(bound, &name, &gradients(&found), &gradients(&wanted));
    }
    assert_within(
        FORWARD,
        "running variances",
        &found.stats.var.concat(),
        &wanted.stats.var.concat(),
    );
}

#[test]
fn training_is_nearly_that_of_float32() {
    each(|graph, engine| assert_trains_nearly_as_float32(graph, engine, GRADIENTS));
}

#[test]
fn evaluation_is_nearly_that_of_float32() {
    each(|graph, engine| {
        let weights = Weights::of(graph);
        let segments = [segment(1, 4, 3)];
        let input = pixels(1, frames(&segments));
        let mut engine = evaluation(graph, &segments, executor(engine, 2)).unwrap();
        let mut stats = weights.stats.clone();
        let found = engine.forward(&weights.params(), &mut stats, Input::Values(&input), STEP);
        let wanted = evaluate(graph, &weights, &segments, &input);
        assert_within(FORWARD, "logits", found.unwrap(), &wanted);
    });
}

#[test]
fn no_bit_depends_on_threads() {
    each(|graph, engine| {
        let one = train_on(graph, executor(engine, 1));
        for threads in [2, 3] {
            let several = train_on(graph, executor(engine, threads));
            assert!(one == several, "{engine:?}, {threads} threads");
        }
    });
}

/// What activations take is halved; weights, sums and the image are not.
#[test]
fn takes_little_more_than_half_the_memory() {
    let graph = flexible(&basic());
    let bytes = |numerics| {
        let program = program::compile_train(&graph, &both(64), &options(), &[], numerics);
        let plan = cpu::plan::plan(&program.unwrap()).unwrap();
        cpu::plan::memory(&plan, 1) as f64
    };
    for numerics in [Numerics::Bf16, Numerics::Bf16Amx] {
        let ratio = bytes(numerics) / bytes(Numerics::Float32);
        assert!((0.45..0.65).contains(&ratio), "{numerics:?}: {ratio}");
    }
}

#[test]
fn odd_channels_need_no_pairs_in_the_order_of_amx() {
    assert_trains_nearly_as_float32(&odd(), EngineKind::CompiledAmx, NARROW_GRADIENTS);
}

/// Products that take terms in pairs of channels do not fit: the reference kernels compute these.
#[test]
fn odd_channels_are_computed_without_pairs() {
    assert_trains_nearly_as_float32(&odd(), EngineKind::CompiledBf16, NARROW_GRADIENTS);
}

/// A network with nine channels.
fn odd() -> Graph {
    let backbone = Backbone::ResNet(ResNet {
        block: Block::Basic,
        blocks: vec![1],
        width: 9,
        stem: Stem::Small,
    });
    let tsm = Tsm {
        backbone: &backbone,
        shift: &Shift {
            div: 3,
            place: ShiftPlace::ResidualInput,
        },
        classes: CLASSES,
        frames: 4,
        input: (SIDE, SIDE),
    };
    flexible(&tsm::tsm(&tsm).unwrap())
}
