//! Step → kernels: finds a step's buffers on the card and queues what computes it.
//!
//! Launches are unsafe because a kernel takes its arguments as they come. Each launch here passes them in the order of the
//! kernel's signature, and every address is that of a buffer of the verified program, of a parameter or of a statistic,
//! whose lengths are what the step's own shapes say: that is the argument of every `SAFETY` below. The emulated card of
//! the tests runs each of them.

use cudarc::driver::CudaEvent;

use super::bank::Bank;
use super::conv::Convolution;
use super::dropout::Masks;
use super::gpu::{Arg, Gpu, Grid, Kernel};
use super::memory::Memory;
use super::weights::Weights;
use crate::base::Result;
use crate::graph::ParamId;
use crate::program::{BufferId, Op, Program};

/// What the steps of one pass work on.
pub struct Pass<'a> {
    pub gpu: &'a Gpu,
    pub program: &'a Program,
    pub memory: &'a mut Memory,
    pub weights: &'a Weights,
    /// Of a backward pass.
    pub gradients: Option<&'a Bank>,
    /// Of each step in the order of [`Program::steps`]: its convolutions, one for each of [`crate::program::Batch::runs`].
    pub convolutions: &'a [Vec<Convolution>],
    /// Before each forward step and behind the last, where the backward steps begin, and so on: one more than steps; or none.
    pub marks: Option<&'a [CudaEvent]>,
    pub masks: &'a Masks,
}

impl Pass<'_> {
    /// The steps that come before all passes.
    pub fn prepare(&self) -> Result<()> {
        let program = self.program;
        program
            .prepare
            .iter()
            .try_for_each(|s| self.pack_forward(&s.op))
    }

    /// The forward steps.
    pub fn forward(&self) -> Result<()> {
        let program = self.program;
        for (index, step) in program.forward.iter().enumerate() {
            self.mark(index)?;
            self.step(&step.op, program.prepare.len() + index)?;
        }
        self.mark(program.forward.len())
    }

    /// The backward steps.
    pub fn backward(&self) -> Result<()> {
        let program = self.program;
        let before = program.forward.len();
        for (index, step) in program.backward.iter().enumerate() {
            self.mark(before + index)?;
            self.step(&step.op, program.prepare.len() + before + index)?;
        }
        self.mark(before + program.backward.len())
    }

    fn mark(&self, index: usize) -> Result<()> {
        let mark = self.marks.and_then(|marks| marks.get(index));
        mark.map_or(Ok(()), |mark| self.gpu.mark(mark))
    }

    /// A kernel for the element of a buffer, the widest for rows of `count` values.
    pub(super) fn wide(&self, name: &'static str, id: BufferId, count: usize) -> Kernel {
        Kernel::of(name, self.program.buffers[id].element, count)
    }

    pub(super) fn launch(&self, kernel: Kernel, grid: Grid, args: &[Arg]) -> Result<()> {
        // SAFETY: see the head of this file.
        unsafe { self.gpu.launch(kernel, grid, args) }
    }

    pub(super) fn address(&self, id: BufferId, index: usize) -> u64 {
        self.memory.address(self.gpu, self.program, id, index)
    }

    /// A buffer from value `index` on.
    pub(super) fn from(&self, id: BufferId, index: usize) -> Arg {
        Arg::Address(self.address(id, index))
    }

    pub(super) fn at(&self, id: BufferId) -> Arg {
        self.from(id, 0)
    }

    pub(super) fn maybe(&self, id: Option<BufferId>) -> Arg {
        id.map_or(Arg::NULL, |id| self.at(id))
    }

    pub(super) fn len(&self, id: BufferId) -> usize {
        self.program.buffers[id].len
    }

    pub(super) fn param(&self, id: ParamId) -> Arg {
        self.weights.param(id)
    }

    pub(super) fn gradient(&self, id: ParamId) -> Arg {
        // No forward step asks.
        self.gradients
            .map_or(Arg::NULL, |bank| bank.address(self.gpu, id))
    }

    pub(super) fn groups(&self) -> Arg {
        self.memory.groups(self.gpu, 0)
    }

    /// Every value of a buffer that holds all frames.
    pub(super) fn values(&self, id: BufferId) -> (Grid, Arg) {
        let parts = self.program.batch.frames;
        let length = self.len(id) / parts;
        (Grid::Values { length, parts }, Arg::int(length))
    }

    /// Where running mean and variance of a statistic are.
    pub(super) fn statistics(&self, stat: usize) -> (Arg, Arg) {
        self.weights.statistic(stat)
    }

    /// `index`: as [`Program::steps`] counts.
    fn step(&self, op: &Op, index: usize) -> Result<()> {
        match op {
            Op::Conv { .. } => self.conv(op, index),
            Op::ConvBackData { .. } => self.conv_back_data(op, index),
            Op::ConvBackWeight { .. } => self.conv_back_weight(op, index),
            Op::PackBackward { .. } => self.pack_backward(op),
            Op::BiasBack { bias, channels, dy } => {
                let (channels, rows) = (*channels, self.len(*dy) / channels);
                self.add_rows(self.at(*dy), rows, channels, self.gradient(*bias))
            }
            Op::RunningStatistics { norm, coefficients } => {
                self.running_statistics(norm, *coefficients)
            }
            Op::Normalize { .. } => self.normalize(op),
            Op::NormalizeBack { .. } => self.normalize_back(op),
            Op::ShiftAlter { .. } | Op::ShiftAlterBack { .. } => self.shift(op),
            Op::Border { .. } => self.border(op),
            Op::MaxPool { .. } | Op::MaxPoolBack { .. } => self.max_pool(op),
            Op::AveragePool { .. } | Op::AveragePoolBack { .. } => self.average_pool(op),
            Op::FrameMean { .. } | Op::FrameMeanBack { .. } => self.frame_mean(op),
            Op::Relu { x, y } => self.each_of_one("relu", [*x, *y]),
            Op::ReluBack { dy, y, dx } => self.each("relu_back", [*dy, *y, *dx]),
            Op::Add { a, b, y } => self.each("add", [*a, *b, *y]),
            Op::Multiply { a, b, y } => self.each("multiply", [*a, *b, *y]),
            Op::PackForward { .. } => self.pack_forward(op),
            Op::BatchStatistics { .. } => self.batch_statistics(op),
            Op::Dropout { .. } => self.dropout(op),
        }
    }

    /// A kernel that takes a value each of two buffers.
    pub(super) fn each(&self, name: &'static str, [a, b, y]: [BufferId; 3]) -> Result<()> {
        let length = self.len(y);
        let count = Arg::Count(length as u64);
        let args = [self.at(a), self.at(b), count, self.at(y)];
        let grid = Grid::Values { length, parts: 1 };
        self.launch(self.wide(name, y, length), grid, &args)
    }

    fn each_of_one(&self, name: &'static str, [x, y]: [BufferId; 2]) -> Result<()> {
        let length = self.len(y);
        let args = [self.at(x), Arg::Count(length as u64), self.at(y)];
        let grid = Grid::Values { length, parts: 1 };
        self.launch(self.wide(name, y, length), grid, &args)
    }
}
