//! The inner loop of every product of matrices: a tile of the result stays in registers while the sum runs.
//!
//! tile[r][j] ← tile[r][j] + Σₛ row r[s·row_step] · columns[s·step + j]
//!
//! R rows by V vectors. Each step loads V vectors of the right matrix and multiplies them by one value of each row, so
//! `R·V` fused multiply-adds cost `R + V` loads; the sizes are the largest that a machine's registers hold. Rows lie
//! anywhere: the pixels of a convolution's windows are taken where they are, and nothing is copied.
//!
//! A value is one chain of fused multiply-adds over s, whatever the tile: every instruction set gives the same bits.
//!
//! Check: `cargo test --lib exec::cpu`; time: `ffn bench eval EXPERIMENT --profile`.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::simd::filling;
use crate::program::tiling::{PANEL, STRIP};

/// The right matrix from one column on: at step s, that column is at `s·step`; strips are `strip` values apart.
#[derive(Clone, Copy)]
pub struct Columns<'a> {
    pub values: &'a [f32],
    pub step: usize,
    pub strip: usize,
}

pub type Tile<S, const R: usize, const V: usize> = [[<S as Simd>::f32s; V]; R];

#[inline(always)]
pub fn zeros<S: Simd, const R: usize, const V: usize>(simd: S) -> Tile<S, R, V> {
    [[simd.splat_f32s(0.0); V]; R]
}

impl Columns<'_> {
    /// Distance of a vector of columns from the first.
    #[inline(always)]
    fn offset<S: Simd>(&self, vector: usize) -> usize {
        let column = vector * S::F32_LANES;
        column / STRIP * self.strip + column % STRIP
    }

    /// Whether there are `steps` steps of V vectors.
    #[inline(always)]
    fn hold<S: Simd, const V: usize>(&self, steps: usize) -> bool {
        let last = steps.saturating_sub(1) * self.step;
        self.values.len() >= last + self.offset::<S>(V - 1) + S::F32_LANES
    }
}

/// Where a row's values lie, from its first on: `pieces` pieces `pitch` apart, in each `steps` values `step` apart.
#[derive(Clone, Copy)]
pub struct Walk {
    pub pieces: usize,
    pub pitch: usize,
    pub steps: usize,
    pub step: usize,
}

impl Walk {
    /// A single piece.
    pub fn straight(steps: usize, step: usize) -> Self {
        Self {
            pieces: 1,
            pitch: 0,
            steps,
            step,
        }
    }

    /// Values from the first to the last, both counted.
    #[inline(always)]
    fn reach(&self) -> usize {
        (self.pieces - 1) * self.pitch + (self.steps - 1) * self.step + 1
    }
}

/// Adds the products of R rows and the columns to the tile. Panics if there are fewer values than the walk takes.
#[inline(always)]
pub fn accumulate<S: Simd, const R: usize, const V: usize>(
    simd: S,
    tile: &mut Tile<S, R, V>,
    rows: [&[f32]; R],
    walk: Walk,
    columns: Columns<'_>,
) {
    if walk.pieces * walk.steps == 0 {
        return;
    }
    let mut starts = [std::ptr::null(); R];
    for (start, row) in starts.iter_mut().zip(rows) {
        assert!(row.len() >= walk.reach());
        *start = row.as_ptr();
    }
    assert!(columns.hold::<S, V>(walk.pieces * walk.steps));
    // SAFETY: as asserted.
    unsafe { multiply_add(simd, tile, starts, walk, columns) }
}

/// The same for rows that begin at `rows[0]`, `rows[1]`, …
#[inline(always)]
pub fn accumulate_neighbours<S: Simd, const R: usize, const V: usize>(
    simd: S,
    tile: &mut Tile<S, R, V>,
    rows: &[f32],
    walk: Walk,
    columns: Columns<'_>,
) {
    if walk.pieces * walk.steps == 0 {
        return;
    }
    assert!(rows.len() >= walk.reach() + R - 1);
    assert!(columns.hold::<S, V>(walk.pieces * walk.steps));
    // SAFETY: as asserted: the last row, R − 1, has R − 1 values less than the first.
    unsafe {
        let mut starts = [rows.as_ptr(); R];
        for (r, start) in starts.iter_mut().enumerate() {
            *start = start.add(r);
        }
        multiply_add(simd, tile, starts, walk, columns);
    }
}

