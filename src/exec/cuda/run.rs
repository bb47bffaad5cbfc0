//! The device's plan → queued kernels: finds what operands name and queues each call.
//!
//! Launches are unsafe because a kernel takes its arguments as they come. Every launch of a plan passes them in the order of the
//! kernel's signature, and every address is that of a buffer of the verified plan, of a parameter or of a statistic, whose
//! lengths are what the step's own shapes say: that is the argument of every `SAFETY` below. The emulated GPU of the tests runs
//! each of them.

use cudarc::driver::CudaEvent;

use super::cudnn::Convolution;
use super::dropout::Masks;
use super::gpu::{Arg, Gpu};
use super::memory::Memory;
use super::params::ParamBuffer;
use super::plan::DevicePlan;
use super::weights::Weights;
use super::work::{Call, Convolve, Launch, Operand, Work};
use crate::base::Result;
use crate::exec::plan::Task;
use crate::ops::BufferId;

/// What the tasks of one pass work on.
pub struct Pass<'a> {
    pub gpu: &'a Gpu,
    pub plan: &'a DevicePlan,
    pub memory: &'a mut Memory,
    pub weights: &'a Weights,
    /// Of a backward pass.
    pub gradients: Option<&'a ParamBuffer>,
    /// As [`DevicePlan::products`] lists them.
    pub convolutions: &'a [Convolution],
    /// Before each forward task and behind the last, where the backward tasks begin, and so on: one more than tasks; or none.
    pub marks: Option<&'a [CudaEvent]>,
    pub masks: &'a Masks,
}

impl Pass<'_> {
    /// The tasks that come before all passes.
    pub fn prepare(&self) -> Result<()> {
        self.plan
            .plan
            .prepare
            .iter()
            .try_for_each(|task| self.task(task))
    }

    pub fn forward(&self) -> Result<()> {
        self.marked(&self.plan.plan.forward, 0)
    }

    pub fn backward(&self) -> Result<()> {
        self.marked(&self.plan.plan.backward, self.plan.plan.forward.len())
    }

    /// Tasks between marks, `first` before the first of them.
    fn marked(&self, tasks: &[Task<Work>], first: usize) -> Result<()> {
        for (index, task) in tasks.iter().enumerate() {
            self.mark(first + index)?;
            self.task(task)?;
        }
        self.mark(first + tasks.len())
    }

    fn mark(&self, index: usize) -> Result<()> {
        let mark = self.marks.and_then(|marks| marks.get(index));
        mark.map_or(Ok(()), |mark| self.gpu.mark(mark))
    }

    fn task(&self, task: &Task<Work>) -> Result<()> {
        task.kernel.iter().try_for_each(|call| self.call(call))
    }

    fn call(&self, call: &Call) -> Result<()> {
        match call {
            Call::Launch(Launch {
                kernel,
                grid,
                operands,
            }) => {
                let args: Vec<Arg> = operands.iter().map(|&operand| self.arg(operand)).collect();
                // SAFETY: see the head of this file.
                unsafe { self.gpu.launch(*kernel, *grid, &args) }
            }
            Call::Convolve(Convolve {
                product,
                reads,
                write,
            }) => {
                let workspace = self.memory.workspace(self.gpu);
                let (reads, write) = (reads.map(|of| self.address(of)), self.address(*write));
                // SAFETY: the convolution was made for the product whose buffers these are; the workspace holds the largest.
                unsafe { self.convolutions[*product].run(self.gpu, reads, write, workspace) }
            }
            Call::CopyMask { mask, to } => {
                let to = self.buffer(*to, 0);
                // SAFETY: the plan's buffer is as long as the mask.
                unsafe { self.masks.copy(self.gpu, *mask, to) }
            }
        }
    }

    fn buffer(&self, id: BufferId, first: usize) -> u64 {
        self.memory
            .address(self.gpu, &self.plan.plan.places[id], first)
    }

    fn address(&self, operand: Operand) -> u64 {
        match self.arg(operand) {
            Arg::Address(address) => address,
            // Products read and write buffers alone.
            Arg::Int(_) | Arg::Count(_) | Arg::Float(_) | Arg::Double(_) => 0,
        }
    }

    fn arg(&self, operand: Operand) -> Arg {
        match operand {
            Operand::Null => Arg::NULL,
            // A verified plan's fit.
            Operand::Int(value) => Arg::Int(value as i32),
            Operand::Count(value) => Arg::Count(value as u64),
            Operand::Float(value) => Arg::Float(value),
            Operand::Double(value) => Arg::Double(value),
            Operand::Buffer { id, first } => Arg::Address(self.buffer(id, first)),
            Operand::Param(id) => self.weights.param(id),
            // No forward task asks.
            Operand::Gradient(id) => {
                let gradients = self.gradients;
                gradients.map_or(Arg::NULL, |all| all.address(self.gpu, id))
            }
            Operand::RunningMean(stat) => self.weights.statistic(stat).0,
            Operand::RunningVar(stat) => self.weights.statistic(stat).1,
            Operand::Table(index) => self.memory.table(self.gpu, index),
        }
    }
}
