//! The compiled program on a CUDA card: NHWC, in float32 or bf16.
//!
//! Convolutions are cuDNN's, everything else kernels of our own (`kernels/*.cu`), compiled for the card when
//! it is opened ([`compile`]). Sums have an order that shapes alone decide, so the same card and libraries give the same
//! bits. Nothing of CUDA is needed to build this: libraries are found when the engine starts ([`libraries`]).
//!
//! Parameters, gradients, momentum and running statistics stay on the card, one copy for all engines of a model
//! ([`Weights`]), and the optimiser's step is computed there ([`Momentum`]). A training step copies its frames and the
//! logits' gradient up (and dropout masks and learning rates, which are small), and down the logits, the running statistics and the partial sums of the gradients' norm.
//!
//! Without a card the tests run the same kernels, compiled as C++, on an emulated one: `cargo test --test cuda`.

pub mod algorithms;
mod bank;
pub mod compile;
mod conv;
mod dropout;
mod gpu;
mod graph;
mod input;
pub mod libraries;
pub mod limits;
mod memory;
mod needs;
mod norm;
mod pack;
mod pool;
pub mod probe;
mod product;
mod run;
mod shift;
mod update;
mod weights;

use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use cudarc::driver::CudaEvent;
use half::bf16;

use self::bank::Bank;
use self::conv::{Convolution, Direction, Product};
use self::dropout::Masks;
pub use self::gpu::Gpu;
use self::graph::Replay;
use self::memory::Memory;
pub use self::needs::{Needs, WeightNeeds};
use self::run::Pass;
pub use self::update::Momentum;
pub use self::weights::Weights;
use super::lengths::Lengths;
use super::{DropoutKey, Input, Statistics};
use crate::base::{Error, Kind, Result};
use crate::graph::{Graph, NodeId};
use crate::program::{Buffer, BufferId, Element, Op, Program, Step};

/// A program for one shape of batch, with its memory on the card. Nothing is allocated there after it is built.
pub struct Engine {
    program: Program,
    memory: Memory,
    /// Of each step: what cuDNN computes for it.
    convolutions: Vec<Vec<Convolution>>,
    lengths: Lengths,
    branches: Vec<usize>,
    /// Forward and backward; not used while steps are timed.
    replays: [Replay; 2],
    profile: Option<Profile>,
    masks: Masks,
    logits: Vec<f32>,
    /// The words of each observed node's buffer after the last pass.
    observed: Vec<(NodeId, Vec<f32>)>,
    /// Whether the card holds the packed weights that evaluation keeps.
    is_prepared: bool,
    // Last: what the others hold of the card goes before it.
    gpu: Rc<Gpu>,
}

/// Time that steps take.
struct Profile {
    /// As [`Pass::marks`] says.
    marks: Vec<CudaEvent>,
    /// Of each step, forward then backward, over all passes that were timed.
    times: Vec<Duration>,
}

impl Engine {
    /// Takes what a verified program needs on the card.
    pub fn new(graph: &Graph, program: Program, gpu: Rc<Gpu>) -> Result<Self> {
        let convolutions = convolutions(&gpu, &program)?;
        let needs = Needs::of_convolutions(&program, &convolutions);
        let lengths = Lengths::of(graph, &program);
        let memory = Memory::new(&gpu, &program, needs)?;
        let observed = program.observed.iter();
        let place = |&(node, id): &(NodeId, usize)| (node, vec![0.0; program.buffers[id].words()]);
        Ok(Self {
            memory,
            convolutions,
            lengths,
            branches: graph.branches.clone(),
            logits: vec![0.0; program.buffers[program.logits].len],
            observed: observed.map(place).collect(),
            replays: Default::default(),
            profile: None,
            masks: Masks::new(&gpu, &program)?,
            is_prepared: false,
            program,
            gpu,
        })
    }

    /// As [`super::cpu::Engine::forward`].
    pub fn forward(
        &mut self,
        weights: &Weights,
        stats: &mut Statistics,
        input: Input<'_>,
        dropout: DropoutKey,
    ) -> Result<&[f32]> {
        weights.check(&self.gpu, &self.lengths)?;
        self.lengths.check_forward(stats, input)?;
        let queued = self.queue_forward(weights, stats, input, dropout);
        // Nothing that is copied may go before the copies are done, failed or not.
        let done = self.gpu.synchronize();
        queued
            .and(done)
            .inspect_err(|_| weights.forget_statistics())?;
        self.count_batches(stats);
        if self.reads_statistics() {
            weights.take_statistics(stats);
        }
        self.is_prepared = true;
        self.add_times(0..self.program.forward.len())?;
        Ok(&self.logits)
    }

