//! Dropout of the pooled features.

use super::kernel::Kernel;
use super::plan::Planner;
use crate::ops::{self, Dtype, Step};

/// y = x·m; draws the mask m.
pub fn plan_dropout(planner: &mut Planner<'_>, step: &Step, op: ops::Dropout) -> Option<()> {
    if planner.common_dtype(step)? != Dtype::Float32 {
        return None;
    }
    let extent = planner.extent(step.reads[0]);
    let kernel = Kernel::new(move |buffers, context| {
        let x = buffers.x::<f32>(0);
        let [y, mask] = buffers.outputs().map(|write| write.of::<f32>());
        ops::draw(op, context.dropout, context.batch, extent, |at, kept| {
            mask[at] = kept
        });
        let values = y.iter_mut().zip(x.iter().zip(&*mask));
        values.for_each(|(y, (x, kept))| *y = x * kept);
    });
    planner.task(step, kernel);
    Some(())
}
