//! The compiled program on the CPU: float32 or bf16, NHWC.
//!
//! Work is cut by shapes alone and partial sums are added in a fixed order: no bit depends on the number of threads.

mod device;
pub mod kernel;
pub mod plan;
mod reference;
mod memory;
mod scalar;
mod machine;
mod tile;
mod amx;
mod gather;
mod product;
mod matrix;
mod pack;
mod border;
mod conv;
mod simd;
mod norm;
mod shift;
mod attention;
mod depthwise;
mod each;
mod functions;
mod layer_norm;
mod mean;
mod pool;
mod split;
mod head;
mod unfold;
pub mod processor;
pub mod speed;
#[cfg(test)]
mod instruction_sets;

use std::time::{Duration, Instant};

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

pub use self::amx::{has_amx, multiply_tiles};
pub use self::device::Cpu;
use self::kernel::{Context, Kernel};
pub use self::memory::available;
use self::memory::{Arena, Scratch};
use self::scalar::bf16;
use super::lengths::Lengths;
use super::plan::{Plan, Task};
use super::{DropoutKey, Input, Statistics};
use crate::base::{Error, Kind, Result};
use crate::data::normalize::normalize_into;
use crate::graph::{Graph, NodeId};
use crate::ops::Dtype;
use crate::program::Program;

/// Multiply-adds on the registers of this thread, in float32 by its widest vectors; how many they were.
pub fn multiply_vectors(rounds: usize) -> u64 {
    simd::widest().dispatch(simd::MultiplyAdds { rounds })
}

/// A program for one shape of batch, with its arena. Nothing of the batch's size is allocated after it is built.
pub struct Engine {
    program: Program,
    plan: Plan<Kernel>,
    arena: Arena,
    scratch: Scratch,
    pool: ThreadPool,
    threads: usize,
    lengths: Lengths,
    /// Of each task, forward then backward, over all passes.
    times: Vec<Duration>,
    /// Whether the arena holds the packed weights that evaluation keeps.
    is_prepared: bool,
}

impl Engine {
    /// Plans a program and allocates what it needs.
    pub fn new(graph: &Graph, program: Program, threads: usize) -> Result<Self> {
        let plan = plan::plan(&program)?;
        let threads = threads.max(1);
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("ffn-engine-{i}"))
            .build();
        let pool = pool.map_err(|e| {
            Error::new(Kind::Device, format!("cannot start {threads} threads: {e}"))
                .hint("try fewer with `--threads`")
        })?;
        Ok(Self {
            arena: Arena::new(plan.arena, &plan.places)?,
            scratch: Scratch::new(threads, plan::scratch(&plan))?,
            pool,
            threads,
            lengths: Lengths::of(graph, &program),
            times: vec![Duration::ZERO; plan.forward.len() + plan.backward.len()],
            is_prepared: false,
            program,
            plan,
        })
    }

    /// `params` in the order and layout of `graph.params`; training updates `stats`. Evaluation packs the weights in
    /// its first pass and after [`Engine::weights_changed`]. Returns `Σ clips × classes` logits.
    pub fn forward(
        &mut self,
        params: &[&[f32]],
        stats: &mut Statistics,
        input: Input<'_>,
        dropout: DropoutKey,
    ) -> Result<&[f32]> {
        self.lengths.check_params(params.iter().map(|p| p.len()))?;
        self.lengths.check_forward(stats, input)?;
        self.write_input(input);
        let prepare = !std::mem::replace(&mut self.is_prepared, true);
        let Self {
            plan,
            arena,
            times,
            pool,
            ..
        } = self;
        let mut context = Context {
            batch: &self.program.batch,
            scratch: &self.scratch,
            grads: &mut [],
            params,
            stats,
            dropout,
        };
        pool.install(|| {
            if prepare {
                run(&plan.prepare, arena, &mut context, &mut []);
            }
            run(&plan.forward, arena, &mut context, times);
        });
        Ok(self.arena.float32(self.program.logits))
    }

    fn write_input(&mut self, input: Input<'_>) {
        let to = self.arena.write(self.program.input);
        match input {
            Input::Values(values) => to.copy_from_slice(values),
            Input::Pixels {
                bytes, normalize, ..
            } => {
                let frame = to.len() / self.program.batch.frames;
                let frames = to.par_chunks_mut(frame).zip(bytes.par_chunks(frame));
                self.pool.install(|| {
                    frames.for_each(|(to, bytes)| normalize_into(bytes, normalize, to));
                });
            }
        }
    }

    /// To be called when evaluation is to see other parameters or running statistics than in its last pass.
    pub fn weights_changed(&mut self) {
        self.is_prepared = false;
    }

    /// After a training forward pass with the same `params`: writes the gradient of every parameter; zero for
    /// parameters that the batch does not reach or that are frozen.
    pub fn backward(
        &mut self,
        params: &[&[f32]],
        d_logits: &[f32],
        grads: &mut [&mut [f32]],
    ) -> Result<()> {
        self.lengths.check_params(params.iter().map(|p| p.len()))?;
        self.lengths.check_gradients(grads)?;
        let gradient = self.lengths.check_backward(d_logits)?;
        self.arena.write(gradient).copy_from_slice(d_logits);
        grads.iter_mut().for_each(|gradient| gradient.fill(0.0));
        let Self {
            plan,
            arena,
            times,
            pool,
            ..
        } = self;
        // Steps that are run again among the backward ones read coefficients, never statistics.
        let mut stats = Statistics::default();
        let mut context = Context {
            batch: &self.program.batch,
            scratch: &self.scratch,
            grads,
            params,
            stats: &mut stats,
            dropout: DropoutKey::default(),
        };
        let times = &mut times[plan.forward.len()..];
        pool.install(|| run(&plan.backward, arena, &mut context, times));
        Ok(())
    }

    /// After a pass: the outputs of the observed nodes over all frames of the batch (clips for the logits), NHWC.
    pub fn observed(&self) -> impl Iterator<Item = (NodeId, Vec<f32>)> {
        let observed = self.program.observed.iter();
        observed.map(|&(node, buffer)| {
            let values = match self.plan.places[buffer].dtype {
                Dtype::Float32 => self.arena.to_float32::<f32>(buffer),
                Dtype::Bf16 => self.arena.to_float32::<bf16>(buffer),
            };
            (node, values)
        })
    }

    /// Bytes that the engine holds.
    pub fn memory(&self) -> usize {
        plan::memory(&self.plan, self.threads)
    }

    /// Time that each task took so far, in all passes together.
    pub fn times(&self) -> impl Iterator<Item = (&Task<Kernel>, Duration)> {
        let passes = self.plan.forward.iter().chain(&self.plan.backward);
        passes.zip(self.times.iter().copied())
    }

    /// The program that it runs.
    pub fn program(&self) -> &Program {
        &self.program
    }
}

/// Runs tasks one after another and adds up their times, if anybody wants them.
fn run(
    tasks: &[Task<Kernel>],
    arena: &mut Arena,
    context: &mut Context<'_, '_>,
    times: &mut [Duration],
) {
    for (index, task) in tasks.iter().enumerate() {
        let start = Instant::now();
        (task.kernel.run)(arena.split(&task.reads, &task.writes), context);
        if let Some(time) = times.get_mut(index) {
            *time += start.elapsed();
        }
    }
}
