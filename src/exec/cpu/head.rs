//! Dropout of single values and of whole clips.

use super::each;
use super::kernel::{Kernel, by_dtype};
use super::plan::Planner;
use super::scalar::Scalar;
use crate::ops::{self, Drops, Step};

/// y = x·m; draws the mask m.
pub fn plan_dropout(planner: &mut Planner<'_>, step: &Step, op: ops::Dropout) -> Option<()> {
    fn kernel<E: Scalar>(op: ops::Dropout, x: ops::Extent) -> Kernel {
        Kernel::new(move |buffers, context| {
            let values = buffers.x::<E>(0);
            let [y, mask] = buffers.outputs().map(|write| write.of::<E>());
            let extent = op.mask(x);
            ops::draw(op, context.dropout, context.batch, extent, |at, kept| {
                mask[at] = E::round(kept);
            });
            match op.drops {
                Drops::Values => each::each(values, mask, y, |x, kept| x * kept),
                Drops::Clips { .. } => {
                    each::beside(x.shape, (values, &*mask), y, |x, kept| x * kept);
                }
            }
        })
    }
    let extent = planner.extent(step.reads[0]);
    let kernel = by_dtype!(planner.common_dtype(step)?, E => kernel::<E>(op, extent));
    planner.task(step, kernel);
    Some(())
}
