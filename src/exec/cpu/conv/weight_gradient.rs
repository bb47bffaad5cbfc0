//! dW = G(x)ᵀ·dy: dW[tap, i, o] = Σ over pixels p of x[window of p, tap, i] · dy[p, o].
//!
//! The batch is cut into strips of frames whose partial sums are added in order, dW into tiles of its rows: as shapes
//! say, so no bit depends on threads. Within a task the sum runs over chunks of pixels; the panel of dy that a chunk
//! needs is copied side by side, and a line of the picture gives the input's values at a constant distance.

use std::ops::Range;

use pulp::Simd;
use rayon::prelude::*;

use crate::exec::cpu::gather::gather;
use crate::exec::cpu::memory::Scratch;
use crate::exec::cpu::tile::{self, Columns, Panels, STRIP, Tile};
use crate::program::ConvGeometry;
use crate::program::tiling::{Gather, WEIGHT_CHUNK, WEIGHT_PANEL};

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
        let (panel, gathered) = scratch.split_at_mut(WEIGHT_PANEL);
        if whole.is_narrow() {
            self.narrow(&whole, rows, sum, (panel, gathered));
            return;
        }
        let parts = conv.from.channels / tiles.channels;
        let plan = match (conv.is_pointwise(), tiles.taps) {
            (true, _) => Gather::matrix(self.frames * whole.rows(), conv.from.channels),
            (false, 1) => whole.tap(tile / parts),
            (false, _) => whole,
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
            panel,
        };
        tile::for_each_panel(conv.to.channels, &mut sums);
    }

    /// Windows of few channels are gathered first, chunk by chunk.
    fn narrow(
        &self,
        plan: &Gather,
        rows: Range<usize>,
        sum: &mut [f32],
        (panel, gathered): (&mut [f32], &mut [f32]),
    ) {
        let columns = self.conv.to.channels;
        for start in rows.clone().step_by(WEIGHT_CHUNK) {
            let count = WEIGHT_CHUNK.min(rows.end - start);
            let x = &mut gathered[..count * plan.width()];
            gather(plan, self.x, start..start + count, x);
            let mut sums = Sums {
                plan: &Gather::matrix(count, plan.width()),
                x,
                channels: 0..plan.width(),
                dy: &self.dy[start * columns..],
                columns,
                rows: 0..count,
                sum,
                panel,
            };
            tile::for_each_panel(columns, &mut sums);
        }
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
                    let tile = self.chunk::<S, R, V>(simd, runs, channel);
                    let row = tap * self.channels.len() + channel;
                    self.add(simd, tile, row, (self.channels.len() - channel, column));
                }
            }
        }
    }
}

impl Sums<'_> {
    /// The panel of dy: `width` columns of each pixel side by side, zeros behind the last channel.
    #[inline(always)]
    fn pack(&mut self, chunk: &Range<usize>, column: usize, width: usize) {
        let count = width.min(self.columns - column);
        let pixels = self.dy[chunk.start * self.columns..].chunks(self.columns);
        for (to, dy) in self
            .panel
            .chunks_exact_mut(width)
            .zip(pixels)
            .take(chunk.len())
        {
            to[..count].copy_from_slice(&dy[column..column + count]);
            to[count..].fill(0.0);
        }
    }

    /// The tile of R channels from `channel` on, over a chunk; the last tile repeats its last channel.
    #[inline(always)]
    fn chunk<S: Simd, const R: usize, const V: usize>(
        &self,
        simd: S,
        runs: &[Run],
        channel: usize,
    ) -> Tile<S, R, V> {
        let (width, last) = (V * S::F32_LANES, self.channels.len() - 1);
        let channels: [usize; R] =
            std::array::from_fn(|r| self.channels.start + last.min(channel + r));
        let stride = self.plan.source.channels;
        let mut tile = tile::zeros(simd);
        for run in runs {
            let x = &self.x[run.pixel * stride..];
            let rows = channels.map(|channel| &x[channel..]);
            let columns = Columns {
                values: &self.panel[run.at * width..],
                step: width,
                strip: STRIP,
            };
            tile::accumulate(
                simd,
                &mut tile,
                (rows, self.plan.step * stride),
                columns,
                run.len,
            );
        }
        tile
    }

    /// Adds a tile to rows `row..` of the sum, `left` of them at most, from a column on.
    #[inline(always)]
    fn add<S: Simd, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        tile: Tile<S, R, V>,
        row: usize,
        (left, column): (usize, usize),
    ) {
        for (row, values) in (row..row + left).zip(tile) {
            for (v, value) in values.into_iter().enumerate() {
                let from = column + v * S::F32_LANES;
                if from >= self.columns {
                    break;
                }
                let to = self.columns.min(from + S::F32_LANES);
                let sum = &mut self.sum[row * self.columns + from..row * self.columns + to];
                let value = simd.add_f32s(simd.partial_load_f32s(sum), value);
                simd.partial_store_f32s(sum, value);
            }
        }
    }
}

/// Pixels of one line of the picture that see one tap inside it.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    /// The input's pixel that the first sees.
    pixel: usize,
    /// Place of the first in its chunk.
    at: usize,
    len: usize,
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
            runs[count] = Run {
                pixel: (line / plan.grid.0 * height + y) * width + x,
                at: start - chunk.start + inside.start - first,
                len: inside.len(),
            };
            count += 1;
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
