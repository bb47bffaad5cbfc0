//! Passes that run as graphs: what changes from pass to pass reaches them.

use std::rc::Rc;

use ffn::exec::{Device, DropoutKey, Engine, Input, Statistics, TrainOptions, cpu, cuda};
use ffn::graph::Graph;
use ffn::ops::StepOp;
use ffn::program::{Numerics, Program, Step, compile_train};
use ffn::spec::{Block, Stem};

use crate::engine::{distance, flexible, gpu, normal, options, segments, weights};

/// Logits and running statistics of a pass of a step with its own frames and masks.
fn step(engine: &mut dyn Engine, stats: &mut Statistics, step: u64) -> (Vec<f32>, Statistics) {
    let program = engine.program();
    let pixels = normal(step, program.buffers[program.input].len());
    let key = DropoutKey {
        seed: 7,
        step,
        first_clip: 0,
    };
    let logits = engine.forward(stats, Input::Values(&pixels), key);
    let logits = logits.unwrap().to_vec();
    (logits, stats.clone())
}

struct Both {
    graph: Graph,
    program: Program,
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
    Some(Both {
        graph,
        program,
        gpu,
    })
}

impl Both {
    /// `scale` times the usual ones.
    fn params(&self, scale: f32) -> Vec<Vec<f32>> {
        let (mut params, _) = weights(&self.graph);
        params.iter_mut().flatten().for_each(|v| *v *= scale);
        params
    }

    fn cpu(&self, scale: f32) -> Box<dyn Engine> {
        let device = cpu::Cpu::new(1, self.params(scale));
        device.engine(&self.graph, self.program.clone()).unwrap()
    }

    fn cuda(&self) -> Box<dyn Engine> {
        let gpu = Rc::clone(&self.gpu);
        let device = cuda::Cuda::new(gpu, &self.graph, &self.params(1.0)).unwrap();
        device.engine(&self.graph, self.program.clone()).unwrap()
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
    let Some(both) = both() else { return };
    let (mut cpu, mut cuda) = (both.cpu(1.0), both.cuda());
    let (_, stats) = weights(&both.graph);
    let mut last = Vec::new();
    let [mut own, mut theirs] = [stats.clone(), stats];
    for number in 0..4 {
        let (expected, expected_stats) = step(&mut *cpu, &mut own, number);
        let (found, found_stats) = step(&mut *cuda, &mut theirs, number);
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
    let Some(both) = both() else { return };
    let (_, stats) = weights(&both.graph);
    let (gpu, key) = (
        &both.gpu,
        DropoutKey {
            seed: 7,
            step: 3,
            first_clip: 0,
        },
    );
    let pixels = normal(3, both.program.buffers[both.program.input].len());
    let mut engine = cuda::Engine::new(&both.graph, both.program.clone(), Rc::clone(gpu)).unwrap();
    let [usual, larger] = [1.0, 1.5].map(|scale| {
        let on_gpu = cuda::Weights::new(Rc::clone(gpu), &both.graph, &both.params(scale));
        let (expected, _) = step(&mut *both.cpu(scale), &mut stats.clone(), 3);
        (on_gpu.unwrap(), expected)
    });
    for (on_gpu, expected) in [&usual, &usual, &larger, &usual, &larger] {
        let found = engine.forward(on_gpu, &mut stats.clone(), Input::Values(&pixels), key);
        assert_near(found.unwrap(), expected);
    }
}

/// Timed passes run step by step, to the same bits.
#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn timed_passes_give_the_same_bits() {
    let Some(both) = both() else { return };
    let mut cuda = both.cuda();
    let (_, stats) = weights(&both.graph);
    let pass = |engine: &mut dyn Engine| step(engine, &mut stats.clone(), 5);
    let direct = pass(&mut *cuda);
    let replayed = pass(&mut *cuda);
    assert!(cuda.times().is_empty());
    assert!(cuda.time_steps().unwrap());
    let timed = pass(&mut *cuda);
    // Each step has its own task, and each weight that is packed.
    let convolutions = |step: &&Step| matches!(step.op, StepOp::Conv(_) | StepOp::ConvBackInput(_));
    let packed = both.program.steps().filter(convolutions).count();
    let steps = both.program.steps().count();
    assert_eq!(cuda.times().len(), steps + packed);
    assert!(direct == replayed && replayed == timed);
}
