//! A device's plan of a program: its kernels in order, over buffers that each have their range of one arena.
//!
//! A device may add buffers (packed weights, partial sums) and kernels (packing), and store what is between steps in lengths of its
//! own; what is written and read in which order is then the plan's.

use super::arena;
use crate::base::Result;
use crate::ops::{BufferId, Compute, Dtype, Extent, Layout, ParamId, Step};
use crate::program::cost::Cost;
use crate::program::{Program, Purpose};

/// A range of the arena while it is alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub name: String,
    /// Values.
    pub len: usize,
    pub dtype: Dtype,
    /// Where it starts in the arena, in words; set by [`arena::plan`].
    pub offset: usize,
}

impl Place {
    /// Words of 32 bits that it takes in the arena.
    pub fn words(&self) -> usize {
        self.bytes().div_ceil(size_of::<f32>())
    }

    pub fn bytes(&self) -> usize {
        self.len * self.dtype.size()
    }
}

/// One kernel's work.
pub struct Task<K> {
    /// Of the node that it serves.
    pub name: String,
    /// [`crate::ops::Compute::kind`], or what the device does besides.
    pub kind: &'static str,
    pub cost: Cost,
    pub kernel: K,
    pub reads: Vec<BufferId>,
    pub writes: Vec<BufferId>,
}

/// The tasks of a program on a device.
pub struct Plan<K> {
    /// Those of the program first, under their ids.
    pub places: Vec<Place>,
    /// In evaluation: what depends on parameters and running statistics alone, done once for all passes.
    pub prepare: Vec<Task<K>>,
    pub forward: Vec<Task<K>>,
    pub backward: Vec<Task<K>>,
    /// Buffers that the caller writes before the first task, and before the first backward task.
    pub input: BufferId,
    pub d_logits: Option<BufferId>,
    /// Buffers that are read after the forward pass, and after the whole pass.
    pub logits: BufferId,
    pub observed: Vec<BufferId>,
    /// Length of the arena in words of 32 bits.
    pub arena: usize,
}

impl<K> Plan<K> {
    /// The program's buffers, and no task yet.
    pub fn new(program: &Program) -> Self {
        let place = |buffer: &crate::ops::Buffer| Place {
            name: buffer.name.clone(),
            len: buffer.len(),
            dtype: buffer.dtype,
            offset: 0,
        };
        Self {
            places: program.buffers.iter().map(place).collect(),
            prepare: Vec::new(),
            forward: Vec::new(),
            backward: Vec::new(),
            input: program.input,
            d_logits: program.d_logits,
            logits: program.logits,
            observed: program.observed.iter().map(|&(_, id)| id).collect(),
            arena: 0,
        }
    }

    /// Gives every buffer its range, and checks that no two that are alive at the same time overlap.
    pub fn arrange(&mut self) -> Result<()> {
        arena::plan(self);
        arena::verify(self)
    }

    pub fn place(&mut self, name: String, len: usize, dtype: Dtype) -> BufferId {
        self.places.push(Place {
            name,
            len,
            dtype,
            offset: 0,
        });
        self.places.len() - 1
    }

    /// All tasks in the order in which they run.
    pub fn tasks(&self) -> impl DoubleEndedIterator<Item = &Task<K>> {
        let passes = self.forward.iter().chain(&self.backward);
        self.prepare.iter().chain(passes)
    }
}

/// A plan under construction, with what else the device notes down.
pub struct Planner<'a, K, Own> {
    pub program: &'a Program,
    pub plan: Plan<K>,
    pub own: Own,
    passes: Passes,
}

#[derive(Clone, Copy, PartialEq)]
enum Passes {
    Forward,
    Backward,
}

/// The buffers of a task.
pub struct Buffers {
    pub reads: Vec<BufferId>,
    pub writes: Vec<BufferId>,
    /// Written too, but no part of what the task costs at least.
    pub workspaces: Vec<BufferId>,
}

impl<'a, K, Own> Planner<'a, K, Own> {
    pub fn new(program: &'a Program, own: Own) -> Self {
        Self {
            program,
            plan: Plan::new(program),
            own,
            passes: Passes::Forward,
        }
    }

