//! Program → the device's tasks: which kernels compute a step, with which arguments and workspaces. No device is needed to make
//! a plan: it says what every engine on one takes, but for cuDNN's scratch memory.

mod attention;
mod binary;
mod channels;
mod conv;
mod depthwise;
mod dropout;
mod each;
mod frames;
mod layer_norm;
mod mean;
mod mean_probabilities;
mod norm;
mod pool;
mod shift;
mod tables;
mod verify;

use std::ops::Range;

use self::tables::Tables;
use super::compile::Variant;
use super::cudnn::{Direction, Product};
use super::gpu::{Grid, Kernel};
use super::work::{Call, Operand, Work};
use crate::base::{Error, Kind, Result};
use crate::exec::plan::{self, Buffers, Plan};
use crate::ops::{BufferId, Compute, Dropout, Dtype, Extent, StatId, Step, StepOp};
use crate::program::Program;

/// Everything that an engine needs to know of a program.
pub struct DevicePlan {
    pub plan: Plan<Work>,
    /// What kernels look up of the batch's rows.
    pub tables: Vec<i32>,
    /// What cuDNN computes; [`super::work::Convolve`] counts them.
    pub products: Vec<PlannedProduct>,
    /// What is drawn for each pass.
    pub masks: Vec<Mask>,
    /// For each time that a pass counts a batch of a running statistic: which.
    pub counted: Vec<StatId>,
}

/// A product of some rows.
pub struct PlannedProduct {
    /// Of the node that it serves.
    pub name: String,
    pub product: Product,
    pub direction: Direction,
    pub rows: usize,
}

/// A dropout mask.
#[derive(Debug, Clone, Copy)]
pub struct Mask {
    pub dropout: Dropout,
    pub extent: Extent,
    /// Values.
    pub len: usize,
}

/// A plan under construction.
pub type Planner<'a> = plan::Planner<'a, Work, Notes>;

/// What a plan says besides its tasks.
#[derive(Default)]
pub struct Notes {
    tables: Tables,
    products: Vec<PlannedProduct>,
    masks: Vec<Mask>,
    counted: Vec<StatId>,
}

impl DevicePlan {
    /// The plan of a program, its buffers arranged; an error where there is no kernel for a step.
    pub fn of(program: &Program) -> Result<Self> {
        let mut planner = Planner::new(program, Notes::default());
        planner.each_step(|planner, step| planner.step(step))?;
        let Notes {
            tables,
            products,
            masks,
            counted,
        } = planner.own;
        let mut planned = Self {
            plan: planner.plan,
            tables: tables.numbers(),
            products,
            masks,
            counted,
        };
        planned.plan.arrange()?;
        planned.verify(program.batch.frames)?;
        Ok(planned)
    }
}

