//! dW = G(x)ᵀ·dy: dW[tap, i, o] = Σ over pixels p of x[window of p, tap, i] · dy[p, o].
//!
//! The batch is cut into strips of frames whose partial sums are added in order, dW into tiles of its rows: as shapes
//! say, so no bit depends on threads. Within a task the sum runs over chunks of pixels. What a chunk needs of x, for
//! each tap, and of dy is copied into strips of 16 channels first: pixels lie powers of two apart, and so would meet in
//! the same sets of a cache; and terms of a sum are pixels, which must be neighbours where they are taken in pairs.

use std::hint::select_unpredictable;
use std::ops::Range;

use pulp::Simd;
use rayon::prelude::*;

use crate::exec::cpu::conv::ConvGeometry;
use crate::exec::cpu::conv::tiling::{
    Gather, PANEL, STRIP, WEIGHT_CHUNK as CHUNK, WEIGHT_PITCH as PITCH,
};
use crate::exec::cpu::gather::Window;
use crate::exec::cpu::machine::Machine;
use crate::exec::cpu::memory::Scratch;
use crate::exec::cpu::scalar::{PackAs, Scalar};
use crate::exec::cpu::simd::wide;
use crate::exec::cpu::tile::{self, Columns, Panels, Tile, Walk, packed_index};

/// dW from x and dy.
#[derive(Clone, Copy)]
pub struct WeightGradient<'a, X, Y> {
    pub conv: &'a ConvGeometry,
    pub frames: usize,
    pub x: &'a [X],
    pub dy: &'a [Y],
}

impl<X: PackAs<X>, Y: PackAs<X>> WeightGradient<'_, X, Y> {
    /// The gradient as `[out, in, k, k]`; `partials`: room for [`ConvGeometry::weight_partials`].
    pub fn run(&self, partials: &mut [f32], gradient: &mut [f32], scratch: &Scratch) {
        let tiles = self.conv.weight_tiles();
        let strips = self.conv.weight_strips(self.frames);
        let strip = self.frames.div_ceil(strips);
        let tile = tiles.taps * tiles.channels * self.conv.columns();
        let tasks = partials.par_chunks_mut(tile).enumerate();
        tasks.for_each(|(i, sum)| {
            let (index, tile) = (i / tiles.count(), i % tiles.count());
            let frames = index * strip..self.frames.min((index + 1) * strip);
            sum.fill(0.0);
            scratch.with(|scratch| self.tile(frames, tile, sum, scratch));
        });
        self.unpack(partials, gradient);
    }

    /// One tile summed over the frames of one strip.
    fn tile(&self, frames: Range<usize>, tile: usize, sum: &mut [f32], scratch: &mut [f32]) {
        let tiles = self.conv.weight_tiles();
        let whole = self.conv.gather();
        let plan = match tiles.lines {
            1 => whole,
            _ => whole.line(tile / tiles.parts),
        };
        let first = tile % tiles.parts * tiles.channels;
        let (panel, inputs) = scratch.split_at_mut(PANEL * STRIP * PITCH);
        let taps = plan.taps.0 * plan.taps.1;
        let each = tiles.channels.next_multiple_of(STRIP) * PITCH;
        let mut chunk = Chunk {
            plan: &plan,
            x: self.x,
            channels: first..first + tiles.channels,
            dy: self.dy,
            columns: self.conv.columns(),
            pixels: 0..0,
            inputs: X::view(inputs, taps * each),
            panel: X::view(panel, PANEL * STRIP * PITCH),
            sum,
        };
        let rows = frames.start * whole.rows()..frames.end * whole.rows();
        for start in rows.clone().step_by(CHUNK) {
            chunk.pixels = start..rows.end.min(start + CHUNK);
            chunk.pack_inputs();
            tile::for_each_panel(self.conv.columns(), &mut chunk);
        }
    }

    /// Adds up the strips, in order, into the layout of the parameter.
    fn unpack(&self, partials: &[f32], gradient: &mut [f32]) {
        let (inputs, outputs) = (self.conv.from.channels, self.conv.to.channels);
        let (kernel, columns) = (self.conv.kernel, self.conv.columns());
        let taps = kernel * kernel;
        let (each, tiles) = (inputs * taps, self.conv.weight_tiles());
        // Neighbours see a tap a stride apart: the weight's gradient is the sum over them.
        let (line, shift) = (self.conv.line(), self.conv.stride * inputs);
        let neighbours = self.conv.neighbours();
        let chunks = gradient.par_chunks_mut(OUTPUTS * each).enumerate();
        chunks.for_each(|(i, gradient)| {
            let first = i * OUTPUTS;
            let count = gradient.len() / each;
            for row in 0..each {
                let (tap, input) = (row / inputs, row % inputs);
                let row = tap / kernel * line + tap % kernel * inputs + input;
                let mut sums = [0.0; OUTPUTS];
                for strip in partials.chunks_exact(self.conv.weight_sums()) {
                    for neighbour in 0..neighbours {
                        let row = tiles.row(row + neighbour * shift);
                        let part = &strip[row * columns + neighbour * outputs + first..][..count];
                        sums.iter_mut().zip(part).for_each(|(sum, v)| *sum += v);
                    }
                }
                for (output, sum) in sums.iter().enumerate().take(count) {
                    gradient[output * each + input * taps + tap] = *sum;
                }
            }
        });
    }
}

