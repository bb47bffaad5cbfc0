//! y = G(x)·W (+ bias) (+ residual), ReLU: the product behind a convolution's forward pass and its input's gradient.
//!
//! The rows of G(x) are windows of the activation x, read where they are. W is packed in strips of 16 columns,
//! `[strip][tap][channel][16]`. The sum over taps and channels is cut into chunks of [`DEPTH`] that are added up in y, so
//! that a chunk's panel of W stays in the cache while all rows of a block pass by, and rounding errors stay small.

use std::hint::select_unpredictable;
use std::ops::Range;

use pulp::Simd;

use super::gather::{Shifted, Window};
use super::tile::{self, Columns, Panels, Tile, Walk};
use crate::program::tiling::{Gather, STRIP};

/// Terms of a sum that are added in registers: a panel of 64 columns is 128 KiB.
pub const DEPTH: usize = 512;
/// Rows that are computed together.
const ROWS: usize = 192;
static ZEROS: [f32; DEPTH] = [0.0; DEPTH];

/// What happens to a value once its sum is complete.
#[derive(Clone, Copy, Default)]
pub struct Finish<'a> {
    pub bias: Option<&'a [f32]>,
    /// As y.
    pub residual: Option<&'a [f32]>,
    pub relu: bool,
}

/// The matrices.
#[derive(Clone, Copy)]
pub struct Product<'a> {
    pub plan: &'a Gather,
    pub x: &'a [f32],
    pub shifted: Option<Shifted<'a>>,
    pub w: &'a [f32],
    /// Columns of W and y.
    pub columns: usize,
    pub finish: Finish<'a>,
}

impl Product<'_> {
    /// Rows `rows` of the product; row r goes to `y[place(r)..]`, and its residual comes from `residual[r·columns..]`.
    pub fn run(&self, rows: Range<usize>, y: &mut [f32], place: impl Fn(usize) -> usize) {
        let mut windows = [Window::default(); ROWS];
        let mut places = [0; ROWS];
        for start in rows.clone().step_by(ROWS) {
            let count = ROWS.min(rows.end - start);
            for i in 0..count {
                windows[i] = Window::at(self.plan, start + i);
                places[i] = place(start + i);
            }
            if self.plan.width() == 0 {
                let rows = places[..count].iter();
                rows.for_each(|&at| y[at..][..self.columns].fill(0.0));
                continue;
            }
            let mut block = Block {
                product: self,
                start,
                is_inside: self.plan.is_inside() && self.shifted.is_none(),
                windows: &windows[..count],
                places: &places[..count],
                y,
            };
            tile::for_each_panel(self.columns, &mut block);
        }
    }

    /// The chunks of the sum: taps, and channels of each.
    fn chunks(&self) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        let (taps, channels) = (self.plan.taps.0 * self.plan.taps.1, self.plan.depth);
        let together = (DEPTH / channels.max(1)).max(1);
        let starts = (0..taps).step_by(together);
        starts.flat_map(move |tap| {
            let taps = tap..taps.min(tap + together);
            let cuts = (0..channels).step_by(DEPTH);
            cuts.map(move |first| (taps.clone(), first..channels.min(first + DEPTH)))
        })
    }

    /// Which part of `channels` comes from which frame: as offset from the own one.
    #[inline(always)]
    fn sources(&self, channels: &Range<usize>) -> [(isize, Range<usize>); 3] {
        let fold = self.shifted.map_or(0, |shifted| shifted.fold);
        let cut = |from: usize, to: usize| channels.start.max(from)..channels.end.min(to);
        [
            (1, cut(0, fold)),
            (-1, cut(fold, 2 * fold)),
            (0, cut(2 * fold, usize::MAX)),
        ]
    }

    /// The values of a window at one tap, zeros outside the picture or the clip. Whether a window reaches over an edge
    /// cannot be foreseen, so nothing branches on it.
    #[inline(always)]
    fn values(
        &self,
        window: &Window,
        tap: (usize, usize),
        from: isize,
        of: &Range<usize>,
    ) -> &[f32] {
        let mut inside = window.sees(tap);
        let mut at = window.first + self.plan.offset(tap);
        if let (Some(shifted), true) = (self.shifted, from != 0) {
            let (has_previous, has_next) = shifted.neighbours[window.frame];
            inside &= if from < 0 { has_previous } else { has_next };
            at += from * self.plan.source.count() as isize;
        }
        let at = at as usize + of.start;
        let (source, at) = select_unpredictable(inside, (self.x, at), (&ZEROS[..], 0));
        &source[at..][..of.len()]
    }

    /// The columns of W from `column` on, from a tap's channel on.
    #[inline(always)]
    fn weights(&self, tap: usize, channel: usize, column: usize) -> Columns<'_> {
        let strip = self.plan.width() * STRIP;
        let row = tap * self.plan.depth + channel;
        Columns {
            values: &self.w[column / STRIP * strip + column % STRIP + row * STRIP..],
            step: STRIP,
            strip,
        }
    }

    /// The tile of windows that lie inside the picture, line by line without a look at edges.
    #[inline(always)]
    fn sum_lines<S: Simd, const R: usize, const V: usize>(
        &self,
        simd: S,
        windows: [&Window; R],
        column: usize,
        (lines, channels): (&Range<usize>, &Range<usize>),
    ) -> Tile<S, R, V> {
        let first = self.plan.offset((lines.start, 0));
        let mut rows: [&[f32]; R] = [&[]; R];
        for (row, window) in rows.iter_mut().zip(windows) {
            *row = &self.x[(window.first + first) as usize + channels.start..];
        }
        let walk = Walk {
            pieces: lines.len(),
            pitch: self.plan.source.width * self.plan.source.channels,
            steps: channels.len(),
            step: 1,
        };
        let columns = self.weights(lines.start, channels.start, column);
        let mut sum = tile::zeros(simd);
        tile::accumulate(simd, &mut sum, rows, walk, columns);
        sum
    }
}

