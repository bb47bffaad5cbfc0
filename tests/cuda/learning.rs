//! Weights that stay on the GPU: the optimiser's step there, and a model that trains, evaluates, stops and goes on.

use std::path::Path;
use std::rc::Rc;

use ffn::exec::{
    AdamW, Device, DeviceId, DropoutKey, Executor, Input, Rates, Rule, Statistics, Update, cpu,
    cuda,
};
use ffn::golden::{Network, Training, experiment};
use ffn::model::objective::Targets;
use ffn::model::{Model, StateDict, StepInput, StepOutput};
use ffn::run::optimizer_state::OptimizerState;
use ffn::spec::network;
use ffn::spec::*;
use ffn::train::Optimizer;

use crate::engine::{flexible, gpu, normal, weights};

const CLIPS: usize = 2;
const SIDE: usize = 16;
const CLIP: f64 = 0.1;

/// From equal gradients every bit of parameters and moments is the CPU's; the norm is, but for the order of its sum.
#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn updates_have_the_cpus_bits() {
    let Some(gpu) = gpu() else { return };
    let sgd = |nesterov| Rule::Sgd {
        momentum: 0.9,
        nesterov,
    };
    let adam = Rule::AdamW(AdamW {
        new1: 0.1,
        beta2: 0.999,
        new2: 0.001,
        eps: 1e-8,
        correction1: 10.0,
        correction2: 0.0316,
    });
    for rule in [sgd(false), sgd(true), adam] {
        check_updates(&gpu, rule);
    }
}

fn check_updates(gpu: &Rc<cuda::Gpu>, rule: Rule) {
    let graph = flexible(Block::Bottleneck, Stem::ImageNet);
    let (params, _) = weights(&graph);
    let cuda = cuda::Cuda::new(Rc::clone(gpu), &graph, &params).unwrap();
    let cpu = cpu::Cpu::new(1, params.clone());
    let both: [&dyn Device; 2] = [&cpu, &cuda];
    // Every third parameter is frozen.
    let trained: Vec<bool> = (0..params.len()).map(|index| index % 3 > 0).collect();
    for device in both {
        device.reset_moments(&trained, rule.moments()).unwrap();
    }
    for step in 0..3 {
        let gradient =
            |(index, values): (usize, &Vec<f32>)| normal(1000 * step + index as u64, values.len());
        let gradients: Vec<Vec<f32>> = params.iter().enumerate().map(gradient).collect();
        let rates = (0..params.len()).map(|index| Rates {
            rate: 0.01 * index as f32,
            decay: 1e-3 / (1.0 + index as f32),
        });
        let update = Update {
            rule,
            scale: 0.7,
            rates: rates.collect(),
        };
        let squares = both.map(|device| {
            device.write_gradients(&gradients).unwrap();
            device.clamp_gradients(0.8).unwrap();
            device.learn(&update).unwrap();
            device.gradient_square().unwrap()
        });
        assert!((squares[1] / squares[0] - 1.0).abs() < 1e-12, "{squares:?}");
        let [expected, found] = both.map(|device| device.parameters().unwrap());
        assert!(found == expected && found != params, "{rule:?}: parameters");
        let [expected, found] = both.map(|device| device.moments().unwrap());
        assert!(found == expected, "{rule:?}: moments");
        // What is read can be written.
        let moments: Vec<&[f32]> = found.iter().map(Vec::as_slice).collect();
        for device in both {
            device.write_moments(&moments).unwrap();
            assert!(device.moments().unwrap() == found, "{rule:?}: moments");
        }
    }
}

