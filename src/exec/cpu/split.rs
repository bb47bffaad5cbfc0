//! Channels and rows put elsewhere as they are.

use rayon::prelude::*;

use super::element::Element;
use super::kernel::{Kernel, by_dtype};
use super::norm::frames_of_task;
use super::plan::Planner;
use crate::ops::{Rate, Step};

/// Channels of a pixel, and where a part of them begins.
#[derive(Clone, Copy)]
struct Part {
    channels: usize,
    first: usize,
    count: usize,
}

/// y = `count` channels of each of x's pixels.
fn slice<E: Element>(part: Part, x: &[E], y: &mut [E]) {
    let Part {
        channels,
        first,
        count,
    } = part;
    let pixels = y
        .par_chunks_exact_mut(count)
        .zip(x.par_chunks_exact(channels));
    let pixels = pixels.with_min_len(frames_of_task(channels));
    pixels.for_each(|(y, x)| y.copy_from_slice(&x[first..first + count]));
}

/// y's pixels have x's channels among others, which stay.
fn place<E: Element>(part: Part, x: &[E], y: &mut [E]) {
    let Part {
        channels,
        first,
        count,
    } = part;
    let pixels = y
        .par_chunks_exact_mut(channels)
        .zip(x.par_chunks_exact(count));
    let pixels = pixels.with_min_len(frames_of_task(channels));
    pixels.for_each(|(y, x)| y[first..first + count].copy_from_slice(x));
}

pub fn plan_slice(planner: &mut Planner<'_>, step: &Step, first: usize) -> Option<()> {
    fn kernel<E: Element>(part: Part) -> Kernel {
        Kernel::new(move |buffers, _| slice(part, buffers.x::<E>(0), buffers.y()))
    }
    let [x, y] = [step.reads[0], step.writes[0]].map(|id| planner.extent(id).shape.channels);
    let part = Part {
        channels: x,
        first,
        count: y,
    };
    let kernel = by_dtype!(planner.common_dtype(step)?, E => kernel::<E>(part));
    planner.task(step, kernel);
    Some(())
}

pub fn plan_pad(planner: &mut Planner<'_>, step: &Step, first: usize) -> Option<()> {
    fn kernel<E: Element>(part: Part) -> Kernel {
        Kernel::new(move |buffers, _| {
            let x = buffers.x::<E>(0);
            let y = buffers.y();
            y.fill(E::default());
            place(part, x, y);
        })
    }
    let [x, y] = [step.reads[0], step.writes[0]].map(|id| planner.extent(id).shape.channels);
    let part = Part {
        channels: y,
        first,
        count: x,
    };
    let kernel = by_dtype!(planner.common_dtype(step)?, E => kernel::<E>(part));
    planner.task(step, kernel);
    Some(())
}

pub fn plan_concat(planner: &mut Planner<'_>, step: &Step) -> Option<()> {
    fn kernel<E: Element>(counts: Vec<usize>) -> Kernel {
        let channels = counts.iter().sum();
        Kernel::new(move |buffers, _| {
            let reads = buffers.reads.clone();
            let y = buffers.y::<E>();
            // Pixel by pixel, so that y is walked through once.
            let inputs: Vec<(&[E], usize)> = reads
                .into_iter()
                .zip(&counts)
                .map(|(read, &count)| (read.of(), count))
                .collect();
            let pixels = y.par_chunks_exact_mut(channels).enumerate();
            let pixels = pixels.with_min_len(frames_of_task(channels));
            pixels.for_each(|(pixel, mut y)| {
                for &(x, count) in &inputs {
                    let (to, rest) = y.split_at_mut(count);
                    to.copy_from_slice(&x[pixel * count..][..count]);
                    y = rest;
                }
            });
        })
    }
    let counts = step
        .reads
        .iter()
        .map(|&id| planner.extent(id).shape.channels);
    let counts: Vec<usize> = counts.collect();
    let kernel = by_dtype!(planner.common_dtype(step)?, E => kernel::<E>(counts));
    planner.task(step, kernel);
    Some(())
}

/// y[t] = x[t + offset], zero outside the clip.
pub fn plan_take_frames(planner: &mut Planner<'_>, step: &Step, offset: isize) -> Option<()> {
    fn kernel<E: Element>(rate: Rate, count: usize, offset: isize) -> Kernel {
        Kernel::new(move |buffers, context| {
            let layout = context.batch.at(rate);
            let x = buffers.x::<E>(0);
            let rows = buffers.y::<E>().par_chunks_exact_mut(count).enumerate();
            rows.with_min_len(frames_of_task(count))
                .for_each(|(row, y)| match layout.shifted(row, offset) {
                    Some(source) => y.copy_from_slice(&x[source * count..][..count]),
                    None => y.fill(E::default()),
                });
        })
    }
    let extent = planner.extent(step.writes[0]);
    let (rate, count) = (extent.rate, extent.shape.count());
    let kernel = by_dtype!(planner.common_dtype(step)?, E => kernel::<E>(rate, count, offset));
    planner.task(step, kernel);
    Some(())
}
