//! A convolution along time as one over images: the channels of all the rows that a window sees are those of one pixel.
//!
//! x'[t, p, k·C + c] = x[s·t + k − padding, p, c], zero outside the clip, where k runs over the kernel's rows in time; the weight's
//! axes are exchanged likewise ([`exchanged`]). The copy costs a pass over memory; what multiplies is then what multiplies images.

use rayon::prelude::*;

use super::kernel::{Kernel, by_dtype};
use super::norm::frames_of_task;
use super::plan::Planner;
use super::scalar::Scalar;
use crate::ops::{BufferId, Conv, Dtype, Extent, Shape, Step};

/// A convolution along time.
#[derive(Clone)]
pub struct Unfolded {
    /// That of the images.
    pub images: Conv,
    /// Of x.
    from: Extent,
    /// For each row that comes out the rows that it sees, one for each of the kernel's in time.
    sources: Vec<Option<usize>>,
    /// Rows that a window sees.
    time: usize,
}

impl Unfolded {
    /// `None` of a convolution of images, and of one in groups.
    pub fn of(planner: &Planner<'_>, conv: &Conv, x: BufferId, y: BufferId) -> Option<Self> {
        let images = conv.unfolded()?;
        Some(Self {
            images,
            sources: conv.source_rows(planner.layout(x), planner.layout(y)),
            from: planner.extent(x),
            time: conv.kernel[0],
        })
    }

    /// Of x'.
    pub fn shape(&self) -> Shape {
        Shape {
            channels: self.time * self.from.shape.channels,
            ..self.from.shape
        }
    }

    /// Values of x'.
    pub fn len(&self) -> usize {
        self.sources.len() * self.from.shape.count()
    }

    /// A new buffer with x' of x.
    pub fn queue(&self, planner: &mut Planner<'_>, step: &Step, x: BufferId) -> BufferId {
        let dtype = planner.dtype(x);
        let y = planner.workspace(step, "unfolded", self.len(), dtype);
        let kernel = by_dtype!(dtype, E => self.clone().kernel::<E>());
        planner.extra(step, "frames", kernel, (vec![x], vec![y]), 0);
        y
    }

    fn kernel<E: Scalar>(self) -> Kernel {
        Kernel::new(move |buffers, _| self.run(buffers.x::<E>(0), buffers.y::<E>()))
    }

    fn run<E: Scalar>(&self, x: &[E], y: &mut [E]) {
        let (row, channels) = (self.from.shape.count(), self.from.shape.channels);
        let rows = y.par_chunks_exact_mut(self.time * row);
        let rows = rows.zip(self.sources.par_chunks_exact(self.time));
        rows.with_min_len(frames_of_task(self.time * row))
            .for_each(|(y, sources)| {
                let pitch = self.time * channels;
                for (first, source) in (0..pitch).step_by(channels).zip(sources) {
                    let x = source.map(|source| &x[source * row..][..row]);
                    // Short copies whose length is known are moves of registers.
                    match channels {
                        3 => spread::<E, 3>(x, &mut y[first..], pitch, channels),
                        4 => spread::<E, 4>(x, &mut y[first..], pitch, channels),
                        n if n.is_multiple_of(8) => spread::<E, 8>(x, &mut y[first..], pitch, n),
                        n => spread::<E, 1>(x, &mut y[first..], pitch, n),
                    }
                }
            });
    }

    /// For each row of x the rows of x' that see it, and as which; ascending.
    fn readers(&self) -> Vec<Vec<(usize, usize)>> {
        let rows = self.sources.iter().flatten().max().map_or(0, |row| row + 1);
        let mut readers = vec![Vec::new(); rows];
        for (index, source) in self.sources.iter().enumerate() {
            if let Some(source) = source {
                readers[*source].push((index / self.time, index % self.time));
            }
        }
        readers
    }

    /// The kernel that adds up dx from dx'.
    pub fn fold(&self, dtype: Dtype) -> Kernel {
        fn kernel<E: Scalar>(of: Unfolded) -> Kernel {
            let readers = of.readers();
            Kernel::new(move |buffers, _| of.add_up(&readers, buffers.x::<E>(0), buffers.y()))
        }
        by_dtype!(dtype, E => kernel::<E>(self.clone()))
    }

    fn add_up<E: Scalar>(&self, readers: &[Vec<(usize, usize)>], wide: &[E], dx: &mut [E]) {
        let (row, channels) = (self.from.shape.count(), self.from.shape.channels);
        let pitch = self.time * channels;
        let rows = dx.par_chunks_exact_mut(row).enumerate();
        rows.with_min_len(frames_of_task(self.time * row))
            .for_each(|(index, dx)| {
                let readers = readers.get(index).map_or(&[][..], Vec::as_slice);
                let mut sums = vec![0.0; channels];
                for (pixel, dx) in dx.chunks_exact_mut(channels).enumerate() {
                    sums.fill(0.0);
                    for &(reader, k) in readers {
                        let pixel = reader * (row / channels) + pixel;
                        let from = &wide[pixel * pitch + k * channels..][..channels];
                        let pairs = sums.iter_mut().zip(from);
                        pairs.for_each(|(sum, v)| *sum += v.float());
                    }
                    let pairs = dx.iter_mut().zip(&sums);
                    pairs.for_each(|(dx, &sum)| *dx = E::round(sum));
                }
            });
    }

    /// The weight `[out, in, time, rest]` as `[out, time, in, rest]`.
    pub fn exchanged(&self, weight: &[f32]) -> Vec<f32> {
        let mut to = vec![0.0; weight.len()];
        self.exchange((weight, self.from.shape.channels), (&mut to, self.time));
        to
    }

    /// Puts a gradient in the exchanged layout into the parameter's own.
    pub fn restore(&self, exchanged: &[f32], gradient: &mut [f32]) {
        self.exchange((exchanged, self.time), (gradient, self.from.shape.channels));
    }

    /// `[out, a, b, rest]` → `[out, b, a, rest]`.
    fn exchange(&self, (from, a): (&[f32], usize), (to, b): (&mut [f32], usize)) {
        let rest = self.images.kernel[1] * self.images.kernel[2];
        let outputs = to.par_chunks_exact_mut((a * b * rest).max(1));
        let outputs = outputs.zip(from.par_chunks_exact((a * b * rest).max(1)));
        outputs.for_each(|(to, from)| {
            for (second, to) in to.chunks_exact_mut(a * rest).enumerate() {
                for (first, to) in to.chunks_exact_mut(rest).enumerate() {
                    to.copy_from_slice(&from[(first * b + second) * rest..][..rest]);
                }
            }
        });
    }
}

/// Copies pixels of `channels` values each, pieces of N at a time, to places `pitch` apart; zeros where there are none.
fn spread<E: Scalar, const N: usize>(x: Option<&[E]>, y: &mut [E], pitch: usize, channels: usize) {
    let pixels = y.chunks_mut(pitch).map(|y| &mut y[..channels]);
    let Some(x) = x else {
        pixels.for_each(|y| y.fill(E::default()));
        return;
    };
    for (y, x) in pixels.zip(x.chunks_exact(channels)) {
        let pieces = y
            .as_chunks_mut::<N>()
            .0
            .iter_mut()
            .zip(x.as_chunks::<N>().0);
        pieces.for_each(|(y, x)| *y = *x);
    }
}