/// Outputs whose gradients are written together.
const OUTPUTS: usize = 16;

/// sum[tap, i, o] += Σ x·dy over some pixels, i among `channels`.
struct Chunk<'a, X, Y> {
    plan: &'a Gather,
    x: &'a [X],
    channels: Range<usize>,
    dy: &'a [Y],
    /// Channels of dy, of neighbours together.
    columns: usize,
    /// Counted over all frames.
    pixels: Range<usize>,
    /// What the pixels see of x, for each tap: a matrix of pixels and channels, packed in strips.
    inputs: &'a mut [X],
    /// Room for a panel of dy, packed likewise.
    panel: &'a mut [X],
    sum: &'a mut [f32],
}

impl<X: PackAs<X>, Y: PackAs<X>> Chunk<'_, X, Y> {
    fn pack_inputs(&mut self) {
        let mut windows = [Window::default(); CHUNK];
        for (window, pixel) in windows.iter_mut().zip(self.pixels.clone()) {
            *window = Window::at(self.plan, pixel);
        }
        let (x, channels) = (self.x, self.channels.clone());
        let matrix = channels.len().next_multiple_of(STRIP) * PITCH;
        for (to, tap) in self.inputs.chunks_exact_mut(matrix).zip(taps(self.plan)) {
            let first = self.plan.offset(tap) + channels.start as isize;
            pack(
                (self.pixels.len(), channels.len()),
                #[inline(always)]
                |pixel| {
                    let window: &Window = &windows[pixel];
                    // As in a product: nothing branches on the image's edge.
                    let inside = (x, (window.first + first) as usize);
                    let (x, at) = select_unpredictable(window.sees(tap), inside, (X::ZEROS, 0));
                    &x[at..]
                },
                to,
            );
        }
    }

    /// The strips of dy from the one that holds `column` on.
    #[inline(always)]
    fn pack_panel(&mut self, column: usize, width: usize) {
        let (dy, columns, start) = (self.dy, self.columns, self.pixels.start);
        let first = column / STRIP * STRIP;
        let width = columns.min(column + width) - first;
        pack(
            (self.pixels.len(), width),
            #[inline(always)]
            |pixel| &dy[(start + pixel) * columns + first..],
            self.panel,
        );
    }

    /// Adds the products of R channels from `channel` on to their rows of the sum.
    #[inline(always)]
    fn tile<M: Machine<Scalar = X>, const R: usize, const V: usize>(
        &mut self,
        machine: M,
        (tap, channel): (usize, usize),
        column: usize,
    ) {
        let count = self.channels.len();
        let matrix = tap * count.next_multiple_of(STRIP) * PITCH;
        let mut rows: [&[X]; R] = [&[]; R];
        for (r, row) in rows.iter_mut().enumerate() {
            // The last tile repeats the last channel.
            let channel = (channel + r).min(count - 1);
            *row = &self.inputs[matrix + packed_index::<X>(PITCH, 0, channel)..];
        }
        let columns = Columns {
            values: &self.panel[packed_index::<X>(PITCH, 0, column % STRIP)..],
            strip: STRIP * PITCH,
        };
        let walk = Walk {
            pieces: 1,
            pitch: 0,
            steps: self.pixels.len().div_ceil(X::PAIR),
            step: STRIP * X::PAIR,
        };
        let mut tile: Tile<M, R, V> = tile::zeros(machine);
        tile::accumulate(machine, &mut tile, rows, walk, columns);
        let simd = machine.simd();
        for (row, sums) in (channel..count).zip(tile) {
            let row = &mut self.sum[(tap * count + row) * self.columns..][..self.columns];
            for (v, sum) in sums.into_iter().enumerate() {
                let from = column + v * M::LANES;
                let to = row.len().min(from + M::LANES);
                if from >= to {
                    break;
                }
                let before = f32::load(simd, &row[from..to]);
                f32::store(simd, &mut row[from..to], simd.add_f32s(before, sum));
            }
        }
    }
}

