//! The passes: each rewrites a program into one that computes the same with fewer or cheaper steps.

use super::step::{self, Access, Algorithm, BufferId, ConvGeometry, Element, Numerics, Op, Step};
use super::{Buffer, Program};
use crate::base::{Error, Kind, Result};

/// `relu(norm(x) + residual)`, `relu(norm(x))` and `norm(x) + residual` in one step: the sum and the ReLU cost no
/// pass over memory of their own.
pub fn fuse_norm_with_sum_and_relu(program: &mut Program) {
    rewrite_pairs(program, |first, second| match (first, second) {
        (
            Op::Normalize {
                residual: into @ None,
                relu: false,
                y,
                ..
            },
            &Op::Add { a, b, y: sum },
        ) if *y == a || *y == b => {
            *into = Some(if *y == a { b } else { a });
            *y = sum;
            true
        }
        (
            Op::Normalize {
                relu: into @ false,
                y,
                ..
            },
            &Op::Relu { x, y: positive },
        ) if *y == x => {
            *into = true;
            *y = positive;
            true
        }
        _ => false,
    });
}

/// Shift and alteration read and write the activation once.
pub fn fuse_shift_with_alteration(program: &mut Program) {
    rewrite_pairs(program, |first, second| match (first, second) {
        (
            Op::ShiftAlter { alter: into, y, .. },
            Op::ShiftAlter {
                shift: None,
                alter,
                x,
                y: altered,
                ..
            },
        ) if into.is_empty() && y == x => {
            *into = alter.clone();
            *y = *altered;
            true
        }
        _ => false,
    });
}

/// Evaluation: norm(x ∗ w) = x ∗ (w·scale) + bias, with sum and ReLU where the product is written.
pub fn fold_norm_into_conv(program: &mut Program) {
    let mut folded = Vec::new();
    rewrite_pairs(program, |first, second| match (first, second) {
        (
            Op::Conv {
                relu: into_relu,
                residual: into,
                w,
                y,
                ..
            },
            Op::Normalize {
                norm,
                relu,
                x,
                residual,
                y: output,
                ..
            },
        ) if norm.frozen && y == x => {
            *into_relu = *relu;
            *into = *residual;
            *y = *output;
            folded.push((*w, norm.clone()));
            true
        }
        _ => false,
    });
    for (weight, folded) in folded {
        let bias = program.buffer("folded.bias", 0);
        for step in &mut program.forward {
            match &mut step.op {
                Op::PackForward { norm, b, w, .. } if *w == weight => {
                    *norm = Some(folded.clone());
                    *b = Some(bias);
                }
                Op::Conv { b, w, .. } if *w == weight => *b = Some(bias),
                _ => {}
            }
        }
        pack_for_each_branch(program, weight);
    }
}

/// Evaluation: (x·(1 + a)) ∗ w = x ∗ ((1 + a)·w), and the shift while the input is read: where terms are taken in pairs and lie
/// in the activation, only if its folds are pairs of channels.
pub fn fold_shift_and_alteration_into_conv(numerics: Numerics, program: &mut Program) {
    let mut folded = Vec::new();
    rewrite_pairs(program, |first, second| match (&*first, second) {
        (
            Op::ShiftAlter {
                shift, alter, x, y, ..
            },
            Op::Conv {
                conv,
                x: read,
                w,
                shift: None,
                ..
            },
        ) if y == read && (numerics != Numerics::Bf16 || has_even_folds(conv, *shift)) => {
            if !alter.is_empty() {
                folded.push((*w, alter.clone()));
            }
            let (source, by) = (*x, *shift);
            *first = second.clone();
            if let Op::Conv { x, shift, .. } = first {
                (*x, *shift) = (source, by);
            }
            true
        }
        _ => false,
    });
    for (weight, folded) in folded {
        for step in &mut program.forward {
            if let Op::PackForward { alter, w, .. } = &mut step.op
                && *w == weight
            {
                alter.clone_from(&folded);
            }
        }
        pack_for_each_branch(program, weight);
    }
}

/// A weight into which private parts are folded becomes one matrix, and one bias, for each branch of the batch.
fn pack_for_each_branch(program: &mut Program, weight: BufferId) {
    let mut present: Vec<usize> = program.batch.segments.iter().map(|s| s.branch).collect();
    present.sort_unstable();
    present.dedup();
    for step in &mut program.forward {
        match &mut step.op {
            Op::PackForward {
                branches,
                conv,
                w,
                b,
                ..
            } if *w == weight => {
                program.buffers[*w].len = present.len() * conv.packed_forward();
                if let Some(b) = *b {
                    program.buffers[b].len = present.len() * conv.to.channels;
                }
                branches.clone_from(&present);
            }
            Op::Conv { branches, w, .. } if *w == weight => branches.clone_from(&present),
            _ => {}
        }
    }
}