/// # Safety
/// Every row must hold the values of the walk, the columns as many steps of V vectors.
#[inline(always)]
unsafe fn multiply_add<S: Simd, const R: usize, const V: usize>(
    simd: S,
    tile: &mut Tile<S, R, V>,
    rows: [*const f32; R],
    walk: Walk,
    columns: Columns<'_>,
) {
    let mut right = columns.values.as_ptr();
    for piece in 0..walk.pieces {
        for step in 0..walk.steps {
            // SAFETY: the caller's promise; a vector is read without regard to alignment.
            unsafe {
                // Loops, not functions that take functions: those need not be compiled for the vectors at hand.
                let mut vectors = [simd.splat_f32s(0.0); V];
                for (v, vector) in vectors.iter_mut().enumerate() {
                    let at = right.add(columns.offset::<S>(v));
                    *vector = at.cast::<S::f32s>().read_unaligned();
                }
                for (row, sums) in rows.iter().zip(tile.iter_mut()) {
                    let left = simd.splat_f32s(*row.add(piece * walk.pitch + step * walk.step));
                    for (sum, right) in sums.iter_mut().zip(vectors) {
                        *sum = simd.mul_add_f32s(left, right, *sum);
                    }
                }
            }
            // Behind the last step it may point beyond the columns, where nothing is read.
            right = right.wrapping_add(columns.step);
        }
    }
}

/// A vector of at most as many values as it holds.
#[inline(always)]
pub fn load<S: Simd>(simd: S, values: &[f32]) -> S::f32s {
    match S::as_simd_f32s(values) {
        ([vector], []) => *vector,
        _ => simd.partial_load_f32s(values),
    }
}

/// Sets some columns of a row, from `column` on as far as the row goes, to `value(sum, what was there, columns)`.
#[inline(always)]
pub fn update_row<S: Simd, const V: usize>(
    simd: S,
    sums: [S::f32s; V],
    (row, column): (&mut [f32], usize),
    value: impl Fn(S::f32s, S::f32s, Range<usize>) -> S::f32s,
) {
    for (v, sum) in sums.into_iter().enumerate() {
        let from = column + v * S::F32_LANES;
        let to = row.len().min(from + S::F32_LANES);
        if from >= to {
            break;
        }
        let row = &mut row[from..to];
        // Whole vectors spare the masks.
        if let ([vector], []) = S::as_mut_simd_f32s(row) {
            *vector = value(sum, *vector, from..to);
        } else {
            let before = simd.partial_load_f32s(row);
            simd.partial_store_f32s(row, value(sum, before, from..to));
        }
    }
}

/// Has the cache fetch what will be written at `index`, if the machine can be asked to.
#[inline(always)]
pub fn prefetch_for_writing(values: &[f32], index: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing that a program sees, wherever it points.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(values.as_ptr().wrapping_add(index).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, index);
}

/// A product that computes the columns from `column` on, V vectors of them, in tiles of R rows.
pub trait Panels {
    /// Whether sums run over pieces so short that a tile should have many rows rather than many columns.
    const TALL: bool;

    fn panel<S: Simd, const R: usize, const V: usize>(&mut self, simd: S, column: usize);
}

/// Computes all `columns` of a product, panel by panel, with the widest vectors that the machine has. The last panel may
/// reach beyond the columns, up to the end of their strip.
///
/// Where the last strip is at most half full, its columns are computed with vectors of half a strip, so that none are
/// empty; so are those of the strip before it, in the same tiles. Machines that split vectors of 16 values in two (Zen 4)
/// take a quarter less time for 24 columns; what others make of it has not been measured.
pub fn for_each_panel<P: Panels>(columns: usize, product: &mut P) {
    let halves = columns.div_ceil(STRIP / 2);
    let left = match halves % 2 {
        0 => 0,
        _ if P::TALL => 1,
        _ => halves.min(3),
    };
    let strips = (halves - left) / 2;
    if strips > 0 {
        Arch::new().dispatch(ForEachPanel { strips, product });
    }
    if left > 0 {
        let halves = Halves {
            column: strips * STRIP,
            count: left,
            product,
        };
        filling(STRIP / 2, halves);
    }
}

struct ForEachPanel<'a, P> {
    strips: usize,
    product: &'a mut P,
}

