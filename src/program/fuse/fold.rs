//! `fold-norm`, `fold-sum`, `fold-shift`: in evaluation everything folds into a convolution: norm(x ∗ w) = x ∗ (w·scale) + bias, with
//! sum and ReLU where the product is written; a sum without a norm there too; (x·(1 + a)) ∗ w = x ∗ ((1 + a)·w); and the shift while
//! the input is read.

use super::rewrite::{At, Rewrite};
use crate::ops::{Binary, Compute, Conv, FoldedConv, ShiftAlter, Step, StepOp, shift_fold};
use crate::program::{Numerics, Program};

/// Norms into the convolutions before them.
pub fn norms(program: &mut Program) {
    let mut rewrite = Rewrite::new(program);
    for at in rewrite.forward() {
        fold_norm(&mut rewrite, at);
    }
}

/// A convolution that every branch of the batch can have a weight of its own for.
fn folds(conv: &Conv) -> bool {
    conv.groups == 1 && conv.bias.is_none()
}

fn fold_norm(rewrite: &mut Rewrite<'_>, at: At) -> Option<()> {
    let step = rewrite.step(at).clone();
    let StepOp::Conv(conv) = step.op else {
        return None;
    };
    let normalize = rewrite.only_reader(step.writes[0])?;
    let reader = rewrite.step(normalize);
    let StepOp::Normalize(norm) = &reader.op else {
        return None;
    };
    if !norm.norm.frozen || reader.reads[0] != step.writes[0] || !folds(&conv) {
        return None;
    }
    let op = FoldedConv {
        norm: Some(norm.norm.clone()),
        residual: norm.residual,
        relu: norm.relu,
        ..FoldedConv::plain(conv)
    };
    let residual = reader.reads.get(2).copied();
    let fused = Step {
        op: op.into(),
        reads: step.reads.iter().copied().chain(residual).collect(),
        ..reader.clone()
    };
    rewrite.remove(at);
    rewrite.replace(normalize, fused);
    Some(())
}

/// Sums into the convolutions before them.
pub fn sums(program: &mut Program) {
    let mut rewrite = Rewrite::new(program);
    for at in rewrite.forward() {
        fold_sum(&mut rewrite, at);
    }
}

fn fold_sum(rewrite: &mut Rewrite<'_>, at: At) -> Option<()> {
    let step = rewrite.step(at).clone();
    let StepOp::Conv(conv) = step.op else {
        return None;
    };
    let y = step.writes[0];
    let sum = rewrite.only_reader(y)?;
    let reader = rewrite.step(sum);
    let residual = match reader.reads[..] {
        [a, b] if reader.op == Binary::Add.into() && a != b => {
            if a == y {
                b
            } else {
                a
            }
        }
        _ => return None,
    };
    let alike = [y, residual, reader.writes[0]].map(|id| {
        let buffer = &rewrite.program.buffers[id];
        (buffer.extent, buffer.dtype)
    });
    if alike.iter().any(|&of| of != alike[0]) || conv.groups > 1 {
        return None;
    }
    let op = FoldedConv {
        residual: true,
        ..FoldedConv::plain(conv)
    };
    let fused = Step {
        op: op.into(),
        reads: vec![step.reads[0], residual],
        ..reader.clone()
    };
    rewrite.remove(at);
    rewrite.replace(sum, fused);
    Some(())
}

/// Shifts and alterations into the convolutions behind them. Where terms are taken in pairs and lie in the activation, only if
/// the shift's folds are pairs of channels.
pub fn shifts(numerics: Numerics, program: &mut Program) {
    let mut rewrite = Rewrite::new(program);
    for at in rewrite.forward() {
        fold_shift(&mut rewrite, at, numerics);
    }
}

fn fold_shift(rewrite: &mut Rewrite<'_>, at: At, numerics: Numerics) -> Option<()> {
    let step = rewrite.step(at).clone();
    let ShiftAlter { div, weights } = ShiftAlter::of(&step.op)?;
    let channels = rewrite.program.buffers[step.reads[0]].extent.shape.channels;
    let is_even = div.is_none_or(|div| shift_fold(channels, div).is_multiple_of(2));
    let reader = rewrite.only_reader(step.writes[0])?;
    let conv = rewrite.step(reader).clone();
    let folded = folded(&conv.op)?;
    // As a residual it is wanted whole.
    if conv.reads[1..].contains(&step.writes[0]) {
        return None;
    }
    // What sees several rows has no one neighbour.
    if div.is_some() && folded.conv.kernel[0] > 1 {
        return None;
    }
    if conv.reads[0] != step.writes[0] || (numerics == Numerics::Bf16 && !is_even) {
        return None;
    }
    let op = FoldedConv {
        shift: div,
        alter: weights,
        ..folded
    };
    let mut reads = conv.reads;
    reads[0] = step.reads[0];
    let (name, op, writes) = (conv.name, op.into(), conv.writes);
    rewrite.remove(at);
    rewrite.replace(
        reader,
        Step {
            name,
            op,
            reads,
            writes,
        },
    );
    Some(())
}

/// A convolution into whose input nothing is folded yet.
fn folded(op: &StepOp) -> Option<FoldedConv> {
    if let StepOp::Conv(plain) = op {
        return folds(plain).then(|| FoldedConv::plain(*plain));
    }
    if let StepOp::FoldedConv(folded) = op {
        let is_free = folded.shift.is_none() && folded.alter.is_empty();
        return is_free.then(|| folded.clone());
    }
    None
}

/// Steps whose results nobody reads, such as the coefficients of norms that were folded.
pub fn remove_unread(program: &mut Program) {
    let mut wanted = vec![false; program.buffers.len()];
    wanted[program.logits] = true;
    let observed = program.observed.iter();
    observed.for_each(|&(_, id)| wanted[id] = true);
    let mut kept = Vec::new();
    while let Some(step) = program.forward.pop() {
        if step.writes.iter().any(|&id| wanted[id]) || !step.op.gradients().is_empty() {
            step.reads.iter().for_each(|&id| wanted[id] = true);
            kept.push(step);
        }
    }
    kept.reverse();
    program.forward = kept;
}