impl Planner<'_> {
    /// Every operation has its arm.
    fn step(&mut self, step: &Step) -> Result<()> {
        let planned = match &step.op {
            StepOp::Conv(op) => {
                conv::forward(self, step, op).or_else(|| depthwise::forward(self, step, op))
            }
            StepOp::ConvBackInput(op) => conv::back_input(self, step, &op.0)
                .or_else(|| depthwise::back_input(self, step, &op.0)),
            StepOp::ConvBackWeight(op) => conv::back_weight(self, step, &op.0)
                .or_else(|| depthwise::back_weight(self, step, &op.0)),
            StepOp::ConvBackBias(op) => conv::back_bias(self, step, op.bias),
            StepOp::FoldedConv(op) => conv::folded(self, step, op),
            StepOp::BatchStatistics(op) => norm::batch_statistics(self, step, &op.0),
            StepOp::RunningStatistics(op) => norm::running_statistics(self, step, &op.0),
            StepOp::Normalize(op) => norm::normalize(self, step, op),
            StepOp::NormalizeBack(op) => norm::back(self, step, op),
            StepOp::LayerNorm(op) => layer_norm::forward(self, step, op),
            StepOp::LayerNormBack(op) => layer_norm::back(self, step, &op.0),
            StepOp::Attention(op) => attention::forward(self, step, *op),
            StepOp::AttentionBack(op) => attention::back(self, step, op.0),
            StepOp::Each(op) => each::each(self, step, *op),
            StepOp::EachBack(op) => each::each_back(self, step, *op),
            StepOp::Binary(op) => binary::binary(self, step, *op),
            StepOp::SumPixels(op) => mean::sum_pixels(self, step, op.negated),
            StepOp::SumProducts(_) => mean::sum_products(self, step),
            StepOp::Pool(op) => pool::forward(self, step, op),
            StepOp::PoolBack(op) => pool::back(self, step, &op.0),
            StepOp::Mean(op) => mean::forward(self, step, *op),
            StepOp::MeanBack(op) => mean::back(self, step, op.0),
            StepOp::MeanProbabilities(_) => mean_probabilities::forward(self, step),
            StepOp::MeanProbabilitiesBack(_) => mean_probabilities::back(self, step),
            StepOp::Shift(op) => shift::forward(self, step, Some(op.div), &[]),
            StepOp::ShiftBack(op) => shift::back(self, step, Some(op.div), &[]),
            StepOp::Alter(op) => shift::forward(self, step, None, &op.weights),
            StepOp::AlterBack(op) => shift::back(self, step, None, &op.weights),
            StepOp::ShiftAlter(op) => shift::forward(self, step, op.div, &op.weights),
            StepOp::ShiftAlterBack(op) => shift::back(self, step, op.of.div, &op.of.weights),
            StepOp::TakeFrames(op) => frames::forward(self, step, *op),
            StepOp::TakeFramesBack(op) => frames::back(self, step, op.0),
            StepOp::SliceChannels(op) => channels::slice(self, step, op.first),
            StepOp::PadChannels(op) => channels::pad(self, step, op.first),
            StepOp::ConcatChannels(_) => channels::concat(self, step),
            StepOp::Dropout(op) => dropout::forward(self, step, *op),
        };
        planned.ok_or_else(|| self.refused(step))
    }

    fn refused(&self, step: &Step) -> Error {
        let extents = |ids: &[BufferId]| {
            let texts = ids
                .iter()
                .map(|&id| format!("{} {:?}", self.extent(id), self.dtype(id)));
            texts.collect::<Vec<_>>().join(", ")
        };
        let message = format!(
            "`{}`: CUDA has no kernel for this {}, from {} to {}",
            step.name,
            step.op.kind(),
            extents(&step.reads),
            extents(&step.writes),
        );
        Error::new(Kind::Device, message).hint("the CPU runs it: `--device cpu`")
    }

    /// The work of a step over the step's own buffers.
    fn task(&mut self, step: &Step, work: Work) {
        self.task_with(step, work, Vec::new());
    }

    /// The work of a step with workspaces of its own.
    fn task_with(&mut self, step: &Step, work: Work, workspaces: Vec<BufferId>) {
        self.task_over(step, work, step.reads.clone(), workspaces);
    }

    /// The work of a step that reads other buffers than the step's own.
    fn task_over(
        &mut self,
        step: &Step,
        work: Work,
        reads: Vec<BufferId>,
        workspaces: Vec<BufferId>,
    ) {
        let buffers = Buffers {
            reads,
            writes: step.writes.clone(),
            workspaces,
        };
        self.step_task(step, work, buffers);
    }

    /// Fills buffers of the step's own from parameters and, in evaluation, running statistics.
    fn pack(&mut self, step: &Step, work: Work, writes: Vec<BufferId>, parameters: usize) {
        let buffers = Buffers {
            reads: Vec::new(),
            writes,
            workspaces: Vec::new(),
        };
        self.extra_task(step, "weight packing", work, buffers, parameters);
    }

    /// The number by which a call names a product.
    fn product(
        &mut self,
        step: &Step,
        (product, direction): (Product, Direction),
        rows: usize,
    ) -> usize {
        self.own.products.push(PlannedProduct {
            name: step.name.clone(),
            product,
            direction,
            rows,
        });
        self.own.products.len() - 1
    }

    /// As kernels want to know it: whether a buffer is float32 beside those of `dtype`. `None` where it is neither.
    fn is_float32(&self, id: BufferId, dtype: Dtype) -> Option<Operand> {
        let own = self.dtype(id);
        let is_float32 = own == Dtype::Float32;
        (is_float32 || own == dtype).then_some(Operand::flag(is_float32))
    }

    /// Values of a row.
    fn row(&self, id: BufferId) -> usize {
        self.extent(id).shape.count()
    }

    fn rows(&self, id: BufferId) -> usize {
        self.program.buffers[id].rows
    }

    /// A thread for every value of a buffer, row by row.
    fn grid(&self, id: BufferId) -> Grid {
        Grid::Values {
            length: self.row(id),
            parts: self.rows(id),
        }
    }

    /// The rows of each segment with its branch; all rows as those of the first branch where the branches share what a step reads.
    fn of_branches(&self, id: BufferId, is_shared: bool) -> Vec<(Range<usize>, usize)> {
        if is_shared {
            return vec![(0..self.rows(id), 0)];
        }
        let segments = self.layout(id).segments.iter();
        segments.map(|of| (of.rows.clone(), of.branch)).collect()
    }

    /// For each row of an activation its norm group.
    fn groups(&mut self, id: BufferId) -> Operand {
        let layout = self.program.batch.at(self.extent(id).rate);
        Operand::Table(self.own.tables.groups(layout))
    }

    /// For each row from `row` on of an activation how many of its clip lie around it.
    fn spans(&mut self, id: BufferId, row: usize) -> Operand {
        let layout = self.program.batch.at(self.extent(id).rate);
        Operand::Table(self.own.tables.spans(layout) + 2 * row)
    }
}

/// The kernel whose threads take several values at once, where all of these counts of channels are multiples of as many.
fn wide(name: &'static str, dtype: Dtype, counts: &[usize]) -> Kernel {
    let variant = Variant::wide(dtype);
    match counts
        .iter()
        .all(|count| count.is_multiple_of(variant.width))
    {
        true => Kernel { name, variant },
        false => Kernel::single(name, dtype),
    }
}

/// A launch of one thread for each value of a buffer that is one row.
fn flat(kernel: Kernel, length: usize, operands: impl Into<Vec<Operand>>) -> Call {
    Call::launch(kernel, Grid::Values { length, parts: 1 }, operands)
}
