//! dW = G(x)ᵀ·dy: dW[tap, i, o] = Σ over pixels p of x[window of p, tap, i] · dy[p, o].
//!
//! The batch is cut into strips of frames whose partial sums are added in order, dW into tiles of its rows: as shapes
//! say, so no bit depends on threads. Within a task the sum runs over chunks of pixels; the panel of dy that a chunk
//! needs is copied side by side, and a line of the picture gives the input's values at a constant distance.

use std::ops::Range;

use pulp::Simd;
use rayon::prelude::*;

use crate::exec::cpu::memory::Scratch;
use crate::exec::cpu::tile::{self, Columns, Panels, Tile, Walk};
use crate::program::ConvGeometry;
use crate::program::tiling::{Gather, STRIP, WEIGHT_CHUNK};

/// dW from x and dy.
#[derive(Clone, Copy)]
pub struct WeightGradient<'a> {
    pub conv: &'a ConvGeometry,
    pub frames: usize,
    pub x: &'a [f32],
    pub dy: &'a [f32],
}

impl WeightGradient<'_> {
    /// The gradient as `[out, in, k, k]`; `partials` holds `weight_strips × taps·in × out`.
    pub fn run(&self, partials: &mut [f32], gradient: &mut [f32], scratch: &Scratch) {
        let tiles = self.conv.weight_tiles();
        let strips = self.conv.weight_strips(self.frames);
        let strip = self.frames.div_ceil(strips);
        let tile = tiles.taps * tiles.channels * self.conv.to.channels;
        let tasks = partials.par_chunks_mut(tile).enumerate();
        tasks.for_each(|(i, sum)| {
            let (index, tile) = (i / tiles.count, i % tiles.count);
            let frames = index * strip..self.frames.min((index + 1) * strip);
            sum.fill(0.0);
            scratch.with(|scratch| self.tile(frames, tile, sum, scratch));
        });
        self.unpack(partials, gradient);
    }

    /// One tile summed over the frames of one strip.
    fn tile(&self, frames: Range<usize>, tile: usize, sum: &mut [f32], scratch: &mut [f32]) {
        let (conv, tiles) = (self.conv, self.conv.weight_tiles());
        let whole = conv.gather();
        let rows = frames.start * whole.rows()..frames.end * whole.rows();
        let parts = whole.depth / tiles.channels;
        let plan = match (conv.is_pointwise(), tiles.count) {
            (true, _) => Gather::matrix(self.frames * whole.rows(), conv.from.channels),
            (false, 1) => whole,
            (false, _) => whole.tap(tile / parts),
        };
        let first = tile % parts * tiles.channels;
        let mut sums = Sums {
            plan: &plan,
            x: self.x,
            channels: first..first + tiles.channels,
            dy: self.dy,
            columns: conv.to.channels,
            rows,
            sum,
            panel: scratch,
        };
        tile::for_each_panel(conv.to.channels, &mut sums);
    }

    /// Adds up the strips, in order, into the layout of the parameter.
    fn unpack(&self, partials: &[f32], gradient: &mut [f32]) {
        let (inputs, outputs) = (self.conv.from.channels, self.conv.to.channels);
        let taps = self.conv.kernel * self.conv.kernel;
        let each = inputs * taps;
        let chunks = gradient.par_chunks_mut(OUTPUTS * each).enumerate();
        chunks.for_each(|(i, gradient)| {
            let first = i * OUTPUTS;
            let count = gradient.len() / each;
            for row in 0..each {
                let (tap, input) = (row / inputs, row % inputs);
                let mut sums = [0.0; OUTPUTS];
                for strip in partials.chunks_exact(self.conv.weights()) {
                    let part = &strip[row * outputs + first..][..count];
                    sums.iter_mut().zip(part).for_each(|(sum, v)| *sum += v);
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
/// Channels of dy that are read in place at most: lines further apart meet in the same sets of a cache.
const IN_PLACE: usize = 128;

/// sum[tap, i, o] += Σ x·dy over `rows` pixels, i among `channels`.
struct Sums<'a> {
    plan: &'a Gather,
    x: &'a [f32],
    channels: Range<usize>,
    dy: &'a [f32],
    /// Channels of dy.
    columns: usize,
    rows: Range<usize>,
    sum: &'a mut [f32],
    /// Room for a chunk's panel of dy.
    panel: &'a mut [f32],
}

impl Panels for Sums<'_> {
    const TALL: bool = true;

    #[inline(always)]
    fn panel<S: Simd, const R: usize, const V: usize>(&mut self, simd: S, column: usize) {
        let width = V * S::F32_LANES;
        let mut runs = [Run::default(); WEIGHT_CHUNK];
        for start in self.rows.clone().step_by(WEIGHT_CHUNK) {
            let chunk = start..self.rows.end.min(start + WEIGHT_CHUNK);
            self.pack(&chunk, column, width);
            for tap in 0..self.plan.taps.0 * self.plan.taps.1 {
                let at = (tap / self.plan.taps.1, tap % self.plan.taps.1);
                let runs = find_runs(self.plan, &chunk, at, &mut runs);
                for channel in (0..self.channels.len()).step_by(R) {
                    self.tile::<S, R, V>(simd, runs, (tap, channel), (&chunk, column));
                }
            }
        }
    }
}

impl Sums<'_> {
    /// Whether a panel is read where it lies: lines of dy that are short, and whole vectors.
    fn is_in_place(&self) -> bool {
        self.columns <= IN_PLACE && self.columns.is_multiple_of(STRIP / 2)
    }

    /// The panel of dy: `width` columns of each pixel side by side, zeros behind the last channel.
    #[inline(always)]
    fn pack(&mut self, chunk: &Range<usize>, column: usize, width: usize) {
        if self.is_in_place() {
            return;
        }
        let count = width.min(self.columns - column);
        let pixels = self.dy[chunk.start * self.columns..].chunks(self.columns);
        let panel = self.panel.chunks_exact_mut(width);
        for (to, dy) in panel.zip(pixels).take(chunk.len()) {
            to[..count].copy_from_slice(&dy[column..column + count]);
            to[count..].fill(0.0);
        }
    }

    /// The panel from place `at` of its chunk on.
    #[inline(always)]
    fn columns(&self, at: usize, chunk: &Range<usize>, column: usize, width: usize) -> Columns<'_> {
        let (values, step) = match self.is_in_place() {
            true => {
                let first = (chunk.start + at) * self.columns + column;
                (&self.dy[first..], self.columns)
            }
            false => (&self.panel[at * width..], width),
        };
        Columns {
            values,
            step,
            strip: STRIP,
        }
    }

    /// Adds the products of R channels from `channel` on, over a chunk of pixels, to their rows of the sum.
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        runs: &[Run],
        (tap, channel): (usize, usize),
        (chunk, column): (&Range<usize>, usize),
    ) {
        let (stride, count) = (self.plan.source.channels, self.channels.len());
        // The last tile takes some channels a second time, for nothing; fewer channels than a tile has rows repeat the last.
        let first = channel.min(count.saturating_sub(R));
        let mut tile: Tile<S, R, V> = tile::zeros(simd);
        for run in runs {
            let x = &self.x[run.pixel * stride + self.channels.start..];
            let columns = self.columns(run.at, chunk, column, V * S::F32_LANES);
            let walk = Walk::straight(run.len, self.plan.step * stride);
            if count >= R {
                tile::accumulate_neighbours(simd, &mut tile, &x[first..], walk, columns);
            } else {
                let rows = std::array::from_fn(|r| &x[r.min(count - 1)..]);
                tile::accumulate(simd, &mut tile, rows, walk, columns);
            }
        }
        for (r, sums) in tile.into_iter().enumerate() {
            let row = first + r;
            if row < channel || row >= count {
                continue;
            }
            let row = (tap * count + row) * self.columns;
            let row = &mut self.sum[row..row + self.columns];
            tile::update_row(
                simd,
                sums,
                (row, column),
                #[inline(always)]
                |sum, before, _| simd.add_f32s(before, sum),
            );
        }
    }
}

