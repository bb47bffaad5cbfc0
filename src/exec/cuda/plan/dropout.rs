//! Dropout: a mask that is drawn on the host for each pass, and `kernels/each.cu`.

use super::{Mask, Planner, flat, wide};
use crate::exec::cuda::work::{Call, Operand};
use crate::ops::{Dropout, Drops, Dtype, Step};

pub fn forward(planner: &mut Planner<'_>, step: &Step, dropout: Dropout) -> Option<()> {
    let (x, y, mask) = (step.reads[0], step.writes[0], step.writes[1]);
    let dtype = planner.common_dtype(step)?;
    let len = planner.plan.places[mask].len;
    let drawn = planner.workspace(step, "drawn", len, Dtype::Float32);
    planner.own.masks.push(Mask {
        dropout,
        extent: planner.extent(mask),
        len,
    });
    let copy = Call::CopyMask {
        mask: planner.own.masks.len() - 1,
        to: drawn,
    };
    let (length, channels) = (planner.row(x), planner.extent(x).shape.channels);
    let [x, drawn_at, to, mask] = [x, drawn, y, mask].map(Operand::buffer);
    let launch = match dropout.drops {
        Drops::Values => {
            let operands = [x, drawn_at, Operand::Count(len), to, mask];
            flat(wide("dropout", dtype, &[len]), len, operands)
        }
        Drops::Clips { .. } => {
            let sizes = [length, channels].map(Operand::int);
            let operands = [x, drawn_at, sizes[0], sizes[1], to, mask];
            let kernel = wide("drop_rows", dtype, &[channels]);
            Call::launch(kernel, planner.grid(y), operands)
        }
    };
    planner.task_with(step, vec![copy, launch], vec![drawn]);
    Some(())
}
