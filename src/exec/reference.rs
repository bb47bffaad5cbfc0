//! Runs a program by the reference kernels alone, in float32 or float64: what every device and every fusion is compared with.
//!
//! Every buffer is kept, and every kernel is a plain loop nest: for networks of a few thousand values.

use super::{DropoutKey, Statistics};
use crate::base::{Error, Kind, Result};
use crate::ops::reference::{Array, ArrayMut};
use crate::ops::{BufferId, Compute, Real, Site, Step};
use crate::program::Program;

/// The values of a program's buffers.
pub struct Reference<'a, R> {
    program: &'a Program,
    buffers: Vec<Vec<R>>,
}

impl<'a, R: Real> Reference<'a, R> {
    pub fn new(program: &'a Program) -> Self {
        let buffers = program.buffers.iter();
        Self {
            program,
            buffers: buffers.map(|b| vec![R::zero(); b.len()]).collect(),
        }
    }

    /// The logits. `params` in the layout of the graph's; training lets `stats` follow.
    pub fn forward(
        &mut self,
        params: &[Vec<R>],
        stats: &mut Statistics,
        input: &[R],
        dropout: DropoutKey,
    ) -> Result<&[R]> {
        self.write(self.program.input, input)?;
        let program = self.program;
        for step in &program.forward {
            self.step(step, params, &mut [], (&mut *stats, dropout));
        }
        Ok(&self.buffers[program.logits])
    }

    /// After a forward pass of a training program: the gradient of every parameter.
    pub fn backward(&mut self, params: &[Vec<R>], d_logits: &[R]) -> Result<Vec<Vec<R>>> {
        let program = self.program;
        if let Some(id) = program.d_logits {
            self.write(id, d_logits)?;
        }
        let mut grads: Vec<Vec<R>> = params.iter().map(|p| vec![R::zero(); p.len()]).collect();
        let dropout = DropoutKey::default();
        for step in &program.backward {
            let mut stats = Statistics::default();
            self.step(step, params, &mut grads, (&mut stats, dropout));
        }
        Ok(grads)
    }

    /// What a buffer holds.
    pub fn values(&self, id: BufferId) -> &[R] {
        &self.buffers[id]
    }

    fn write(&mut self, id: BufferId, values: &[R]) -> Result<()> {
        let to = &mut self.buffers[id];
        if to.len() != values.len() {
            let (expected, found) = (to.len(), values.len());
            let message = format!("expected {expected} values, found {found}");
            return Err(Error::new(Kind::Usage, message));
        }
        to.copy_from_slice(values);
        Ok(())
    }

    fn step(
        &mut self,
        step: &Step,
        params: &[Vec<R>],
        grads: &mut [Vec<R>],
        (stats, dropout): (&mut Statistics, DropoutKey),
    ) {
        let extent = |id: BufferId| self.program.buffers[id].extent;
        let mut written: Vec<Vec<R>> = Vec::new();
        for &id in &step.writes {
            let mut values = std::mem::take(&mut self.buffers[id]);
            values.fill(R::zero());
            written.push(values);
        }
        let reads = step.reads.iter().map(|&id| Array {
            extent: extent(id),
            values: &self.buffers[id],
        });
        let writes = step.writes.iter().zip(&mut written);
        let writes = writes.map(|(&id, values)| ArrayMut {
            extent: extent(id),
            values,
        });
        let params: Vec<&[R]> = params.iter().map(Vec::as_slice).collect();
        let mut grads: Vec<&mut [R]> = grads.iter_mut().map(Vec::as_mut_slice).collect();
        step.op.reference(Site {
            batch: &self.program.batch,
            reads: reads.collect(),
            writes: writes.collect(),
            params: &params,
            grads: &mut grads,
            stats,
            dropout,
        });
        for (&id, values) in step.writes.iter().zip(written) {
            self.buffers[id] = values;
        }
    }
}
