//! The plans of batch norms.

use super::{Backward, Forward, Norm, Site};
use crate::exec::cpu::kernel::{Kernel, by_dtype};
use crate::exec::cpu::plan::Planner;
use crate::exec::cpu::scalar::Scalar;
use crate::ops::{self, BufferId, Dtype, Mask, Normalize, NormalizeBack, Rate, Step};

/// Where a norm's values lie.
#[derive(Clone)]
struct Values {
    norm: Norm,
    rate: Rate,
    /// Of a row.
    pixels: usize,
}

impl Values {
    fn of(planner: &Planner<'_>, norm: &ops::Norm, x: BufferId) -> Self {
        let extent = planner.extent(x);
        let channels = extent.shape.channels;
        Self {
            norm: Norm {
                of: norm.clone(),
                channels,
            },
            rate: extent.rate,
            pixels: extent.shape.pixels(),
        }
    }
}

pub fn batch_statistics(planner: &mut Planner<'_>, step: &Step, norm: &ops::Norm) -> Option<()> {
    fn kernel<E: Scalar>(values: Values) -> Kernel {
        Kernel::with_scratch(4 * values.norm.row(), move |buffers, context| {
            let layout = context.batch.at(values.rate);
            let x = buffers.x::<E>(0);
            let [coefficients, partials] = buffers.outputs();
            let partials = partials.of::<f32>();
            super::frame_statistics(&values.norm, x, partials, context.scratch);
            let site = Site {
                norm: &values.norm,
                layout,
                pixels: values.pixels,
            };
            let (params, stats) = (context.params, &mut *context.stats);
            super::group_statistics(site, partials, params, stats, coefficients.of());
        })
    }
    let x = step.reads[0];
    let values = Values::of(planner, norm, x);
    let len = planner.layout(x).rows * 2 * values.norm.channels;
    let kernel = by_dtype!(planner.dtype(x), E => kernel::<E>(values));
    let partials = planner.workspace(step, "statistics", len, Dtype::Float32);
    let writes = vec![step.writes[0], partials];
    planner.task_over(step, kernel, step.reads.clone(), writes);
    Some(())
}

pub fn running_statistics(planner: &mut Planner<'_>, step: &Step, norm: &ops::Norm) -> Option<()> {
    let norm = Norm {
        of: norm.clone(),
        channels: planner.extent(step.writes[0]).shape.channels,
    };
    let kernel = Kernel::new(move |buffers, context| {
        let layout = context.batch.at(Rate::FRAME);
        super::running(&norm, layout, context.params, context.stats, buffers.y());
    });
    planner.task(step, kernel);
    Some(())
}

pub fn normalize(planner: &mut Planner<'_>, step: &Step, op: &Normalize) -> Option<()> {
    fn kernel<E: Scalar>(values: Values, relu: bool) -> Kernel {
        Kernel::new(move |buffers, context| {
            let forward = Forward {
                norm: &values.norm,
                x: buffers.x::<E>(0),
                coefficients: buffers.x(1),
                residual: buffers.maybe(2),
                relu,
            };
            forward.run(context.batch.at(values.rate), buffers.y());
        })
    }
    let (x, y) = (step.reads[0], step.writes[0]);
    let dtype = planner.dtype(x);
    let others = [Some(y), step.reads.get(2).copied()];
    if others
        .into_iter()
        .flatten()
        .any(|id| planner.dtype(id) != dtype)
    {
        return None;
    }
    let values = Values::of(planner, &op.norm, x);
    let kernel = by_dtype!(dtype, E => kernel::<E>(values, op.relu));
    planner.task(step, kernel);
    Some(())
}

pub fn back(planner: &mut Planner<'_>, step: &Step, op: &NormalizeBack) -> Option<()> {
    // A mask by the output goes with the gradient behind it: the sums are taken of that.
    if op.keeps != (op.mask == Mask::Output) {
        return None;
    }
    let x = step.reads[1];
    let values = Values::of(planner, &op.norm, x);
    let layout = planner.layout(x);
    let (channels, row) = (values.norm.channels, values.norm.row());
    let len = 2 * (layout.rows * channels + layout.norm_groups.len() * row);
    let kernel = by_dtype!(planner.dtype(x), E => back_kernel::<E>(values, op.mask));
    let partials = planner.workspace(step, "gradient.partials", len, Dtype::Float32);
    let mut writes = vec![partials];
    writes.extend(&step.writes);
    planner.task_over(step, kernel, step.reads.clone(), writes);
    Some(())
}

/// Writes partial sums, dx, and what passed the ReLU if the step keeps it.
fn back_kernel<E: Scalar>(values: Values, mask: Mask) -> Kernel {
    Kernel::with_scratch(4 * values.norm.row(), move |buffers, context| {
        let layout = context.batch.at(values.rate);
        let norm = &values.norm;
        let back = Backward {
            norm,
            dy: buffers.x::<E>(0),
            x: buffers.x::<E>(1),
            coefficients: buffers.x(2),
            mask,
            y: buffers.maybe(3).unwrap_or(&[]),
        };
        let (partials, dx, kept) = match mask {
            Mask::Output => {
                let [partials, dx, kept] = buffers.outputs();
                (partials, dx, Some(kept))
            }
            Mask::All | Mask::Recomputed => {
                let [partials, dx] = buffers.outputs();
                (partials, dx, None)
            }
        };
        let (partials, dx) = (partials.of::<f32>(), dx.of::<E>());
        let behind = kept.map_or(&mut [][..], |kept| kept.of::<E>());
        super::frame_gradients(layout, back, behind, partials, context.scratch);
        // What passed the ReLU is written by now, where there is a buffer for it.
        let back = match mask {
            Mask::Output => Backward {
                dy: behind,
                mask: Mask::All,
                ..back
            },
            Mask::All | Mask::Recomputed => back,
        };
        if norm.of.frozen {
            return super::back_frozen(layout, back, dx);
        }
        let site = Site {
            norm,
            layout,
            pixels: values.pixels,
        };
        super::group_gradients(site, partials, context.grads);
        super::back_data(layout, back, partials, dx);
    })
}
