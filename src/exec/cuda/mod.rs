//! The compiled program on a CUDA device: NHWC, in float32 or bf16.
//!
//! [`plan`] decides which kernels compute each step ([`work`]); `run` queues them. Convolutions of images are cuDNN's
//! (`cudnn`), everything else kernels of our own (`kernels/*.cu`), compiled for the device when it is opened
//! ([`compile`]). Sums have an order that shapes alone decide, so the same device and libraries give the same bits. Nothing of
//! CUDA is needed to build this: libraries are found when the engine starts ([`libraries`]).
//!
//! Parameters, gradients, moments and running statistics stay on the device, one copy for all engines of a model
//! ([`Weights`]), and the optimiser's step is computed there ([`Moments`]). A training step copies its frames and the
//! logits' gradient up (and dropout masks and learning rates, which are small), and down the logits, the running statistics
//! and the partial sums of the gradients' norm.
//!
//! Without a GPU the tests run the same kernels, compiled as C++, on an emulated one: `cargo test --test cuda`.

mod device;
pub mod plan;
pub mod work;
mod run;
mod cudnn;
mod dropout;
mod input;
mod memory;
mod graph;
mod needs;
mod params;
mod weights;
mod update;
mod gpu;
pub mod compile;
pub mod libraries;
pub mod probe;
pub mod algorithms;
pub mod limits;

use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use cudarc::driver::CudaEvent;
use half::bf16;

use self::cudnn::Convolution;
pub use self::device::Cuda;
use self::dropout::Masks;
pub use self::gpu::Gpu;
use self::graph::Replay;
use self::memory::Memory;
pub use self::needs::{Needs, WeightNeeds};
use self::params::ParamBuffer;
use self::plan::DevicePlan;
use self::run::Pass;
pub use self::update::Moments;
pub use self::weights::Weights;
use self::work::Work;
use super::lengths::Lengths;
use super::plan::{Place, Task};
use super::{DropoutKey, Input, Statistics};
use crate::base::Result;
use crate::graph::{Graph, NodeId};
use crate::ops::{BufferId, Dtype};
use crate::program::Program;

/// A program for one shape of batch, with its memory on the device. Nothing is allocated there after it is built.
pub struct Engine {
    program: Program,
    plan: DevicePlan,
    memory: Memory,
    /// As the plan lists its products.
    convolutions: Vec<Convolution>,
    lengths: Lengths,
    /// Forward and backward; not used while tasks are timed.
    replays: [Replay; 2],
    profile: Option<Profile>,
    masks: Masks,
    logits: Vec<f32>,
    /// The words of each observed node's buffer after the last pass.
    observed: Vec<(NodeId, Vec<f32>)>,
    /// Whether the device holds the packed weights that evaluation keeps.
    is_prepared: bool,
    // Last: what the others hold of the device goes before it.
    gpu: Rc<Gpu>,
}

/// Time that tasks take.
struct Profile {
    /// As [`Pass::marks`] says.
    marks: Vec<CudaEvent>,
    /// Of each task, forward then backward, over all passes that were timed.
    times: Vec<Duration>,
}

