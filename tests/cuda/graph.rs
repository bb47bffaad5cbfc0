//! Passes that run as graphs: what changes from pass to pass reaches them.

use std::rc::Rc;

use ffn::exec::{DropoutKey, Engine, Input, Statistics, TrainOptions, Weights, cpu, cuda};
use ffn::graph::Graph;
use ffn::ops::StepOp;
use ffn::program::{Numerics, Step, compile_train};
use ffn::spec::{Block, Stem};

use crate::engine::{distance, flexible, gpu, normal, options, segments, weights};

/// Logits and running statistics of a pass of a step with its own frames and masks.
fn step(
    engine: &mut Engine,
    own: &Weights,
    stats: &mut Statistics,
    step: u64,
) -> (Vec<f32>, Statistics) {
    let program = engine.program();
    let pixels = normal(step, program.buffers[program.input].len());
    let key = DropoutKey { seed: 7, step };
    let logits = engine.forward(own, stats, Input::Values(&pixels), key);
    let logits = logits.unwrap().to_vec();
    (logits, stats.clone())
}

struct Both {
    graph: Graph,
    cpu: Engine,
    card: Engine,
    gpu: Rc<cuda::Gpu>,
}

fn both() -> Option<Both> {
    let gpu = gpu()?;
    let graph = flexible(Block::Basic, Stem::Small);
    let options = TrainOptions {
        dropout: 0.5,
        ..options()
    };
    let program = compile_train(&graph, &segments(), &options, &[], Numerics::Float32).unwrap();
    let engine = cpu::Engine::new(&graph, program.clone(), 1).unwrap();
    let card = cuda::Engine::new(&graph, program, Rc::clone(&gpu)).unwrap();
    Some(Both {
        graph,
        cpu: Engine::Cpu(Box::new(engine)),
        card: Engine::Cuda(Box::new(card)),
        gpu,
    })
}

impl Both {
    /// As many weights on host and GPU, `scale` times the usual ones.
    fn weights(&self, scale: f32) -> [Weights; 2] {
        let (mut params, _) = weights(&self.graph);
        params.iter_mut().flatten().for_each(|v| *v *= scale);
        let on_card = cuda::Weights::new(Rc::clone(&self.gpu), &self.graph, &params).unwrap();
        [Weights::Host(params.into()), Weights::Card(on_card.into())]
    }
}

#[track_caller]
fn assert_near(found: &[f32], expected: &[f32]) {
    let distance = distance(found, expected, 0.0);
    assert!(distance < 1e-4, "relative distance {distance}");
}

/// Frames, dropout masks and statistics are those of each step, whatever pass was captured.
#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn every_pass_has_its_own_input() {
    let Some(mut both) = both() else { return };
    let [host, on_card] = both.weights(1.0);
    let (_, stats) = weights(&both.graph);
    let mut last = Vec::new();
    let [mut own, mut theirs] = [stats.clone(), stats];
    for number in 0..4 {
        let (expected, expected_stats) = step(&mut both.cpu, &host, &mut own, number);
        let (found, found_stats) = step(&mut both.card, &on_card, &mut theirs, number);
        assert_near(&found, &expected);
        assert_near(&found_stats.mean.concat(), &expected_stats.mean.concat());
        assert_eq!(found_stats.batches, expected_stats.batches);
        assert_ne!(found, last);
        last = found;
    }
}

/// A graph that was captured with some weights does not compute with others.
#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn other_weights_are_captured_anew() {
    let Some(mut both) = both() else { return };
    let (_, stats) = weights(&both.graph);
    let pairs = [1.0, 1.5].map(|scale| both.weights(scale));
    for [host, on_card] in [&pairs[0], &pairs[0], &pairs[1], &pairs[0], &pairs[1]] {
        let (expected, _) = step(&mut both.cpu, host, &mut stats.clone(), 3);
        let (found, _) = step(&mut both.card, on_card, &mut stats.clone(), 3);
        assert_near(&found, &expected);
    }
}

/// Timed passes run step by step, to the same bits.
#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn timed_passes_give_the_same_bits() {
    let Some(mut both) = both() else { return };
    let [_, on_card] = both.weights(1.0);
    let (_, stats) = weights(&both.graph);
    let pass = |engine: &mut Engine| step(engine, &on_card, &mut stats.clone(), 5);
    let direct = pass(&mut both.card);
    let replayed = pass(&mut both.card);
    assert!(both.card.times().is_empty());
    assert!(both.card.time_steps().unwrap());
    let timed = pass(&mut both.card);
    // Each step has its own task, and each weight that is packed.
    let convolutions = |step: &&Step| matches!(step.op, StepOp::Conv(_) | StepOp::ConvBackInput(_));
    let packed = both.card.program().steps().filter(convolutions).count();
    let steps = both.card.program().steps().count();
    assert_eq!(both.card.times().len(), steps + packed);
    assert!(direct == replayed && replayed == timed);
}
