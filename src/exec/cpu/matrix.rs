//! Products of small matrices in scratch memory: out = left·right, or added to what is there.
//!
//! The right matrix is packed in strips of 16 columns, `[strip][row][16]`; the left one, and what comes out, lie in rows or in such
//! strips. Sums are cut into chunks of [`DEPTH`] terms, as in [`super::product`].

use std::ops::Range;

use pulp::Simd;

use super::conv::tiling::STRIP;
use super::machine::Machine;
use super::product::DEPTH;
use super::scalar::Scalar;
use super::simd::wide;
use super::tile::{self, Columns, Panels, Tile, Walk};

/// Some channels of the pixels of an activation, a pixel a row.
#[derive(Clone, Copy)]
pub struct Matrix<'a, E> {
    pub values: &'a [E],
    /// From one row to the next.
    pub pitch: usize,
    pub rows: usize,
    pub columns: usize,
}

impl<'a, E> Matrix<'a, E> {
    pub fn rows(self, rows: Range<usize>) -> Self {
        Self {
            values: &self.values[rows.start * self.pitch..],
            rows: rows.len(),
            ..self
        }
    }

    #[inline(always)]
    fn row(&self, row: usize) -> &'a [E] {
        &self.values[row * self.pitch..][..self.columns]
    }
}

/// Packs a matrix in strips of `rows` rows, zeros behind its own rows and columns.
pub fn pack<E: Scalar>(matrix: Matrix<'_, E>, rows: usize, to: &mut [f32]) {
    wide(
        #[inline(always)]
        || {
            for (strip, to) in to.chunks_exact_mut(rows * STRIP).enumerate() {
                let (to, behind) = to.split_at_mut(matrix.rows * STRIP);
                let columns = strip * STRIP..matrix.columns.min((strip + 1) * STRIP);
                for (row, to) in to.chunks_exact_mut(STRIP).enumerate() {
                    let values = &matrix.row(row)[columns.clone()];
                    let (to, rest) = to.split_at_mut(values.len());
                    to.iter_mut()
                        .zip(values)
                        .for_each(|(to, v)| *to = v.float());
                    rest.fill(0.0);
                }
                behind.fill(0.0);
            }
        },
    );
}

/// Packs the matrix turned round, its rows as `columns` columns, zeros behind its own.
pub fn pack_transposed<E: Scalar>(matrix: Matrix<'_, E>, columns: usize, to: &mut [f32]) {
    wide(
        #[inline(always)]
        || {
            let strips = to.chunks_exact_mut(matrix.columns * STRIP);
            for (strip, to) in strips.enumerate().take(columns / STRIP) {
                to.fill(0.0);
                let rows = strip * STRIP..matrix.rows.min((strip + 1) * STRIP);
                for (column, row) in rows.enumerate() {
                    let pairs = to.chunks_exact_mut(STRIP).zip(matrix.row(row));
                    pairs.for_each(|(to, v)| to[column] = v.float());
                }
            }
        },
    );
}

/// A left matrix: where the values of a row begin, and where they lie from there.
#[derive(Clone, Copy)]
pub struct Left<'a> {
    values: &'a [f32],
    rows: usize,
    /// From one row to the next, and from 16 rows to the next 16.
    steps: (usize, usize),
    depth: usize,
    /// From one value of a row to the next, and from 16 to the next 16.
    terms: (usize, usize),
}

impl<'a> Left<'a> {
    /// The first `rows` of strips of `height` rows.
    pub fn strips(values: &'a [f32], rows: usize, height: usize, depth: usize) -> Self {
        Self {
            values,
            rows,
            steps: (STRIP, STRIP * STRIP),
            depth,
            terms: (1, height * STRIP),
        }
    }

    /// The first `rows` of strips of `height` rows, turned round: `columns` rows of so many terms.
    pub fn transposed(values: &'a [f32], rows: usize, height: usize, columns: usize) -> Self {
        Self {
            values,
            rows: columns,
            steps: (1, height * STRIP),
            depth: rows,
            terms: (STRIP, STRIP * STRIP),
        }
    }

    /// A row's values from a term on, the first of 16.
    #[inline(always)]
    fn row(&self, row: usize, term: usize) -> &'a [f32] {
        let at = row / STRIP * self.steps.1 + row % STRIP * self.steps.0;
        &self.values[at + term / STRIP * self.terms.1..]
    }

    /// Some terms: pieces of 16, and what is left.
    #[inline(always)]
    fn walks(&self, terms: usize) -> [Walk; 2] {
        let (step, pitch) = self.terms;
        let walk = |pieces, steps| Walk {
            pieces,
            pitch,
            steps,
            step,
        };
        [walk(terms / STRIP, STRIP), walk(1, terms % STRIP)]
    }
}

/// A right matrix, packed.
#[derive(Clone, Copy)]
pub struct Right<'a> {
    pub values: &'a [f32],
    pub rows: usize,
    /// A multiple of 16.
    pub columns: usize,
}

/// Where a product goes.
pub struct Out<'a> {
    values: &'a mut [f32],
    /// From one row to the next.
    row: usize,
    /// From 16 columns to the next 16.
    strip: usize,
    is_sum: bool,
}

impl<'a> Out<'a> {
    pub fn rows(values: &'a mut [f32], pitch: usize) -> Self {
        Self {
            values,
            row: pitch,
            strip: STRIP,
            is_sum: false,
        }
    }

    /// Strips of `height` rows.
    pub fn strips(values: &'a mut [f32], height: usize) -> Self {
        Self {
            values,
            row: STRIP,
            strip: height * STRIP,
            is_sum: false,
        }
    }

    /// Adds to what is there.
    pub fn adding(self) -> Self {
        Self {
            is_sum: true,
            ..self
        }
    }

