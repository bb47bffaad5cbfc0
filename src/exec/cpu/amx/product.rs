//! y = G(x)·W (+ bias) (+ residual), ReLU, block by block: as [`crate::exec::cpu::product`], in the order of AMX.
//!
//! Of [`ROWS`] rows a chunk of the terms is gathered; a block's sums stay in registers over the chunk, and in scratch memory from
//! one chunk to the next.

use std::ops::Range;

use pulp::Simd;

use super::{Factors, Rows, Strips, TILE, Unit};
use crate::exec::cpu::amx::blocks::{self, ROWS, SIDE, SUMS};
use crate::exec::cpu::conv::tiling::STRIP;
use crate::exec::cpu::gather::Window;
use crate::exec::cpu::machine::{Machine, WithMachine};
use crate::exec::cpu::product::{Finish, Product, Target};
use crate::exec::cpu::scalar::{Scalar, bf16};
use crate::exec::cpu::tile::{self, Columns, packed_index};

/// Rows `rows` of the product, as [`Product::run`].
pub fn run<P: Fn(usize) -> usize>(
    product: &Product<'_, bf16, bf16>,
    rows: Range<usize>,
    target: Target<'_, bf16, P>,
) {
    let task = Task {
        product,
        rows,
        target,
    };
    bf16::filling(STRIP, task);
}

struct Task<'a, P> {
    product: &'a Product<'a, bf16, bf16>,
    rows: Range<usize>,
    target: Target<'a, bf16, P>,
}

impl<P: Fn(usize) -> usize> WithMachine<bf16> for Task<'_, P> {
    type Output = ();

    #[inline(always)]
    fn with_machine<M: Machine<Scalar = bf16>>(self, machine: M) {
        let Self {
            product,
            rows,
            target: Target { y, place, scratch },
        } = self;
        let unit = Unit::open();
        let mut windows = [Window::default(); ROWS];
        let mut places = [0; ROWS];
        for start in rows.clone().step_by(ROWS) {
            let count = ROWS.min(rows.end - start);
            for i in 0..count {
                windows[i] = Window::at(product.plan, start + i);
                places[i] = place(start + i);
            }
            let mut block = Block {
                product,
                start,
                windows: &windows[..count],
                places: &places[..count],
                y,
            };
            match product.plan.width() {
                0 => block.clear(),
                terms => block.run(machine, &unit, terms, scratch),
            }
        }
    }
}

/// Some rows of a product.
struct Block<'a> {
    product: &'a Product<'a, bf16, bf16>,
    /// Number of the first row.
    start: usize,
    windows: &'a [Window],
    places: &'a [usize],
    y: &'a mut [bf16],
}

