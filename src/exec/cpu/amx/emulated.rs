//! The order of sums of AMX with fused multiply-adds, on any vectors.

use pulp::Simd;

use super::{Factors, TILE};
use crate::exec::cpu::element::{Element, bf16};
use crate::exec::cpu::machine::{Machine, Pairs};
use crate::exec::cpu::simd::flushed;
use crate::program::blocks::SIDE;
use crate::program::tiling::STRIP;

/// Rows that are computed together: each vector of the right factor is taken apart once for all.
const ROWS: usize = 4;
/// Exponent of 2⁻⁵⁶. Products of values that are not smaller, of 8 bits each, are multiples of 2⁻¹²⁶, the smallest normal
/// number, and so is every sum of them: none is subnormal.
const SAFE_EXPONENT: u16 = 127 - 56;

/// As [`super::Unit::multiply`].
#[inline(always)]
pub fn multiply<S: Simd>(simd: S, factors: Factors<'_>, sums: &mut [f32], kept: bool) {
    match factors.are_safe() {
        true => add::<S, false>(simd, factors, sums, kept),
        false => add::<S, true>(simd, factors, sums, kept),
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

/// `FLUSH`: whether subnormal numbers are looked for.
#[inline(always)]
fn add<S: Simd, const FLUSH: bool>(simd: S, factors: Factors<'_>, sums: &mut [f32], kept: bool) {
    let columns = factors.strips.columns;
    for strip in 0..factors.strips.count {
        for row in (0..factors.rows.tiles * TILE).step_by(ROWS) {
            for lane in (0..STRIP).step_by(S::F32_LANES) {
                let right = strip * columns.strip + lane * bf16::PAIR;
                let products = Products {
                    rows: &factors.rows.values[row * factors.rows.pitch..],
                    pitch: factors.rows.pitch,
                    columns: &columns.values[right..],
                };
                let at = row * SIDE + strip * STRIP + lane;
                let mut totals = [simd.splat_f32s(0.0); ROWS];
                if kept {
                    for (r, total) in totals.iter_mut().enumerate() {
                        let before = f32::load(simd, &sums[at + r * SIDE..][..S::F32_LANES]);
                        *total = flushed(simd, before);
                    }
                }
                for step in 0..factors.steps {
                    let added = products.step::<S, FLUSH>(simd, step);
                    for (total, added) in totals.iter_mut().zip(added) {
                        *total = flushed(simd, simd.add_f32s(*total, added));
                    }
                }
                for (r, total) in totals.into_iter().enumerate() {
                    f32::store(simd, &mut sums[at + r * SIDE..][..S::F32_LANES], total);
                }
            }
        }
    }
}

/// Some rows by a vector of columns.
struct Products<'a> {
    rows: &'a [bf16],
    pitch: usize,
    columns: &'a [bf16],
}

impl Products<'_> {
    /// 32 terms of each sum.
    #[inline(always)]
    fn step<S: Simd, const FLUSH: bool>(&self, simd: S, step: usize) -> [S::f32s; ROWS] {
        let pairs = Pairs(simd);
        let mut even = [simd.splat_f32s(0.0); ROWS];
        let mut odd = even;
        for pair in (0..SIDE).step_by(bf16::PAIR) {
            let term = step * SIDE + pair;
            let vector = &self.columns[term * STRIP..][..S::F32_LANES * bf16::PAIR];
            // SAFETY: the slice has a pair for each lane.
            let mut right = unsafe { pairs.right(vector.as_ptr()) };
            if FLUSH {
                right = right.map(|v| flushed(simd, v));
            }
            for r in 0..ROWS {
                let values = &self.rows[r * self.pitch + term..][..bf16::PAIR];
                // SAFETY: the slice has a pair.
                let mut left = unsafe { pairs.left(values.as_ptr()) };
                if FLUSH {
                    left = left.map(|v| flushed(simd, v));
                }
                even[r] = simd.mul_add_f32s(left[0], right[0], even[r]);
                odd[r] = simd.mul_add_f32s(left[1], right[1], odd[r]);
                if FLUSH {
                    even[r] = flushed(simd, even[r]);
                    odd[r] = flushed(simd, odd[r]);
                }
            }
        }
        for (even, odd) in even.iter_mut().zip(odd) {
            *even = flushed(simd, simd.add_f32s(*even, odd));
        }
        even
    }
}
