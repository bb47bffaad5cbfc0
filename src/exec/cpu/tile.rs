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

use pulp::{Arch, Simd, WithSimd};

/// Columns that lie side by side in a packed matrix: one vector of the widest machines.
pub const STRIP: usize = 16;
/// Strips of a panel at most: the columns whose tiles are computed together.
pub const PANEL: usize = 4;

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

/// Adds `steps` steps to the tile. Panics if a row or the columns hold fewer.
#[inline(always)]
pub fn accumulate<S: Simd, const R: usize, const V: usize>(
    simd: S,
    tile: &mut Tile<S, R, V>,
    (rows, row_step): ([&[f32]; R], usize),
    columns: Columns<'_>,
    steps: usize,
) {
    let Some(last) = steps.checked_sub(1) else {
        return;
    };
    let offset = |vector: usize| {
        let column = vector * S::F32_LANES;
        column / STRIP * columns.strip + column % STRIP
    };
    let end = last * columns.step + offset(V - 1) + S::F32_LANES;
    assert!(columns.values.len() >= end);
    assert!(rows.iter().all(|row| row.len() > last * row_step));
    let rows = rows.map(<[f32]>::as_ptr);
    let mut right = columns.values.as_ptr();
    for step in 0..steps {
        // SAFETY: `step ≤ last`, so the assertions above keep every row's value and every vector of columns within
        // their slices; a vector is read without regard to alignment. `right` moves on only where a step follows.
        unsafe {
            let vector = |v: usize| right.add(offset(v)).cast::<S::f32s>().read_unaligned();
            let right: [S::f32s; V] = std::array::from_fn(vector);
            for (row, sums) in rows.iter().zip(tile.iter_mut()) {
                let left = simd.splat_f32s(*row.add(step * row_step));
                for (sum, right) in sums.iter_mut().zip(right) {
                    *sum = simd.mul_add_f32s(left, right, *sum);
                }
            }
        }
        if step < last {
            // SAFETY: step + 1 ≤ last, and `columns` holds what that step reads.
            right = unsafe { right.add(columns.step) };
        }
    }
}

/// A product that computes the columns from `column` on, V vectors of them, in tiles of R rows.
pub trait Panels {
    fn panel<S: Simd, const R: usize, const V: usize>(&mut self, simd: S, column: usize);
}

/// Computes all `columns` of a product, panel by panel, with the widest vectors that the machine has. The last panel may
/// reach beyond the columns, up to the end of their strip.
pub fn for_each_panel(columns: usize, product: &mut impl Panels) {
    Arch::new().dispatch(ForEachPanel {
        strips: columns.div_ceil(STRIP),
        product,
    });
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
