//! The plans of shift and alteration.

use super::Plan;
use crate::exec::cpu::kernel::{Kernel, by_dtype};
use crate::exec::cpu::plan::Planner;
use crate::exec::cpu::scalar::Scalar;
use crate::ops::{Dtype, Extent, ParamId, Step};

/// What is done to each row.
#[derive(Clone)]
struct Job {
    extent: Extent,
    shift: Option<usize>,
    alter: Vec<ParamId>,
}

/// y = (1 + a)·S(x), either of which may be missing.
pub fn forward(
    planner: &mut Planner<'_>,
    step: &Step,
    shift: Option<usize>,
    alter: &[ParamId],
) -> Option<()> {
    fn kernel<E: Scalar>(job: Job) -> Kernel {
        Kernel::new(move |buffers, context| {
            let plan = job.plan(context);
            super::forward(plan, buffers.x::<E>(0), buffers.y());
        })
    }
    let job = Job::of(planner, step, shift, alter);
    let kernel = by_dtype!(planner.common_dtype(step)?, E => kernel::<E>(job));
    planner.task(step, kernel);
    Some(())
}

/// dx from dy, x if there is an alteration, and what is added if the step reads more.
pub fn back(
    planner: &mut Planner<'_>,
    step: &Step,
    shift: Option<usize>,
    alter: &[ParamId],
) -> Option<()> {
    let job = Job::of(planner, step, shift, alter);
    let dtype = planner.common_dtype(step)?;
    let channels = job.extent.shape.channels;
    let len = planner.layout(step.reads[0]).rows * channels;
    let kernel = by_dtype!(dtype, E => back_kernel::<E>(job));
    let mut writes = step.writes.clone();
    if !alter.is_empty() {
        writes.push(planner.workspace(step, "gradient.partials", len, Dtype::Float32));
    }
    planner.task_over(step, kernel, step.reads.clone(), writes);
    Some(())
}

fn back_kernel<E: Scalar>(job: Job) -> Kernel {
    let scratch = 2 * job.extent.shape.channels;
    Kernel::with_scratch(scratch, move |buffers, context| {
        let plan = job.plan(context);
        let dy = buffers.x::<E>(0);
        if job.alter.is_empty() {
            let added = buffers.maybe(1);
            return super::back_data(plan, dy, added, buffers.y());
        }
        let (x, added) = (buffers.x(1), buffers.maybe(2));
        let [dx, partials] = buffers.outputs();
        super::back_alteration(plan, (x, dy), partials.of(), context.grads, context.scratch);
        super::back_data(plan, dy, added, dx.of());
    })
}

impl Job {
    fn of(planner: &Planner<'_>, step: &Step, shift: Option<usize>, alter: &[ParamId]) -> Self {
        Self {
            extent: planner.extent(step.writes[0]),
            shift,
            alter: alter.to_vec(),
        }
    }

    fn plan<'a>(&'a self, context: &crate::exec::cpu::kernel::Context<'a, '_>) -> Plan<'a> {
        Plan {
            layout: context.batch.at(self.extent.rate),
            params: context.params,
            shape: self.extent.shape,
            shift: self.shift,
            alter: &self.alter,
        }
    }
}
