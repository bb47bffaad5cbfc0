//! The whole model: parameters, program and objective on dfdx's tape.

use std::path::Path;

use ffn::exec::{DropoutKey, Executor, Input};
use ffn::golden::{Network, Training, experiment};
use ffn::graph::Op;
use ffn::model::objective::Targets;
use ffn::model::{Model, Observation, StepInput, StepOutput};
use ffn::ops::Each;
use ffn::spec::network;
use ffn::spec::{
    Alteration, Backbone, Block, Distillation, Experiment, Ffn, Method, Norms, ResNet,
    ShiftSegments, Stem,
};
use ffn::train::Optimizer;

const SIZE: usize = 16;
const CLIPS: usize = 2;
const CLASSES: usize = 5;
const LABELS: [usize; CLIPS] = [1, 3];
const DROPOUT: DropoutKey = DropoutKey {
    seed: 0,
    step: 0,
    first_clip: 0,
};

fn small(method: Method) -> Experiment {
    experiment(&Network {
        method,
        model: network::tsm(Backbone::ResNet(ResNet {
            block: Block::Basic,
            blocks: vec![1, 1],
            width: 8,
            stem: Stem::Small,
        })),
        classes: CLASSES,
        size: SIZE,
        training: Some(Training::sgd(CLIPS, 0.05, 0.9, 5e-4).clipped(20.0)),
    })
}

fn flexible(lambda: f64) -> Method {
    Method::Ffn(Ffn {
        frames: vec![4, 8],
        lambda,
        alteration: Alteration::Normal { std: 0.1 },
        norms: Norms::Private,
        distillation: Distillation::FromLargest,
        shift_segments: ShiftSegments::PerBranch,
    })
}

fn build(experiment: &Experiment, threads: usize) -> Model {
    let mut model = Model::new(experiment, Path::new("."), Executor::compiled(threads)).unwrap();
    // A classifier of standard deviation 1e-3 hides what stands before it.
    change(&mut model, "new_fc.weight", |values| {
        values.iter_mut().for_each(|v| *v *= 100.0)
    });
    model
}

fn change(model: &mut Model, name: &str, change: impl FnOnce(&mut Vec<f32>)) {
    let mut state = model.state_dict().unwrap();
    let tensor = state.floats.iter_mut().find(|tensor| tensor.0 == name);
    change(&mut tensor.unwrap().2);
    model.load_state_dict(&state).unwrap();
}

/// Values without a pattern, between −1 and 1.
fn pixels(frames: usize, phase: f32) -> Vec<f32> {
    let count = frames * SIZE * SIZE * 3;
    (0..count)
        .map(|i| ((i as f32 * 0.7 + phase).sin() * 43.7).sin())
        .collect()
}

fn step(model: &mut Model, pixels: &[f32]) -> StepOutput {
    let input = StepInput {
        pixels: Input::Values(pixels),
        targets: Targets::Labels(&LABELS),
        dropout: DROPOUT,
        shards: 1,
    };
    model.train_step(&input).unwrap()
}

fn is_of_branch(name: &str, frames: usize) -> bool {
    let module = name.rsplit_once('.').map_or(name, |(module, _)| module);
    module.ends_with(&format!("_{frames}"))
}

/// The smaller branch's frames change: nothing private to the larger one does, statistics or gradients, since the
/// divergence sends no gradient into the teacher.
#[test]
fn a_branch_leaves_the_others_private_parts_alone() {
    let experiment = small(flexible(1.0));
    let (mut a, mut b) = (build(&experiment, 2), build(&experiment, 2));
    let input = |phase| [pixels(4 * CLIPS, phase), pixels(8 * CLIPS, 0.0)].concat();
    let (first, second) = (step(&mut a, &input(1.0)), step(&mut b, &input(2.0)));
    let gradients = [&a, &b].map(|model| model.device().gradients().unwrap());
    let (a, b) = (a.state_dict().unwrap(), b.state_dict().unwrap());
    let mut seen = [0, 0];
    for ((name, _, before), (_, _, after)) in a.floats.iter().zip(&b.floats) {
        if name.ends_with("running_mean") {
            assert_eq!(before == after, is_of_branch(name, 8), "{name}");
            seen[0] += 1;
        }
    }
    let [before, after] = &gradients;
    for (((name, ..), before), after) in a.floats.iter().zip(before).zip(after) {
        if is_of_branch(name, 8) {
            assert_eq!(before, after, "{name}");
            seen[1] += 1;
        }
    }
    assert!(seen.iter().all(|&n| n > 4), "{seen:?}");
    assert_ne!(first.logits[0], second.logits[0]);
    assert_eq!(first.logits[1], second.logits[1]);
}

