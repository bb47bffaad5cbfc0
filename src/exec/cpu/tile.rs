//! The inner loop of every product of matrices: a tile of the result stays in registers while the sum runs.
//!
//! tile[r][j] ← tile[r][j] + Σₛ row r[s·row_step] · columns[s·step + j], s over single terms or pairs ([`Machine`]).
//!
//! R rows by V vectors. Each step loads V vectors of the right matrix and multiplies them by one value (or pair) of each
//! row, so `R·V` multiply-adds cost `R + V` loads; the sizes are the largest that a machine's registers hold. Rows lie
//! anywhere: the pixels of a convolution's windows are taken where they are, and nothing is copied.
//!
//! A value is one chain of multiply-adds over s, whatever the tile: every instruction set gives the same bits.
//!
//! Check: `cargo test --lib exec::cpu`; time: `ffn bench eval EXPERIMENT --profile`.

use pulp::Simd;

use super::machine::{Machine, Sums, WithMachine};
use super::scalar::Scalar;
use super::simd::splits_wide_vectors;
use crate::exec::cpu::conv::tiling::{PANEL, STRIP};

/// The right matrix from one column on: strips of 16 columns, `strip` values apart, in each the steps one after another.
#[derive(Clone, Copy)]
pub struct Columns<'a, E> {
    pub values: &'a [E],
    pub strip: usize,
}

pub type Tile<M, const R: usize, const V: usize> = [[Sums<M>; V]; R];

#[inline(always)]
pub fn zeros<M: Machine, const R: usize, const V: usize>(machine: M) -> Tile<M, R, V> {
    [[machine.simd().splat_f32s(0.0); V]; R]
}

/// Index of (row, column) in a matrix of `rows` rows that is packed in strips: `[strip][row / PAIR][16][PAIR]`.
#[inline(always)]
pub fn packed_index<E: Scalar>(rows: usize, row: usize, column: usize) -> usize {
    let (group, within) = (row / E::PAIR, row % E::PAIR);
    let strip = column / STRIP * rows.next_multiple_of(E::PAIR) * STRIP;
    strip + (group * STRIP + column % STRIP) * E::PAIR + within
}

impl<E: Scalar> Columns<'_, E> {
    /// Values from one step to the next.
    const STEP: usize = STRIP * E::PAIR;

    /// Distance of a vector of columns from the first.
    #[inline(always)]
    fn offset<M: Machine<Scalar = E>>(&self, vector: usize) -> usize {
        let column = vector * M::LANES;
        column / STRIP * self.strip + column % STRIP * E::PAIR
    }

    /// Whether there are `steps` steps of V vectors.
    #[inline(always)]
    fn hold<M: Machine<Scalar = E>, const V: usize>(&self, steps: usize) -> bool {
        let last = steps.saturating_sub(1) * Self::STEP;
        self.values.len() >= last + self.offset::<M>(V - 1) + M::LANES * E::PAIR
    }
}

/// Where a row's values lie, from its first on: `pieces` pieces `pitch` apart, in each `steps` steps `step` apart.
#[derive(Clone, Copy)]
pub struct Walk {
    pub pieces: usize,
    pub pitch: usize,
    pub steps: usize,
    pub step: usize,
}

impl Walk {
    /// `values` values side by side.
    pub fn along<E: Scalar>(values: usize) -> Self {
        Self {
            pieces: 1,
            pitch: 0,
            steps: values / E::PAIR,
            step: E::PAIR,
        }
    }

    /// Values from the first to the last, both counted.
    #[inline(always)]
    fn reach<E: Scalar>(&self) -> usize {
        (self.pieces - 1) * self.pitch + (self.steps - 1) * self.step + E::PAIR
    }
}

/// Adds the products of R rows and the columns to the tile. Panics if there are fewer values than the walk takes.
#[inline(always)]
pub fn accumulate<M: Machine, const R: usize, const V: usize>(
    machine: M,
    tile: &mut Tile<M, R, V>,
    rows: [&[M::Scalar]; R],
    walk: Walk,
    columns: Columns<'_, M::Scalar>,
) {
    if walk.pieces * walk.steps == 0 {
        return;
    }
    let mut starts = [std::ptr::null(); R];
    for (start, row) in starts.iter_mut().zip(rows) {
        assert!(row.len() >= walk.reach::<M::Scalar>());
        *start = row.as_ptr();
    }
    assert!(columns.hold::<M, V>(walk.pieces * walk.steps));
    // SAFETY: as asserted.
    unsafe { multiply_add(machine, tile, starts, walk, columns) }
}

