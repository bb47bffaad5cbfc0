//! y = G(x)·W (+ bias) (+ residual), ReLU: the product behind a convolution's forward pass and its input's gradient.
//!
//! The rows of G(x) are windows of the activation x, read where they are. W is packed in strips of 16 columns,
//! `[strip][tap][channel][16]`. The sum over taps and channels is cut into chunks of [`DEPTH`] that are added up in y, so
//! that a chunk's panel of W stays in the cache while all rows of a block pass by, and rounding errors stay small.

use std::ops::Range;

use pulp::Simd;

use super::gather::{Shifted, Window};
use super::tile::{self, Columns, Panels, STRIP, Tile};
use crate::program::tiling::Gather;

/// Terms of a sum that are added in registers: a panel of 64 columns is 128 KiB.
const DEPTH: usize = 512;
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
                windows: &windows[..count],
                places: &places[..count],
                y,
            };
            tile::for_each_panel(self.columns, &mut block);
        }
    }

    /// The chunks of the sum: taps, and channels of each.
    fn chunks(&self) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        let (taps, channels) = (
            self.plan.taps.0 * self.plan.taps.1,
            self.plan.source.channels,
        );
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

    /// The channels of a window's pixel, zeros outside the picture or the clip.
    #[inline(always)]
    fn pixel(
        &self,
        window: &Window,
        tap: (usize, usize),
        from: isize,
        of: &Range<usize>,
    ) -> &[f32] {
        let plan = self.plan;
        let Some(mut pixel) = window.pixel(plan, tap) else {
            return &ZEROS[..of.len()];
        };
        if let (Some(shifted), true) = (self.shifted, from != 0) {
            let (has_previous, has_next) = shifted.neighbours[window.frame];
            if !(if from < 0 { has_previous } else { has_next }) {
                return &ZEROS[..of.len()];
            }
            let frame = (plan.source.height * plan.source.width) as isize;
            pixel = pixel.wrapping_add_signed(from * frame);
        }
        &self.x[pixel * plan.source.channels..][of.clone()]
    }
}

/// Some rows of a product.
struct Block<'a> {
    product: &'a Product<'a>,
    /// Number of the first row.
    start: usize,
    windows: &'a [Window],
    places: &'a [usize],
    y: &'a mut [f32],
}

impl Panels for Block<'_> {
    #[inline(always)]
    fn panel<S: Simd, const R: usize, const V: usize>(&mut self, simd: S, column: usize) {
        let mut chunks = self.product.chunks().peekable();
        let mut first = true;
        while let Some((taps, channels)) = chunks.next() {
            let finish = chunks.peek().is_none();
            for row in (0..self.windows.len()).step_by(R) {
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
        let (plan, depth) = (product.plan, product.plan.width());
        // The last tile repeats its last row.
        let last = self.windows.len() - 1;
        let windows: [&Window; R] = std::array::from_fn(|r| &self.windows[last.min(row + r)]);
        let strips = &product.w[column / STRIP * depth * STRIP + column % STRIP..];
        let mut sum = tile::zeros(simd);
        for tap in taps.clone() {
            let at = (tap / plan.taps.1, tap % plan.taps.1);
            for (from, channels) in product.sources(channels) {
                if channels.is_empty() {
                    continue;
                }
                let rows = windows.map(|window| product.pixel(window, at, from, &channels));
                let columns = Columns {
                    values: &strips[(tap * plan.source.channels + channels.start) * STRIP..],
                    step: STRIP,
                    strip: depth * STRIP,
                };
                tile::accumulate(simd, &mut sum, (rows, 1), columns, channels.len());
            }
        }
        sum
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
            for (v, mut value) in sums.into_iter().enumerate() {
                let from = column + v * S::F32_LANES;
                if from >= columns {
                    break;
                }
                let to = columns.min(from + S::F32_LANES);
                let y = &mut self.y[place + from..place + to];
                if !first {
                    value = simd.add_f32s(simd.partial_load_f32s(y), value);
                }
                if finish {
                    value = self.product.finish.apply(simd, value, from..to, of);
                }
                simd.partial_store_f32s(y, value);
            }
        }
    }
}

impl Finish<'_> {
    /// `columns` of the row whose residual begins at `row`.
    #[inline(always)]
    fn apply<S: Simd>(
        &self,
        simd: S,
        mut y: S::f32s,
        columns: Range<usize>,
        row: usize,
    ) -> S::f32s {
        if let Some(bias) = self.bias {
            y = simd.add_f32s(y, simd.partial_load_f32s(&bias[columns.clone()]));
        }
        if let Some(residual) = self.residual {
            let residual = &residual[row + columns.start..row + columns.end];
            y = simd.add_f32s(y, simd.partial_load_f32s(residual));
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
