//! Pooling: 3×3 maxima of stride 2 with padding 1, and the mean over a frame.
//!
//! The maximum's gradient goes to the first pixel of the window (row by row) that has it, as in PyTorch.

use std::ops::Range;

use rayon::prelude::*;

use super::memory::Scratch;
use super::norm::frames_of_task;
use super::simd::wide;
use crate::program::PixelShape;

/// Rows or columns of the input under output `at`.
fn window(at: usize, side: usize) -> Range<usize> {
    (2 * at).saturating_sub(1)..side.min(2 * at + 2)
}

/// Pixels under an output pixel: indices of their first channels.
#[inline(always)]
fn pixels(from: PixelShape, y: usize, x: usize) -> impl Iterator<Item = usize> {
    let columns = window(x, from.width);
    window(y, from.height).flat_map(move |row| {
        columns
            .clone()
            .map(move |c| (row * from.width + c) * from.channels)
    })
}

/// Shapes of a maximum's input and output.
#[derive(Clone, Copy)]
pub struct Shapes {
    pub from: PixelShape,
    pub to: PixelShape,
}

/// y = maxima of x.
pub fn max(Shapes { from, to }: Shapes, x: &[f32], y: &mut [f32]) {
    let frames = x
        .par_chunks_exact(from.count())
        .zip(y.par_chunks_exact_mut(to.count()));
    frames
        .with_min_len(frames_of_task(from.count()))
        .for_each(|(x, y)| {
            wide(
                #[inline(always)]
                || {
                    for (i, y) in y.chunks_exact_mut(to.channels).enumerate() {
                        y.fill(f32::NEG_INFINITY);
                        for pixel in pixels(from, i / to.width, i % to.width) {
                            let values = &x[pixel..pixel + from.channels];
                            y.iter_mut()
                                .zip(values)
                                .for_each(|(y, v)| *y = larger(*y, *v));
                        }
                    }
                },
            );
        });
}

/// The first of equals; NaN wins, so that a diverging network is noticed.
#[inline(always)]
fn larger(so_far: f32, value: f32) -> f32 {
    if value > so_far || value.is_nan() {
        value
    } else {
        so_far
    }
}

/// dx: each dy goes to its maximum, found again in x.
pub fn max_back(
    Shapes { from, to }: Shapes,
    x: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    scratch: &Scratch,
) {
    let channels = to.channels;
    let inputs = x
        .par_chunks_exact(from.count())
        .zip(dy.par_chunks_exact(to.count()));
    let frames = dx.par_chunks_exact_mut(from.count()).zip(inputs);
    frames
        .with_min_len(frames_of_task(from.count()))
        .for_each(|(dx, (x, dy))| {
            dx.fill(0.0);
            scratch.with(|scratch| {
                let (maxima, winners) = scratch[..2 * channels].split_at_mut(channels);
                wide(
                    #[inline(always)]
                    || {
                        for (i, dy) in dy.chunks_exact(channels).enumerate() {
                            let at = (i / to.width, i % to.width);
                            find(from, at, x, maxima, winners);
                            give(from, at, dy, winners, dx);
                        }
                    },
                );
            });
        });
}

/// For each channel the maximum of a window and the place of its pixel within the window.
#[inline(always)]
fn find(from: PixelShape, at: (usize, usize), x: &[f32], maxima: &mut [f32], winners: &mut [f32]) {
    maxima.fill(f32::NEG_INFINITY);
    winners.fill(0.0);
    for (place, pixel) in pixels(from, at.0, at.1).enumerate() {
        let values = &x[pixel..pixel + from.channels];
        for ((max, winner), v) in maxima.iter_mut().zip(winners.iter_mut()).zip(values) {
            *winner = if v > max { place as f32 } else { *winner };
            *max = larger(*max, *v);
        }
    }
}

