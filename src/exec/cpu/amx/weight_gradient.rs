//! dW = G(x)ᵀ·dy in the order of AMX: as `exec::cpu::conv::weight_gradient`, terms are pixels.
//!
//! A task takes a tile of the inputs and a part of the outputs, and the pixels of a strip of frames, a chunk at a time. One side
//! of the product is packed in strips, pairs of pixels side by side; the other, the smaller one, is transposed into rows.

use std::ops::Range;

use rayon::prelude::*;

use super::transpose::transposed;
use super::{Factors, Rows, Strips, Unit};
use crate::exec::cpu::amx::blocks::{
    self, OUTPUTS, PIXELS, SIDE, STRIP_VALUES, SUMS, WeightBlocks,
};
use crate::exec::cpu::conv::ConvGeometry;
use crate::exec::cpu::conv::WeightGradient;
use crate::exec::cpu::conv::tiling::{Gather, STRIP};
use crate::exec::cpu::gather::Window;
use crate::exec::cpu::machine::{Machine, WithMachine};
use crate::exec::cpu::memory::Scratch;
use crate::exec::cpu::scalar::{PackAs, Scalar, bf16};
use crate::exec::cpu::tile::Columns;

/// Values of a row of the transposed side.
const ROW: usize = blocks::pitch(PIXELS);

/// The gradient as `[out, in, k, k]`.
pub fn run(
    product: &WeightGradient<'_, bf16, bf16>,
    partials: &mut [f32],
    gradient: &mut [f32],
    scratch: &Scratch,
) {
    let (conv, frames) = (product.conv, product.frames);
    let blocks = WeightBlocks::of(conv);
    let strip = frames.div_ceil(conv.weight_strips(frames));
    let each = blocks.tiles.count() * blocks.parts();
    let tasks = partials.par_chunks_mut(blocks.sums()).enumerate();
    tasks.for_each(|(i, sums)| {
        let (index, task) = (i / each, i % each);
        let frames = (index * strip).min(frames)..frames.min((index + 1) * strip);
        scratch.with(|scratch| {
            let task = Task {
                product,
                frames,
                tile: task / blocks.parts(),
                part: task % blocks.parts(),
                sums,
                scratch,
            };
            bf16::filling(STRIP, task);
        });
    });
    let sums = Sums {
        conv,
        blocks,
        partials,
    };
    sums.add_up(gradient);
}

/// The sums of all tasks.
struct Sums<'a> {
    conv: &'a ConvGeometry,
    blocks: WeightBlocks,
    partials: &'a [f32],
}

impl Sums<'_> {
    /// Adds up the strips of frames, in order, into the layout of the parameter.
    fn add_up(&self, gradient: &mut [f32]) {
        let blocks = &self.blocks;
        let each = gradient.len() / self.conv.to.channels;
        let outputs = gradient.par_chunks_mut(SIDE * each).enumerate();
        outputs.for_each(|(index, gradient)| {
            let (part, at) = (index * SIDE / OUTPUTS, index * SIDE % OUTPUTS / SIDE);
            for tile in 0..blocks.tiles.count() {
                for strips in (0..blocks.input_strips()).step_by(2) {
                    let place = Place {
                        task: tile * blocks.parts() + part,
                        inputs: strips / 2,
                        outputs: at,
                    };
                    let sums = place.sums(blocks, self.partials);
                    for i in 0..SIDE {
                        if let Some(to) = self.input_at(tile, strips * STRIP + i) {
                            let of_outputs = gradient[to..].iter_mut().step_by(each);
                            for (o, value) in of_outputs.take(SIDE).enumerate() {
                                *value = match blocks.rows_are_inputs() {
                                    true => sums[i * SIDE + o],
                                    false => sums[o * SIDE + i],
                                };
                            }
                        }
                    }
                }
            }
        });
    }

    /// Where an input of a tile lies in a parameter's `[in, k, k]`; none of those that fill up a strip.
    fn input_at(&self, tile: usize, index: usize) -> Option<usize> {
        let (blocks, tiles) = (&self.blocks, self.blocks.tiles);
        let (tap, channel) = (
            index / (blocks.tap_strips() * STRIP),
            index % (blocks.tap_strips() * STRIP),
        );
        if tap >= tiles.taps || channel >= tiles.channels {
            return None;
        }
        let taps = self.conv.kernel * self.conv.kernel;
        // Of a window whose lines are one piece each, a tap's channels are those of a whole line.
        let row = (tile / tiles.parts * tiles.taps + tap) * tiles.parts * tiles.channels
            + tile % tiles.parts * tiles.channels
            + channel;
        let (tap, input) = (row / self.conv.from.channels, row % self.conv.from.channels);
        Some(input * taps + tap)
    }
}