    #[inline(always)]
    fn at(&self, row: usize, column: usize) -> usize {
        row * self.row + column / STRIP * self.strip + column % STRIP
    }
}

/// out = left·right.
pub fn multiply(left: Left<'_>, right: Right<'_>, out: Out<'_>) {
    tile::for_each_panel(right.columns, &mut Product { left, right, out });
}

struct Product<'a> {
    left: Left<'a>,
    right: Right<'a>,
    out: Out<'a>,
}

impl Panels for Product<'_> {
    type Scalar = f32;

    #[inline(always)]
    fn panel<M: Machine<Scalar = f32>, const R: usize, const V: usize>(
        &mut self,
        machine: M,
        column: usize,
    ) {
        for term in (0..self.left.depth).step_by(DEPTH) {
            let terms = term..self.left.depth.min(term + DEPTH);
            for row in (0..self.left.rows).step_by(R) {
                self.tile::<M, R, V>(machine, (row, column), terms.clone());
            }
        }
    }
}

impl Product<'_> {
    #[inline(always)]
    fn tile<M: Machine<Scalar = f32>, const R: usize, const V: usize>(
        &mut self,
        machine: M,
        (row, column): (usize, usize),
        terms: Range<usize>,
    ) {
        let Self { left, right, out } = self;
        let mut sum: Tile<M, R, V> = tile::zeros(machine);
        let mut term = terms.start;
        for walk in left.walks(terms.len()) {
            if walk.pieces * walk.steps == 0 {
                continue;
            }
            let mut rows: [&[f32]; R] = [&[]; R];
            for (r, values) in rows.iter_mut().enumerate() {
                // The last tile repeats its last row.
                *values = left.row((row + r).min(left.rows - 1), term);
            }
            let columns = Columns {
                values: &right.values[column / STRIP * right.rows * STRIP..]
                    [term * STRIP + column % STRIP..],
                strip: right.rows * STRIP,
            };
            tile::accumulate(machine, &mut sum, rows, walk, columns);
            term += walk.pieces * walk.steps;
        }
        let simd = machine.simd();
        let is_sum = out.is_sum || terms.start > 0;
        for (r, sums) in sum.into_iter().enumerate().take(left.rows - row) {
            for (v, mut value) in sums.into_iter().enumerate() {
                let at = out.at(row + r, column + v * M::LANES);
                let to = &mut out.values[at..at + M::LANES];
                if is_sum {
                    value = simd.add_f32s(f32::load(simd, to), value);
                }
                f32::store(simd, to, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::rng::{Purpose, Stream};

    fn values(count: usize, seed: u64) -> Vec<f32> {
        let mut stream = Stream::new(seed, Purpose::Init, &[]);
        (0..count).map(|_| stream.uniform() as f32 - 0.5).collect()
    }

    proptest! {
        #[test]
        fn products_are_those_of_their_definition(
            rows in 1usize..40, depth in 1usize..600, columns in 1usize..70, is_turned: bool, is_sum: bool,
        ) {
            let (a, b) = (values(rows * depth, 1), values(depth * columns, 2));
            let wide = columns.next_multiple_of(STRIP);
            let matrix = |values, rows, columns| Matrix { values, pitch: columns, rows, columns };
            let mut right = vec![f32::NAN; depth * wide];
            pack(matrix(&b, depth, columns), depth, &mut right);
            let right = Right { values: &right, rows: depth, columns: wide };
            // Rows of the strips: more than are used.
            let height = if is_turned { depth } else { rows } + 3;
            let across = if is_turned { rows } else { depth };
            let mut strips = vec![f32::NAN; height * across.next_multiple_of(STRIP)];
            let turned: Vec<f32> = (0..rows * depth).map(|i| a[i % rows * depth + i / rows]).collect();
            let left = match is_turned {
                true => {
                    pack(matrix(&turned, depth, rows), height, &mut strips);
                    Left::transposed(&strips, depth, height, rows)
                }
                false => {
                    pack(matrix(&a, rows, depth), height, &mut strips);
                    Left::strips(&strips, rows, height, depth)
                }
            };
            let mut y = vec![1.0; rows * wide];
            let out = Out::rows(&mut y, wide);
            multiply(left, right, if is_sum { out.adding() } else { out });
            let mut in_strips = vec![0.0; rows * wide];
            multiply(left, right, Out::strips(&mut in_strips, rows));
            for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
                let terms = (0..depth).map(|k| f64::from(a[row * depth + k]) * f64::from(b[k * columns + column]));
                let expected = terms.sum::<f64>() + f64::from(u8::from(is_sum));
                prop_assert!((f64::from(y[row * wide + column]) - expected).abs() < 1e-4);
                let found = in_strips[column / STRIP * rows * STRIP + row * STRIP + column % STRIP];
                prop_assert!((f64::from(found) + f64::from(u8::from(is_sum)) - expected).abs() < 1e-4);
            }
        }

        #[test]
        fn a_transposed_matrix_is_packed_as_its_transpose(rows in 1usize..40, columns in 1usize..40) {
            let a = values(rows * columns, 3);
            let turned: Vec<f32> = (0..rows * columns).map(|i| a[i % rows * columns + i / rows]).collect();
            let wide = rows.next_multiple_of(STRIP);
            let (mut one, mut other) = (vec![f32::NAN; columns * wide], vec![f32::NAN; columns * wide]);
            pack_transposed(Matrix { values: &a, pitch: columns, rows, columns }, wide, &mut one);
            pack(Matrix { values: &turned, pitch: rows, rows: columns, columns: rows }, columns, &mut other);
            prop_assert_eq!(one, other);
        }
    }
}
