//! The compiled program on the CPU: float32 or bf16, NHWC.
//!
//! Work is cut by shapes alone and partial sums are added in a fixed order: no bit depends on the number of threads.

mod memory;
mod element;
mod machine;
mod tile;
mod amx;
mod gather;
mod product;
mod pack;
mod border;
mod conv;
mod simd;
mod norm;
mod shift;
mod pool;
mod head;
mod run;
pub mod processor;
pub mod speed;
#[cfg(test)]
mod instruction_sets;

use std::time::Duration;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

pub use self::amx::{has_amx, multiply_tiles};
use self::element::bf16;
pub(super) use self::head::Dropout;
use self::memory::{Arena, Scratch};
use self::run::Context;
use super::lengths::Lengths;
use super::{DropoutKey, Input, Statistics};
use crate::base::{Error, Kind, Result};
use crate::data::transform::normalize_into;
use crate::graph::{Graph, NodeId};
use crate::program::{Element, Program, Step};

/// Multiply-adds on the registers of this thread, in float32 by its widest vectors; how many they were.
pub fn multiply_vectors(rounds: usize) -> u64 {
    simd::widest().dispatch(simd::MultiplyAdds { rounds })
}

/// A program for one shape of batch, with its arena. Nothing of the batch's size is allocated after it is built.
pub struct Engine {
    program: Program,
    arena: Arena,
    scratch: Scratch,
    pool: ThreadPool,
    threads: usize,
    lengths: Lengths,
    branches: Vec<usize>,
    /// Of each step, forward then backward, over all passes.
    times: Vec<Duration>,
    /// Whether the arena holds the packed weights that evaluation keeps.
    is_prepared: bool,
}

impl Engine {
    /// Allocates what a verified program needs.
    pub fn new(graph: &Graph, program: Program, threads: usize) -> Result<Self> {
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
            arena: Arena::new(program.arena, &program.buffers)?,
            scratch: Scratch::new(threads, program.scratch())?,
            pool,
            threads,
            lengths: Lengths::of(graph, &program),
            branches: graph.branches.clone(),
            times: vec![Duration::ZERO; program.forward.len() + program.backward.len()],
            is_prepared: false,
            program,
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
        let mut context = Context {
            program: &self.program,
            arena: &mut self.arena,
            scratch: &self.scratch,
            branches: &self.branches,
            times: &mut self.times,
            params,
        };
        let pack = !std::mem::replace(&mut self.is_prepared, true);
        self.pool.install(|| {
            if pack {
                context.prepare(stats);
            }
            context.forward(stats, dropout);
        });
        Ok(self.arena.float32(self.program.logits))
    }

    fn write_input(&mut self, input: Input<'_>) {
        let [to] = self.arena.all([self.program.input]);
        let to = to.float32();
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
        let [to] = self.arena.all([gradient]);
        to.float32().copy_from_slice(d_logits);
        grads.iter_mut().for_each(|gradient| gradient.fill(0.0));
        let mut context = Context {
            program: &self.program,
            arena: &mut self.arena,
            scratch: &self.scratch,
            branches: &self.branches,
            times: &mut self.times,
            params,
        };
        self.pool.install(|| context.backward(grads));
        Ok(())
    }

    /// After a pass: the outputs of the observed nodes over all frames of the batch (clips for the logits), NHWC.
    pub fn observed(&self) -> impl Iterator<Item = (NodeId, Vec<f32>)> {
        let observed = self.program.observed.iter();
        observed.map(|&(node, buffer)| {
            let values = match self.program.buffers[buffer].element {
                Element::Float32 => self.arena.to_float32::<f32>(buffer),
                Element::Bf16 => self.arena.to_float32::<bf16>(buffer),
            };
            (node, values)
        })
    }

    /// Bytes that the engine holds.
    pub fn memory(&self) -> usize {
        self.program.memory(self.threads)
    }

    /// Time that each step took so far, in all passes together.
    pub fn times(&self) -> impl Iterator<Item = (&Step, Duration)> {
        let passes = self.program.forward.iter().chain(&self.program.backward);
        passes.zip(self.times.iter().copied())
    }

    /// The program that it runs.
    pub fn program(&self) -> &Program {
        &self.program
    }
}
