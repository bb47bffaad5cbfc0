//! Attention (Vaswani et al., 2017), head by head: softmax(scale·Q·Kᵀ)·V over all pixels of a clip.

use dfdx::prelude::*;

use super::ops::{concat_channels, slice_channels};
use super::{Real, Rows};
use crate::ops::Attention;

/// x: queries, keys and values side by side, of each the heads.
pub fn attention<E: Real, T: Tape<E, E::On>>(
    x: Rows<E, T>,
    op: &Attention,
    clips: usize,
) -> Result<Rows<E, T>, CpuError> {
    let (rows, columns) = *x.shape();
    let (channels, tokens) = (columns / 3, rows / clips);
    let width = channels / op.heads;
    let (x, tape) = x.split_tape();
    let head = |head: usize| {
        let part = |part: usize| {
            let first = part * channels + head * width;
            let values = slice_channels(x.retaped::<T>(), first, width)?;
            values.try_reshape_like(&(clips, tokens, width))
        };
        let keys = part(1)?.try_permute::<(usize, usize, usize), Axes3<0, 2, 1>>()?;
        let scores = part(0)?.try_matmul(keys)?.try_mul(E::nearest(op.scale))?;
        let values = scores.try_softmax::<Axis<2>>()?.try_matmul(part(2)?)?;
        values.try_reshape_like(&(rows, width))
    };
    let (heads, of_heads) = concat_channels((0..op.heads).map(head))?.split_tape();
    Ok(heads.put_tape(tape.merge(of_heads)))
}
