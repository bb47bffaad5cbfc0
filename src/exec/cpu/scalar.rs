//! What activations, their gradients and packed weights are stored as: float32, or its upper half.
//!
//! Arithmetic is float32 either way: values are read exactly and rounded to the nearest when they are written, ties to
//! even. NaN stays NaN.

use bytemuck::Pod;
pub use half::bf16;
use pulp::Simd;

use super::machine::{self, WithMachine};
use crate::exec::cpu::conv::tiling::STRIP;

/// Zeros that stand in for what lies outside an image: as many as any kernel reads at once.
const ZERO_COUNT: usize = 1024;

/// The type behind [`crate::program::Scalar`].
pub trait Scalar: Pod + Default + Send + Sync {
    /// Neighbouring terms of a sum that one multiply-add takes: those of a row lie side by side, and so do those of a
    /// column.
    const PAIR: usize;
    const ZEROS: &'static [Self];

    fn float(self) -> f32;

    fn round(value: f32) -> Self;

    /// Runs `op` on the machine with the widest vectors that `values` float32 fill.
    fn filling<Op: WithMachine<Self>>(values: usize, op: Op) -> Op::Output;

    /// A buffer's words as its first `len` values.
    fn view(words: &mut [f32], len: usize) -> &mut [Self] {
        &mut bytemuck::cast_slice_mut(words)[..len]
    }

    /// As many values as a vector holds, zeros behind the last.
    #[inline(always)]
    fn load<S: Simd>(simd: S, values: &[Self]) -> S::f32s {
        let mut vector = simd.splat_f32s(0.0);
        let floats: &mut [f32] = bytemuck::cast_slice_mut(std::slice::from_mut(&mut vector));
        // Of a whole vector the compiler knows the length.
        if values.len() >= S::F32_LANES {
            for lane in 0..S::F32_LANES {
                floats[lane] = values[lane].float();
            }
        } else {
            for (float, value) in floats.iter_mut().zip(values) {
                *float = value.float();
            }
        }
        vector
    }

    /// The first of a vector's values, as many as there is room for.
    #[inline(always)]
    fn store<S: Simd>(_: S, values: &mut [Self], vector: S::f32s) {
        let floats: &[f32] = bytemuck::cast_slice(std::slice::from_ref(&vector));
        if values.len() >= S::F32_LANES {
            for lane in 0..S::F32_LANES {
                values[lane] = Self::round(floats[lane]);
            }
        } else {
            for (value, float) in values.iter_mut().zip(floats) {
                *value = Self::round(*float);
            }
        }
    }
}

impl Scalar for f32 {
    const PAIR: usize = 1;
    const ZEROS: &'static [Self] = &[0.0; ZERO_COUNT];

    #[inline(always)]
    fn float(self) -> f32 {
        self
    }

    #[inline(always)]
    fn round(value: f32) -> Self {
        value
    }

    fn filling<Op: WithMachine<Self>>(values: usize, op: Op) -> Op::Output {
        machine::float32(values, op)
    }

    #[inline(always)]
    fn load<S: Simd>(simd: S, values: &[Self]) -> S::f32s {
        // Whole vectors spare the masks.
        match S::as_simd_f32s(values) {
            ([vector], []) => *vector,
            _ => simd.partial_load_f32s(values),
        }
    }

    #[inline(always)]
    fn store<S: Simd>(simd: S, values: &mut [Self], vector: S::f32s) {
        match S::as_mut_simd_f32s(values) {
            ([to], []) => *to = vector,
            _ => simd.partial_store_f32s(values, vector),
        }
    }
}

impl Scalar for bf16 {
    const PAIR: usize = 2;
    const ZEROS: &'static [Self] = &[bf16::ZERO; ZERO_COUNT];

    #[inline(always)]
    fn float(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[inline(always)]
    fn round(value: f32) -> Self {
        let bits = value.to_bits();
        // Half of the last place, less one where that place is even already.
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        let quiet = (bits >> 16) | 0x40;
        Self::from_bits(if value.is_nan() { quiet } else { rounded } as u16)
    }

    fn filling<Op: WithMachine<Self>>(values: usize, op: Op) -> Op::Output {
        machine::bf16_pairs(values, op)
    }
}

/// Values that a product takes as its element X once they are copied.
pub trait PackAs<X: Scalar>: Scalar {
    /// A strip of a row, or of a pair of rows, as products read it: `[16][PAIR]`.
    fn pack(rows: [&[Self; STRIP]; 2], to: &mut [X]);
}

impl PackAs<f32> for f32 {
    #[inline(always)]
    fn pack([row, _]: [&[f32; STRIP]; 2], to: &mut [f32]) {
        to.copy_from_slice(row);
    }
}

impl PackAs<f32> for bf16 {
    #[inline(always)]
    fn pack([row, _]: [&[bf16; STRIP]; 2], to: &mut [f32]) {
        for (to, value) in to.iter_mut().zip(row) {
            *to = value.float();
        }
    }
}

impl PackAs<bf16> for bf16 {
    #[inline(always)]
    fn pack([first, second]: [&[bf16; STRIP]; 2], to: &mut [bf16]) {
        let mut pairs = [0; STRIP];
        for ((pair, first), second) in pairs.iter_mut().zip(first).zip(second) {
            // Of a pair the first value lies first in memory, and that is the lower half of a word.
            *pair = (u32::from(second.to_bits()) << 16 | u32::from(first.to_bits())).to_le();
        }
        to.copy_from_slice(bytemuck::cast_slice(&pairs));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rounds_as_the_crate_half_does(bits in any::<u32>()) {
            let value = f32::from_bits(bits);
            prop_assert_eq!(<bf16 as Scalar>::round(value).to_bits(), bf16::from_f32(value).to_bits());
        }

        #[test]
        fn reads_as_the_crate_half_does(bits in any::<u16>()) {
            let value = bf16::from_bits(bits);
            prop_assume!(!value.is_nan());
            prop_assert_eq!(value.float().to_bits(), value.to_f32().to_bits());
        }
    }
}