#[test]
fn without_lambda_no_gradient_reaches_the_smaller_branch() {
    let mut model = build(&small(flexible(0.0)), 2);
    let output = step(&mut model, &pixels(12 * CLIPS, 0.0));
    for (param, gradient) in model
        .graph()
        .params
        .iter()
        .zip(&model.device().gradients().unwrap())
    {
        let expected = !is_of_branch(&param.name, 4);
        assert_eq!(
            gradient.iter().any(|&g| g != 0.0),
            expected,
            "{}",
            param.name
        );
    }
    assert_eq!(output.terms.len(), 2);
    assert_eq!(output.terms[1], ("kl.4".to_owned(), 0.0));
}

/// d total / d parameter through program, tape and objective, against central differences.
#[test]
fn gradients_are_those_of_the_total() {
    const H: f64 = 1e-3;
    let mut model = build(&small(flexible(1.0)), 2);
    let input = pixels(12 * CLIPS, 0.0);
    step(&mut model, &input);
    let gradients = model.device().gradients().unwrap();
    let params = model.graph().params.clone();
    let mut checked = 0;
    for (index, param) in params.iter().enumerate() {
        let gradient = &gradients[index];
        let norm = gradient
            .iter()
            .map(|&g| f64::from(g).powi(2))
            .sum::<f64>()
            .sqrt();
        if norm < 1e-3 {
            continue;
        }
        // Along the gradient itself the difference is largest, and rounding matters least.
        let mut total_at = |distance: f64| {
            let original = model.state_dict().unwrap();
            change(&mut model, &param.name, |values| {
                for (value, g) in values.iter_mut().zip(gradient) {
                    *value += (distance * f64::from(*g) / norm) as f32;
                }
            });
            let total = step(&mut model, &input).total;
            model.load_state_dict(&original).unwrap();
            total
        };
        let slope = (total_at(H) - total_at(-H)) / (2.0 * H);
        assert!(
            (slope / norm - 1.0).abs() < 0.05,
            "{}: {slope} against {norm}",
            param.name
        );
        checked += 1;
    }
    assert!(checked > params.len() / 2, "{checked} of {}", params.len());
}

/// With no alteration and every branch's norms those of the vanilla model, each branch is the vanilla model.
#[test]
fn a_flexible_network_without_private_differences_is_vanilla() {
    let mut vanilla = build(&small(Method::Vanilla { frames: 8 }), 2);
    // Running statistics that are not 0 and 1.
    step(&mut vanilla, &pixels(8 * CLIPS, 0.5));
    let mut method = flexible(1.0);
    if let Method::Ffn(ffn) = &mut method {
        ffn.alteration = Alteration::Normal { std: 0.0 };
    }
    let mut flexible = build(&small(method), 2);
    let (source, mut state) = (
        vanilla.state_dict().unwrap(),
        flexible.state_dict().unwrap(),
    );
    for (name, _, values) in &mut state.floats {
        let shared = ffn::graph::Architecture::Tsm.vanilla_name(name);
        if let Some((.., own)) = source.floats.iter().find(|(n, ..)| *n == shared) {
            values.clone_from(own);
        }
    }
    flexible.load_state_dict(&state).unwrap();
    for frames in [4, 8] {
        let input = pixels(frames * CLIPS, 0.0);
        let expected = vanilla
            .evaluate(frames, CLIPS, Input::Values(&input))
            .unwrap();
        let found = flexible
            .evaluate(frames, CLIPS, Input::Values(&input))
            .unwrap();
        assert!(expected.iter().any(|v| v.abs() > 1e-2));
        for (e, f) in expected.iter().zip(&found) {
            assert!((e - f).abs() < 1e-5, "{frames} frames: {e} and {f}");
        }
    }
}