impl<X: PackAs<X>, Y: PackAs<X>> Panels for Chunk<'_, X, Y> {
    type Scalar = X;

    #[inline(always)]
    fn panel<M: Machine<Scalar = X>, const R: usize, const V: usize>(
        &mut self,
        machine: M,
        column: usize,
    ) {
        self.pack_panel(column, V * M::LANES);
        for tap in 0..self.plan.taps.0 * self.plan.taps.1 {
            for channel in (0..self.channels.len()).step_by(R) {
                self.tile::<M, R, V>(machine, (tap, channel), column);
            }
        }
    }
}

/// The taps of a window, line by line.
fn taps(plan: &Gather) -> impl Iterator<Item = (usize, usize)> + use<> {
    let (lines, columns) = plan.taps;
    (0..lines * columns).map(move |tap| (tap / columns, tap % columns))
}

/// The first `width` values of `count` rows, at most a chunk, in strips: `[strip][row / PAIR][16][PAIR]`. A row that a pair
/// lacks is zero. The last strip takes what follows in memory: nobody reads the sums that it takes part in.
#[inline(always)]
fn pack<'a, X: Scalar, Y: PackAs<X>>(
    (count, width): (usize, usize),
    row: impl Fn(usize) -> &'a [Y],
    to: &mut [X],
) {
    wide(
        #[inline(always)]
        || {
            for first in (0..count).step_by(X::PAIR) {
                // As many rows as the largest group has.
                let mut rows = [Y::ZEROS; 2];
                for (values, index) in rows[..X::PAIR].iter_mut().zip(first..count) {
                    *values = row(index);
                }
                for column in (0..width).step_by(STRIP) {
                    let to = &mut to[column * PITCH + first * STRIP..][..STRIP * X::PAIR];
                    let [a, b] = [&rows[0][column..], &rows[1][column..]];
                    match (a.first_chunk(), b.first_chunk()) {
                        (Some(a), Some(b)) => Y::pack([a, b], to),
                        // Nothing follows the last pixel.
                        _ => Y::pack([&filled(a), &filled(b)], to),
                    }
                }
            }
        },
    );
}

/// As many values as a strip has, zeros behind the last.
fn filled<Y: Scalar>(values: &[Y]) -> [Y; STRIP] {
    let mut strip = [Y::default(); STRIP];
    let count = values.len().min(STRIP);
    strip[..count].copy_from_slice(&values[..count]);
    strip
}

/// Rows that are summed by one task.
const BIAS_ROWS: usize = 4096;

/// The bias's gradient: the sum of dy's rows, in float64; those of tasks are added in order.
pub fn back_bias<E: Scalar>(dy: &[E], gradient: &mut [f32]) {
    let channels = gradient.len();
    let parts = dy.par_chunks(BIAS_ROWS * channels).map(|dy| {
        let mut sums = vec![0.0; channels];
        wide(
            #[inline(always)]
            || {
                for row in dy.chunks_exact(channels) {
                    let pairs = sums.iter_mut().zip(row);
                    pairs.for_each(|(sum, v)| *sum += f64::from(v.float()));
                }
            },
        );
        sums
    });
    let parts: Vec<Vec<f64>> = parts.collect();
    for (channel, gradient) in gradient.iter_mut().enumerate() {
        *gradient = parts.iter().map(|sums| sums[channel]).sum::<f64>() as f32;
    }
}