    fn queue_forward(
        &mut self,
        weights: &Weights,
        stats: &mut Statistics,
        input: Input<'_>,
        dropout: DropoutKey,
    ) -> Result<()> {
        let prepare = !self.is_prepared;
        weights.write_statistics(stats)?;
        self.masks.draw(&self.program, &self.branches, dropout)?;
        let mut pass = self.pass(weights, None);
        pass.input(input)?;
        if prepare {
            pass.prepare()?;
        }
        self.queue(Way::Forward, weights, None)?;
        if self.program.d_logits.is_none() {
            // Before anything is read: that waits until the pass is done.
            self.copy_ahead(input)?;
        }
        let read = |id, to: &mut [f32]| self.memory.read(&self.gpu, &self.program, id, to);
        read(self.program.logits, &mut self.logits)?;
        for ((_, values), (_, id)) in self.observed.iter_mut().zip(&self.program.observed) {
            read(*id, values)?;
        }
        match self.reads_statistics() {
            true => weights.queue_statistics(),
            false => Ok(()),
        }
    }

    /// Begins to copy the pixels of the pass that follows, if they are known. Of a training step after the backward pass is
    /// queued: there it delays nothing.
    pub fn copy_ahead(&mut self, input: Input<'_>) -> Result<()> {
        self.memory.staging.copy_ahead(&self.gpu, input)
    }

    /// Whether every pass reads the running statistics, and may change them: a program that prepares nothing.
    fn reads_statistics(&self) -> bool {
        self.program.prepare.is_empty()
    }

    /// As [`super::cpu::Engine::weights_changed`].
    pub fn weights_changed(&mut self) {
        self.is_prepared = false;
    }

    /// As [`super::cpu::Engine::backward`]; the gradients stay beside the weights.
    pub fn backward(&mut self, weights: &Weights, d_logits: &[f32]) -> Result<()> {
        weights.check(&self.gpu, &self.lengths)?;
        let gradient = self.lengths.check_backward(d_logits)?;
        // Who looks at the gradients waits for them; the logits' gradient was taken when its copy was queued.
        self.queue_backward(weights, gradient, d_logits)?;
        if self.profile.is_some() {
            self.gpu.synchronize()?;
        }
        let first = self.program.forward.len();
        self.add_times(first..first + self.program.backward.len())
    }

    /// Adds what steps took in a pass that is done.
    fn add_times(&mut self, steps: Range<usize>) -> Result<()> {
        let Some(Profile { marks, times }) = &mut self.profile else {
            return Ok(());
        };
        for step in steps {
            let milliseconds = marks[step].elapsed_ms(&marks[step + 1]);
            let milliseconds = milliseconds.map_err(|e| gpu::failed("read an event", e))?;
            let seconds = Duration::try_from_secs_f32(milliseconds / 1e3);
            times[step] += seconds.unwrap_or_default();
        }
        Ok(())
    }

    fn queue_backward(
        &mut self,
        weights: &Weights,
        gradient: BufferId,
        d_logits: &[f32],
    ) -> Result<()> {
        self.memory
            .write(&self.gpu, &self.program, gradient, d_logits)?;
        let gradients = weights.gradients()?;
        gradients.clear(&self.gpu)?;
        self.queue(Way::Backward, weights, Some(gradients))
    }

    /// Queues the steps of a way: as they are while they are timed, else as soon as it can be as one graph.
    fn queue(&mut self, way: Way, weights: &Weights, gradients: Option<&Bank>) -> Result<()> {
        let mut replay = std::mem::take(&mut self.replays[way as usize]);
        let pass = self.pass(weights, gradients);
        let steps = || match way {
            Way::Forward => pass.forward(),
            Way::Backward => pass.backward(),
        };
        let queued = match pass.marks {
            Some(_) => steps(),
            None => replay.run(pass.gpu, weights, steps),
        };
        self.replays[way as usize] = replay;
        queued
    }

    /// Which statistics follow a batch is counted here; their values are the card's.
    fn count_batches(&self, stats: &mut Statistics) {
        for step in &self.program.forward {
            let Op::BatchStatistics { norm, .. } = &step.op else {
                continue;
            };
            for group in &self.program.batch.norm_groups {
                stats.batches[norm.of(group.branch).stat] += u64::from(group.updates);
            }
        }
    }

    /// From now on every pass runs step by step, and each step is timed.
    pub fn time_steps(&mut self) -> Result<()> {
        let steps = self.program.forward.len() + self.program.backward.len();
        self.profile = Some(Profile {
            marks: self.gpu.marks(steps + 1)?,
            times: vec![Duration::ZERO; steps],
        });
        Ok(())
    }