/// Training goes on bit for bit from a saved state, whatever the number of threads.
#[test]
fn a_restored_model_goes_on_bit_for_bit() {
    let experiment = small(flexible(1.0));
    let advance = |model: &mut Model, optimizer: &mut Optimizer, number: u8| {
        step(model, &pixels(12 * CLIPS, f32::from(number)));
        optimizer.step(model, 0.05).unwrap();
    };
    let mut whole = build(&experiment, 1);
    let mut optimizer = Optimizer::new(&whole, &experiment).unwrap();
    advance(&mut whole, &mut optimizer, 0);
    let (saved, momentum) = (
        whole.state_dict().unwrap(),
        optimizer.state(&whole).unwrap(),
    );
    advance(&mut whole, &mut optimizer, 1);

    let mut other = experiment.clone();
    other.seed = 7;
    let mut resumed = build(&other, 3);
    let mut resumed_optimizer = Optimizer::new(&resumed, &other).unwrap();
    resumed.load_state_dict(&saved).unwrap();
    resumed_optimizer.load_state(&resumed, &momentum).unwrap();
    advance(&mut resumed, &mut resumed_optimizer, 1);
    assert_eq!(whole.state_dict().unwrap(), resumed.state_dict().unwrap());
    assert_eq!(
        optimizer.state(&whole).unwrap(),
        resumed_optimizer.state(&resumed).unwrap()
    );
}

#[test]
fn training_lowers_the_loss() {
    let experiment = small(flexible(1.0));
    let mut model = build(&experiment, 2);
    let mut optimizer = Optimizer::new(&model, &experiment).unwrap();
    let input = pixels(12 * CLIPS, 0.0);
    let mut totals = Vec::new();
    for _ in 0..10 {
        let output = step(&mut model, &input);
        optimizer.step(&mut model, 0.05).unwrap();
        totals.push(output.total);
    }
    assert!(totals[9] < 0.5 * totals[0], "{totals:?}");
}

#[test]
fn programs_are_built_ahead_and_counted() {
    let mut model = build(&small(flexible(1.0)), 2);
    assert_eq!(model.memory(), 0);
    model.prepare_train(CLIPS).unwrap();
    let training = model.memory();
    model.prepare_eval(4, CLIPS).unwrap();
    model.prepare_eval(16, CLIPS).unwrap();
    let all = model.memory();
    assert!(0 < training && training < all);
    step(&mut model, &pixels(12 * CLIPS, 0.0));
    model
        .evaluate(16, CLIPS, Input::Values(&pixels(16 * CLIPS, 0.0)))
        .unwrap();
    assert_eq!(model.memory(), all);
}

#[test]
fn a_batch_of_another_size_is_refused() {
    let mut model = build(&small(flexible(1.0)), 2);
    let input = StepInput {
        pixels: Input::Values(&pixels(11 * CLIPS, 0.0)),
        targets: Targets::Labels(&LABELS),
        dropout: DROPOUT,
        shards: 1,
    };
    let error = model.train_step(&input).err().unwrap();
    assert_eq!(
        error.message,
        "expected 24 frames of 16×16 pixels (18432 values), found 16896 values"
    );
}

#[test]
fn a_state_of_another_model_is_refused() {
    let vanilla = build(&small(Method::Vanilla { frames: 8 }), 2)
        .state_dict()
        .unwrap();
    let error = build(&small(flexible(1.0)), 2)
        .load_state_dict(&vanilla)
        .unwrap_err();
    assert!(
        error.message.contains("missing    base_model.bn1_4.weight"),
        "{error}"
    );
    assert!(
        error.message.contains("unexpected base_model.bn1.weight"),
        "{error}"
    );
}

