//! `norm`: relu(norm(x) + residual), relu(norm(x)) and norm(x) + residual in one step, forward and backward: the sum and the ReLU
//! cost no pass over memory of their own.

use super::rewrite::{At, Rewrite};
use crate::ops::{Binary, BufferId, Each, EachBack, Mask, Normalize, NormalizeBack, Step, StepOp};
use crate::program::Program;

pub fn with_sum_and_relu(program: &mut Program) {
    let mut rewrite = Rewrite::new(program);
    for at in rewrite.forward() {
        if !rewrite.is_gone(at)
            && let Some(at) = with_sum(&mut rewrite, at)
        {
            with_relu(&mut rewrite, at);
        }
    }
}

/// Where the norm stands, if there is one, once a sum behind it is part of it.
fn with_sum(rewrite: &mut Rewrite<'_>, at: At) -> Option<At> {
    let StepOp::Normalize(normalize) = &rewrite.step(at).op else {
        return None;
    };
    if normalize.relu || normalize.residual {
        return Some(at);
    }
    let fused = Normalize {
        residual: true,
        ..normalize.clone()
    };
    let step = rewrite.step(at);
    let (reads, y) = (step.reads.clone(), step.writes[0]);
    let Some(sum) = rewrite.only_reader(y) else {
        return Some(at);
    };
    let reader = rewrite.step(sum);
    let [a, b] = reader.reads[..] else {
        return Some(at);
    };
    let is_whole = rewrite.program.buffers[a].extent == rewrite.program.buffers[b].extent;
    if reader.op != StepOp::Binary(Binary::Add) || !is_whole || a == b {
        return Some(at);
    }
    let other = if y == a { b } else { a };
    let step = Step {
        op: fused.into(),
        reads: vec![reads[0], reads[1], other],
        ..reader.clone()
    };
    rewrite.remove(at);
    rewrite.replace(sum, step);
    Some(sum)
}

/// A ReLU behind the norm becomes part of it, and its gradient part of the norm's gradient.
fn with_relu(rewrite: &mut Rewrite<'_>, at: At) {
    let norm = rewrite.step(at).clone();
    let StepOp::Normalize(normalize) = &norm.op else {
        return;
    };
    let y = norm.writes[0];
    let Some(relu) = rewrite.only_reader(y) else {
        return;
    };
    if rewrite.step(relu).op != StepOp::Each(Each::Relu) {
        return;
    }
    let z = rewrite.step(relu).writes[0];
    let gradients = gradients(rewrite, z, norm.reads[0]);
    if let Gradients::Elsewhere = gradients {
        return;
    }
    if let Gradients::Both { relu, norm: back } = gradients {
        fuse_gradients(rewrite, (relu, back), normalize.residual);
    }
    let fused = Normalize {
        relu: true,
        ..normalize.clone()
    };
    let step = Step {
        op: fused.into(),
        reads: norm.reads.clone(),
        ..rewrite.step(relu).clone()
    };
    rewrite.remove(at);
    rewrite.replace(relu, step);
}

enum Gradients {
    /// There is no backward pass here.
    None,
    /// The gradient of the ReLU, and that of the norm, which reads it.
    Both { relu: At, norm: At },
    /// The norm's gradient does not follow the ReLU's.
    Elsewhere,
}

/// The backward steps of a ReLU with the output `z`, and of the norm of `x` before it.
fn gradients(rewrite: &Rewrite<'_>, z: BufferId, x: BufferId) -> Gradients {
    let is_relu = |at: &At| {
        let step = rewrite.step(*at);
        step.op == StepOp::EachBack(EachBack::Relu) && step.reads[1] == z
    };
    let Some(relu) = rewrite.backward_readers(z).into_iter().find(is_relu) else {
        return match rewrite.program.d_logits {
            None => Gradients::None,
            Some(_) => Gradients::Elsewhere,
        };
    };
    let masked = rewrite.step(relu).writes[0];
    let is_norm = |at: &At| {
        let step = rewrite.step(*at);
        matches!(step.op, StepOp::NormalizeBack(_)) && step.reads[..2] == [masked, x]
    };
    match rewrite.backward_readers(masked).into_iter().find(is_norm) {
        Some(norm) => Gradients::Both { relu, norm },
        None => Gradients::Elsewhere,
    }
}

/// One step where the ReLU's gradient stood: others may read what passed it.
fn fuse_gradients(rewrite: &mut Rewrite<'_>, (relu, back): (At, At), residual: bool) {
    let (first, second) = (rewrite.step(relu).clone(), rewrite.step(back).clone());
    let StepOp::NormalizeBack(plain) = &second.op else {
        return;
    };
    let (dy, z, masked) = (first.reads[0], first.reads[1], first.writes[0]);
    let keeps = residual || rewrite.readers(masked).len() > 1;
    let (mut reads, mut writes) = (second.reads.clone(), second.writes.clone());
    reads[0] = dy;
    if keeps {
        reads.push(z);
        writes.push(masked);
    }
    let op = NormalizeBack {
        norm: plain.norm.clone(),
        mask: if keeps {
            Mask::Output
        } else {
            Mask::Recomputed
        },
        keeps,
    };
    rewrite.remove(back);
    let (name, op) = (second.name, op.into());
    rewrite.replace(
        relu,
        Step {
            name,
            op,
            reads,
            writes,
        },
    );
}
