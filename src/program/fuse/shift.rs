//! `shift`: shift and alteration read and write the activation once, forward and backward; so does the sum of their input's
//! gradient with what other readers of the input gave.

use super::rewrite::{At, Rewrite};
use crate::ops::{Binary, BufferId, ShiftAlter, ShiftAlterBack, Step, StepOp};
use crate::program::Program;

/// alter(shift(x)) in one step.
pub fn with_alteration(program: &mut Program) {
    let mut rewrite = Rewrite::new(program);
    for at in rewrite.forward() {
        fuse(&mut rewrite, at);
    }
}

fn fuse(rewrite: &mut Rewrite<'_>, shift: At) -> Option<()> {
    let StepOp::Shift(plain) = rewrite.step(shift).op else {
        return None;
    };
    let (x, shifted) = (rewrite.step(shift).reads[0], rewrite.step(shift).writes[0]);
    let alter = rewrite.only_forward_reader(shifted)?;
    let StepOp::Alter(altering) = &rewrite.step(alter).op else {
        return None;
    };
    let fused = ShiftAlter {
        div: Some(plain.div),
        weights: altering.weights.clone(),
    };
    if rewrite.program.d_logits.is_some() {
        fuse_gradients(rewrite, (x, shifted), &fused)?;
    }
    let step = Step {
        op: fused.into(),
        reads: vec![x],
        ..rewrite.step(alter).clone()
    };
    rewrite.remove(shift);
    rewrite.replace(alter, step);
    Some(())
}

/// The gradients of both, if one follows the other alone.
fn fuse_gradients(
    rewrite: &mut Rewrite<'_>,
    (x, shifted): (BufferId, BufferId),
    of: &ShiftAlter,
) -> Option<()> {
    let [alter] = rewrite.backward_readers(shifted)[..] else {
        return None;
    };
    let step = rewrite.step(alter).clone();
    let StepOp::AlterBack(_) = step.op else {
        return None;
    };
    let shift = rewrite.only_reader(step.writes[0])?;
    let StepOp::ShiftBack(_) = rewrite.step(shift).op else {
        return None;
    };
    let op = ShiftAlterBack {
        of: of.clone(),
        adds: false,
    };
    let fused = Step {
        op: op.into(),
        reads: vec![step.reads[0], x],
        ..rewrite.step(shift).clone()
    };
    rewrite.remove(alter);
    rewrite.replace(shift, fused);
    Some(())
}

/// The gradient that shift and alteration give is added to what there was so far while it is written.
pub fn with_sums_of_gradients(program: &mut Program) {
    let mut rewrite = Rewrite::new(program);
    for at in rewrite.backward() {
        add(&mut rewrite, at);
    }
}

fn add(rewrite: &mut Rewrite<'_>, at: At) -> Option<()> {
    let step = rewrite.step(at).clone();
    let (of, mut reads) = (ShiftAlter::of_gradient(&step.op)?, step.reads);
    let sum = rewrite.only_reader(step.writes[0])?;
    let reader = rewrite.step(sum);
    let &[so_far, added] = &reader.reads[..] else {
        return None;
    };
    if reader.op != StepOp::Binary(Binary::Add) || added != step.writes[0] {
        return None;
    }
    reads.push(so_far);
    let op = ShiftAlterBack { of, adds: true };
    let fused = Step {
        op: op.into(),
        reads,
        ..reader.clone()
    };
    rewrite.remove(at);
    rewrite.replace(sum, fused);
    Some(())
}
