//! What a step is given to emit the steps of its gradient.
//!
//! Gradients of a value that several steps read are added up by [`super::Binary::Add`] steps. A value whose gradient nobody wants,
//! because no trained parameter lies behind it, gets none.

use super::{Binary, Buffer, BufferId, Extent, Step, StepOp};

/// The backward steps so far, and the forward step at hand.
pub struct Reverse<'a> {
    pub buffers: &'a mut Vec<Buffer>,
    /// For each forward buffer: whether a trained parameter lies behind it.
    pub wanted: Vec<bool>,
    /// For each forward buffer: the buffer of its gradient so far.
    pub gradients: Vec<Option<BufferId>>,
    pub steps: Vec<Step>,
    /// The forward step at hand.
    pub step: Step,
}

impl Reverse<'_> {
    /// The gradient of the step's first output.
    pub fn dy(&self) -> BufferId {
        // Steps without a gradient are not asked for their rule.
        self.gradients[self.step.writes[0]].unwrap_or(self.step.writes[0])
    }

    /// The buffer that the step reads at `index`.
    pub fn x(&self, index: usize) -> BufferId {
        self.step.reads[index]
    }

    /// The buffer that the step writes at `index`.
    pub fn y(&self, index: usize) -> BufferId {
        self.step.writes[index]
    }

    pub fn extent(&self, id: BufferId) -> Extent {
        self.buffers[id].extent
    }

    /// Whether somebody wants the gradient of the buffer that the step reads at `index`.
    pub fn wants(&self, index: usize) -> bool {
        self.wanted[self.x(index)]
    }

    /// A step that writes parameters' gradients alone.
    pub fn emit_gradients(&mut self, op: impl Into<StepOp>, reads: Vec<BufferId>) {
        self.push(op.into(), reads, Vec::new());
    }

    /// A step that gives what input `index` gets, if somebody wants it: its only output has the input's extent.
    pub fn emit(&mut self, index: usize, op: impl Into<StepOp>, reads: Vec<BufferId>) {
        if self.wants(index) {
            let dx = self.gradient_of(self.x(index));
            self.push(op.into(), reads, vec![dx]);
            self.contribute(index, dx);
        }
    }

    /// As [`Reverse::emit`] for a step that writes parameters' gradients too: it stands even where nobody wants the input's.
    pub fn emit_with_gradients(
        &mut self,
        index: usize,
        op: impl Into<StepOp>,
        reads: Vec<BufferId>,
    ) {
        let dx = self.gradient_of(self.x(index));
        self.push(op.into(), reads, vec![dx]);
        self.contribute(index, dx);
    }

    /// Adds `gradient` to what input `index` has so far.
    pub fn contribute(&mut self, index: usize, gradient: BufferId) {
        let x = self.x(index);
        if !self.wanted[x] {
            return;
        }
        self.gradients[x] = Some(match self.gradients[x] {
            None => gradient,
            Some(so_far) => {
                let sum = self.gradient_of(x);
                self.push(Binary::Add.into(), vec![so_far, gradient], vec![sum]);
                sum
            }
        });
    }

    /// A new buffer for a gradient of `of`.
    pub fn gradient_of(&mut self, of: BufferId) -> BufferId {
        let Buffer {
            extent,
            rows,
            dtype,
            ..
        } = self.buffers[of];
        let name = format!("{}.gradient", self.buffers[of].name);
        self.buffers.push(Buffer {
            name,
            extent,
            rows,
            dtype,
        });
        self.buffers.len() - 1
    }

    fn push(&mut self, op: StepOp, reads: Vec<BufferId>, writes: Vec<BufferId>) {
        let name = self.step.name.clone();
        self.steps.push(Step {
            name,
            op,
            reads,
            writes,
        });
    }
}
