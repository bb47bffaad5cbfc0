//! Dropout: a mask that is drawn on the host for each pass, and `kernels/each.cu`.

use super::{Mask, Planner, flat, wide};
use crate::exec::cuda::work::{Call, Operand};
use crate::ops::{Dropout, Drops, Dtype, Step};

pub fn forward(planner: &mut Planner<'_>, step: &Step, dropout: Dropout) -> Option<()> {
    if dropout.drops != Drops::Values {
        return None;
    }
    let (x, y, mask) = (step.reads[0], step.writes[0], step.writes[1]);
    let dtype = planner.common_dtype(step)?;
    let len = planner.plan.places[x].len;
    let drawn = planner.workspace(step, "drawn", len, Dtype::Float32);
    planner.own.masks.push(Mask {
        dropout,
        extent: planner.extent(x),
        len,
    });
    let copy = Call::CopyMask {
        mask: planner.own.masks.len() - 1,
        to: drawn,
    };
    let [x, drawn_at, y, mask] = [x, drawn, y, mask].map(Operand::buffer);
    let operands = [x, drawn_at, Operand::Count(len), y, mask];
    let launch = flat(wide("dropout", dtype, &[len]), len, operands);
    planner.task_with(step, vec![copy, launch], vec![drawn]);
    Some(())
}
