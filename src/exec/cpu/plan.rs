//! Program → the CPU's kernels: what fast kernel computes a step, in which layout, with which workspace; the reference kernel where
//! there is none.

use std::collections::BTreeMap;

use super::conv::ConvGeometry;
use super::kernel::Kernel;
use super::{
    attention, conv, depthwise, each, head, layer_norm, mean, norm, pool, reference, shift, split,
};
use crate::base::Result;
use crate::exec::plan::{self, Buffers, Plan};
use crate::ops::{BufferId, Rate, Step, StepOp};

use crate::program::Program;

/// A plan under construction.
pub type Planner<'a> = plan::Planner<'a, Kernel, Bordered>;

/// Inputs of few channels that were given a border: the buffer of the bordered images, and the convolution of them.
pub type Bordered = BTreeMap<BufferId, (BufferId, ConvGeometry)>;

/// The CPU's tasks of a program.
pub type CpuPlan = Plan<Kernel>;

/// The plan of a program, its buffers arranged.
pub fn plan(program: &Program) -> Result<CpuPlan> {
    let mut planner = Planner::new(program, Bordered::new());
    planner.size_coefficients();
    planner.each_step(|planner, step| {
        planner.step(step);
        Ok(())
    })?;
    let mut plan = planner.plan;
    plan.arrange()?;
    Ok(plan)
}

/// Words of scratch memory that each thread needs.
pub fn scratch(plan: &CpuPlan) -> usize {
    let tasks = plan.tasks().map(|task| task.kernel.scratch);
    tasks.max().unwrap_or(0)
}

/// Bytes that an engine with `threads` threads holds for a plan.
pub fn memory(plan: &CpuPlan, threads: usize) -> usize {
    (plan.arena + threads.max(1) * scratch(plan)) * size_of::<f32>()
}

impl Planner<'_> {
    /// Rows of coefficients are as long as the norms' loops want them.
    fn size_coefficients(&mut self) {
        for (place, buffer) in self.plan.places.iter_mut().zip(&self.program.buffers) {
            if buffer.extent.rate == Rate::Group {
                place.len = buffer.rows * 4 * norm::row(buffer.extent.shape.channels);
            }
        }
    }

    /// Every operation has its arm: those without a fast kernel, or in a form that none has, run the reference.
    fn step(&mut self, step: &Step) {
        let fast = match &step.op {
            StepOp::Conv(op) => conv::plan::forward(self, step, op)
                .or_else(|| depthwise::plan_forward(self, step, op)),
            StepOp::ConvBackInput(op) => conv::plan::back_input(self, step, &op.0)
                .or_else(|| depthwise::plan_back_input(self, step, &op.0)),
            StepOp::ConvBackWeight(op) => conv::plan::back_weight(self, step, &op.0)
                .or_else(|| depthwise::plan_back_weight(self, step, &op.0)),
            StepOp::ConvBackBias(op) => conv::plan::back_bias(self, step, op.bias),
            StepOp::FoldedConv(op) => conv::plan::folded(self, step, op),
            StepOp::BatchStatistics(op) => norm::plan::batch_statistics(self, step, &op.0),
            StepOp::RunningStatistics(op) => norm::plan::running_statistics(self, step, &op.0),
            StepOp::Normalize(op) => norm::plan::normalize(self, step, op),
            StepOp::NormalizeBack(op) => norm::plan::back(self, step, op),
            StepOp::LayerNorm(op) => layer_norm::plan_forward(self, step, op),
            StepOp::LayerNormBack(op) => layer_norm::plan_back(self, step, &op.0),
            StepOp::Attention(op) => attention::plan_forward(self, step, *op),
            StepOp::AttentionBack(op) => attention::plan_back(self, step, op.0),
            StepOp::Each(op) => each::plan_each(self, step, *op),
            StepOp::EachBack(op) => each::plan_each_back(self, step, *op),
            StepOp::Binary(op) => each::plan_binary(self, step, *op),
            StepOp::SumPixels(_) => None,
            StepOp::SumProducts(_) => each::plan_sum_products(self, step),
            StepOp::Pool(op) => pool::plan_pool(self, step, op),
            StepOp::PoolBack(op) => pool::plan_back(self, step, &op.0),
            StepOp::Mean(op) => mean::plan_mean(self, step, *op),
            StepOp::MeanBack(op) => mean::plan_back(self, step, op.0),
            StepOp::MeanProbabilities(_) | StepOp::MeanProbabilitiesBack(_) => None,
            StepOp::Shift(op) => shift::plan::forward(self, step, Some(op.div), &[]),
            StepOp::ShiftBack(op) => shift::plan::back(self, step, Some(op.div), &[]),
            StepOp::Alter(op) => shift::plan::forward(self, step, None, &op.weights),
            StepOp::AlterBack(op) => shift::plan::back(self, step, None, &op.weights),
            StepOp::ShiftAlter(op) => shift::plan::forward(self, step, op.div, &op.weights),
            StepOp::ShiftAlterBack(op) => shift::plan::back(self, step, op.of.div, &op.of.weights),
            StepOp::TakeFrames(op) => split::plan_take_frames(self, step, *op),
            StepOp::TakeFramesBack(_) => None,
            StepOp::SliceChannels(op) => split::plan_slice(self, step, op.first),
            StepOp::PadChannels(op) => split::plan_pad(self, step, op.first),
            StepOp::ConcatChannels(_) => split::plan_concat(self, step),
            StepOp::Dropout(op) => head::plan_dropout(self, step, *op),
        };
        if fast.is_none() {
            let kernel = reference::kernel(self, step);
            self.task(step, kernel);
        }
    }

    /// The kernel of a step over the step's own buffers.
    pub fn task(&mut self, step: &Step, kernel: Kernel) {
        self.task_over(step, kernel, step.reads.clone(), step.writes.clone());
    }

    /// The kernel of a step, with other buffers than the step's own among them.
    pub fn task_over(
        &mut self,
        step: &Step,
        kernel: Kernel,
        reads: Vec<BufferId>,
        writes: Vec<BufferId>,
    ) {
        self.step_task(step, kernel, counted(reads, writes));
    }

    /// As [`plan::Planner::extra_task`].
    pub fn extra(
        &mut self,
        step: &Step,
        kind: &'static str,
        kernel: Kernel,
        (reads, writes): (Vec<BufferId>, Vec<BufferId>),
        parameters: usize,
    ) {
        self.extra_task(step, kind, kernel, counted(reads, writes), parameters);
    }
}

/// Partial sums are memory traffic too.
fn counted(reads: Vec<BufferId>, writes: Vec<BufferId>) -> Buffers {
    Buffers {
        reads,
        writes,
        workspaces: Vec::new(),
    }
}
