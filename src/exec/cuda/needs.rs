//! How much of a device's memory a model takes, before it takes it: what [`super::memory::Memory`] allocates is what is said
//! here.

use serde::Serialize;

use super::cudnn::Convolution;
use super::gpu::Gpu;
use super::plan::DevicePlan;
use super::update::Moments;
use super::weights::Weights;
use crate::base::Result;
use crate::graph::Graph;
use crate::program::Program;

/// Bytes of an engine, besides the weights, which all engines of a model share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Needs {
    /// The plan's arena: the program's buffers, packed weights, partial sums.
    pub buffers: usize,
    /// What kernels look up of the batch's rows.
    pub tables: usize,
    /// A batch as bytes.
    pub pixels: usize,
    /// cuDNN's scratch memory.
    pub workspace: usize,
}

impl Needs {
    /// As cuDNN answers on a device.
    pub fn of(gpu: &Gpu, program: &Program) -> Result<Self> {
        let plan = DevicePlan::of(program)?;
        let convolutions = super::convolutions(gpu, &plan)?;
        Ok(Self::of_convolutions(&plan, &convolutions))
    }

    /// All but cuDNN's scratch memory, which only a device can tell.
    pub fn without_cudnn(program: &Program) -> Result<Self> {
        Ok(Self::of_convolutions(&DevicePlan::of(program)?, &[]))
    }

    pub(super) fn of_convolutions(plan: &DevicePlan, convolutions: &[Convolution]) -> Self {
        let workspaces = convolutions.iter().map(|conv| conv.workspace);
        Self {
            buffers: plan.plan.arena * size_of::<f32>(),
            tables: plan.tables.len() * size_of::<i32>(),
            pixels: plan.plan.places[plan.plan.input].len,
            // A device gives no memory of no bytes.
            workspace: workspaces.map(|bytes| bytes.max(1)).max().unwrap_or(0),
        }
    }

    pub fn total(&self) -> usize {
        self.buffers + self.tables + self.pixels + self.workspace
    }

    /// What convolutions take besides the plan's buffers.
    pub fn convolutions(&self) -> usize {
        self.workspace
    }
}

/// Bytes of a model's weights, and of what training adds to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WeightNeeds {
    /// Parameters and running statistics.
    pub model: usize,
    pub gradients: usize,
    /// The optimiser's moments.
    pub momentum: usize,
}

impl WeightNeeds {
    /// `trained`: whether each parameter is; `moments`: how many the optimiser keeps of one.
    pub fn of(graph: &Graph, trained: &[bool], moments: usize) -> Result<Self> {
        let [params, statistics] = Weights::layouts(graph);
        Ok(Self {
            model: params.bytes() + statistics.bytes(),
            gradients: params.bytes(),
            momentum: Moments::needs(&params, trained, moments)?,
        })
    }

    pub fn total(&self) -> usize {
        self.model + self.gradients + self.momentum
    }
}
