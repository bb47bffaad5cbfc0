//! One arena for all buffers: each gets a range for the steps between its first write and its last read.
//!
//! Greedy by size, largest first, each at the lowest offset that no buffer alive at the same time uses (Pisarchyk and
//! Lee, "Efficient memory management for deep neural net inference", 2020).

use std::ops::RangeInclusive;

use super::Program;

/// Offsets are multiples of this many words: a cache line.
const ALIGNMENT: usize = 16;

/// A buffer that has its range.
struct Placed {
    offset: usize,
    end: usize,
    first: usize,
    last: usize,
}

/// Sets every buffer's offset and the length of the arena.
pub fn plan(program: &mut Program) {
    let alive = lifetimes(program);
    let mut order: Vec<usize> = (0..program.buffers.len()).collect();
    order.sort_by_key(|&id| std::cmp::Reverse(program.buffers[id].words()));
    // By offset.
    let mut placed: Vec<Placed> = Vec::new();
    program.arena = 0;
    for id in order {
        let Some(life) = &alive[id] else { continue };
        let (first, last) = (*life.start(), *life.end());
        let words = program.buffers[id].words();
        let mut offset = 0;
        // The first gap that is wide enough.
        for other in &placed {
            if last < other.first || other.last < first {
                continue;
            }
            if offset + words <= other.offset {
                break;
            }
            offset = offset.max(other.end.next_multiple_of(ALIGNMENT));
        }
        let end = offset + words;
        program.buffers[id].offset = offset;
        program.arena = program.arena.max(end);
        let at = placed.partition_point(|other| other.offset <= offset);
        let own = Placed {
            offset,
            end,
            first,
            last,
        };
        placed.insert(at, own);
    }
}

/// For each buffer the steps, as [`Program::steps`] numbers them, during which it is alive; `None` if no step uses it.
pub fn lifetimes(program: &Program) -> Vec<Option<RangeInclusive<usize>>> {
    let mut alive: Vec<Option<RangeInclusive<usize>>> = vec![None; program.buffers.len()];
    let mut touch = |id: usize, step: usize| {
        let first = alive[id].as_ref().map_or(step, |life| *life.start());
        alive[id] = Some(first..=step);
    };
    let forward_end = program.prepare.len() + program.forward.len();
    // The caller fills the input before the first step and reads the logits after the last forward step; it then
    // fills their gradient, which must not lie on anything that backward still reads.
    touch(program.input, 0);
    for (index, step) in program.steps().enumerate() {
        if index == forward_end {
            program.d_logits.into_iter().for_each(|id| touch(id, index));
        }
        let ids = step.op.reads().into_iter().chain(step.op.writes());
        ids.for_each(|id| touch(id, index));
        if index + 1 == forward_end {
            touch(program.logits, index);
        }
    }
    // Observed values are read after the whole pass, whether it was forward alone or backward too.
    let last = program.steps().count().saturating_sub(1);
    program.observed.iter().for_each(|&(_, id)| touch(id, last));
    // What is prepared once serves every later pass.
    for step in &program.prepare {
        step.op.writes().iter().for_each(|&id| touch(id, last));
    }
    alive
}
