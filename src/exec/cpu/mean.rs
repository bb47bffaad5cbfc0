//! Means: of a row's pixels, and of a clip's rows.

use rayon::prelude::*;

use super::kernel::{Kernel, by_dtype};
use super::norm::frames_of_task;
use super::plan::Planner;
use super::scalar::Scalar;
use crate::ops::{Dtype, Layout, Mean, Shape, Step};

/// y = means of x over each frame's pixels.
pub fn average<E: Scalar>(from: Shape, x: &[E], y: &mut [f32]) {
    let channels = from.channels;
    let frames = x
        .par_chunks_exact(from.count())
        .zip(y.par_chunks_exact_mut(channels));
    frames
        .with_min_len(frames_of_task(from.count()))
        .for_each(|(x, y)| {
            y.fill(0.0);
            for pixel in x.chunks_exact(channels) {
                y.iter_mut().zip(pixel).for_each(|(y, v)| *y += v.float());
            }
            y.iter_mut().for_each(|y| *y /= from.pixels() as f32);
        });
}

/// dx = dy / pixels, for every pixel.
pub fn average_back<E: Scalar>(from: Shape, dy: &[f32], dx: &mut [E]) {
    let channels = from.channels;
    let frames = dx
        .par_chunks_exact_mut(from.count())
        .zip(dy.par_chunks_exact(channels));
    frames
        .with_min_len(frames_of_task(from.count()))
        .for_each(|(dx, dy)| {
            for pixel in dx.chunks_exact_mut(channels) {
                let pairs = pixel.iter_mut().zip(dy);
                pairs.for_each(|(dx, dy)| *dx = E::round(dy / from.pixels() as f32));
            }
        });
}

/// y = the mean of the rows of each clip's frames.
pub fn frame_mean(layout: &Layout, channels: usize, x: &[f32], y: &mut [f32]) {
    let mut clips = y.chunks_exact_mut(channels);
    for segment in &layout.segments {
        let frames = &segment.rows;
        let rows = &x[frames.start * channels..frames.end * channels];
        let inputs = rows.chunks_exact(segment.clip * channels);
        for (clip, y) in inputs.zip(&mut clips) {
            y.fill(0.0);
            for row in clip.chunks_exact(channels) {
                y.iter_mut().zip(row).for_each(|(y, v)| *y += v);
            }
            y.iter_mut().for_each(|y| *y /= segment.clip as f32);
        }
    }
}

/// dx = dy / frames, for every frame of a clip.
pub fn frame_mean_back(layout: &Layout, channels: usize, dy: &[f32], dx: &mut [f32]) {
    let mut clips = dy.chunks_exact(channels);
    for segment in &layout.segments {
        let frames = &segment.rows;
        let rows = &mut dx[frames.start * channels..frames.end * channels];
        let outputs = rows.chunks_exact_mut(segment.clip * channels);
        for (clip, dy) in outputs.zip(&mut clips) {
            for row in clip.chunks_exact_mut(channels) {
                row.iter_mut()
                    .zip(dy)
                    .for_each(|(dx, dy)| *dx = dy / segment.clip as f32);
            }
        }
    }
}

/// The kernel of a mean; of pixels it is float32.
pub fn plan_mean(planner: &mut Planner<'_>, step: &Step, mean: Mean) -> Option<()> {
    fn pixels<E: Scalar>(from: Shape) -> Kernel {
        Kernel::new(move |buffers, _| average(from, buffers.x::<E>(0), buffers.y()))
    }
    let (x, y) = (step.reads[0], step.writes[0]);
    let extent = planner.extent(x);
    if planner.dtype(y) != Dtype::Float32 {
        return None;
    }
    let kernel = match (mean, planner.dtype(x)) {
        (Mean::Pixels, dtype) => by_dtype!(dtype, E => pixels::<E>(extent.shape)),
        (Mean::Rows, Dtype::Bf16) => return None,
        (Mean::Rows, Dtype::Float32) => Kernel::new(move |buffers, context| {
            let layout = context.batch.at(extent.rate);
            frame_mean(layout, extent.shape.count(), buffers.x(0), buffers.y());
        }),
    };
    planner.task(step, kernel);
    Some(())
}

/// The kernel of its gradient.
pub fn plan_back(planner: &mut Planner<'_>, step: &Step, mean: Mean) -> Option<()> {
    fn pixels<E: Scalar>(from: Shape) -> Kernel {
        Kernel::new(move |buffers, _| average_back(from, buffers.x(0), buffers.y::<E>()))
    }
    let (dy, dx) = (step.reads[0], step.writes[0]);
    let extent = planner.extent(dx);
    if planner.dtype(dy) != Dtype::Float32 {
        return None;
    }
    let kernel = match (mean, planner.dtype(dx)) {
        (Mean::Pixels, dtype) => by_dtype!(dtype, E => pixels::<E>(extent.shape)),
        (Mean::Rows, Dtype::Bf16) => return None,
        (Mean::Rows, Dtype::Float32) => Kernel::new(move |buffers, context| {
            let layout = context.batch.at(extent.rate);
            frame_mean_back(layout, extent.shape.count(), buffers.x(0), buffers.y());
        }),
    };
    planner.task(step, kernel);
    Some(())
}
