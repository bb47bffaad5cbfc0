//! Functions of single values, and of two: whole buffers, or a value for all pixels of a row.

use rayon::prelude::*;

use super::functions;
use super::kernel::{Kernel, by_dtype};
use super::norm::frames_of_task;
use super::plan::Planner;
use super::scalar::Scalar;
use super::simd::{positive, wide};
use crate::ops::{Binary, Each, EachBack, Shape, Step};

/// Values that a task has at least.
const TASK_VALUES: usize = 1 << 15;

/// y = f(a, b) for each value.
pub fn each<E: Scalar>(a: &[E], b: &[E], y: &mut [E], f: impl Fn(f32, f32) -> f32 + Sync) {
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

/// y = f(a, b), where b has one pixel for all pixels of each row.
pub fn beside<A: Scalar, B: Scalar>(
    shape: Shape,
    (a, b): (&[A], &[B]),
    y: &mut [A],
    f: impl Fn(f32, f32) -> f32 + Sync,
) {
    let (row, channels) = (shape.count(), shape.channels);
    let inputs = a.par_chunks_exact(row).zip(b.par_chunks_exact(channels));
    let rows = y.par_chunks_exact_mut(row).zip(inputs);
    rows.with_min_len(frames_of_task(row))
        .for_each(|(y, (a, b))| {
            wide(
                #[inline(always)]
                || {
                    let pixels = y.chunks_exact_mut(channels).zip(a.chunks_exact(channels));
                    for (y, a) in pixels {
                        for (y, (a, b)) in y.iter_mut().zip(a.iter().zip(b)) {
                            *y = A::round(f(a.float(), b.float()));
                        }
                    }
                },
            );
        });
}

/// Pixels that are summed in float32 before they join a longer sum.
const BLOCK: usize = 32;

/// y[row, c] = Σ a·b over the row's pixels.
fn row_products<E: Scalar, Y: Scalar>(shape: Shape, a: &[E], b: &[E], y: &mut [Y]) {
    let (row, channels) = (shape.count(), shape.channels);
    let inputs = a.par_chunks_exact(row).zip(b.par_chunks_exact(row));
    let rows = y.par_chunks_exact_mut(channels).zip(inputs);
    rows.with_min_len(frames_of_task(row))
        .for_each(|(y, (a, b))| {
            let (mut sums, mut block) = (vec![0.0; channels], vec![0.0; channels]);
            wide(
                #[inline(always)]
                || {
                    let blocks = a.chunks(BLOCK * channels).zip(b.chunks(BLOCK * channels));
                    for (a, b) in blocks {
                        block.fill(0.0);
                        let pixels = a.chunks_exact(channels).zip(b.chunks_exact(channels));
                        for (a, b) in pixels {
                            let pairs = block.iter_mut().zip(a.iter().zip(b));
                            pairs.for_each(|(sum, (a, b))| *sum += a.float() * b.float());
                        }
                        sums.iter_mut().zip(&block).for_each(|(sum, b)| *sum += b);
                    }
                },
            );
            let pairs = y.iter_mut().zip(&sums);
            pairs.for_each(|(y, sum)| *y = Y::round(*sum));
        });
}

pub fn plan_each(planner: &mut Planner<'_>, step: &Step, op: Each) -> Option<()> {
    fn kernel<E: Scalar>(op: Each) -> Kernel {
        Kernel::new(move |buffers, _| {
            let x = buffers.x::<E>(0);
            let y = buffers.y();
            match op {
                Each::Relu => each(x, x, y, |x, _| positive(x)),
                Each::Sigmoid => each(x, x, y, |x, _| Each::Sigmoid.of(x)),
                Each::Gelu => each(
                    x,
                    x,
                    y,
                    #[inline(always)]
                    |x, _| functions::gelu(x),
                ),
                Each::Add(constant) => each(x, x, y, move |x, _| x + constant as f32),
            }
        })
    }
    let kernel = by_dtype!(planner.common_dtype(step)?, E => kernel::<E>(op));
    planner.task(step, kernel);
    Some(())
}

pub fn plan_each_back(planner: &mut Planner<'_>, step: &Step, op: EachBack) -> Option<()> {
    fn kernel<E: Scalar>(op: EachBack) -> Kernel {
        Kernel::new(move |buffers, _| {
            let (dy, y) = (buffers.x::<E>(0), buffers.x(1));
            let dx = buffers.y();
            match op {
                EachBack::Relu => each(dy, y, dx, |dy, y| if y > 0.0 { dy } else { 0.0 }),
                EachBack::Sigmoid => each(dy, y, dx, |dy, y| EachBack::Sigmoid.of(dy, y)),
                EachBack::Gelu => each(
                    dy,
                    y,
                    dx,
                    #[inline(always)]
                    |dy, x| dy * functions::gelu_slope(x),
                ),
            }
        })
    }
    let kernel = by_dtype!(planner.common_dtype(step)?, E => kernel::<E>(op));
    planner.task(step, kernel);
    Some(())
}

pub fn plan_binary(planner: &mut Planner<'_>, step: &Step, op: Binary) -> Option<()> {
    fn whole<E: Scalar>(op: Binary) -> Kernel {
        Kernel::new(move |buffers, _| {
            let (a, b) = (buffers.x::<E>(0), buffers.x(1));
            let y = buffers.y();
            match op {
                Binary::Add => each(a, b, y, |a, b| a + b),
                Binary::Subtract => each(a, b, y, |a, b| a - b),
                Binary::Multiply => each(a, b, y, |a, b| a * b),
            }
        })
    }
    fn rows<A: Scalar, B: Scalar>(op: Binary, shape: Shape) -> Kernel {
        Kernel::new(move |buffers, _| {
            let (a, b) = (buffers.x::<A>(0), buffers.x::<B>(1));
            let y = buffers.y();
            match op {
                Binary::Add => beside(shape, (a, b), y, |a, b| a + b),
                Binary::Subtract => beside(shape, (a, b), y, |a, b| a - b),
                Binary::Multiply => beside(shape, (a, b), y, |a, b| a * b),
            }
        })
    }
    let (a, b, y) = (step.reads[0], step.reads[1], step.writes[0]);
    let dtype = planner.dtype(a);
    if planner.dtype(y) != dtype {
        return None;
    }
    let shape = planner.extent(a).shape;
    let kernel = match planner.extent(b).shape == shape {
        true if planner.dtype(b) != dtype => return None,
        true => by_dtype!(dtype, A => whole::<A>(op)),
        false => {
            by_dtype!(dtype, A => by_dtype!(planner.dtype(b), B => rows::<A, B>(op, shape)))
        }
    };
    planner.task(step, kernel);
    Some(())
}

pub fn plan_sum_products(planner: &mut Planner<'_>, step: &Step) -> Option<()> {
    fn kernel<E: Scalar, Y: Scalar>(shape: Shape) -> Kernel {
        Kernel::new(move |buffers, _| {
            let (a, b) = (buffers.x::<E>(0), buffers.x(1));
            row_products(shape, a, b, buffers.y::<Y>());
        })
    }
    let (a, b, y) = (step.reads[0], step.reads[1], step.writes[0]);
    let (dtype, shape) = (planner.dtype(a), planner.extent(a).shape);
    if planner.dtype(b) != dtype {
        return None;
    }
    let to = planner.dtype(y);
    let kernel = by_dtype!(dtype, E => by_dtype!(to, Y => kernel::<E, Y>(shape)));
    planner.task(step, kernel);
    Some(())
}