/// What was made for one network touches no other's memory.
#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn weights_of_others_are_refused() {
    let Some(gpu) = gpu() else { return };
    let graphs = [Stem::Small, Stem::ImageNet].map(|stem| flexible(Block::Basic, stem));
    let [own, other] = graphs.map(|graph| {
        let (params, _) = weights(&graph);
        let weights = cuda::Weights::new(Rc::clone(&gpu), &graph, &params).unwrap();
        weights.prepare_gradients().unwrap();
        weights
    });
    let trained = vec![true; own.read().unwrap().len()];
    let moments = cuda::Moments::new(&own, &trained, 1).unwrap();
    assert!(moments.square(&own).is_ok());
    let error = moments.square(&other).err().unwrap();
    assert!(error.message.contains("another network's"), "{error}");
}

/// Statistics go to the GPU when it holds others, and come back as they are there.
#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn statistics_follow_their_owner() {
    let Some(gpu) = gpu() else { return };
    let graph = flexible(Block::Basic, Stem::Small);
    let (params, stats) = weights(&graph);
    let on_gpu = cuda::Weights::new(gpu, &graph, &params).unwrap();
    for stats in [stats, Statistics::initial(&graph)] {
        on_gpu.write_statistics(&stats).unwrap();
        let mut found = Statistics::initial(&graph);
        on_gpu.queue_statistics().unwrap();
        on_gpu.take_statistics(&mut found);
        assert_eq!((found.mean, found.var), (stats.mean, stats.var));
    }
}

/// A network that clips its gradients and freezes norms.
fn small() -> Experiment {
    let mut experiment = experiment(&Network {
        method: Method::Ffn(Ffn {
            frames: vec![2, 4],
            lambda: 1.0,
            alteration: Alteration::Normal { std: 0.1 },
            norms: Norms::Private,
            distillation: Distillation::FromLargest,
            shift_segments: ShiftSegments::PerBranch,
        }),
        model: network::tsm(Backbone::ResNet(ResNet {
            block: Block::Basic,
            blocks: vec![1, 1],
            width: 8,
            stem: Stem::Small,
        })),
        classes: 3,
        size: SIDE,
        training: Some(Training::sgd(CLIPS, 0.1, 0.9, 1e-3).clipped(CLIP)),
    });
    experiment.train.frozen_norms = FrozenNorms::AllButFirst;
    experiment
}

struct Learner {
    model: Model,
    optimizer: Optimizer,
}

impl Learner {
    fn new(experiment: &Experiment, device: DeviceId) -> Self {
        let executor = Executor {
            device,
            ..Executor::compiled(1)
        };
        let model = Model::new(experiment, Path::new(""), executor).unwrap();
        let optimizer = Optimizer::new(&model, experiment).unwrap();
        Self { model, optimizer }
    }

    /// Forward and backward of one batch, scaled; gradients are left.
    fn pass(&mut self, step: u64, scale: f32) -> StepOutput {
        let pixels = normal(step, 6 * CLIPS * SIDE * SIDE * 3);
        let pixels: Vec<f32> = pixels.iter().map(|v| v * scale).collect();
        let input = StepInput {
            pixels: Input::Values(&pixels),
            targets: Targets::Labels(&[0, 2]),
            dropout: DropoutKey {
                seed: 1,
                step,
                first_clip: 0,
            },
            shards: 1,
        };
        self.model.train_step(&input).unwrap()
    }

    /// A training step; its norm.
    fn step(&mut self, step: u64) -> f64 {
        self.pass(step, 1.0);
        self.optimizer.step(&mut self.model, 0.1).unwrap()
    }

    fn evaluate(&mut self) -> Vec<f32> {
        let pixels = normal(99, 4 * CLIPS * SIDE * SIDE * 3);
        self.model
            .evaluate(4, CLIPS, Input::Values(&pixels))
            .unwrap()
    }

    fn momentum(&self) -> OptimizerState {
        self.optimizer.state(&self.model).unwrap()
    }

    fn state(&self) -> StateDict {
        self.model.state_dict().unwrap()
    }
}

fn gpus() -> Option<DeviceId> {
    gpu().map(|_| DeviceId::Cuda(0))
}

