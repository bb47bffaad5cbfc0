//! A border of zeros around images, so that windows of few channels never leave them.

use rayon::prelude::*;

use super::norm::frames_of_task;
use super::scalar::Scalar;
use crate::ops::Shape;

/// y: each frame of the image x with `border` pixels of zeros on every side.
pub fn surround<E: Scalar>(from: Shape, border: usize, x: &[f32], y: &mut [E]) {
    let line = from.width * from.channels;
    let (edge, wide) = (border * from.channels, line + 2 * border * from.channels);
    let frame = wide * (from.height + 2 * border);
    let frames = y
        .par_chunks_exact_mut(frame)
        .zip(x.par_chunks_exact(from.count()));
    let frames = frames.with_min_len(frames_of_task(frame));
    frames.for_each(|(y, x)| {
        y.fill(E::default());
        let lines = y.chunks_exact_mut(wide).skip(border);
        for (y, x) in lines.zip(x.chunks_exact(line)) {
            let to = y[edge..edge + line].iter_mut();
            to.zip(x).for_each(|(y, x)| *y = E::round(*x));
        }
    });
}
