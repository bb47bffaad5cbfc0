//! One arena for all buffers of a plan: each gets a range for the tasks between its first write and its last read.
//!
//! Greedy by size, largest first, each at the lowest offset that no buffer alive at the same time uses (Pisarchyk and
//! Lee, "Efficient memory management for deep neural net inference", 2020).

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::plan::Plan;
use crate::base::{Error, Kind, Result};

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
pub fn plan<K>(plan: &mut Plan<K>) {
    let alive = lifetimes(plan);
    let mut order: Vec<usize> = (0..plan.places.len()).collect();
    order.sort_by_key(|&id| std::cmp::Reverse(plan.places[id].words()));
    // By offset.
    let mut placed: Vec<Placed> = Vec::new();
    plan.arena = 0;
    for id in order {
        let Some(life) = &alive[id] else { continue };
        let (first, last) = (*life.start(), *life.end());
        let words = plan.places[id].words();
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
        plan.places[id].offset = offset;
        plan.arena = plan.arena.max(end);
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

/// For each buffer the tasks, as [`Plan::tasks`] numbers them, during which it is alive; `None` if no task uses it.
fn lifetimes<K>(plan: &Plan<K>) -> Vec<Option<RangeInclusive<usize>>> {
    let mut alive: Vec<Option<RangeInclusive<usize>>> = vec![None; plan.places.len()];
    let mut touch = |id: usize, task: usize| {
        let first = alive[id].as_ref().map_or(task, |life| *life.start());
        alive[id] = Some(first..=task);
    };
    let forward_end = plan.prepare.len() + plan.forward.len();
    // The caller fills the input before the first task and reads the logits after the last forward task; it then
    // fills their gradient, which must not lie on anything that backward still reads.
    touch(plan.input, 0);
    for (index, task) in plan.tasks().enumerate() {
        if index == forward_end {
            plan.d_logits.into_iter().for_each(|id| touch(id, index));
        }
        let ids = task.reads.iter().chain(&task.writes);
        ids.for_each(|&id| touch(id, index));
        if index + 1 == forward_end {
            touch(plan.logits, index);
        }
    }
    // Observed values are read after the whole pass, whether it was forward alone or backward too.
    let last = plan.tasks().count().saturating_sub(1);
    plan.observed.iter().for_each(|&id| touch(id, last));
    // What is prepared once serves every later pass.
    for task in &plan.prepare {
        task.writes.iter().for_each(|&id| touch(id, last));
    }
    alive
}

/// Whether no two buffers that are alive at the same time overlap, none reaches beyond the arena, and no task writes what it reads.
pub fn verify<K>(plan: &Plan<K>) -> Result<()> {
    let lifetimes = lifetimes(plan);
    let tasks = plan.tasks().count();
    let (mut begins, mut ends) = (vec![Vec::new(); tasks], vec![Vec::new(); tasks]);
    for (id, life) in lifetimes.iter().enumerate() {
        if let Some(life) = life.clone().filter(|_| tasks > 0) {
            begins[*life.start()].push(id);
            ends[*life.end()].push(id);
        }
    }
    let mut alive = BTreeSet::new();
    for (task, (begin, end)) in plan.tasks().zip(begins.iter().zip(&ends)) {
        if let Some(&id) = task.reads.iter().find(|id| task.writes.contains(id)) {
            return Err(illegal(plan, id, "is read and written at once"));
        }
        for &id in begin {
            verify_place(plan, id, &alive)?;
            alive.insert((plan.places[id].offset, id));
        }
        for &id in end {
            alive.remove(&(plan.places[id].offset, id));
        }
    }
    Ok(())
}

fn verify_place<K>(plan: &Plan<K>, id: usize, alive: &BTreeSet<(usize, usize)>) -> Result<()> {
    let end = |id: usize| plan.places[id].offset + plan.places[id].words();
    let offset = plan.places[id].offset;
    // A buffer that comes must lie between its neighbours.
    let before = alive.range(..(offset, id)).next_back();
    let after = alive.range((offset, id)..).next();
    if before.is_some_and(|&(_, other)| end(other) > offset)
        || after.is_some_and(|&(next, _)| end(id) > next)
    {
        return Err(illegal(plan, id, "overlaps another buffer"));
    }
    match end(id) <= plan.arena {
        true => Ok(()),
        false => Err(illegal(plan, id, "reaches beyond its end")),
    }
}

fn illegal<K>(plan: &Plan<K>, id: usize, what: &str) -> Error {
    let message = format!("illegal plan: buffer `{}` {what}", plan.places[id].name);
    Error::new(Kind::Device, message)
}
