//! A model on a device, and the engines that compute with it there.

use std::rc::Rc;
use std::time::Duration;

use super::plan::Task;
use super::{DeviceId, DropoutKey, EngineKind, Executor, Input, Statistics, Update, cpu, cuda};
use crate::base::{Error, Kind, Result};
use crate::graph::{Graph, NodeId};
use crate::program::Program;
use crate::program::cost::Cost;

/// Everything of a model that training changes, but the running statistics, where its engines compute: parameters, their
/// gradients, and the optimiser's moments of them. There is one copy of each. All are in the order and layout of [`Graph::params`].
pub trait Device {
    /// An engine for one of the model's programs. Each of its passes reads the parameters as they are by then.
    fn engine(&self, graph: &Graph, program: Program) -> Result<Box<dyn Engine>>;

    fn parameters(&self) -> Result<Vec<Vec<f32>>>;

    /// Puts other values in the place of all.
    fn write_parameters(&self, all: &[&[f32]]) -> Result<()>;

    /// Takes the gradients' memory now; else the first backward pass does.
    fn prepare_training(&self) -> Result<()>;

    /// What the last backward pass left; an error where there was none.
    fn gradients(&self) -> Result<Vec<Vec<f32>>>;

    /// Gradients that another engine has computed, of the same parameters.
    fn write_gradients(&self, all: &[Vec<f32>]) -> Result<()>;

    /// Σ g² over the gradients of the parameters that have moments, in float64.
    fn gradient_square(&self) -> Result<f64>;

    /// Cuts every gradient of the parameters that have moments to ± `most`; what is no number stays.
    fn clamp_gradients(&self, most: f32) -> Result<()>;

    /// Begins with so many moments of zero for every parameter of which `trained` says that it is.
    fn reset_moments(&self, trained: &[bool], count: usize) -> Result<()>;

    /// The first moment of each parameter that has moments, in the graph's order, then the second of each.
    fn moments(&self) -> Result<Vec<Vec<f32>>>;

    /// What [`Device::moments`] gave.
    fn write_moments(&self, all: &[&[f32]]) -> Result<()>;

    /// Updates every parameter that has moments from its gradient.
    fn learn(&self, update: &Update) -> Result<()>;

    /// Bytes that it holds of a memory that is not the process's own.
    fn memory(&self) -> usize;
}

/// A program for one shape of batch.
pub trait Engine {
    /// A forward pass; one of a program for training updates `stats`. `Σ clips × classes` logits. `dropout` is the key of this
    /// pass's masks.
    fn forward(
        &mut self,
        stats: &mut Statistics,
        input: Input<'_>,
        dropout: DropoutKey,
    ) -> Result<&[f32]>;

    /// After a training forward pass: leaves the gradient of every parameter on the device, zero for parameters that the batch
    /// does not reach or that are frozen.
    fn backward(&mut self, d_logits: &[f32]) -> Result<()>;

    /// To be called when evaluation is to see other parameters or running statistics than in its last pass.
    fn weights_changed(&mut self);

    /// After a pass: the outputs of the observed nodes over all frames of the batch (clips for the logits), NHWC.
    fn observed(&self) -> Vec<(NodeId, Vec<f32>)>;

    /// Bytes that the engine holds beside what is the device's.
    fn memory(&self) -> usize;

    /// After the backward pass of a training step: begins to copy the pixels of the next one, where there is anything to copy.
    fn copy_ahead(&mut self, _input: Input<'_>) -> Result<()> {
        Ok(())
    }

    /// Has passes from now on tell in [`Engine::times`] what tasks take. `false`: they do so always, and nothing changes.
    fn time_steps(&mut self) -> Result<bool> {
        Ok(false)
    }

    /// Time that each task of the device's plan took so far, in all passes that tell.
    fn times(&self) -> Vec<TaskTime<'_>>;

    /// The program that it runs.
    fn program(&self) -> &Program;
}

/// What a task of a plan took.
#[derive(Debug, Clone, Copy)]
pub struct TaskTime<'a> {
    pub name: &'a str,
    pub kind: &'static str,
    pub cost: Cost,
    pub time: Duration,
}

impl<'a> TaskTime<'a> {
    pub(super) fn of<K>((task, time): (&'a Task<K>, Duration)) -> Self {
        Self {
            name: &task.name,
            kind: task.kind,
            cost: task.cost,
            time,
        }
    }
}

/// A model's parameters on the device of an executor. The dfdx engines compute on the CPU, whatever the device is.
pub fn place(executor: Executor, graph: &Graph, values: Vec<Vec<f32>>) -> Result<Rc<dyn Device>> {
    let id = match executor.engine {
        EngineKind::Compiled | EngineKind::CompiledBf16 | EngineKind::CompiledAmx => {
            executor.device
        }
        EngineKind::Dfdx | EngineKind::DfdxF64 => DeviceId::Cpu,
    };
    Ok(match id {
        DeviceId::Cpu => Rc::new(cpu::Cpu::new(executor.threads, values)),
        DeviceId::Cuda(ordinal) => {
            let gpu = Rc::new(cuda::Gpu::open(ordinal)?);
            Rc::new(cuda::Cuda::new(gpu, graph, &values)?)
        }
    })
}

pub(super) fn no_gradients() -> Error {
    Error::new(Kind::Usage, "no training step has left gradients")
}
