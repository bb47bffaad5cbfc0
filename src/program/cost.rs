//! What a step costs at least: the two floors that its time is held against.
//!
//! Multiply-adds count those of the products that the network's definition asks for; bytes count every buffer that the
//! step reads or writes once, and the parameters it packs. A step takes at least the larger of
//! multiply-adds / (multiply-adds a second) and bytes / (bytes a second), unless it needs fewer multiply-adds than the
//! definition: minimal filtering needs 16 of 36.

use super::Program;
use super::step::{ConvGeometry, Op, Step};

/// The least that a step asks of the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Cost {
    pub multiply_adds: u64,
    pub bytes: u64,
}

impl Program {
    pub fn cost(&self, step: &Step) -> Cost {
        let buffers = step.op.reads().into_iter().chain(step.op.writes());
        let bytes: usize = buffers.map(|id| self.buffers[id].bytes()).sum();
        let parameters = match &step.op {
            Op::PackForward { conv, .. }
            | Op::PackBackward { conv, .. }
            | Op::ConvBackWeight { conv, .. } => conv.weights(),
            _ => 0,
        };
        Cost {
            multiply_adds: self.multiply_adds(&step.op),
            bytes: (bytes + parameters * size_of::<f32>()) as u64,
        }
    }

    fn multiply_adds(&self, op: &Op) -> u64 {
        let product = |conv: &ConvGeometry, frames: usize| {
            (frames * conv.to.pixels()) as u64 * conv.weights() as u64
        };
        match op {
            Op::Conv { conv, y, .. } => product(conv, self.buffers[*y].len / conv.to.count()),
            Op::ConvBackData { conv, dx, .. } => {
                product(conv, self.buffers[*dx].len / conv.from.count())
            }
            Op::ConvBackWeight { conv, frames, .. } => product(conv, *frames),
            _ => 0,
        }
    }
}

impl Op {
    /// The kind of step, as tables name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Op::PackForward { .. } | Op::PackBackward { .. } => "weight packing",
            Op::Border { .. } => "border",
            Op::Conv { .. } => "convolution",
            Op::ConvBackData { .. } => "convolution, input gradient",
            Op::ConvBackWeight { .. } => "convolution, weight gradient",
            Op::BatchStatistics { .. } | Op::RunningStatistics { .. } => "norm statistics",
            Op::Normalize { .. } => "norm",
            Op::NormalizeBack { .. } => "norm, gradient",
            Op::ShiftAlter { .. } => "shift and alteration",
            Op::ShiftAlterBack { .. } => "shift and alteration, gradient",
            Op::MaxPool { .. } | Op::AveragePool { .. } => "pooling",
            Op::MaxPoolBack { .. } | Op::AveragePoolBack { .. } => "pooling, gradient",
            Op::Relu { .. } | Op::Add { .. } | Op::Multiply { .. } => "single values",
            Op::ReluBack { .. } => "single values, gradient",
            Op::Dropout { .. } | Op::FrameMean { .. } => "head",
            Op::BiasBack { .. } | Op::FrameMeanBack { .. } => "head, gradient",
        }
    }
}