    /// Hands every step of the program to `plan`.
    pub fn each_step(
        &mut self,
        mut plan: impl FnMut(&mut Self, &Step) -> Result<()>,
    ) -> Result<()> {
        let program = self.program;
        for (passes, steps) in [
            (Passes::Forward, &program.forward),
            (Passes::Backward, &program.backward),
        ] {
            self.passes = passes;
            steps.iter().try_for_each(|step| plan(self, step))?;
        }
        Ok(())
    }

    /// What computes a step. Gradients of parameters are written beside the buffers.
    pub fn step_task(&mut self, step: &Step, kernel: K, buffers: Buffers) {
        let gradients = step.op.gradients().into_iter();
        let values = gradients.map(|id| self.values(id)).sum();
        let cost = Cost {
            multiply_adds: step
                .op
                .multiply_adds(step, &self.program.buffers, &self.program.batch),
            bytes: self.bytes(&buffers, values),
        };
        let task = task(step, (step.op.kind(), cost), kernel, buffers);
        self.push(task);
    }

    /// What a device does besides the program's steps. `parameters`: values of parameters that it reads; in evaluation what reads some
    /// is done once for all passes.
    pub fn extra_task(
        &mut self,
        step: &Step,
        kind: &'static str,
        kernel: K,
        buffers: Buffers,
        parameters: usize,
    ) {
        let cost = Cost {
            multiply_adds: 0,
            bytes: self.bytes(&buffers, parameters),
        };
        let task = task(step, (kind, cost), kernel, buffers);
        let is_prepared = self.program.purpose == Purpose::Evaluation && parameters > 0;
        match self.passes {
            Passes::Forward if is_prepared => self.plan.prepare.push(task),
            Passes::Forward | Passes::Backward => self.push(task),
        }
    }

    fn push(&mut self, task: Task<K>) {
        match self.passes {
            Passes::Forward => self.plan.forward.push(task),
            Passes::Backward => self.plan.backward.push(task),
        }
    }

    /// Those of the buffers, and of so many values of parameters.
    fn bytes(&self, buffers: &Buffers, parameters: usize) -> u64 {
        let ids = buffers.reads.iter().chain(&buffers.writes);
        let bytes: usize = ids.map(|&id| self.plan.places[id].bytes()).sum();
        (bytes + parameters * size_of::<f32>()) as u64
    }

    /// A buffer of the step's own: partial sums, a packed weight.
    pub fn workspace(&mut self, step: &Step, what: &str, len: usize, dtype: Dtype) -> BufferId {
        self.plan.place(format!("{}.{what}", step.name), len, dtype)
    }

    /// Values of a parameter.
    pub fn values(&self, id: ParamId) -> usize {
        self.program.params[id].shape.iter().product()
    }

    pub fn dtype(&self, id: BufferId) -> Dtype {
        self.plan.places[id].dtype
    }

    /// The dtype of some buffers, if it is the same.
    pub fn common(&self, ids: impl IntoIterator<Item = BufferId>) -> Option<Dtype> {
        let mut all = ids.into_iter().map(|id| self.dtype(id));
        let first = all.next()?;
        all.all(|dtype| dtype == first).then_some(first)
    }

    /// The dtype of all buffers of a step, if it is the same.
    pub fn common_dtype(&self, step: &Step) -> Option<Dtype> {
        self.common(step.reads.iter().chain(&step.writes).copied())
    }

    pub fn extent(&self, id: BufferId) -> Extent {
        self.program.buffers[id].extent
    }

    pub fn layout(&self, id: BufferId) -> &Layout {
        self.program.batch.at(self.extent(id).rate)
    }
}

fn task<K>(
    step: &Step,
    (kind, cost): (&'static str, Cost),
    kernel: K,
    buffers: Buffers,
) -> Task<K> {
    Task {
        name: step.name.clone(),
        kind,
        cost,
        kernel,
        reads: buffers.reads,
        writes: [buffers.writes, buffers.workspaces].concat(),
    }
}