/// Pixels side by side that see one tap inside the picture.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    /// The input's pixel that the first sees.
    pixel: usize,
    /// Place of the first in its chunk.
    at: usize,
    len: usize,
}

impl Run {
    /// Whether `next` is the same run in the next line.
    fn continues(&self, next: &Self, step: usize) -> bool {
        self.at + self.len == next.at && self.pixel + self.len * step == next.pixel
    }
}

/// The runs of a chunk of pixels for one tap.
fn find_runs<'a>(
    plan: &Gather,
    chunk: &Range<usize>,
    tap: (usize, usize),
    runs: &'a mut [Run; WEIGHT_CHUNK],
) -> &'a [Run] {
    let (height, width) = (plan.source.height, plan.source.width);
    let columns = plan.columns_inside(tap.1);
    let mut count = 0;
    let mut start = chunk.start;
    while start < chunk.end {
        let (line, first) = (start / plan.grid.1, start % plan.grid.1);
        let end = chunk.end.min((line + 1) * plan.grid.1);
        let inside = columns.start.max(first)..columns.end.min(first + end - start);
        let along = |at: usize, first: isize, tap: usize| {
            (at * plan.step).wrapping_add_signed(first + tap as isize)
        };
        let y = along(line % plan.grid.0, plan.first.0, tap.0);
        if y < height && !inside.is_empty() {
            let x = along(inside.start, plan.first.1, tap.1);
            let run = Run {
                pixel: (line / plan.grid.0 * height + y) * width + x,
                at: start - chunk.start + inside.start - first,
                len: inside.len(),
            };
            match runs[..count].last_mut() {
                Some(last) if last.continues(&run, plan.step) => last.len += run.len,
                _ => {
                    runs[count] = run;
                    count += 1;
                }
            }
        }
        start = end;
    }
    &runs[..count]
}

/// The bias's gradient: the sum of dy's rows.
pub fn back_bias(dy: &[f32], gradient: &mut [f32]) {
    let channels = gradient.len();
    for (channel, gradient) in gradient.iter_mut().enumerate() {
        let column = dy.iter().skip(channel).step_by(channels);
        *gradient = column.map(|&v| f64::from(v)).sum::<f64>() as f32;
    }
}