/// # Safety
/// Every row must hold the values of the walk, the columns as many steps of V vectors.
#[inline(always)]
unsafe fn multiply_add<M: Machine, const R: usize, const V: usize>(
    machine: M,
    tile: &mut Tile<M, R, V>,
    rows: [*const M::Scalar; R],
    walk: Walk,
    columns: Columns<'_, M::Scalar>,
) {
    let mut right = columns.values.as_ptr();
    for piece in 0..walk.pieces {
        for step in 0..walk.steps {
            // SAFETY: the caller's promise.
            unsafe {
                // Loops, not functions that take functions: those need not be compiled for the vectors at hand.
                let mut vectors = [machine.right(right); V];
                for (v, vector) in vectors.iter_mut().enumerate() {
                    *vector = machine.right(right.add(columns.offset::<M>(v)));
                }
                for (row, sums) in rows.iter().zip(tile.iter_mut()) {
                    let left = machine.left(row.add(piece * walk.pitch + step * walk.step));
                    for (sum, right) in sums.iter_mut().zip(vectors) {
                        *sum = machine.multiply_add(left, right, *sum);
                    }
                }
            }
            // Behind the last step it may point beyond the columns, where nothing is read.
            right = right.wrapping_add(Columns::<M::Scalar>::STEP);
        }
    }
}

/// Has the cache fetch what will be read or written at `index`, if the machine can be asked to.
#[inline(always)]
pub fn prefetch<E>(values: &[E], index: usize) {
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
    /// Of both factors.
    type Scalar: Scalar;

    fn panel<M: Machine<Scalar = Self::Scalar>, const R: usize, const V: usize>(
        &mut self,
        machine: M,
        column: usize,
    );
}

/// Computes all `columns` of a product, panel by panel, with the widest vectors that the machine has. The last panel may
/// reach beyond the columns, up to the end of their strip.
///
/// Where the last strip is at most half full, and the machine splits vectors of 16 values in two anyway, its columns are
/// computed with vectors of half a strip, so that none are empty; so are those of the strip before it, in the same tiles. For 24
/// columns Zen 4 takes a quarter less time so; machines with whole vectors would take half as long again.
pub fn for_each_panel<P: Panels>(columns: usize, product: &mut P) {
    let halves = columns.div_ceil(STRIP / 2);
    let left = match halves % 2 {
        1 if splits_wide_vectors() => halves.min(3),
        _ => 0,
    };
    let strips = (halves - left).div_ceil(2);
    if strips > 0 {
        P::Scalar::filling(STRIP, ForEachPanel { strips, product });
    }
    if left > 0 {
        let halves = Halves {
            column: strips * STRIP,
            count: left,
            product,
        };
        P::Scalar::filling(STRIP / 2, halves);
    }
}

struct ForEachPanel<'a, P> {
    strips: usize,
    product: &'a mut P,
}

