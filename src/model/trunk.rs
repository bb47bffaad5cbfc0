//! The trunk as one operation on dfdx's tape: frames and parameters in, the logits of each branch out.
//!
//! Forward runs the compiled program; the operation that it leaves on the tape runs the program backward from the
//! logits' gradients and writes every parameter's gradient into dfdx's [`Gradients`].

use std::cell::RefCell;
use std::rc::Rc;

use dfdx::prelude::*;

use super::objective::{BranchLogits, Logits, Recorded};
use super::observation::{self, Observation};
use super::parameters::{Parameter, Parameters, slices};
use crate::base::{Error, Kind, Result};
use crate::exec::cpu::Engine;
use crate::exec::{DropoutKey, Segment, Statistics};
use crate::graph::Graph;

/// The compiled training program of one batch shape, shared with the tape until the backward pass has run.
#[derive(Clone)]
pub struct Trunk {
    program: Rc<RefCell<Program>>,
    segments: Rc<[Segment]>,
}

struct Program {
    engine: Engine,
    /// What stopped the backward pass: dfdx's error type has no room for it.
    failure: Option<Error>,
}

/// What goes in, besides the parameters.
pub struct Input<'a> {
    pub pixels: &'a [f32],
    pub dropout: DropoutKey,
}

impl Trunk {
    pub fn new(engine: Engine, segments: Vec<Segment>) -> Self {
        let program = Program {
            engine,
            failure: None,
        };
        Self {
            program: Rc::new(RefCell::new(program)),
            segments: segments.into(),
        }
    }

    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub fn memory(&self) -> usize {
        self.program.borrow().engine.memory()
    }

    /// What the observed nodes gave in the last pass.
    pub fn observations(&self, graph: &Graph) -> Vec<Observation> {
        let program = self.program.borrow();
        let observed = program.engine.observed();
        let split = observed
            .flat_map(|(node, values)| observation::split(graph, &self.segments, node, values));
        split.collect()
    }

    /// Logits of each branch, ascending, on one tape.
    pub fn forward(
        &self,
        parameters: &Parameters,
        statistics: &mut Statistics,
        input: &Input<'_>,
    ) -> Result<Vec<BranchLogits>> {
        let mut program = self.program.borrow_mut();
        let values = parameters.values();
        let logits =
            program
                .engine
                .forward(&slices(&values), statistics, input.pixels, input.dropout)?;
        let outputs = self.split(logits)?;

        let mut tape = Recorded::default();
        let trunk = self.clone();
        let (tensors, tracked) = (parameters.tensors(), outputs.clone());
        tape.add_backward_op(move |gradients| {
            trunk.backward(&tensors, &values, &tracked, gradients)
        });
        // The operation must be on the tape once, whichever branches the objective reads: the largest carries it.
        let mut tape = Some(tape);
        let mut branches: Vec<BranchLogits> = outputs
            .into_iter()
            .zip(self.segments.iter())
            .rev()
            .map(|(logits, segment)| BranchLogits {
                frames: segment.frames,
                logits: logits.put_tape(tape.take().unwrap_or_default()),
            })
            .collect();
        branches.reverse();
        Ok(branches)
    }

    /// Cuts the ragged batch's logits into branches.
    fn split(&self, logits: &[f32]) -> Result<Vec<Logits>> {
        let device = Cpu::default();
        let clips: usize = self.segments.iter().map(|s| s.clips).sum();
        let classes = logits.len() / clips.max(1);
        let mut rest = logits;
        let branches = self.segments.iter().map(|segment| {
            let (branch, tail) = rest.split_at(segment.clips * classes);
            rest = tail;
            device
                .try_tensor_from_vec(branch.to_vec(), (segment.clips, classes))
                .map_err(out_of_memory)
        });
        branches.collect()
    }

    fn backward(
        &self,
        tensors: &[Parameter],
        values: &[Vec<f32>],
        outputs: &[Logits],
        gradients: &mut Gradients<f32, Cpu>,
    ) -> Result<(), CpuError> {
        let mut d_logits = Vec::new();
        for output in outputs {
            d_logits.extend_from_slice(gradients.get_or_alloc_mut(output)?);
        }
        let mut taken = take(tensors, gradients)?;
        let mut program = self.program.borrow_mut();
        let mut written: Vec<&mut [f32]> = taken.iter_mut().map(Vec::as_mut_slice).collect();
        let outcome = program
            .engine
            .backward(&slices(values), &d_logits, &mut written);
        program.failure = outcome.err();
        for (tensor, gradient) in tensors.iter().zip(taken) {
            **gradients.get_or_alloc_mut(tensor)? = gradient;
        }
        Ok(())
    }

    /// The whole backward pass of an objective: every parameter's gradient, in the graph's order.
    pub fn differentiate(
        &self,
        total: Tensor<Rank0, f32, Cpu, Recorded>,
        parameters: &Parameters,
    ) -> Result<Vec<Vec<f32>>> {
        let mut gradients = total.try_backward().map_err(out_of_memory)?;
        match self.program.borrow_mut().failure.take() {
            Some(error) => Err(error),
            None => take(&parameters.tensors(), &mut gradients).map_err(out_of_memory),
        }
    }
}

/// Moves the parameters' gradients out, all of them mutable at once and none copied.
fn take(
    tensors: &[Parameter],
    gradients: &mut Gradients<f32, Cpu>,
) -> Result<Vec<Vec<f32>>, CpuError> {
    let taken = tensors
        .iter()
        .map(|tensor| Ok(std::mem::take(&mut **gradients.get_or_alloc_mut(tensor)?)));
    taken.collect()
}

fn out_of_memory(error: CpuError) -> Error {
    Error::new(Kind::Device, format!("dfdx: {error}"))
}