/// How activations are stored, and how convolutions are computed.
pub fn compute_in(numerics: Numerics, program: &mut Program) -> Result<()> {
    match numerics {
        Numerics::Float32 => filter_minimally(program),
        Numerics::Bf16 => {
            store_activations_as_bf16(program);
            check_pairs(program)?;
            filter_minimally(program);
        }
        Numerics::Bf16Amx => {
            store_activations_as_bf16(program);
            store_bordered_input_as_bf16(program);
            multiply_in_blocks(program);
        }
    }
    Ok(())
}

/// 3×3 convolutions of stride 1 by minimal filtering, with 16 multiplications where there were 36; not those that shift
/// their input, whose patches would come from three frames.
fn filter_minimally(program: &mut Program) {
    choose_algorithm(
        program,
        Algorithm::Winograd,
        |_, op| matches!(op, Op::Conv { conv, shift: None, .. } if conv.suits_winograd()),
    );
}

/// Every convolution of bf16 by the blocks of AMX: its 36 multiplications take less time than the patches of minimal
/// filtering.
fn multiply_in_blocks(program: &mut Program) {
    choose_algorithm(
        program,
        Algorithm::Amx,
        |buffers, op| matches!(op, Op::Conv { x, .. } if buffers[*x].element == Element::Bf16),
    );
}

/// Gives the convolutions that suit it an algorithm, and their weights the layout that it reads.
fn choose_algorithm(
    program: &mut Program,
    chosen: Algorithm,
    suits: impl Fn(&[Buffer], &Op) -> bool,
) {
    let mut weights = Vec::new();
    for step in &mut program.forward {
        let suits = suits(&program.buffers, &step.op);
        if let (Op::Conv { conv, w, .. }, true) = (&mut step.op, suits) {
            conv.algorithm = chosen;
            weights.push(*w);
        }
    }
    for step in &mut program.forward {
        if let Op::PackForward {
            conv, branches, w, ..
        } = &mut step.op
            && weights.contains(w)
        {
            conv.algorithm = chosen;
            program.buffers[*w].len = branches.len().max(1) * conv.packed_forward();
        }
    }
}

/// Activations up to the pooled features, and the weights that they are multiplied by, are stored as bf16; what comes
/// behind, and the picture, stays float32.
fn store_activations_as_bf16(program: &mut Program) {
    let trunk = program.forward.iter().position(is_last_of_trunk);
    let trunk = program.forward[..trunk.unwrap_or(program.forward.len())].iter();
    for step in trunk {
        let (Op::Conv { y, .. }
        | Op::Normalize { y, .. }
        | Op::ShiftAlter { y, .. }
        | Op::Relu { y, .. }
        | Op::Add { y, .. }
        | Op::MaxPool { y, .. }) = step.op
        else {
            continue;
        };
        program.buffers[y].element = Element::Bf16;
    }
    store_weights_as_their_inputs(program);
}

/// The picture is rounded while it gets its border.
fn store_bordered_input_as_bf16(program: &mut Program) {
    for step in &program.forward {
        if let Op::Border { y, .. } = step.op {
            program.buffers[y].element = Element::Bf16;
        }
    }
    store_weights_as_their_inputs(program);
}

fn store_weights_as_their_inputs(program: &mut Program) {
    for step in &program.forward {
        if let Op::Conv { x, w, .. } = step.op {
            program.buffers[w].element = program.buffers[x].element;
        }
    }
}

fn is_last_of_trunk(step: &Step) -> bool {
    matches!(step.op, Op::AveragePool { .. })
}

/// Whether a shift moves whole pairs of channels.
fn has_even_folds(conv: &ConvGeometry, shift: Option<usize>) -> bool {
    step::fold(conv.from.channels, shift).is_multiple_of(2)
}

/// Whether the channels of convolutions whose terms are taken in pairs are pairs, forward and backward.
fn check_pairs(program: &Program) -> Result<()> {
    for step in &program.forward {
        let Op::Conv { conv, x, .. } = step.op else {
            continue;
        };
        let channels = [conv.from.channels, conv.to.channels];
        let odd = channels.iter().find(|n| !n.is_multiple_of(2));
        if let (Element::Bf16, Some(odd)) = (program.buffers[x].element, odd) {
            let name = &step.name;
            return Err(Error::new(
                Kind::Experiment,
                format!(
                    "bf16 multiplies channels in pairs, but `{name}` has {odd} channels on a side"
                ),
            )
            .hint("compute it in float32: `precision: Float32`, or `--engine compiled`"));
        }
    }
    Ok(())
}