impl<P: Panels> WithMachine<P::Scalar> for ForEachPanel<'_, P> {
    type Output = ();

    #[inline(always)]
    fn with_machine<M: Machine<Scalar = P::Scalar>>(self, machine: M) {
        let Self { strips, product } = self;
        let mut strip = 0;
        while strip < strips {
            let column = strip * STRIP;
            // 32 registers of 16 values; 16 of 8; elsewhere whatever works.
            strip += match (M::LANES, strips - strip) {
                (16, PANEL..) => {
                    product.panel::<M, 6, PANEL>(machine, column);
                    PANEL
                }
                (16, 3) => {
                    product.panel::<M, 8, 3>(machine, column);
                    3
                }
                (16, 2) => {
                    product.panel::<M, 12, 2>(machine, column);
                    2
                }
                (16, _) => {
                    product.panel::<M, 12, 1>(machine, column);
                    1
                }
                (8, _) => {
                    product.panel::<M, 6, 2>(machine, column);
                    1
                }
                (4, _) => {
                    product.panel::<M, 6, 4>(machine, column);
                    1
                }
                _ => {
                    product.panel::<M, 4, { STRIP / 2 }>(machine, column);
                    product.panel::<M, 4, { STRIP / 2 }>(machine, column + STRIP / 2);
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

impl<P: Panels> WithMachine<P::Scalar> for Halves<'_, P> {
    type Output = ();

    #[inline(always)]
    fn with_machine<M: Machine<Scalar = P::Scalar>>(self, machine: M) {
        let Self {
            column,
            count,
            product,
        } = self;
        match (M::LANES, count) {
            // A row more would need all 16 registers, and the compiler one more than that.
            (8, 3) => product.panel::<M, 3, 3>(machine, column),
            (8, _) => product.panel::<M, 12, 1>(machine, column),
            // One by one: no panel may begin behind the last column.
            (lanes, _) => {
                for column in (column..).step_by(STRIP / 2).take(count) {
                    match lanes {
                        4 => product.panel::<M, 6, 2>(machine, column),
                        _ => product.panel::<M, 4, { STRIP / 2 }>(machine, column),
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pulp::Scalar as OneByOne;

    use super::super::machine::{Pairs, Singles};
    use super::super::scalar::bf16;
    use super::*;
    use crate::base::rng::{Purpose, Stream};

    const ROWS: usize = 13;
    const DEPTH: usize = 38;
    const COLUMNS: [usize; 12] = [1, 7, 8, 16, 20, 24, 40, 48, 64, 72, 100, 136];

    /// A product of matrices.
    struct Product<E> {
        x: Vec<E>,
        w: Vec<E>,
        columns: usize,
        y: Vec<f32>,
    }

    impl<E: Scalar> Product<E> {
        fn new(columns: usize) -> Self {
            let mut stream = Stream::new(columns as u64, Purpose::Init, &[]);
            let mut values = |count| {
                let values = (0..count).map(|_| E::round(stream.uniform() as f32 - 0.5));
                values.collect()
            };
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

        /// All of it on one machine.
        fn on<M: Machine<Scalar = E>>(columns: usize, machine: M) -> Vec<u32> {
            let mut product = Self::new(columns);
            let all = ForEachPanel {
                strips: columns.div_ceil(STRIP),
                product: &mut product,
            };
            all.with_machine(machine);
            product.bits()
        }

        /// As it is computed, checked against sums in float64.
        fn computed(columns: usize) -> Vec<u32> {
            let mut product = Self::new(columns);
            for_each_panel(columns, &mut product);
            for (i, y) in product.y.iter().enumerate() {
                let (row, column) = (i / columns, i % columns);
                let terms = (0..DEPTH).map(|k| {
                    let w = product.w[packed_index::<E>(DEPTH, k, column)].float();
                    f64::from(product.x[row * DEPTH + k].float()) * f64::from(w)
                });
                assert!((f64::from(*y) - terms.sum::<f64>()).abs() < 1e-5);
            }
            product.bits()
        }
    }

    impl<E: Scalar> Panels for Product<E> {
        type Scalar = E;

        #[inline(always)]
        fn panel<M: Machine<Scalar = E>, const R: usize, const V: usize>(
            &mut self,
            machine: M,
            column: usize,
        ) {
            for first in (0..ROWS).step_by(R) {
                let mut rows: [&[E]; R] = [&[]; R];
                for (r, row) in rows.iter_mut().enumerate() {
                    *row = &self.x[(first + r).min(ROWS - 1) * DEPTH..][..DEPTH];
                }
                let columns = Columns {
                    values: &self.w[packed_index::<E>(DEPTH, 0, column)..],
                    strip: DEPTH * STRIP,
                };
                let mut tile: Tile<M, R, V> = zeros(machine);
                accumulate(machine, &mut tile, rows, Walk::along::<E>(DEPTH), columns);
                for (row, sums) in (first..ROWS).zip(tile) {
                    for (v, sum) in sums.into_iter().enumerate() {
                        let (from, end) = (column + v * M::LANES, self.columns);
                        let to = end.min(from + M::LANES).max(from.min(end));
                        let y = &mut self.y[row * end..][from.min(end)..to];
                        f32::store(machine.simd(), y, sum);
                    }
                }
            }
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        for columns in COLUMNS {
            let wanted = Product::<f32>::computed(columns);
            let found = Product::on(columns, Singles(OneByOne::new()));
            assert_eq!(found, wanted, "{columns} columns, no vectors");
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            if let Some(simd) = pulp::x86::V3::try_new() {
                let found = Product::on(columns, Singles(simd));
                assert_eq!(found, wanted, "{columns} columns, AVX2");
            }
        }
    }

    #[test]
    fn pairs_have_the_same_bits_in_one_instruction_or_two() {
        for columns in COLUMNS {
            let wanted = Product::<bf16>::computed(columns);
            let found = Product::on(columns, Pairs(OneByOne::new()));
            assert_eq!(found, wanted, "{columns} columns, no vectors");
        }
    }
}