impl Engine {
    /// Plans a verified program, and takes what it needs on the device.
    pub fn new(graph: &Graph, program: Program, gpu: Rc<Gpu>) -> Result<Self> {
        let plan = DevicePlan::of(&program)?;
        let convolutions = convolutions(&gpu, &plan)?;
        let needs = Needs::of_convolutions(&plan, &convolutions);
        let memory = Memory::new(&gpu, &plan, needs)?;
        let places = &plan.plan.places;
        let observed = program.observed.iter();
        let words = |&(node, id): &(NodeId, BufferId)| (node, vec![0.0; places[id].words()]);
        Ok(Self {
            lengths: Lengths::of(graph, &program),
            logits: vec![0.0; places[program.logits].len],
            observed: observed.map(words).collect(),
            replays: Default::default(),
            profile: None,
            masks: Masks::new(&gpu, &plan)?,
            is_prepared: false,
            memory,
            convolutions,
            program,
            plan,
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
        for &stat in &self.plan.counted {
            stats.batches[stat] += 1;
        }
        if self.changes_statistics() {
            weights.take_statistics(stats);
        }
        self.is_prepared = true;
        self.add_times(0..self.plan.plan.forward.len())?;
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
        self.masks.draw(&self.program.batch, dropout)?;
        let mut pass = self.pass(weights, None);
        pass.input(input)?;
        if prepare {
            pass.prepare()?;
        }
        self.queue(Direction::Forward, weights, None)?;
        if self.program.d_logits.is_none() {
            // Before anything is read: that waits until the pass is done.
            self.copy_ahead(input)?;
        }
        let places = &self.plan.plan.places;
        let read = |id: BufferId, to: &mut [f32]| self.memory.read(&self.gpu, &places[id], to);
        read(self.program.logits, &mut self.logits)?;
        for ((_, values), (_, id)) in self.observed.iter_mut().zip(&self.program.observed) {
            read(*id, values)?;
        }
        match self.changes_statistics() {
            true => weights.queue_statistics(),
            false => Ok(()),
        }
    }

    /// Begins to copy the pixels of the pass that follows, if they are known. Of a training step after the backward pass is
    /// queued: there it delays nothing.
    pub fn copy_ahead(&mut self, input: Input<'_>) -> Result<()> {
        self.memory.staging.copy_ahead(&self.gpu, input)
    }

    /// Whether running statistics follow a pass.
    fn changes_statistics(&self) -> bool {
        !self.plan.counted.is_empty()
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
        let first = self.plan.plan.forward.len();
        self.add_times(first..first + self.plan.plan.backward.len())
    }

    /// Adds what tasks took in a pass that is done.
    fn add_times(&mut self, tasks: Range<usize>) -> Result<()> {
        let Some(Profile { marks, times }) = &mut self.profile else {
            return Ok(());
        };
        for task in tasks {
            let milliseconds = marks[task].elapsed_ms(&marks[task + 1]);
            let milliseconds = milliseconds.map_err(|e| gpu::failed("read an event", e))?;
            let seconds = Duration::try_from_secs_f32(milliseconds / 1e3);
            times[task] += seconds.unwrap_or_default();
        }
        Ok(())
    }

    fn queue_backward(
        &mut self,
        weights: &Weights,
        gradient: BufferId,
        d_logits: &[f32],
    ) -> Result<()> {
        let place = &self.plan.plan.places[gradient];
        self.memory.write(&self.gpu, place, d_logits)?;
        let gradients = weights.gradients()?;
        gradients.clear(&self.gpu)?;
        self.queue(Direction::Backward, weights, Some(gradients))
    }

    /// Queues the tasks of a direction: as they are while they are timed, else as soon as it can be as one graph.
    fn queue(
        &mut self,
        direction: Direction,
        weights: &Weights,
        gradients: Option<&ParamBuffer>,
    ) -> Result<()> {
        let mut replay = std::mem::take(&mut self.replays[direction as usize]);
        let pass = self.pass(weights, gradients);
        let tasks = || match direction {
            Direction::Forward => pass.forward(),
            Direction::Backward => pass.backward(),
        };
        let queued = match pass.marks {
            Some(_) => tasks(),
            None => replay.run(pass.gpu, weights, tasks),
        };
        self.replays[direction as usize] = replay;
        queued
    }

    /// From now on every pass runs task by task, and each task is timed.
    pub fn time_steps(&mut self) -> Result<()> {
        let tasks = self.plan.plan.forward.len() + self.plan.plan.backward.len();
        self.profile = Some(Profile {
            marks: self.gpu.marks(tasks + 1)?,
            times: vec![Duration::ZERO; tasks],
        });
        Ok(())
    }

    /// After a pass: the outputs of the observed nodes, as [`super::cpu::Engine::observed`] gives them.
    pub fn observed(&self) -> impl Iterator<Item = (NodeId, Vec<f32>)> {
        let observed = self.observed.iter().zip(&self.program.observed);
        observed.map(|((node, words), (_, id))| (*node, values(&self.plan.plan.places[*id], words)))
    }

    /// Runs the forward tasks once over given contents of buffers that no task writes, and gives those of `wanted`: how single
    /// steps are held against their reference. Gradients are added to the weights'.
    pub fn compute(
        &mut self,
        weights: &Weights,
        given: &[(BufferId, &[f32])],
        wanted: &[BufferId],
        dropout: DropoutKey,
    ) -> Result<Vec<Vec<f32>>> {
        weights.check(&self.gpu, &self.lengths)?;
        self.masks.draw(&self.program.batch, dropout)?;
        for &(id, values) in given {
            let place = &self.plan.plan.places[id];
            self.memory.write(&self.gpu, place, &words(place, values))?;
            self.gpu.synchronize()?;
        }
        let pass = self.pass(weights, weights.gradients().ok());
        pass.prepare()?;
        pass.forward()?;
        let read = |&id: &BufferId| {
            let place = &self.plan.plan.places[id];
            let mut words = vec![0.0; place.words()];
            self.memory.read(&self.gpu, place, &mut words)?;
            self.gpu.synchronize()?;
            Ok(values(place, &words))
        };
        wanted.iter().map(read).collect()
    }

    /// Bytes that the engine holds on the device beside the weights.
    pub fn memory(&self) -> usize {
        self.memory.bytes()
    }

    /// Time that each task took so far, in all passes since [`Engine::time_steps`] together.
    pub fn times(&self) -> impl Iterator<Item = (&Task<Work>, Duration)> {
        let tasks = self
            .plan
            .plan
            .forward
            .iter()
            .chain(&self.plan.plan.backward);
        let times = self.profile.iter().flat_map(|profile| &profile.times);
        tasks.zip(times.copied())
    }

    /// The program that it runs.
    pub fn program(&self) -> &Program {
        &self.program
    }

    fn pass<'a>(
        &'a mut self,
        weights: &'a Weights,
        gradients: Option<&'a ParamBuffer>,
    ) -> Pass<'a> {
        Pass {
            weights,
            gradients,
            gpu: &self.gpu,
            plan: &self.plan,
            memory: &mut self.memory,
            convolutions: &self.convolutions,
            marks: self.profile.as_ref().map(|profile| &*profile.marks),
            masks: &self.masks,
        }
    }
}