/// Steps whose results nobody reads, such as the coefficients of norms that were folded.
pub fn remove_unread(program: &mut Program) {
    let mut wanted = vec![false; program.buffers.len()];
    wanted[program.logits] = true;
    program
        .observed
        .iter()
        .for_each(|&(_, id)| wanted[id] = true);
    let mut kept = Vec::new();
    while let Some(step) = program.forward.pop() {
        if step.op.writes().iter().any(|&id| wanted[id]) {
            step.op.reads().iter().for_each(|&id| wanted[id] = true);
            kept.push(step);
        }
    }
    kept.reverse();
    program.forward = kept;
}

/// Evaluation: packed weights stay as they are until a parameter or a running statistic changes.
pub fn prepare_weights(program: &mut Program) {
    let packs = |step: &Step| matches!(step.op, Op::PackForward { .. });
    let steps = std::mem::take(&mut program.forward);
    (program.prepare, program.forward) = steps.into_iter().partition(packs);
}

/// Values that are quicker to compute again than to keep until backward reads them: normalised and shifted
/// activations, as long as what they come from is kept anyway. Their forward copies die early, so that the arena
/// holds about half as much; each costs one more pass over memory.
pub fn recompute_cheap_values(program: &mut Program) {
    let readers = readers(program.buffers.len(), &program.backward);
    let mut recomputed = vec![false; program.buffers.len()];
    let mut again = Vec::new();
    for index in 0..program.forward.len() {
        let step = &program.forward[index];
        let (Op::Normalize {
            residual: None, y, ..
        }
        | Op::ShiftAlter { y, .. }) = step.op
        else {
            continue;
        };
        let kept = |id: &BufferId| {
            let read = *id == program.input || !readers[*id].is_empty();
            read && !recomputed[*id]
        };
        let Some(&first) = readers[y].first() else {
            continue;
        };
        if step.op.reads().iter().all(kept) {
            recomputed[y] = true;
            let step = step.clone();
            again.push((first, compute_again(program, step, y, &readers[y])));
        }
    }
    program.backward = inserted(std::mem::take(&mut program.backward), again);
}

/// A step that writes `y` once more, into a buffer of its own, which `readers` in the backward pass read from now on.
fn compute_again(program: &mut Program, mut step: Step, y: BufferId, readers: &[usize]) -> Step {
    let again = program.buffer_like(format!("{}.again", program.buffers[y].name), y);
    for &reader in readers {
        program.backward[reader].op.replace_read(y, again);
    }
    step.op.visit(&mut |access, id| {
        if access == Access::Write && *id == y {
            *id = again;
        }
    });
    step
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
        for id in step.op.reads() {
            if readers[id].last() != Some(&index) {
                readers[id].push(index);
            }
        }
    }
    readers
}

/// Offers every pair of a step and the only reader of its output to `fuse`, which may turn the first into one step
/// that does both; that step then stands where the second stood.
fn rewrite_pairs(program: &mut Program, mut fuse: impl FnMut(&mut Op, &Op) -> bool) {
    let mut readers = readers(program.buffers.len(), &program.forward);
    let mut gone = vec![false; program.forward.len()];
    for (first, gone) in gone.iter_mut().enumerate() {
        let Some(second) = only_reader(program, first, &readers) else {
            continue;
        };
        let mut op = program.forward[first].op.clone();
        if !fuse(&mut op, &program.forward[second].op) {
            continue;
        }
        for (index, reads) in [
            (first, program.forward[first].op.reads()),
            (second, program.forward[second].op.reads()),
        ] {
            reads
                .iter()
                .for_each(|&id| readers[id].retain(|&reader| reader != index));
        }
        for id in op.reads() {
            if !readers[id].contains(&second) {
                readers[id].push(second);
            }
        }
        program.forward[second].op = op;
        *gone = true;
    }
    let mut index = 0;
    program.forward.retain(|_| {
        index += 1;
        !gone[index - 1]
    });
}

/// The only step that reads the output of step `writer`.
fn only_reader(program: &Program, writer: usize, readers: &[Vec<usize>]) -> Option<usize> {
    let y = match program.forward[writer].op {
        Op::Conv { y, .. } | Op::Normalize { y, .. } | Op::ShiftAlter { y, .. } => y,
        _ => return None,
    };
    match readers[y].as_slice() {
        &[reader] if !program.is_output(y) => Some(reader),
        _ => None,
    }
}