/// A block of the sums.
struct Place {
    task: usize,
    /// Counted in blocks.
    inputs: usize,
    outputs: usize,
}

impl Place {
    /// Its sums over all strips of frames.
    fn sums(&self, blocks: &WeightBlocks, partials: &[f32]) -> [f32; SUMS] {
        let (row, column) = match blocks.rows_are_inputs() {
            true => (self.inputs, self.outputs),
            false => (self.outputs, self.inputs),
        };
        let at = self.task * blocks.sums() + (row * blocks.grid().1 + column) * SUMS;
        let strip = blocks.tiles.count() * blocks.parts() * blocks.sums();
        let mut sums = [0.0; SUMS];
        for strip in partials.chunks_exact(strip) {
            let added = &strip[at..][..SUMS];
            sums.iter_mut().zip(added).for_each(|(sum, v)| *sum += v);
        }
        sums
    }
}

/// One tile by one part, summed over the frames of one strip.
struct Task<'a> {
    product: &'a WeightGradient<'a, bf16, bf16>,
    frames: Range<usize>,
    tile: usize,
    part: usize,
    sums: &'a mut [f32],
    scratch: &'a mut [f32],
}

impl WithMachine<bf16> for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn with_machine<M: Machine<Scalar = bf16>>(self, machine: M) {
        let WeightGradient { conv, x, dy, .. } = *self.product;
        let blocks = WeightBlocks::of(conv);
        let whole = conv.gather();
        let plan = match blocks.tiles.lines {
            1 => whole,
            _ => whole.line(self.tile / blocks.tiles.parts),
        };
        let outputs = self.part * OUTPUTS..conv.to.channels.min((self.part + 1) * OUTPUTS);
        let inputs = Inputs {
            plan: &plan,
            x,
            first: self.tile % blocks.tiles.parts * blocks.tiles.channels,
        };
        let (rows, columns) = match blocks.rows_are_inputs() {
            true => (blocks.input_strips(), outputs.len().div_ceil(STRIP)),
            false => (outputs.len().div_ceil(STRIP), blocks.input_strips()),
        };
        let grid = blocks.grid();
        let (by_rows, by_strips) = self.scratch.split_at_mut(grid.0 * SIDE * ROW / 2);
        let by_rows = bf16::view(by_rows, grid.0 * SIDE * ROW);
        let by_strips = bf16::view(by_strips, grid.1 * 2 * STRIP_VALUES);
        let unit = Unit::open();
        let pixels = self.frames.start * whole.rows()..self.frames.end * whole.rows();
        if pixels.is_empty() {
            self.sums.fill(0.0);
        }
        for start in pixels.clone().step_by(PIXELS) {
            let taken = start..pixels.end.min(start + PIXELS);
            let outputs = Outputs {
                dy,
                channels: conv.to.channels,
                part: outputs.clone(),
            };
            let packing = Packing {
                pixels: taken.clone(),
                by_rows: &mut *by_rows,
                by_strips: &mut *by_strips,
            };
            packing.run(&blocks, &inputs, &outputs);
            for column in (0..columns).step_by(2) {
                for row in (0..rows).step_by(2) {
                    let factors = Factors {
                        rows: Rows {
                            values: &by_rows[row * STRIP * ROW..],
                            pitch: ROW,
                            tiles: (rows - row).min(2),
                        },
                        strips: Strips {
                            columns: Columns {
                                values: &by_strips[column * STRIP_VALUES..],
                                strip: STRIP_VALUES,
                            },
                            count: (columns - column).min(2),
                        },
                        steps: taken.len().div_ceil(SIDE),
                    };
                    let at = (row / 2 * grid.1 + column / 2) * SUMS;
                    let sums = &mut self.sums[at..][..SUMS];
                    unit.multiply(machine, factors, sums, start > pixels.start);
                }
            }
        }
    }
}

/// The inputs that pixels see, from channel `first` of each tap on.
struct Inputs<'a> {
    plan: &'a Gather,
    x: &'a [bf16],
    first: usize,
}

/// Some of the outputs' gradients.
struct Outputs<'a> {
    dy: &'a [bf16],
    /// Of a pixel.
    channels: usize,
    part: Range<usize>,
}

/// Both sides of a chunk of pixels.
struct Packing<'a> {
    pixels: Range<usize>,
    by_rows: &'a mut [bf16],
    by_strips: &'a mut [bf16],
}

/// A side of the product.
enum Side {
    Rows,
    Strips,
}

