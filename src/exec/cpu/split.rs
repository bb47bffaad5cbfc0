//! Channels and rows put elsewhere as they are.

use rayon::prelude::*;

use super::kernel::{Kernel, by_dtype};
use super::norm::frames_of_task;
use super::plan::Planner;
use super::scalar::Scalar;
use crate::ops::{Step, TakeFrames};

/// `count` channels of x's pixels, from `from` on, are those of y's from `to` on.
#[derive(Clone, Copy)]
struct Copy {
    inputs: usize,
    from: usize,
    outputs: usize,
    to: usize,
    count: usize,
}

impl Copy {
    /// Other channels of y are zero.
    fn run<E: Scalar>(self, x: &[E], y: &mut [E]) {
        let (from, to) = (
            self.from..self.from + self.count,
            self.to..self.to + self.count,
        );
        if self.count < self.outputs {
            y.fill(E::default());
        }
        let pixels = y
            .par_chunks_exact_mut(self.outputs)
            .zip(x.par_chunks_exact(self.inputs));
        let pixels = pixels.with_min_len(frames_of_task(self.inputs.max(self.outputs)));
        pixels.for_each(|(y, x)| y[to.clone()].copy_from_slice(&x[from.clone()]));
    }
}

pub fn plan_slice(planner: &mut Planner<'_>, step: &Step, first: usize) -> Option<()> {
    plan_copy(planner, step, (first, 0))
}

pub fn plan_pad(planner: &mut Planner<'_>, step: &Step, first: usize) -> Option<()> {
    plan_copy(planner, step, (0, first))
}

/// As many channels as both sides have.
fn plan_copy(planner: &mut Planner<'_>, step: &Step, (from, to): (usize, usize)) -> Option<()> {
    fn kernel<E: Scalar>(copy: Copy) -> Kernel {
        Kernel::new(move |buffers, _| copy.run(buffers.x::<E>(0), buffers.y()))
    }
    let [inputs, outputs] =
        [step.reads[0], step.writes[0]].map(|id| planner.extent(id).shape.channels);
    let copy = Copy {
        inputs,
        from,
        outputs,
        to,
        count: inputs.min(outputs),
    };
    let kernel = by_dtype!(planner.common_dtype(step)?, E => kernel::<E>(copy));
    planner.task(step, kernel);
    Some(())
}

pub fn plan_concat(planner: &mut Planner<'_>, step: &Step) -> Option<()> {
    fn kernel<E: Scalar>(counts: Vec<usize>) -> Kernel {
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

pub fn plan_take_frames(planner: &mut Planner<'_>, step: &Step, take: TakeFrames) -> Option<()> {
    fn kernel<E: Scalar>(sources: Vec<Option<usize>>, count: usize) -> Kernel {
        Kernel::new(move |buffers, _| {
            let x = buffers.x::<E>(0);
            let rows = buffers.y::<E>().par_chunks_exact_mut(count).zip(&sources);
            rows.with_min_len(frames_of_task(count))
                .for_each(|(y, source)| match source {
                    Some(source) => y.copy_from_slice(&x[source * count..][..count]),
                    None => y.fill(E::default()),
                });
        })
    }
    let [from, to] = [step.reads[0], step.writes[0]].map(|id| planner.extent(id));
    let sources = take.sources(&planner.program.batch, from.rate, to.rate);
    let dtype = planner.common_dtype(step)?;
    let kernel = by_dtype!(dtype, E => kernel::<E>(sources, to.shape.count()));
    planner.task(step, kernel);
    Some(())
}
