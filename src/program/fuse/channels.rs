//! `channels`: the gradients of slices that together are all channels of a value are put side by side, instead of being padded with
//! zeros and added.

use super::rewrite::{At, Rewrite};
use crate::ops::{Binary, BufferId, ConcatChannels, Step, StepOp};
use crate::program::Program;

pub fn gather_slices(program: &mut Program) {
    let mut rewrite = Rewrite::new(program);
    let writers = writers(&rewrite);
    // From the last sum on: the sums that it is made of go with it.
    for at in rewrite.backward().collect::<Vec<_>>().into_iter().rev() {
        if !rewrite.is_gone(at) {
            gather(&mut rewrite, &writers, at);
        }
    }
}

/// For each buffer the backward step that writes it.
fn writers(rewrite: &Rewrite<'_>) -> Vec<Option<At>> {
    let mut writers = vec![None; rewrite.program.buffers.len()];
    for at in rewrite.backward() {
        for &id in &rewrite.step(at).writes {
            writers[id] = Some(at);
        }
    }
    writers
}

/// A padded slice: where it begins, where it comes from, how many channels it has, and its step.
struct Slice {
    first: usize,
    from: BufferId,
    count: usize,
    step: At,
}

fn gather(rewrite: &mut Rewrite<'_>, writers: &[Option<At>], sum: At) -> Option<()> {
    if rewrite.step(sum).op != StepOp::Binary(Binary::Add) {
        return None;
    }
    let (mut slices, mut sums) = (Vec::new(), Vec::new());
    collect(rewrite, writers, sum, &mut slices, &mut sums)?;
    slices.sort_by_key(|slice| slice.first);
    let y = rewrite.step(sum).writes[0];
    let mut next = 0;
    for slice in &slices {
        if slice.first != next {
            return None;
        }
        next += slice.count;
    }
    if next != rewrite.program.buffers[y].extent.shape.channels {
        return None;
    }
    let fused = Step {
        op: ConcatChannels.into(),
        reads: slices.iter().map(|slice| slice.from).collect(),
        ..rewrite.step(sum).clone()
    };
    for slice in &slices {
        rewrite.remove(slice.step);
    }
    for other in sums.into_iter().filter(|&other| other != sum) {
        rewrite.remove(other);
    }
    rewrite.replace(sum, fused);
    Some(())
}

/// The slices that a sum is made of, through sums that nobody else reads.
fn collect(
    rewrite: &Rewrite<'_>,
    writers: &[Option<At>],
    sum: At,
    slices: &mut Vec<Slice>,
    sums: &mut Vec<At>,
) -> Option<()> {
    sums.push(sum);
    for &id in &rewrite.step(sum).reads {
        let writer = writers[id].filter(|_| rewrite.only_reader(id).is_some())?;
        let step = rewrite.step(writer);
        if let StepOp::PadChannels(pad) = step.op {
            let from = step.reads[0];
            slices.push(Slice {
                first: pad.first,
                from,
                count: rewrite.program.buffers[from].extent.shape.channels,
                step: writer,
            });
        } else if step.op == StepOp::Binary(Binary::Add) {
            collect(rewrite, writers, writer, slices, sums)?;
        } else {
            return None;
        }
    }
    Some(())
}
