//! What stands around the classifier: dropout of the pooled features, the mean of a clip's frames; and sums and
//! products of whole buffers.

use rayon::prelude::*;

use super::element::Element;
use super::simd::wide;
use crate::base::rng::{Purpose, Stream};
use crate::exec::DropoutKey;
use crate::program::Batch;

/// What a dropout mask is drawn by.
#[derive(Clone, Copy)]
pub struct Dropout<'a> {
    pub channels: usize,
    pub probability: f32,
    pub key: DropoutKey,
    /// The frame count of each branch.
    pub branches: &'a [usize],
}

impl Dropout<'_> {
    /// Draws the mask, 0 with `probability`, else 1/(1 − probability): one stream for each segment, by its branch's
    /// frame count; values in row-major order.
    pub fn draw(&self, batch: &Batch, mask: &mut [f32]) {
        let kept = 1.0 / (1.0 - self.probability);
        for (frames, segment) in batch.segment_frames() {
            let branch = self.branches.get(segment.branch).copied().unwrap_or(0);
            let parts = [self.key.step, branch as u64];
            let mut stream = Stream::new(self.key.seed, Purpose::Dropout, &parts);
            for value in &mut mask[frames.start * self.channels..frames.end * self.channels] {
                let dropped = stream.uniform() < f64::from(self.probability);
                *value = if dropped { 0.0 } else { kept };
            }
        }
    }
}

/// y = the mean of the rows of each clip's frames.
pub fn frame_mean(batch: &Batch, channels: usize, x: &[f32], y: &mut [f32]) {
    let mut clips = y.chunks_exact_mut(channels);
    for (frames, segment) in batch.segment_frames() {
        let rows = &x[frames.start * channels..frames.end * channels];
        let inputs = rows.chunks_exact(segment.frames * channels);
        for (clip, y) in inputs.zip(&mut clips) {
            y.fill(0.0);
            for row in clip.chunks_exact(channels) {
                y.iter_mut().zip(row).for_each(|(y, v)| *y += v);
            }
            y.iter_mut().for_each(|y| *y /= segment.frames as f32);
        }
    }
}

/// dx = dy / frames, for every frame of a clip.
pub fn frame_mean_back(batch: &Batch, channels: usize, dy: &[f32], dx: &mut [f32]) {
    let mut clips = dy.chunks_exact(channels);
    for (frames, segment) in batch.segment_frames() {
        let rows = &mut dx[frames.start * channels..frames.end * channels];
        let outputs = rows.chunks_exact_mut(segment.frames * channels);
        for (clip, dy) in outputs.zip(&mut clips) {
            for row in clip.chunks_exact_mut(channels) {
                row.iter_mut()
                    .zip(dy)
                    .for_each(|(dx, dy)| *dx = dy / segment.frames as f32);
            }
        }
    }
}

/// Values that a task has at least.
const TASK_VALUES: usize = 1 << 15;

/// y = f(a, b) for each value.
pub fn each<E: Element>(a: &[E], b: &[E], y: &mut [E], f: impl Fn(f32, f32) -> f32 + Sync) {
    let inputs = a.par_chunks(TASK_VALUES).zip(b.par_chunks(TASK_VALUES));
    y.par_chunks_mut(TASK_VALUES)
        .zip(inputs)
        .for_each(|(y, (a, b))| {
            wide(
                #[inline(always)]
                || {
                    for (y, (a, b)) in y.iter_mut().zip(a.iter().zip(b)) {
                        *y = E::round(f(a.float(), b.float()));
                    }
                },
            );
        });
}