impl Packing<'_> {
    /// 32 pixels at a time; pixels behind the last are zeros.
    #[inline(always)]
    fn run(mut self, blocks: &WeightBlocks, inputs: &Inputs<'_>, outputs: &Outputs<'_>) {
        let (of_inputs, of_outputs) = match blocks.rows_are_inputs() {
            true => (Side::Rows, Side::Strips),
            false => (Side::Strips, Side::Rows),
        };
        let (lines, across) = inputs.plan.taps;
        for first in self.pixels.clone().step_by(SIDE) {
            let at = first - self.pixels.start;
            let count = SIDE.min(self.pixels.end - first);
            let mut windows = [Window::default(); SIDE];
            for (i, window) in windows[..count].iter_mut().enumerate() {
                *window = Window::at(inputs.plan, first + i);
            }
            let mut pixels: [&[bf16]; SIDE] = [bf16::ZEROS; SIDE];
            for tap in 0..lines * across {
                for (pixel, window) in pixels.iter_mut().zip(&windows[..count]) {
                    *pixel = inputs.seen(window, (tap / across, tap % across));
                }
                let strips = tap * blocks.tap_strips()..(tap + 1) * blocks.tap_strips();
                self.pack(&of_inputs, &pixels, at, strips);
            }
            for (i, pixel) in pixels[..count].iter_mut().enumerate() {
                *pixel = &outputs.dy[(first + i) * outputs.channels + outputs.part.start..];
            }
            let strips = 0..outputs.part.len().div_ceil(STRIP);
            self.pack(&of_outputs, &pixels, at, strips);
        }
    }

    /// 32 pixels' values, a strip of each pixel to one of `strips` after another; `at`: of the first pixel in the chunk. The last
    /// strip takes what follows in memory: nobody reads the sums that it takes part in.
    #[inline(always)]
    fn pack(&mut self, side: &Side, pixels: &[&[bf16]; SIDE], at: usize, strips: Range<usize>) {
        let mut strips_of = [Default::default(); SIDE];
        for (strips, pixel) in strips_of.iter_mut().zip(pixels) {
            *strips = pixel.as_chunks::<STRIP>();
        }
        for (index, strip) in strips.enumerate() {
            match side {
                Side::Strips => {
                    let to = &mut self.by_strips[strip * STRIP_VALUES + at * STRIP..];
                    let (to, _) = to.as_chunks_mut::<{ 2 * STRIP }>();
                    for (pair, to) in strips_of.chunks_exact(2).zip(to) {
                        pack_pair(pair, index, to);
                    }
                }
                Side::Rows => {
                    let mut square = [[0; STRIP]; STRIP];
                    for (pair, row) in strips_of.chunks_exact(2).zip(&mut square) {
                        pack_pair(pair, index, bytemuck::cast_slice_mut(row));
                    }
                    let square = transposed(&square);
                    let rows = self.by_rows[strip * STRIP * ROW..].chunks_exact_mut(ROW);
                    for (to, row) in rows.zip(&square) {
                        to[at..][..SIDE].copy_from_slice(bytemuck::cast_slice(row));
                    }
                }
            }
        }
    }
}

impl<'a> Inputs<'a> {
    /// What a pixel sees through a tap; zeros outside the image. Nothing branches on the image's edge.
    #[inline(always)]
    fn seen(&self, window: &Window, tap: (usize, usize)) -> &'a [bf16] {
        let at = (window.first + self.plan.offset(tap) + self.first as isize) as usize;
        let inside = window.sees(tap);
        let (x, at) = std::hint::select_unpredictable(inside, (self.x, at), (bf16::ZEROS, 0));
        &x[at..]
    }
}

/// A pixel's values: whole strips, and what is left of memory behind the last.
type PixelStrips<'a> = (&'a [[bf16; STRIP]], &'a [bf16]);

/// Strip `index` of two pixels' values, side by side.
#[inline(always)]
fn pack_pair(pixels: &[PixelStrips<'_>], index: usize, to: &mut [bf16]) {
    let [a, b] = [pixels[0], pixels[1]];
    match (a.0.get(index), b.0.get(index)) {
        (Some(a), Some(b)) => bf16::pack([a, b], to),
        _ => bf16::pack([&strip(a, index), &strip(b, index)], to),
    }
}

/// A strip that may be the last, zeros behind its values.
fn strip((strips, rest): PixelStrips<'_>, index: usize) -> [bf16; STRIP] {
    let mut strip = [bf16::ZERO; STRIP];
    match strips.get(index) {
        Some(whole) => strip = *whole,
        None => strip[..rest.len()].copy_from_slice(rest),
    }
    strip
}