#[test]
fn observing_changes_no_result_and_gives_every_node() {
    let experiment = small(flexible(1.0));
    let mut model = build(&experiment, 2);
    let frames = pixels(24, 0.3);
    step(&mut model, &frames);
    let unobserved = model.device().gradients().unwrap().concat();
    let evaluated = model
        .evaluate(4, 2, Input::Values(&frames[..frames.len() / 3]))
        .unwrap();

    let mut model = build(&experiment, 2);
    let graph = model.graph().clone();
    let all: Vec<usize> = (0..graph.nodes.len()).collect();
    model.observe(&all);
    let output = step(&mut model, &frames);
    assert_close(&model.device().gradients().unwrap().concat(), &unobserved);
    let observed = model.observations().to_vec();
    assert_eq!(observed.len(), graph.nodes.len() * graph.branches.len());
    let logits: Vec<f32> = observed[observed.len() - 2..]
        .iter()
        .flat_map(|o| o.values.clone())
        .collect();
    assert_eq!(logits, output.logits.concat());
    for observation in &observed {
        let count: usize = observation.shape.iter().product();
        assert_eq!(observation.values.len(), count, "{}", observation.node);
    }
    // What a ReLU gave is its input where that is positive, also behind a fused norm.
    let is_relu = |op: &Op| *op == Op::Each(Each::Relu);
    for relu in graph.nodes.iter().filter(|n| is_relu(&n.op)) {
        let before = values(&observed, &graph.nodes[relu.inputs[0]].name);
        assert!(
            before
                .zip(values(&observed, &relu.name))
                .all(|(x, y)| x.max(0.0) == *y),
            "{}",
            relu.name
        );
    }

    let again = model
        .evaluate(4, 2, Input::Values(&frames[..frames.len() / 3]))
        .unwrap();
    assert_close(&again, &evaluated);
    assert_eq!(model.observations().len(), graph.nodes.len());
}

/// Equal but for rounding, relative to the largest value.
fn assert_close(left: &[f32], right: &[f32]) {
    let largest = right.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let worst = left
        .iter()
        .zip(right)
        .fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(
        left.len() == right.len() && worst <= 1e-5 * largest,
        "{worst} of {largest}"
    );
}

/// What a node gave for all segments.
fn values<'a>(observed: &'a [Observation], node: &'a str) -> impl Iterator<Item = &'a f32> {
    let of_node = observed.iter().filter(move |o| o.node == node);
    of_node.flat_map(|o| &o.values)
}

/// Evaluation keeps its packed weights between passes, and must notice what has changed since.
#[test]
fn evaluation_follows_the_weights() {
    let experiment = small(flexible(1.0));
    let mut model = build(&experiment, 1);
    let (clip, batch) = (pixels(4, 0.0), pixels(CLIPS * 12, 1.0));
    let fresh = |model: &Model| {
        let mut fresh = build(&experiment, 1);
        fresh.load_state_dict(&model.state_dict().unwrap()).unwrap();
        fresh.evaluate(4, 1, Input::Values(&clip)).unwrap()
    };
    let mut seen = vec![model.evaluate(4, 1, Input::Values(&clip)).unwrap()];
    // A step moves the running statistics, an update the parameters, and a state dictionary both.
    let mut optimizer = Optimizer::new(&model, &experiment).unwrap();
    step(&mut model, &batch);
    seen.push(model.evaluate(4, 1, Input::Values(&clip)).unwrap());
    assert_eq!(seen[1], fresh(&model));
    optimizer.step(&mut model, 0.1).unwrap();
    seen.push(model.evaluate(4, 1, Input::Values(&clip)).unwrap());
    assert_eq!(seen[2], fresh(&model));
    model
        .load_state_dict(&build(&experiment, 1).state_dict().unwrap())
        .unwrap();
    assert_eq!(model.evaluate(4, 1, Input::Values(&clip)).unwrap(), seen[0]);
    assert!(seen[0] != seen[1] && seen[1] != seen[2]);
}
