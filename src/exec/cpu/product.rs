//! y = G(x)·W (+ bias) (+ residual), ReLU: the product behind a convolution's forward pass and its input's gradient.
//!
//! The rows of G(x) are windows of the activation x, read where they are. W is packed in strips of 16 columns,
//! `[strip][tap][channel][16]`. The sum over taps and channels is cut into chunks of [`DEPTH`] that are added up in scratch
//! memory, in float32, so that a chunk's panel of W stays in the cache while all rows of a block pass by, and rounding
//! errors stay small.

use std::hint::select_unpredictable;
use std::ops::Range;

use pulp::Simd;

use super::gather::{Shifted, Window};
use super::machine::{Machine, Sums};
use super::scalar::Scalar;
use super::tile::{self, Columns, Panels, Tile, Walk};
use crate::exec::cpu::conv::tiling::{Gather, PANEL, PRODUCT_ROWS as ROWS, STRIP};

/// Terms of a sum that are added in registers: a panel of 64 columns is 128 KiB.
pub const DEPTH: usize = 512;
/// Values of a row's sums in scratch memory.
const WIDTH: usize = PANEL * STRIP;

/// What happens to a value once its sum is complete.
#[derive(Clone, Copy)]
pub struct Finish<'a, Y> {
    pub bias: Option<&'a [f32]>,
    /// As y.
    pub residual: Option<&'a [Y]>,
    pub relu: bool,
}

impl<Y> Finish<'_, Y> {
    /// Nothing.
    pub const NONE: Self = Self {
        bias: None,
        residual: None,
        relu: false,
    };
}

/// The matrices: x and W of one element, y of its own.
#[derive(Clone, Copy)]
pub struct Product<'a, X, Y> {
    pub plan: &'a Gather,
    pub x: &'a [X],
    pub shifted: Option<Shifted<'a>>,
    pub w: &'a [X],
    /// Columns of W and y.
    pub columns: usize,
    pub finish: Finish<'a, Y>,
}

/// Where rows of a product go.
pub struct Target<'a, Y, P> {
    pub y: &'a mut [Y],
    /// Of a row's first value.
    pub place: P,
    /// Room for sums.
    pub scratch: &'a mut [f32],
}

impl<X: Scalar, Y: Scalar> Product<'_, X, Y> {
    /// Rows `rows` of the product; row r goes to `y[place(r)..]`, and its residual comes from `residual[r·columns..]`.
    pub fn run<P: Fn(usize) -> usize>(&self, rows: Range<usize>, target: Target<'_, Y, P>) {
        let Target { y, place, scratch } = target;
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
                rows.for_each(|&at| y[at..][..self.columns].fill(Y::default()));
                continue;
            }
            let mut block = Block {
                product: self,
                start,
                is_inside: self.plan.is_inside() && self.shifted.is_none(),
                windows: &windows[..count],
                places: &places[..count],
                y,
                sums: &mut scratch[..ROWS * WIDTH],
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
    pub(super) fn sources(&self, channels: &Range<usize>) -> [(isize, Range<usize>); 3] {
        let fold = self.shifted.map_or(0, |shifted| shifted.fold);
        let cut = |from: usize, to: usize| channels.start.max(from)..channels.end.min(to);
        [
            (1, cut(0, fold)),
            (-1, cut(fold, 2 * fold)),
            (0, cut(2 * fold, usize::MAX)),
        ]
    }

    /// The values of a window at one tap from a channel on, and what follows in memory; zeros outside the image or the clip.
    /// Whether a window reaches over an edge cannot be foreseen, so nothing branches on it.
    #[inline(always)]
    pub(super) fn values(
        &self,
        window: &Window,
        tap: (usize, usize),
        from: isize,
        channel: usize,
    ) -> &[X] {
        let mut inside = window.sees(tap);
        let mut at = window.first + self.plan.offset(tap);
        if let (Some(shifted), true) = (self.shifted, from != 0) {
            let (has_previous, has_next) = shifted.neighbours[window.frame];
            inside &= if from < 0 { has_previous } else { has_next };
            at += from * self.plan.source.count() as isize;
        }
        let at = at as usize + channel;
        let (source, at) = select_unpredictable(inside, (self.x, at), (X::ZEROS, 0));
        &source[at..]
    }

    /// The columns of W from `column` on, from a tap's channel on.
    #[inline(always)]
    fn weights(&self, tap: usize, channel: usize, column: usize) -> Columns<'_, X> {
        let (rows, row) = (self.plan.width(), tap * self.plan.depth + channel);
        Columns {
            values: &self.w[tile::packed_index::<X>(rows, row, column)..],
            strip: rows * STRIP,
        }
    }

    /// The tile of windows that lie inside the image, line by line without a look at edges.
    #[inline(always)]
    fn sum_lines<M: Machine<Scalar = X>, const R: usize, const V: usize>(
        &self,
        machine: M,
        windows: [&Window; R],
        column: usize,
        (lines, channels): (&Range<usize>, &Range<usize>),
    ) -> Tile<M, R, V> {
        let first = self.plan.offset((lines.start, 0));
        let mut rows: [&[X]; R] = [&[]; R];
        for (row, window) in rows.iter_mut().zip(windows) {
            *row = &self.x[(window.first + first) as usize + channels.start..];
        }
        let walk = Walk {
            pieces: lines.len(),
            pitch: self.plan.source.width * self.plan.source.channels,
            ..Walk::along::<X>(channels.len())
        };
        let columns = self.weights(lines.start, channels.start, column);
        let mut sum = tile::zeros(machine);
        tile::accumulate(machine, &mut sum, rows, walk, columns);
        sum
    }
}

