//! Products of matrices, on the thread that asks.
//!
//! c = a·b or c += a·b, with a `m × k`, b `k × n`, c `m × n` in rows. Each product runs on one thread: splitting the
//! work is the caller's business, in ways that depend on shapes alone, so that no bit depends on the thread count.
//! (The sum over k is blocked by the crate according to the machine's caches: other machines may round otherwise.)

/// A matrix within a slice: element (r, c) is at `r·row + c·column`.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    pub values: &'a [f32],
    pub row: usize,
    pub column: usize,
}

impl<'a> Matrix<'a> {
    /// Rows of `width` values, one after another.
    pub fn rows(values: &'a [f32], width: usize) -> Self {
        Self {
            values,
            row: width,
            column: 1,
        }
    }

    pub fn transposed(self) -> Self {
        Self {
            row: self.column,
            column: self.row,
            ..self
        }
    }

    /// Whether `rows × columns` elements lie within the slice.
    fn holds(&self, rows: usize, columns: usize) -> bool {
        rows == 0
            || columns == 0
            || (rows - 1) * self.row + (columns - 1) * self.column < self.values.len()
    }
}

/// Sizes of a product.
#[derive(Clone, Copy)]
pub struct Sizes {
    pub m: usize,
    pub n: usize,
    pub k: usize,
}

/// c = a·b, or c += a·b if `accumulate`. Panics if a matrix is smaller than `sizes` says.
pub fn gemm(sizes: Sizes, a: Matrix<'_>, b: Matrix<'_>, c: &mut [f32], accumulate: bool) {
    let Sizes { m, n, k } = sizes;
    assert!(a.holds(m, k) && b.holds(k, n) && c.len() >= m * n);
    // SAFETY: the assertion above keeps every element of the three matrices within its slice; `c` is borrowed
    // exclusively, so it overlaps neither `a` nor `b`.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            n as isize,
            accumulate,
            a.values.as_ptr(),
            a.column as isize,
            a.row as isize,
            b.values.as_ptr(),
            b.column as isize,
            b.row as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