#[inline(always)]
fn give(from: PixelShape, at: (usize, usize), dy: &[f32], winners: &[f32], dx: &mut [f32]) {
    for (place, pixel) in pixels(from, at.0, at.1).enumerate() {
        let values = &mut dx[pixel..pixel + from.channels];
        for ((dx, winner), dy) in values.iter_mut().zip(winners).zip(dy) {
            *dx += if *winner == place as f32 { *dy } else { 0.0 };
        }
    }
}

/// y = means of x over each frame's pixels.
pub fn average(from: PixelShape, x: &[f32], y: &mut [f32]) {
    let channels = from.channels;
    let frames = x
        .par_chunks_exact(from.count())
        .zip(y.par_chunks_exact_mut(channels));
    frames
        .with_min_len(frames_of_task(from.count()))
        .for_each(|(x, y)| {
            y.fill(0.0);
            for pixel in x.chunks_exact(channels) {
                y.iter_mut().zip(pixel).for_each(|(y, v)| *y += v);
            }
            y.iter_mut().for_each(|y| *y /= from.pixels() as f32);
        });
}

/// dx = dy / pixels, for every pixel.
pub fn average_back(from: PixelShape, dy: &[f32], dx: &mut [f32]) {
    let channels = from.channels;
    let frames = dx
        .par_chunks_exact_mut(from.count())
        .zip(dy.par_chunks_exact(channels));
    frames
        .with_min_len(frames_of_task(from.count()))
        .for_each(|(dx, dy)| {
            for pixel in dx.chunks_exact_mut(channels) {
                let pairs = pixel.iter_mut().zip(dy);
                pairs.for_each(|(dx, dy)| *dx = dy / from.pixels() as f32);
            }
        });
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPES: Shapes = Shapes { from: FROM, to: TO };
    const FROM: PixelShape = PixelShape {
        channels: 2,
        height: 3,
        width: 5,
    };
    const TO: PixelShape = PixelShape {
        channels: 2,
        height: 2,
        width: 3,
    };

    /// The second channel is the first one's negative.
    fn picture(values: [i8; 15]) -> Vec<f32> {
        let both = values
            .into_iter()
            .flat_map(|v| [f32::from(v), -f32::from(v)]);
        both.collect()
    }

    #[test]
    fn maxima_of_windows() {
        let x = picture([1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5]);
        let mut y = vec![0.0; TO.count()];
        max(SHAPES, &x, &mut y);
        let first: Vec<f32> = y.iter().step_by(2).copied().collect();
        let second: Vec<f32> = y.iter().skip(1).step_by(2).copied().collect();
        assert_eq!(first, [7.0, 9.0, 9.0, 7.0, 9.0, 9.0]);
        assert_eq!(second, [-1.0, -2.0, 0.0, -1.0, -2.0, 0.0]);
    }

    #[test]
    fn gradient_goes_to_the_first_maximum() {
        let x = picture([0; 15]);
        let dy: Vec<f32> = (1..=12).map(|i| i as f32).collect();
        let mut dx = vec![f32::NAN; FROM.count()];
        let scratch = Scratch::new(1, 2 * FROM.channels).unwrap();
        max_back(SHAPES, &x, &dy, &mut dx, &scratch);
        let at = |y: usize, x: usize| dx[(y * 5 + x) * 2];
        // Windows begin at rows 0 and 1, columns 0, 1 and 3.
        let found = [at(0, 0), at(0, 1), at(0, 3), at(1, 0), at(1, 1), at(1, 3)];
        assert_eq!(found, [1.0, 3.0, 5.0, 7.0, 9.0, 11.0]);
        assert_eq!(dx.iter().sum::<f32>(), dy.iter().sum::<f32>());
    }

    #[test]
    fn maxima_keep_nan() {
        let mut x = picture([0; 15]);
        x[0] = f32::NAN;
        let mut y = vec![0.0; TO.count()];
        max(SHAPES, &x, &mut y);
        assert!(y[0].is_nan());
    }
}