/// Some rows of a product.
struct Block<'a, X, Y> {
    product: &'a Product<'a, X, Y>,
    /// Number of the first row.
    start: usize,
    /// Whether every window is one column of taps inside the image and the clip.
    is_inside: bool,
    windows: &'a [Window],
    places: &'a [usize],
    y: &'a mut [Y],
    /// The sums so far of a panel whose sum has several chunks: `[row][column]`.
    sums: &'a mut [f32],
}

impl<X: Scalar, Y: Scalar> Panels for Block<'_, X, Y> {
    type Scalar = X;

    #[inline(always)]
    fn panel<M: Machine<Scalar = X>, const R: usize, const V: usize>(
        &mut self,
        machine: M,
        column: usize,
    ) {
        let mut chunks = self.product.chunks().peekable();
        let mut first = true;
        while let Some((taps, channels)) = chunks.next() {
            let last = chunks.peek().is_none();
            for row in (0..self.windows.len()).step_by(R) {
                if last {
                    self.announce::<M, R, V>(row, column);
                }
                let mut sum = self.sum::<M, R, V>(machine, (row, column), &taps, &channels);
                if !first {
                    self.add_kept(machine, &mut sum, row);
                }
                match last {
                    true => self.store(machine, sum, row, column),
                    false => self.keep::<M, R, V>(sum, row),
                }
            }
            first = false;
        }
    }
}

impl<X: Scalar, Y: Scalar> Block<'_, X, Y> {
    /// The tile at (row, column), over one chunk.
    #[inline(always)]
    fn sum<M: Machine<Scalar = X>, const R: usize, const V: usize>(
        &self,
        machine: M,
        (row, column): (usize, usize),
        taps: &Range<usize>,
        channels: &Range<usize>,
    ) -> Tile<M, R, V> {
        let product = self.product;
        // The last tile repeats its last row.
        let last = self.windows.len() - 1;
        let mut windows = [&self.windows[row]; R];
        for (r, window) in windows.iter_mut().enumerate() {
            *window = &self.windows[last.min(row + r)];
        }
        if self.is_inside {
            return product.sum_lines(machine, windows, column, (taps, channels));
        }
        let mut sum = tile::zeros(machine);
        for tap in taps.clone() {
            let at = (tap / product.plan.taps.1, tap % product.plan.taps.1);
            for (from, channels) in product.sources(channels) {
                if channels.is_empty() {
                    continue;
                }
                // A loop: functions that `map` calls are not compiled for the vectors at hand.
                let mut rows: [&[X]; R] = [&[]; R];
                for (row, window) in rows.iter_mut().zip(windows) {
                    *row = &product.values(window, at, from, channels.start)[..channels.len()];
                }
                let walk = Walk::along::<X>(channels.len());
                let columns = product.weights(tap, channels.start, column);
                tile::accumulate(machine, &mut sum, rows, walk, columns);
            }
        }
        sum
    }

    /// Lets the cache fetch the part of y that a tile will be written to, while its sum runs.
    #[inline(always)]
    fn announce<M: Machine, const R: usize, const V: usize>(&self, row: usize, column: usize) {
        for &place in self.places[row..].iter().take(R) {
            for v in 0..V {
                tile::prefetch(self.y, place + column + v * M::LANES);
            }
        }
    }

    /// The vectors of sums that are kept for a row.
    #[inline(always)]
    fn kept<M: Machine>(&mut self, row: usize) -> &mut [Sums<M>] {
        M::Simd::as_mut_simd_f32s(&mut self.sums[row * WIDTH..][..WIDTH]).0
    }

    /// Adds what earlier chunks gave.
    #[inline(always)]
    fn add_kept<M: Machine, const R: usize, const V: usize>(
        &mut self,
        machine: M,
        tile: &mut Tile<M, R, V>,
        row: usize,
    ) {
        for (r, sums) in tile.iter_mut().enumerate().take(ROWS - row) {
            for (sum, kept) in sums.iter_mut().zip(self.kept::<M>(row + r)) {
                *sum = machine.simd().add_f32s(*kept, *sum);
            }
        }
    }

    /// Keeps a tile until the next chunk.
    #[inline(always)]
    fn keep<M: Machine, const R: usize, const V: usize>(
        &mut self,
        tile: Tile<M, R, V>,
        row: usize,
    ) {
        for (r, sums) in tile.into_iter().enumerate().take(ROWS - row) {
            for (sum, kept) in sums.into_iter().zip(self.kept::<M>(row + r)) {
                *kept = sum;
            }
        }
    }

    /// Writes a tile of complete sums.
    #[inline(always)]
    fn store<M: Machine, const R: usize, const V: usize>(
        &mut self,
        machine: M,
        tile: Tile<M, R, V>,
        row: usize,
        column: usize,
    ) {
        let columns = self.product.columns;
        let places = self.places[row..].iter().take(R);
        for (r, (&place, sums)) in places.zip(tile).enumerate() {
            let of = (self.start + row + r) * columns;
            for (v, sum) in sums.into_iter().enumerate() {
                let from = column + v * M::LANES;
                let to = columns.min(from + M::LANES);
                if from >= to {
                    break;
                }
                let value = self.product.finish.apply(machine.simd(), sum, from..to, of);
                Y::store(machine.simd(), &mut self.y[place + from..place + to], value);
            }
        }
    }
}

impl<Y: Scalar> Finish<'_, Y> {
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
            y = simd.add_f32s(y, f32::load(simd, &bias[columns.clone()]));
        }
        if let Some(residual) = self.residual {
            let residual = &residual[row + columns.start..row + columns.end];
            y = simd.add_f32s(y, Y::load(simd, residual));
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
