//! What a legal program is.
//!
//! - Every buffer is written by one step before any step reads it; the input and the logits' gradient are written by
//!   the caller.
//! - Buffers that are alive at the same time do not overlap in the arena, and none reaches beyond it.
//! - Every trained parameter's gradient is written by one step at most.
//!
//! A program that breaks a rule is a mistake of a pass, not of a person.

use std::collections::BTreeSet;

use super::{Program, arena};
use crate::base::{Error, Kind, Result};

impl Program {
    /// Whether the program is legal, or the first rule that it breaks.
    pub fn verify(&self) -> Result<()> {
        self.verify_order()?;
        self.verify_places()?;
        self.verify_gradients()
    }

    fn verify_order(&self) -> Result<()> {
        let mut written = vec![false; self.buffers.len()];
        written[self.input] = true;
        self.d_logits.into_iter().for_each(|id| written[id] = true);
        for step in self.steps() {
            if let Some(id) = step.op.reads().into_iter().find(|&id| !written[id]) {
                return Err(self.illegal(&step.name, id, "is read before it is written"));
            }
            for id in step.op.writes() {
                if std::mem::replace(&mut written[id], true) {
                    return Err(self.illegal(&step.name, id, "is written twice"));
                }
            }
        }
        match written[self.logits] {
            true => Ok(()),
            false => Err(self.illegal("logits", self.logits, "is never written")),
        }
    }

    /// Those that are alive at a step, by offset: a buffer that comes must lie between its neighbours.
    fn verify_places(&self) -> Result<()> {
        let lifetimes = arena::lifetimes(self);
        let steps = self.steps().count();
        let (mut begins, mut ends) = (vec![Vec::new(); steps], vec![Vec::new(); steps]);
        for (id, life) in lifetimes.iter().enumerate() {
            if let Some(life) = life {
                begins[*life.start()].push(id);
                ends[*life.end()].push(id);
            }
        }
        let mut alive = BTreeSet::new();
        for (begin, end) in begins.iter().zip(&ends) {
            for &id in begin {
                self.verify_place(id, &alive)?;
                alive.insert((self.buffers[id].offset, id));
            }
            for &id in end {
                alive.remove(&(self.buffers[id].offset, id));
            }
        }
        Ok(())
    }

    fn verify_place(&self, id: usize, alive: &BTreeSet<(usize, usize)>) -> Result<()> {
        let end = |id: usize| self.buffers[id].offset + self.buffers[id].words();
        let offset = self.buffers[id].offset;
        let before = alive.range(..(offset, id)).next_back();
        let after = alive.range((offset, id)..).next();
        if before.is_some_and(|&(_, other)| end(other) > offset)
            || after.is_some_and(|&(next, _)| end(id) > next)
        {
            return Err(self.illegal("arena", id, "overlaps another buffer"));
        }
        match end(id) <= self.arena {
            true => Ok(()),
            false => Err(self.illegal("arena", id, "reaches beyond its end")),
        }
    }

    fn verify_gradients(&self) -> Result<()> {
        let mut seen = BTreeSet::new();
        for step in &self.backward {
            for param in step.op.gradients() {
                if !seen.insert(param) {
                    let message = format!(
                        "illegal program: `{}` writes the gradient of parameter {param} again",
                        step.name
                    );
                    return Err(Error::new(Kind::Device, message));
                }
            }
        }
        Ok(())
    }

    fn illegal(&self, step: &str, buffer: usize, what: &str) -> Error {
        let name = &self.buffers[buffer].name;
        let message = format!("illegal program: `{step}`: buffer `{name}` {what}");
        Error::new(Kind::Device, message)
    }
}
