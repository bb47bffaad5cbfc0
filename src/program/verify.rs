//! What a legal program is.
//!
//! - Every buffer is written by one step before any step reads it; the input and the logits' gradient are written by
//!   the caller.
//! - Buffers that are alive at the same time do not overlap in the arena, and none reaches beyond it.
//! - Every trained parameter's gradient is written by one step at most.
//!
//! A program that breaks a rule is a mistake of a pass, not of a person.

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

    /// Within each step's live buffers, sorted by offset, each must end before the next begins.
    fn verify_places(&self) -> Result<()> {
        let lifetimes = arena::lifetimes(self);
        let mut order: Vec<usize> = (0..self.buffers.len()).collect();
        order.retain(|&id| lifetimes[id].is_some());
        order.sort_by_key(|&id| self.buffers[id].offset);
        for step in 0..self.steps().count() {
            let alive = |id: &usize| lifetimes[*id].as_ref().is_some_and(|l| l.contains(&step));
            let mut end = 0;
            for id in order.iter().copied().filter(alive) {
                let buffer = &self.buffers[id];
                if buffer.offset < end {
                    return Err(self.illegal("arena", id, "overlaps another buffer"));
                }
                end = buffer.offset + buffer.words();
            }
            if end > self.arena {
                return Err(Error::new(
                    Kind::Device,
                    format!(
                        "illegal program: step {step} needs {end} words of {}",
                        self.arena
                    ),
                ));
            }
        }
        Ok(())
    }

    fn verify_gradients(&self) -> Result<()> {
        let mut seen = std::collections::BTreeSet::new();
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