fn near(found: &StateDict, expected: &StateDict) {
    for ((name, _, found), (_, _, expected)) in found.floats.iter().zip(&expected.floats) {
        let pairs = found.iter().zip(expected);
        let apart = pairs.fold(0.0_f32, |m, (a, b)| m.max((a - b).abs()));
        // NaN is far too.
        assert!(apart < 1e-4, "{name}: {apart}");
    }
    assert_eq!(found.counters, expected.counters);
}

/// Clipped steps with frozen norms, evaluated in between: as on the CPU; and gone on with from a saved state, the same bits.
#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn trains_as_the_cpu_and_goes_on_bit_for_bit() {
    let Some(device) = gpus() else { return };
    let experiment = small();
    let (mut cpu, mut gpu) = (
        Learner::new(&experiment, DeviceId::Cpu),
        Learner::new(&experiment, device),
    );
    let before = gpu.state();
    assert_eq!(before, cpu.state());
    assert!(gpu.momentum().tensors.is_empty());
    let mut saved = None;
    for step in 0..3 {
        let norms = [cpu.step(step), gpu.step(step)];
        assert!(norms[0] > CLIP, "nothing is clipped: {norms:?}");
        assert!((norms[1] / norms[0] - 1.0).abs() < 1e-3, "{norms:?}");
        near(&gpu.state(), &cpu.state());
        let logits = gpu.evaluate();
        let mut fresh = Learner::new(&experiment, device);
        fresh.model.load_state_dict(&gpu.state()).unwrap();
        assert_eq!(logits, fresh.evaluate(), "evaluation lags behind");
        if step == 1 {
            saved = Some((gpu.state(), gpu.momentum()));
        }
    }
    let state = gpu.state();
    let pairs = before.floats.iter().zip(&state.floats);
    let graph = gpu.model.graph();
    let trained = graph.trained(experiment.train.frozen_norms);
    for ((param, trained), (before, after)) in graph.params.iter().zip(trained).zip(pairs) {
        assert_eq!(before == after, !trained, "{}", param.name);
    }

    let (state, momentum) = saved.unwrap();
    let mut resumed = Learner::new(&experiment, device);
    resumed.model.load_state_dict(&state).unwrap();
    resumed
        .optimizer
        .load_state(&resumed.model, &momentum)
        .unwrap();
    resumed.step(2);
    assert_eq!(resumed.state(), gpu.state());
    assert_eq!(resumed.momentum(), gpu.momentum());
}

#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn gradients_that_are_not_finite_change_nothing() {
    let Some(device) = gpus() else { return };
    let mut learner = Learner::new(&small(), device);
    assert!(
        learner.model.device().gradients().is_err(),
        "there are none yet"
    );
    learner.step(0);
    let (params, momentum) = (learner.state(), learner.momentum());
    learner.pass(1, f32::INFINITY);
    let norm = learner.optimizer.step(&mut learner.model, 0.1).unwrap();
    assert!(norm.is_nan());
    for ((name, _, a), (_, _, b)) in params.floats.iter().zip(&learner.state().floats) {
        assert!(name.contains("running") || a == b, "{name}");
    }
    assert_eq!(learner.momentum(), momentum);
}

/// Observing and releasing build the engines anew; what has been learnt stays.
#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn weights_outlive_their_engines() {
    let Some(device) = gpus() else { return };
    let mut learner = Learner::new(&small(), device);
    learner.step(0);
    let (state, logits) = (learner.state(), learner.evaluate());
    let all = learner.model.memory();
    learner.model.release();
    let (weights, values) = (
        learner.model.memory(),
        learner.model.graph().parameter_count(),
    );
    let bytes = values * size_of::<f32>();
    // Parameters, gradients and momentum, without the engines.
    assert!(3 * bytes < weights && weights < all, "{weights} of {all}");
    assert_eq!(learner.evaluate(), logits);
    learner.model.observe(&[1]);
    learner.evaluate();
    assert_eq!(learner.state(), state);
}
