//! `recompute`: values that are quicker to compute again than to keep until backward reads them: normalised and shifted
//! activations, as long as what they come from is kept anyway. Their forward copies die early, so that memory holds about half as
//! much; each costs one more pass over memory.

use crate::ops::{BufferId, ShiftAlter, Step, StepOp};
use crate::program::Program;

pub fn cheap_values(program: &mut Program) {
    let readers = readers(program.buffers.len(), &program.backward);
    let mut recomputed = vec![false; program.buffers.len()];
    let mut again = Vec::new();
    for index in 0..program.forward.len() {
        let step = &program.forward[index];
        if !is_cheap(&step.op) {
            continue;
        }
        let y = step.writes[0];
        let kept = |id: &BufferId| {
            let read = *id == program.input || !readers[*id].is_empty();
            read && !recomputed[*id]
        };
        let Some(&first) = readers[y].first() else {
            continue;
        };
        if step.reads.iter().all(kept) {
            recomputed[y] = true;
            let step = step.clone();
            again.push((first, compute_again(program, step, y, &readers[y])));
        }
    }
    program.backward = inserted(std::mem::take(&mut program.backward), again);
}

/// One pass over memory, whose inputs backward reads too in the networks that there are.
fn is_cheap(op: &StepOp) -> bool {
    let is_plain_norm = matches!(op, StepOp::Normalize(normalize) if !normalize.residual);
    is_plain_norm || ShiftAlter::of(op).is_some()
}

/// A step that writes `y` once more, into a buffer of its own, which `readers` in the backward pass read from now on.
fn compute_again(program: &mut Program, step: Step, y: BufferId, readers: &[usize]) -> Step {
    let again = program.buffer_like(format!("{}.again", program.buffers[y].name), y);
    for &reader in readers {
        let reads = program.backward[reader].reads.iter_mut();
        reads.filter(|id| **id == y).for_each(|id| *id = again);
    }
    Step {
        writes: vec![again],
        ..step
    }
}

/// The steps with new ones, each before the index that is given with it; of several at one index in their order.
fn inserted(steps: Vec<Step>, mut new: Vec<(usize, Step)>) -> Vec<Step> {
    new.sort_by_key(|(index, _)| *index);
    let mut new = new.into_iter().peekable();
    let mut all = Vec::with_capacity(steps.len() + new.len());
    for (index, step) in steps.into_iter().enumerate() {
        while let Some((_, before)) = new.next_if(|(at, _)| *at <= index) {
            all.push(before);
        }
        all.push(step);
    }
    all
}

/// For each buffer the steps that read it, ascending.
fn readers(buffers: usize, steps: &[Step]) -> Vec<Vec<usize>> {
    let mut readers = vec![Vec::new(); buffers];
    for (index, step) in steps.iter().enumerate() {
        for &id in &step.reads {
            if readers[id].last() != Some(&index) {
                readers[id].push(index);
            }
        }
    }
    readers
}
