//! A compiled program on whichever device.

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

use super::plan::Task;
use super::weights::elsewhere;
use super::{
    Device, DropoutKey, EngineKind, Executor, Input, Segment, Statistics, TrainOptions, Weights,
    cpu, cuda,
};
use crate::base::Result;
use crate::graph::{Graph, NodeId};
use crate::program::cost::Cost;
use crate::program::{Program, compile_eval, compile_statistics, compile_train};

/// Builds a model's engines and places its weights; the card is opened when it is first needed.
pub struct Engines {
    executor: Executor,
    gpu: OnceCell<Rc<cuda::Gpu>>,
}

/// What a task of a plan took.
#[derive(Debug, Clone, Copy)]
pub struct TaskTime<'a> {
    pub name: &'a str,
    pub kind: &'static str,
    pub cost: Cost,
    pub time: Duration,
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

    pub fn executor(&self) -> Executor {
        self.executor
    }

    /// A model's parameters where its engines read them.
    pub fn weights(&self, graph: &Graph, values: Vec<Vec<f32>>) -> Result<Weights> {
        match self.device() {
            Device::Cpu => Ok(Weights::Host(Rc::new(values))),
            Device::Cuda(ordinal) => {
                let weights = cuda::Weights::new(self.gpu(ordinal)?, graph, &values)?;
                Ok(Weights::Card(Rc::new(weights)))
            }
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
        let style = self.executor.style();
        let program = compile_train(graph, segments, options, observed, style)?;
        self.build(graph, program)
    }

    /// For evaluation: running statistics, norms and alteration folded.
    pub fn eval(&self, graph: &Graph, segments: &[Segment], observed: &[NodeId]) -> Result<Engine> {
        let style = self.executor.style();
        self.build(graph, compile_eval(graph, segments, observed, style)?)
    }

    /// For passes whose norms take the statistics of the batch.
    pub fn statistics(&self, graph: &Graph, batch: Segment) -> Result<Engine> {
        self.build(
            graph,
            compile_statistics(graph, &[batch], self.executor.fusions)?,
        )
    }

    fn build(&self, graph: &Graph, program: Program) -> Result<Engine> {
        match self.device() {
            Device::Cpu => {
                let engine = cpu::Engine::new(graph, program, self.executor.threads)?;
                Ok(Engine::Cpu(Box::new(engine)))
            }
            Device::Cuda(ordinal) => {
                let engine = cuda::Engine::new(graph, program, self.gpu(ordinal)?)?;
                Ok(Engine::Cuda(Box::new(engine)))
            }
        }
    }

    /// The reference runs on the CPU alone.
    fn device(&self) -> Device {
        match self.executor.engine {
            EngineKind::Compiled | EngineKind::CompiledBf16 | EngineKind::CompiledAmx => {
                self.executor.device
            }
            EngineKind::Dfdx | EngineKind::DfdxF64 => Device::Cpu,
        }
    }

    fn gpu(&self, ordinal: usize) -> Result<Rc<cuda::Gpu>> {
        if let Some(gpu) = self.gpu.get() {
            return Ok(Rc::clone(gpu));
        }
        let gpu = Rc::new(cuda::Gpu::open(ordinal)?);
        Ok(Rc::clone(self.gpu.get_or_init(|| gpu)))
    }
}

impl Engine {
    /// [`cpu::Engine::forward`]
    pub fn forward(
        &mut self,
        weights: &Weights,
        stats: &mut Statistics,
        input: Input<'_>,
        dropout: DropoutKey,
    ) -> Result<&[f32]> {
        match (self, weights) {
            (Self::Cpu(engine), Weights::Host(values)) => {
                engine.forward(&slices(values), stats, input, dropout)
            }
            (Self::Cuda(engine), Weights::Card(weights)) => {
                engine.forward(weights, stats, input, dropout)
            }
            _ => Err(elsewhere()),
        }
    }

    /// [`cpu::Engine::weights_changed`]
    pub fn weights_changed(&mut self) {
        match self {
            Self::Cpu(engine) => engine.weights_changed(),
            Self::Cuda(engine) => engine.weights_changed(),
        }
    }

    /// [`cpu::Engine::backward`]; `grads`: of weights on the host. Those of a card stay beside its weights.
    pub fn backward(
        &mut self,
        weights: &Weights,
        d_logits: &[f32],
        grads: &mut [&mut [f32]],
    ) -> Result<()> {
        match (self, weights) {
            (Self::Cpu(engine), Weights::Host(values)) => {
                engine.backward(&slices(values), d_logits, grads)
            }
            (Self::Cuda(engine), Weights::Card(weights)) => engine.backward(weights, d_logits),
            _ => Err(elsewhere()),
        }
    }

    /// [`cpu::Engine::observed`]
    pub fn observed(&self) -> Vec<(NodeId, Vec<f32>)> {
        match self {
            Self::Cpu(engine) => engine.observed().collect(),
            Self::Cuda(engine) => engine.observed().collect(),
        }
    }

    /// Bytes that the engine holds, on the card or in this machine's memory.
    pub fn memory(&self) -> usize {
        match self {
            Self::Cpu(engine) => engine.memory(),
            Self::Cuda(engine) => engine.memory(),
        }
    }

    /// After the backward pass of a training step: begins to copy the pixels of the next one to a card.
    pub fn copy_ahead(&mut self, input: Input<'_>) -> Result<()> {
        match self {
            Self::Cpu(_) => Ok(()),
            Self::Cuda(engine) => engine.copy_ahead(input),
        }
    }

    /// Has passes from now on tell in [`Engine::times`] what steps take; the CPU's always do. `false`: nothing changes.
    pub fn time_steps(&mut self) -> Result<bool> {
        match self {
            Self::Cpu(_) => Ok(false),
            Self::Cuda(engine) => engine.time_steps().map(|()| true),
        }
    }

    /// Time that each task of the device's plan took so far, in all passes that tell.
    pub fn times(&self) -> Vec<TaskTime<'_>> {
        fn of<K>((task, time): (&Task<K>, Duration)) -> TaskTime<'_> {
            TaskTime {
                name: &task.name,
                kind: task.kind,
                cost: task.cost,
                time,
            }
        }
        match self {
            Self::Cpu(engine) => engine.times().map(of).collect(),
            Self::Cuda(engine) => engine.times().map(of).collect(),
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

fn slices(values: &[Vec<f32>]) -> Vec<&[f32]> {
    values.iter().map(Vec::as_slice).collect()
}