impl Block<'_> {
    /// A product without terms.
    fn clear(&mut self) {
        for &place in self.places {
            self.y[place..][..self.product.columns].fill(bf16::ZERO);
        }
    }

    #[inline(always)]
    fn run<M: Machine<Scalar = bf16>>(
        &mut self,
        machine: M,
        unit: &Unit,
        terms: usize,
        scratch: &mut [f32],
    ) {
        let (chunks, each) = blocks::chunks(terms);
        let pitch = blocks::pitch(each);
        let (sums, gathered) =
            scratch.split_at_mut(blocks::kept_sums(chunks, self.product.columns));
        let gathered = bf16::view(gathered, ROWS * pitch);
        for chunk in 0..chunks {
            let taken = chunk * each..terms.min((chunk + 1) * each);
            self.gather(&taken, gathered, pitch);
            for column in (0..self.product.columns).step_by(SIDE) {
                for row in (0..self.windows.len()).step_by(SIDE) {
                    let at = match chunks {
                        1 => 0,
                        _ => (column * ROWS / SIDE + row) * SIDE,
                    };
                    let factors = Factors {
                        rows: Rows {
                            values: &gathered[row * pitch..],
                            pitch,
                            tiles: (self.windows.len() - row).div_ceil(TILE).min(2),
                        },
                        strips: self.strips(taken.start, column, terms),
                        steps: taken.len().div_ceil(SIDE),
                    };
                    let sums = &mut sums[at..][..SUMS];
                    let last = chunk + 1 == chunks;
                    if last {
                        self.announce(row, column);
                    }
                    unit.multiply(machine, factors, sums, chunk > 0);
                    if last {
                        self.finish(machine, sums, row, column);
                    }
                }
            }
        }
    }

    /// The terms `taken` of every row's window, one after another; zeros behind the last.
    #[inline(always)]
    fn gather(&self, taken: &Range<usize>, to: &mut [bf16], pitch: usize) {
        let product = self.product;
        let (depth, across) = (product.plan.depth, product.plan.taps.1);
        let mut at = 0;
        for tap in taken.start / depth..taken.end.div_ceil(depth) {
            let first = tap * depth;
            let channels = taken.start.max(first) - first..taken.end.min(first + depth) - first;
            for (from, channels) in product.sources(&channels) {
                if channels.is_empty() {
                    continue;
                }
                let rows = to.chunks_exact_mut(pitch).zip(self.windows);
                for (row, window) in rows {
                    let values =
                        product.values(window, (tap / across, tap % across), from, channels.start);
                    copy(values, &mut row[at..], channels.len());
                }
                at += channels.len();
            }
        }
        let end = at.next_multiple_of(SIDE);
        if at < end {
            let rows = to.chunks_exact_mut(pitch).take(self.windows.len());
            rows.for_each(|row| row[at..end].fill(bf16::ZERO));
        }
    }

    /// The strips of W from `column` on, from a term on.
    #[inline(always)]
    fn strips(&self, term: usize, column: usize, terms: usize) -> Strips<'_> {
        let rows = terms.next_multiple_of(SIDE);
        let columns = Columns {
            values: &self.product.w[packed_index::<bf16>(rows, term, column)..],
            strip: rows * STRIP,
        };
        let left = self.product.columns - column;
        Strips {
            columns,
            count: left.div_ceil(STRIP).min(2),
        }
    }

    /// Lets the cache fetch the part of y that a block will be written to, and the residual, while its sums run.
    #[inline(always)]
    fn announce(&self, row: usize, column: usize) {
        let columns = self.product.columns;
        for (r, &place) in self.places[row..].iter().take(SIDE).enumerate() {
            tile::prefetch(self.y, place + column);
            if let Some(residual) = self.product.finish.residual {
                tile::prefetch(residual, (self.start + row + r) * columns + column);
            }
        }
    }

    /// Writes a block of complete sums.
    #[inline(always)]
    fn finish<M: Machine<Scalar = bf16>>(
        &mut self,
        machine: M,
        sums: &[f32],
        row: usize,
        column: usize,
    ) {
        let Finish {
            bias,
            residual,
            relu,
        } = self.product.finish;
        let (count, columns) = (
            SIDE.min(self.product.columns - column),
            self.product.columns,
        );
        let line = Line {
            bias: bias.map_or([0.0; SIDE], |bias| first(&bias[column..][..count])),
            // Of numbers that are none nothing is less.
            least: if relu { 0.0 } else { f32::NEG_INFINITY },
        };
        let (sums, _) = sums.as_chunks::<SIDE>();
        let places = self.places[row..].iter().zip(sums);
        for (r, (&place, sums)) in places.enumerate() {
            let of = (self.start + row + r) * columns + column;
            let y = &mut self.y[place + column..][..count];
            let residual = residual.map(|residual| &residual[of..][..count]);
            match (y.first_chunk_mut(), residual.map(<[_]>::first_chunk)) {
                (Some(y), None) => line.finish(machine, sums, None, y),
                (Some(y), Some(Some(residual))) => line.finish(machine, sums, Some(residual), y),
                // The last columns, fewer than a block has.
                _ => {
                    let mut whole = [bf16::ZERO; SIDE];
                    let residual = residual.map(first);
                    line.finish(machine, sums, residual.as_ref(), &mut whole);
                    y.copy_from_slice(&whole[..count]);
                }
            }
        }
    }
}

/// What a row of a block is finished with, as [`Finish`].
struct Line {
    bias: [f32; SIDE],
    least: f32,
}

impl Line {
    #[inline(always)]
    fn finish<M: Machine<Scalar = bf16>>(
        &self,
        machine: M,
        sums: &[f32; SIDE],
        residual: Option<&[bf16; SIDE]>,
        y: &mut [bf16; SIDE],
    ) {
        let simd = machine.simd();
        let least = simd.splat_f32s(self.least);
        for from in (0..SIDE).step_by(M::LANES) {
            let part = from..from + M::LANES;
            let sum = f32::load(simd, &sums[part.clone()]);
            let mut value = simd.add_f32s(sum, f32::load(simd, &self.bias[part.clone()]));
            if let Some(residual) = residual {
                value = simd.add_f32s(value, bf16::load(simd, &residual[part.clone()]));
            }
            let value = simd.select_f32s(simd.less_than_f32s(value, least), least, value);
            machine.store(value, &mut y[part]);
        }
    }
}

/// At most a block's columns, zeros behind the last.
fn first<T: Copy + Default>(values: &[T]) -> [T; SIDE] {
    let mut row = [T::default(); SIDE];
    row[..values.len()].copy_from_slice(values);
    row
}

/// The first `count` values, and of what follows as much as whole vectors take: short slices are copied without a call, and what
/// comes behind them is written later.
#[inline(always)]
fn copy(from: &[bf16], to: &mut [bf16], count: usize) {
    let vectors = count.div_ceil(SIDE);
    let (whole, slots) = (from.as_chunks::<SIDE>().0, to.as_chunks_mut::<SIDE>().0);
    match (whole.get(..vectors), slots.get_mut(..vectors)) {
        (Some(whole), Some(slots)) => {
            for (slot, vector) in slots.iter_mut().zip(whole) {
                *slot = *vector;
            }
        }
        // At the end of the activation, or of the row.
        _ => to[..count].copy_from_slice(&from[..count]),
    }
}
