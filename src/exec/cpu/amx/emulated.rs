//! The order of sums of AMX with fused multiply-adds, on any vectors.

use pulp::Simd;

use super::{Factors, TILE};
use crate::exec::cpu::amx::blocks::SIDE;
use crate::exec::cpu::conv::tiling::STRIP;
use crate::exec::cpu::machine::{Machine, Pairs};
use crate::exec::cpu::scalar::{Scalar, bf16};
use crate::exec::cpu::simd::flushed;

/// Rows that are computed together: each vector of the right factor is taken apart once for all, each pair of the left one once for
/// both strips.
const ROWS: usize = 4;
/// Exponent of 2⁻⁵⁶. Products of values that are not smaller, of 8 bits each, are multiples of 2⁻¹²⁶, the smallest normal
/// number, and so is every sum of them: none is subnormal.
const SAFE_EXPONENT: u16 = 127 - 56;

/// As [`super::Unit::multiply`].
#[inline(always)]
pub fn multiply<S: Simd>(simd: S, factors: Factors<'_>, sums: &mut [f32], kept: bool) {
    match (factors.are_safe(), factors.strips.count) {
        (true, 1) => add::<S, false, 1>(simd, factors, sums, kept),
        (true, _) => add::<S, false, 2>(simd, factors, sums, kept),
        (false, 1) => add::<S, true, 1>(simd, factors, sums, kept),
        (false, _) => add::<S, true, 2>(simd, factors, sums, kept),
    }
}

impl Factors<'_> {
    /// Whether no sum can be subnormal: then nobody looks for one.
    #[inline(always)]
    fn are_safe(&self) -> bool {
        let terms = self.steps * SIDE;
        let mut unsafe_values = 0;
        for row in 0..self.rows.tiles * TILE {
            unsafe_values += small_values(&self.rows.values[row * self.rows.pitch..][..terms]);
        }
        for strip in 0..self.strips.count {
            let columns = self.strips.columns;
            unsafe_values +=
                small_values(&columns.values[strip * columns.strip..][..terms * STRIP]);
        }
        unsafe_values == 0
    }
}

/// Values other than zero below 2⁻⁵⁶.
#[inline(always)]
fn small_values(values: &[bf16]) -> u32 {
    let mut count = 0;
    for value in values {
        let magnitude = value.to_bits() & 0x7fff;
        count += u32::from(magnitude.wrapping_sub(1) < (SAFE_EXPONENT << 7) - 1);
    }
    count
}

/// `FLUSH`: whether subnormal numbers are looked for; `V` strips.
#[inline(always)]
fn add<S: Simd, const FLUSH: bool, const V: usize>(
    simd: S,
    factors: Factors<'_>,
    sums: &mut [f32],
    kept: bool,
) {
    let columns = factors.strips.columns;
    for row in (0..factors.rows.tiles * TILE).step_by(ROWS) {
        for lane in (0..STRIP).step_by(S::F32_LANES) {
            let mut products = Products {
                rows: &factors.rows.values[row * factors.rows.pitch..],
                pitch: factors.rows.pitch,
                columns: [&[][..]; V],
            };
            for (strip, of) in products.columns.iter_mut().enumerate() {
                *of = &columns.values[strip * columns.strip + lane * bf16::PAIR..];
            }
            let at = |r: usize, v: usize| (row + r) * SIDE + v * STRIP + lane;
            let mut totals = [[simd.splat_f32s(0.0); V]; ROWS];
            if kept {
                for (r, totals) in totals.iter_mut().enumerate() {
                    for (v, total) in totals.iter_mut().enumerate() {
                        let before = f32::load(simd, &sums[at(r, v)..][..S::F32_LANES]);
                        *total = flushed(simd, before);
                    }
                }
            }
            for step in 0..factors.steps {
                products.add_step::<S, FLUSH>(simd, step, &mut totals);
            }
            for (r, totals) in totals.into_iter().enumerate() {
                for (v, total) in totals.into_iter().enumerate() {
                    f32::store(simd, &mut sums[at(r, v)..][..S::F32_LANES], total);
                }
            }
        }
    }
}

/// Some rows by a vector of each strip's columns.
struct Products<'a, const V: usize> {
    rows: &'a [bf16],
    pitch: usize,
    columns: [&'a [bf16]; V],
}

impl<const V: usize> Products<'_, V> {
    /// 32 terms of each sum.
    #[inline(always)]
    fn add_step<S: Simd, const FLUSH: bool>(
        &self,
        simd: S,
        step: usize,
        totals: &mut [[S::f32s; V]; ROWS],
    ) {
        let pairs = Pairs(simd);
        // Even terms, and odd ones.
        let mut chains = [[[simd.splat_f32s(0.0); V]; ROWS]; 2];
        for pair in (0..SIDE).step_by(bf16::PAIR) {
            let term = step * SIDE + pair;
            let mut right = [[simd.splat_f32s(0.0); 2]; V];
            for (right, columns) in right.iter_mut().zip(self.columns) {
                let vector = &columns[term * STRIP..][..S::F32_LANES * bf16::PAIR];
                // SAFETY: the slice has a pair for each lane.
                *right = unsafe { pairs.right(vector.as_ptr()) };
                if FLUSH {
                    *right = right.map(|v| flushed(simd, v));
                }
            }
            for r in 0..ROWS {
                let values = &self.rows[r * self.pitch + term..][..bf16::PAIR];
                // SAFETY: the slice has a pair.
                let mut left = unsafe { pairs.left(values.as_ptr()) };
                if FLUSH {
                    left = left.map(|v| flushed(simd, v));
                }
                for v in 0..V {
                    for (half, chain) in chains.iter_mut().enumerate() {
                        let sum = simd.mul_add_f32s(left[half], right[v][half], chain[r][v]);
                        chain[r][v] = if FLUSH { flushed(simd, sum) } else { sum };
                    }
                }
            }
        }
        let [even, odd] = chains;
        for r in 0..ROWS {
            for v in 0..V {
                let added = flushed(simd, simd.add_f32s(even[r][v], odd[r][v]));
                totals[r][v] = flushed(simd, simd.add_f32s(totals[r][v], added));
            }
        }
    }
}