/// Some rows of a product.
struct Block<'a> {
    product: &'a Product<'a>,
    /// Number of the first row.
    start: usize,
    /// Whether every window is one column of taps inside the picture and the clip.
    is_inside: bool,
    windows: &'a [Window],
    places: &'a [usize],
    y: &'a mut [f32],
}

impl Panels for Block<'_> {
    const TALL: bool = false;

    #[inline(always)]
    fn panel<S: Simd, const R: usize, const V: usize>(&mut self, simd: S, column: usize) {
        let mut chunks = self.product.chunks().peekable();
        let mut first = true;
        while let Some((taps, channels)) = chunks.next() {
            let finish = chunks.peek().is_none();
            for row in (0..self.windows.len()).step_by(R) {
                if first {
                    self.announce::<S, R, V>(row, column);
                }
                let sum = self.sum::<S, R, V>(simd, (row, column), &taps, &channels);
                self.store(simd, sum, (row, column), first, finish);
            }
            first = false;
        }
    }
}

impl Block<'_> {
    /// The tile at (row, column), over one chunk.
    #[inline(always)]
    fn sum<S: Simd, const R: usize, const V: usize>(
        &self,
        simd: S,
        (row, column): (usize, usize),
        taps: &Range<usize>,
        channels: &Range<usize>,
    ) -> Tile<S, R, V> {
        let product = self.product;
        // The last tile repeats its last row.
        let last = self.windows.len() - 1;
        let mut windows = [&self.windows[row]; R];
        for (r, window) in windows.iter_mut().enumerate() {
            *window = &self.windows[last.min(row + r)];
        }
        if self.is_inside {
            return product.sum_lines(simd, windows, column, (taps, channels));
        }
        let mut sum = tile::zeros(simd);
        for tap in taps.clone() {
            let at = (tap / product.plan.taps.1, tap % product.plan.taps.1);
            for (from, channels) in product.sources(channels) {
                if channels.is_empty() {
                    continue;
                }
                // A loop: functions that `map` calls are not compiled for the vectors at hand.
                let mut rows: [&[f32]; R] = [&[]; R];
                for (row, window) in rows.iter_mut().zip(windows) {
                    *row = product.values(window, at, from, &channels);
                }
                let walk = Walk::straight(channels.len(), 1);
                let columns = product.weights(tap, channels.start, column);
                tile::accumulate(simd, &mut sum, rows, walk, columns);
            }
        }
        sum
    }

    /// Lets the cache fetch the part of y that a tile will be written to, while its sum runs.
    #[inline(always)]
    fn announce<S: Simd, const R: usize, const V: usize>(&self, row: usize, column: usize) {
        for &place in self.places[row..].iter().take(R) {
            for v in 0..V {
                tile::prefetch_for_writing(self.y, place + column + v * S::F32_LANES);
            }
        }
    }

    /// Adds a chunk's tile to y, or puts it there if it is the first chunk's; `finish` completes the values.
    #[inline(always)]
    fn store<S: Simd, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        sum: Tile<S, R, V>,
        (row, column): (usize, usize),
        first: bool,
        finish: bool,
    ) {
        let columns = self.product.columns;
        let places = self.places[row..].iter().take(R);
        for (r, (&place, sums)) in places.zip(sum).enumerate() {
            let of = (self.start + row + r) * columns;
            let y = &mut self.y[place..place + columns];
            tile::update_row(
                simd,
                sums,
                (y, column),
                #[inline(always)]
                |sum, before, columns| {
                    let value = match first {
                        true => sum,
                        false => simd.add_f32s(before, sum),
                    };
                    match finish {
                        true => self.product.finish.apply(simd, value, columns, of),
                        false => value,
                    }
                },
            );
        }
    }
}

impl Finish<'_> {
    /// `columns` of the row whose residual begins at `row`.
    #[inline(always)]
    pub fn apply<S: Simd>(
        &self,
        simd: S,
        mut y: S::f32s,
        columns: Range<usize>,
        row: usize,
    ) -> S::f32s {
        if let Some(bias) = self.bias {
            y = simd.add_f32s(y, tile::load(simd, &bias[columns.clone()]));
        }
        if let Some(residual) = self.residual {
            let residual = &residual[row + columns.start..row + columns.end];
            y = simd.add_f32s(y, tile::load(simd, residual));
        }
        match self.relu {
            true => positive_vector(simd, y),
            false => y,
        }
    }
}

/// ReLU that keeps NaN, as [`super::simd::positive`].
#[inline(always)]
fn positive_vector<S: Simd>(simd: S, y: S::f32s) -> S::f32s {
    let zero = simd.splat_f32s(0.0);
    simd.select_f32s(simd.less_than_f32s(y, zero), zero, y)
}
