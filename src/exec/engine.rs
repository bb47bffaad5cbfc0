//! A compiled program on whichever device.

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

use super::{Device, DropoutKey, Executor, Input, Segment, Statistics, TrainOptions, cpu, cuda};
use crate::base::Result;
use crate::graph::{Graph, NodeId};
use crate::program::{Program, Step, compile_eval, compile_statistics, compile_train};

/// Builds engines; the card is opened with the first.
pub struct Engines {
    executor: Executor,
    gpu: OnceCell<Rc<cuda::Gpu>>,
}

/// An engine for one shape of batch.
pub enum Engine {
    Cpu(Box<cpu::Engine>),
    Cuda(Box<cuda::Engine>),
}

impl Engines {
    pub fn new(executor: Executor) -> Self {
        Self {
            executor,
            gpu: OnceCell::new(),
        }
    }

    /// For training steps on batches of these segments. `observed`: nodes that [`Engine::observed`] will give.
    pub fn train(
        &self,
        graph: &Graph,
        segments: &[Segment],
        options: &TrainOptions,
        observed: &[NodeId],
    ) -> Result<Engine> {
        let element = self.executor.engine.element();
        let program = compile_train(graph, segments, options, observed, element)?;
        self.build(graph, program)
    }

    /// For evaluation: running statistics, norms and alteration folded.
    pub fn eval(&self, graph: &Graph, segments: &[Segment], observed: &[NodeId]) -> Result<Engine> {
        let element = self.executor.engine.element();
        self.build(graph, compile_eval(graph, segments, observed, element)?)
    }

    /// For passes whose norms take the statistics of the batch.
    pub fn statistics(&self, graph: &Graph, batch: Segment) -> Result<Engine> {
        self.build(graph, compile_statistics(graph, &[batch])?)
    }

    fn build(&self, graph: &Graph, program: Program) -> Result<Engine> {
        match self.executor.device {
            Device::Cpu => {
                let engine = cpu::Engine::new(graph, program, self.executor.threads)?;
                Ok(Engine::Cpu(Box::new(engine)))
            }
            Device::Cuda(ordinal) => {
                let gpu = match self.gpu.get() {
                    Some(gpu) => gpu,
                    None => {
                        let gpu = Rc::new(cuda::Gpu::open(ordinal)?);
                        self.gpu.get_or_init(|| gpu)
                    }
                };
                let engine = cuda::Engine::new(graph, program, Rc::clone(gpu))?;
                Ok(Engine::Cuda(Box::new(engine)))
            }
        }
    }
}

impl Engine {
    /// [`cpu::Engine::forward`]
    pub fn forward(
        &mut self,
        params: &[&[f32]],
        stats: &mut Statistics,
        input: Input<'_>,
        dropout: DropoutKey,
    ) -> Result<&[f32]> {
        match self {
            Self::Cpu(engine) => engine.forward(params, stats, input, dropout),
            Self::Cuda(engine) => engine.forward(params, stats, input, dropout),
        }
    }

    /// [`cpu::Engine::weights_changed`]
    pub fn weights_changed(&mut self) {
        match self {
            Self::Cpu(engine) => engine.weights_changed(),
            Self::Cuda(engine) => engine.weights_changed(),
        }
    }

    /// [`cpu::Engine::backward`]
    pub fn backward(
        &mut self,
        params: &[&[f32]],
        d_logits: &[f32],
        grads: &mut [&mut [f32]],
    ) -> Result<()> {
        match self {
            Self::Cpu(engine) => engine.backward(params, d_logits, grads),
            // The card has the parameters of the forward pass.
            Self::Cuda(engine) => engine.backward(d_logits, grads),
        }
    }

    /// [`cpu::Engine::observed`]
    pub fn observed(&self) -> Vec<(NodeId, Vec<f32>)> {
        match self {
            Self::Cpu(engine) => engine.observed().collect(),
            Self::Cuda(engine) => {
                let observed = engine.observed();
                observed
                    .map(|(node, values)| (node, values.to_vec()))
                    .collect()
            }
        }
    }

    /// Bytes that the engine holds, on the card or in this machine's memory.
    pub fn memory(&self) -> usize {
        match self {
            Self::Cpu(engine) => engine.memory(),
            Self::Cuda(engine) => engine.memory(),
        }
    }

    /// Time that each step took so far, in all passes together.
    pub fn times(&self) -> Vec<(&Step, Duration)> {
        match self {
            Self::Cpu(engine) => engine.times().collect(),
            Self::Cuda(engine) => engine.times().collect(),
        }
    }

    /// The program that it runs.
    pub fn program(&self) -> &Program {
        match self {
            Self::Cpu(engine) => engine.program(),
            Self::Cuda(engine) => engine.program(),
        }
    }
}
