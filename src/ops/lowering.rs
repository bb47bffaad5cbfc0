//! What a layer is given to emit its forward steps.

use super::{Batch, BatchNorm, Buffer, BufferId, Dtype, Extent, Shape, Step, StepOp};
use crate::spec::FrozenNorms;

/// What training does that evaluation does not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainingRules {
    pub frozen_norms: FrozenNorms,
    /// Probability of dropout.
    pub dropout: f32,
    /// Probability that the deepest residual of a clip is dropped.
    pub drop_path: f32,
}

/// The steps so far, and the node at hand.
pub struct Lowering<'a> {
    pub batch: &'a Batch,
    /// `None` in evaluation: running statistics, no dropout.
    pub training: Option<TrainingRules>,
    pub buffers: Vec<Buffer>,
    pub steps: Vec<Step>,
    /// Of the node at hand.
    pub name: String,
    pub inputs: Vec<BufferId>,
    pub extent: Extent,
    /// The buffer of the node's output, once there is one.
    pub output: Option<BufferId>,
    /// Dropout layers before the node.
    pub dropouts: usize,
}

impl Lowering<'_> {
    /// The only step of a node: it reads the inputs and writes the output.
    pub fn single(&mut self, op: impl Into<StepOp>) {
        let (reads, output) = (self.inputs.clone(), self.output());
        self.step(op, reads, vec![output]);
    }

    pub fn step(&mut self, op: impl Into<StepOp>, reads: Vec<BufferId>, writes: Vec<BufferId>) {
        let (name, op) = (self.name.clone(), op.into());
        self.steps.push(Step {
            name,
            op,
            reads,
            writes,
        });
    }

    /// The buffer of the node's output.
    pub fn output(&mut self) -> BufferId {
        match self.output {
            Some(output) => output,
            None => {
                let id = self.buffer(self.name.clone(), self.extent);
                *self.output.insert(id)
            }
        }
    }

    /// The node's output is its input, unchanged.
    pub fn pass_through(&mut self) {
        self.output = self.inputs.first().copied();
    }

    pub fn buffer(&mut self, name: String, extent: Extent) -> BufferId {
        let rows = self.batch.at(extent.rate).rows;
        let dtype = Dtype::Float32;
        self.buffers.push(Buffer {
            name,
            extent,
            rows,
            dtype,
        });
        self.buffers.len() - 1
    }

    /// A buffer for the coefficients of a norm: four rows of channels for each norm group.
    pub fn coefficients(&mut self, channels: usize) -> BufferId {
        let shape = Shape {
            channels,
            height: 4,
            width: 1,
        };
        let extent = Extent {
            rate: super::Rate::Group,
            shape,
        };
        self.buffer(format!("{}.coefficients", self.name), extent)
    }

    /// Whether a norm takes its running statistics: in evaluation every one.
    pub fn is_frozen(&self, norm: &BatchNorm) -> bool {
        let rules = self.training;
        rules.is_none_or(|rules| norm.is_frozen(rules.frozen_norms))
    }
}
