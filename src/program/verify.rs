//! What a legal program is.
//!
//! - Every buffer is written by one step before any step reads it; the input and the logits' gradient are written by
//!   the caller.
//! - In a training program every trained parameter that the logits depend on gets exactly one gradient, every other one none.
//!
//! A program that breaks a rule is a mistake of an operation's rule or of a fusion, not of a person. That buffers which are alive at
//! the same time do not share memory is a rule of each device's plan: `exec::arena`.

use super::{Program, Purpose};
use crate::base::{Error, Kind, Result};
use crate::ops::Compute;

impl Program {
    /// Whether the program is legal, or the first rule that it breaks.
    pub fn verify(&self) -> Result<()> {
        self.verify_order()?;
        match self.purpose {
            Purpose::Training => self.verify_gradients(),
            Purpose::Evaluation | Purpose::Statistics => Ok(()),
        }
    }

    fn verify_order(&self) -> Result<()> {
        let mut written = vec![false; self.buffers.len()];
        written[self.input] = true;
        self.d_logits.into_iter().for_each(|id| written[id] = true);
        for step in self.steps() {
            if let Some(&id) = step.reads.iter().find(|&&id| !written[id]) {
                return Err(self.illegal(&step.name, id, "is read before it is written"));
            }
            for &id in &step.writes {
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

    fn verify_gradients(&self) -> Result<()> {
        let mut found = vec![0; self.params.len()];
        for step in &self.backward {
            step.op
                .gradients()
                .into_iter()
                .for_each(|id| found[id] += 1);
        }
        for (id, (param, reached)) in self.params.iter().zip(self.reached()).enumerate() {
            let expected = usize::from(param.trained && reached);
            if found[id] != expected {
                let message = format!(
                    "illegal program: `{}` gets {} gradients, expected {expected}",
                    param.name, found[id]
                );
                return Err(Error::new(Kind::Device, message));
            }
        }
        Ok(())
    }

    /// For each parameter: whether the logits depend on it.
    fn reached(&self) -> Vec<bool> {
        let mut wanted = vec![false; self.buffers.len()];
        wanted[self.logits] = true;
        let mut reached = vec![false; self.params.len()];
        for step in self.forward.iter().rev() {
            if step.writes.iter().any(|&y| wanted[y]) {
                step.reads.iter().for_each(|&x| wanted[x] = true);
                step.op
                    .trained()
                    .into_iter()
                    .for_each(|id| reached[id] = true);
            }
        }
        reached
    }

    fn illegal(&self, step: &str, buffer: usize, what: &str) -> Error {
        let name = &self.buffers[buffer].name;
        let message = format!("illegal program: `{step}`: buffer `{name}` {what}");
        Error::new(Kind::Device, message)
    }
}
