//! What patterns are found and replaced with.

use std::collections::BTreeSet;

use crate::ops::{BufferId, Step};
use crate::program::Program;

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    Forward(usize),
    Backward(usize),
}

/// A program's steps, and for each buffer the steps that read it.
pub struct Rewrite<'a> {
    pub program: &'a mut Program,
    readers: Vec<BTreeSet<At>>,
    gone: BTreeSet<At>,
}

impl<'a> Rewrite<'a> {
    pub fn new(program: &'a mut Program) -> Self {
        let mut readers = vec![BTreeSet::new(); program.buffers.len()];
        let forward = program.forward.iter().enumerate();
        let forward = forward.map(|(i, step)| (At::Forward(i), step));
        let backward = program.backward.iter().enumerate();
        let backward = backward.map(|(i, step)| (At::Backward(i), step));
        for (at, step) in forward.chain(backward) {
            step.reads.iter().for_each(|&id| {
                readers[id].insert(at);
            });
        }
        Self {
            program,
            readers,
            gone: BTreeSet::new(),
        }
    }

    pub fn step(&self, at: At) -> &Step {
        match at {
            At::Forward(index) => &self.program.forward[index],
            At::Backward(index) => &self.program.backward[index],
        }
    }

    /// The forward steps that stand, by index.
    pub fn forward(&self) -> impl Iterator<Item = At> + use<> {
        (0..self.program.forward.len()).map(At::Forward)
    }

    pub fn backward(&self) -> impl Iterator<Item = At> + use<> {
        (0..self.program.backward.len()).map(At::Backward)
    }

    pub fn is_gone(&self, at: At) -> bool {
        self.gone.contains(&at)
    }

    /// The steps that read a buffer; of an output there is a reader behind the pass.
    pub fn readers(&self, id: BufferId) -> &BTreeSet<At> {
        &self.readers[id]
    }

    /// The only step that reads a buffer which nobody looks at afterwards.
    pub fn only_reader(&self, id: BufferId) -> Option<At> {
        let readers = &self.readers[id];
        let only = readers.first().filter(|_| readers.len() == 1);
        only.copied().filter(|_| !self.program.is_output(id))
    }

    /// The only forward step that reads a buffer which nobody looks at afterwards.
    pub fn only_forward_reader(&self, id: BufferId) -> Option<At> {
        let mut readers = self.readers[id].range(..At::Backward(0));
        let first = readers.next().copied();
        first.filter(|_| readers.next().is_none() && !self.program.is_output(id))
    }

    /// The backward steps that read a buffer.
    pub fn backward_readers(&self, id: BufferId) -> Vec<At> {
        self.readers[id].range(At::Backward(0)..).copied().collect()
    }

    /// Puts a step where another stands.
    pub fn replace(&mut self, at: At, step: Step) {
        for id in self.step(at).reads.clone() {
            self.readers[id].remove(&at);
        }
        for &id in &step.reads {
            self.readers[id].insert(at);
        }
        let steps = match at {
            At::Forward(index) => &mut self.program.forward[index],
            At::Backward(index) => &mut self.program.backward[index],
        };
        *steps = step;
    }

    /// Takes a step out.
    pub fn remove(&mut self, at: At) {
        for id in self.step(at).reads.clone() {
            self.readers[id].remove(&at);
        }
        self.gone.insert(at);
    }
}

impl Drop for Rewrite<'_> {
    /// What was taken out goes.
    fn drop(&mut self) {
        let gone = &self.gone;
        let keep = |steps: &mut Vec<Step>, at: fn(usize) -> At| {
            let mut index = 0;
            steps.retain(|_| {
                index += 1;
                !gone.contains(&at(index - 1))
            });
        };
        keep(&mut self.program.forward, At::Forward);
        keep(&mut self.program.backward, At::Backward);
    }
}