/// A direction of a pass.
#[derive(Debug, Clone, Copy)]
enum Direction {
    Forward,
    Backward,
}

/// What cuDNN computes for a plan, if this device can run it.
fn convolutions(gpu: &Gpu, plan: &DevicePlan) -> Result<Vec<Convolution>> {
    for place in &plan.plan.places {
        gpu.prepare(place.dtype)?;
    }
    let products = plan.products.iter();
    let convolution =
        |of: &plan::PlannedProduct| Convolution::new(gpu, &of.product, of.rows, of.direction);
    products.map(convolution).collect()
}

/// The values of a buffer's words.
fn values(place: &Place, words: &[f32]) -> Vec<f32> {
    match place.dtype {
        Dtype::Float32 => words.to_vec(),
        Dtype::Bf16 => {
            let stored: &[bf16] = bytemuck::cast_slice(words);
            stored[..place.len]
                .iter()
                .map(|value| value.to_f32())
                .collect()
        }
    }
}

/// A buffer's words for some values, rounded.
fn words(place: &Place, values: &[f32]) -> Vec<f32> {
    match place.dtype {
        Dtype::Float32 => values.to_vec(),
        Dtype::Bf16 => {
            let mut words = vec![0.0; place.words()];
            let stored: &mut [bf16] = bytemuck::cast_slice_mut(&mut words);
            let pairs = stored.iter_mut().zip(values);
            pairs.for_each(|(to, &value)| *to = bf16::from_f32(value));
            words
        }
    }
}