    /// After a pass: the outputs of the observed nodes, as [`super::cpu::Engine::observed`] gives them.
    pub fn observed(&self) -> impl Iterator<Item = (NodeId, Vec<f32>)> {
        let observed = self.observed.iter().zip(&self.program.observed);
        observed.map(|((node, words), (_, id))| {
            let Buffer { element, len, .. } = self.program.buffers[*id];
            let values = match element {
                Element::Float32 => words.clone(),
                Element::Bf16 => {
                    let stored: &[bf16] = bytemuck::cast_slice(words);
                    stored[..len].iter().map(|value| value.to_f32()).collect()
                }
            };
            (*node, values)
        })
    }

    /// Bytes that the engine holds on the card beside the weights.
    pub fn memory(&self) -> usize {
        self.memory.bytes()
    }

    /// Time that each step took so far, in all passes since [`Engine::time_steps`] together.
    pub fn times(&self) -> impl Iterator<Item = (&Step, Duration)> {
        let steps = self.program.forward.iter().chain(&self.program.backward);
        let times = self.profile.iter().flat_map(|profile| &profile.times);
        steps.zip(times.copied())
    }

    /// The program that it runs.
    pub fn program(&self) -> &Program {
        &self.program
    }

    fn pass<'a>(&'a mut self, weights: &'a Weights, gradients: Option<&'a Bank>) -> Pass<'a> {
        Pass {
            weights,
            gradients,
            gpu: &self.gpu,
            program: &self.program,
            memory: &mut self.memory,
            convolutions: &self.convolutions,
            marks: self.profile.as_ref().map(|profile| &*profile.marks),
            masks: &self.masks,
        }
    }
}

/// A direction of a pass.
#[derive(Debug, Clone, Copy)]
enum Way {
    Forward,
    Backward,
}

/// What cuDNN computes for each step of a program, if this card can run it.
fn convolutions(gpu: &Gpu, program: &Program) -> Result<Vec<Vec<Convolution>>> {
    check_places(program)?;
    check_sizes(program)?;
    for buffer in &program.buffers {
        gpu.prepare(buffer.element)?;
    }
    let steps = program.steps();
    steps
        .map(|step| convolutions_of(gpu, program, &step.op))
        .collect()
}

/// What cuDNN computes for a step: as many convolutions as matrices, of the frames that take them.
fn convolutions_of(gpu: &Gpu, program: &Program, op: &Op) -> Result<Vec<Convolution>> {
    let Some((product, direction)) = product(program, op) else {
        return Ok(Vec::new());
    };
    let of_frames = |(frames, _): (Range<usize>, usize)| {
        Convolution::new(gpu, &product, frames.len(), direction)
    };
    runs(program, op).into_iter().map(of_frames).collect()
}

/// The frames of a step's products, and which matrix they take.
fn runs(program: &Program, op: &Op) -> Vec<(Range<usize>, usize)> {
    match op {
        Op::Conv { branches, .. } => program.batch.runs(branches),
        _ => program.batch.runs(&[]),
    }
}

/// The product that a step asks of cuDNN, if it is one.
fn product(program: &Program, op: &Op) -> Option<(Product, Direction)> {
    let (conv, x, y, direction) = match op {
        Op::Conv { conv, x, y, .. } => (conv, x, y, Direction::Forward),
        Op::ConvBackData { conv, dy, dx, .. } => (conv, dx, dy, Direction::InputGradient),
        Op::ConvBackWeight { conv, x, dy, .. } => (conv, x, dy, Direction::WeightGradient),
        _ => return None,
    };
    Some((Product::of(program, conv, *x, *y), direction))
}

/// Weights and their gradients lie in buffers that are planned for the CPU's packed ones.
fn check_places(program: &Program) -> Result<()> {
    for step in program.steps() {
        let (conv, matrices, buffer) = match &step.op {
            Op::PackForward {
                conv, branches, w, ..
            } => (conv, branches.len().max(1), w),
            Op::PackBackward { conv, w, .. } => (conv, 1, w),
            Op::ConvBackWeight { conv, partials, .. } => (conv, 1, partials),
            _ => continue,
        };
        let (found, needed) = (program.buffers[*buffer].len / matrices, conv.weights());
        if found < needed {
            let name = &step.name;
            let message = format!("`{name}` has {found} places for a weight of {needed} values");
            return Err(Error::new(Kind::Device, message));
        }
    }
    Ok(())
}

/// A card counts frames in 16 bits, and the kernels a frame's values in 31.
fn check_sizes(program: &Program) -> Result<()> {
    let frames = program.batch.frames;
    let largest = program.buffers.iter().map(|buffer| buffer.len).max();
    let frame = largest.unwrap_or(0) / frames.max(1);
    if frames <= usize::from(u16::MAX) && frame <= i32::MAX as usize {
        return Ok(());
    }
    let message = format!(
        "a batch of {frames} frames of up to {frame} values each is more than a card's kernels can count"
    );
    Err(Error::new(Kind::Device, message).hint("a smaller `train.batch` or `eval.batch` has fewer"))
}