impl<P: Panels> WithSimd for ForEachPanel<'_, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { strips, product } = self;
        let mut strip = 0;
        while strip < strips {
            let column = strip * STRIP;
            // 32 registers of 16 values; 16 of 8; elsewhere whatever works.
            strip += match (S::F32_LANES, strips - strip) {
                (16, PANEL..) => {
                    product.panel::<S, 6, PANEL>(simd, column);
                    PANEL
                }
                (16, 3) => {
                    product.panel::<S, 8, 3>(simd, column);
                    3
                }
                (16, 2) => {
                    product.panel::<S, 12, 2>(simd, column);
                    2
                }
                (16, _) => {
                    product.panel::<S, 12, 1>(simd, column);
                    1
                }
                (8, _) => {
                    product.panel::<S, 6, 2>(simd, column);
                    1
                }
                (4, _) => {
                    product.panel::<S, 6, 4>(simd, column);
                    1
                }
                (lanes, _) => {
                    let columns = (column..column + STRIP).step_by(lanes);
                    columns.for_each(|column| product.panel::<S, 4, 1>(simd, column));
                    1
                }
            };
        }
    }
}

/// One or three halves of strips.
struct Halves<'a, P> {
    column: usize,
    count: usize,
    product: &'a mut P,
}

impl<P: Panels> WithSimd for Halves<'_, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            column,
            count,
            product,
        } = self;
        match (S::F32_LANES, count) {
            // A row more would need all 16 registers, and the compiler one more than that.
            (8, 3) => product.panel::<S, 3, 3>(simd, column),
            (8, _) => product.panel::<S, 12, 1>(simd, column),
            (lanes, _) => {
                let columns = column..column + count * STRIP / 2;
                for column in columns.step_by(lanes) {
                    product.panel::<S, 4, 1>(simd, column);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pulp::Scalar;

    use super::*;
    use crate::base::rng::{Purpose, Stream};

    const ROWS: usize = 13;
    const DEPTH: usize = 37;

    /// A product of matrices.
    struct Product {
        x: Vec<f32>,
        w: Vec<f32>,
        columns: usize,
        y: Vec<f32>,
    }

    impl Product {
        fn new(columns: usize) -> Self {
            let mut stream = Stream::new(columns as u64, Purpose::Init, &[]);
            let mut values = |count| (0..count).map(|_| stream.uniform() as f32 - 0.5).collect();
            Self {
                x: values(ROWS * DEPTH),
                w: values(DEPTH * columns.next_multiple_of(STRIP)),
                columns,
                y: vec![f32::NAN; ROWS * columns],
            }
        }

        fn bits(&self) -> Vec<u32> {
            self.y.iter().map(|v| v.to_bits()).collect()
        }
    }

    impl Panels for Product {
        const TALL: bool = false;

        #[inline(always)]
        fn panel<S: Simd, const R: usize, const V: usize>(&mut self, simd: S, column: usize) {
            for first in (0..ROWS).step_by(R) {
                let mut rows: [&[f32]; R] = [&[]; R];
                for (r, row) in rows.iter_mut().enumerate() {
                    *row = &self.x[(first + r).min(ROWS - 1) * DEPTH..][..DEPTH];
                }
                let columns = Columns {
                    values: &self.w[column / STRIP * DEPTH * STRIP + column % STRIP..],
                    step: STRIP,
                    strip: DEPTH * STRIP,
                };
                let mut tile: Tile<S, R, V> = zeros(simd);
                accumulate(simd, &mut tile, rows, Walk::straight(DEPTH, 1), columns);
                for (row, sums) in (first..ROWS).zip(tile) {
                    let y = &mut self.y[row * self.columns..][..self.columns];
                    update_row(simd, sums, (y, column), |sum, _, _| sum);
                }
            }
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        for columns in [1_usize, 7, 8, 16, 20, 24, 40, 48, 64, 72, 100, 136] {
            let strips = columns.div_ceil(STRIP);
            let mut wanted = Product::new(columns);
            for_each_panel(columns, &mut wanted);
            assert!(wanted.y.iter().all(|v| v.is_finite()), "{columns}");

            let mut found = Product::new(columns);
            let product = &mut found;
            Simd::vectorize(Scalar::new(), ForEachPanel { strips, product });
            assert_eq!(found.bits(), wanted.bits(), "{columns} columns, no vectors");

            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            if let Some(simd) = pulp::x86::V3::try_new() {
                let mut found = Product::new(columns);
                let product = &mut found;
                Simd::vectorize(simd, ForEachPanel { strips, product });
                assert_eq!(found.bits(), wanted.bits(), "{columns} columns, AVX2");
            }
        }
    }
}
