//! The backward steps: every plain forward step's own rule, from the last to the first.

use super::Program;
use crate::base::{Error, Kind, Result};
use crate::ops::{Compute, NoRule, Reverse, Step};

/// Appends the backward steps; an error where a step that a trained parameter's gradient has to pass has no rule.
pub fn differentiate(program: &mut Program) -> Result<()> {
    let d_logits = program.buffer_like("logits.gradient".to_owned(), program.logits);
    program.d_logits = Some(d_logits);
    let (wanted, forward) = (wanted(program), program.forward.clone());
    let Some(last) = forward.last() else {
        return Ok(());
    };
    let mut at = Reverse {
        gradients: vec![None; program.buffers.len()],
        buffers: &mut program.buffers,
        wanted,
        steps: Vec::new(),
        step: last.clone(),
    };
    at.gradients[program.logits] = Some(d_logits);
    for step in forward.iter().rev() {
        if step.writes.iter().all(|&y| at.gradients[y].is_none()) {
            continue;
        }
        at.step.clone_from(step);
        step.op
            .differentiate(&mut at)
            .map_err(|NoRule| missing(step))?;
    }
    program.backward = at.steps;
    Ok(())
}

/// For each buffer: whether a trained parameter lies behind it.
fn wanted(program: &Program) -> Vec<bool> {
    let mut wanted = vec![false; program.buffers.len()];
    for step in &program.forward {
        let is_wanted = !step.op.trained().is_empty() || step.reads.iter().any(|&x| wanted[x]);
        step.writes.iter().for_each(|&y| wanted[y] = is_wanted);
    }
    wanted
}

fn missing(step: &Step) -> Error {
    let message = format!(
        "`{}`: there is no gradient rule for {:?}",
        step.name, step.op
    );
    Error::new(Kind::Device, message)
}
