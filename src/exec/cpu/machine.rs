//! What multiplies: a machine's vectors, and the step of a sum of products that they take at once.
//!
//! float32: one term a step, `sum ← left·right + sum` in one rounding.
//! bf16: two terms, `sum ← l₀·r₀ + (l₁·r₁ + sum)`, each product exact, each sum rounded to float32. That is what
//! AVX-512's `vdpbf16ps` computes in one instruction; elsewhere two fused multiply-adds give the same bits, except that
//! the instruction takes subnormal numbers for zeros.

use pulp::{Simd, WithSimd};

use super::scalar::{Scalar, bf16};
use super::simd::{filling, flushed};

/// Vectors of sums, and how products are added to them.
pub trait Machine: Copy {
    type Simd: Simd;
    /// Of both factors.
    type Scalar: Scalar;
    /// Terms of one row, for every lane; a pair of them where the element has pairs.
    type Left: Copy;
    /// Terms of as many columns as there are lanes.
    type Right: Copy;

    /// Values of a vector of sums.
    const LANES: usize = <Self::Simd as Simd>::F32_LANES;

    fn simd(self) -> Self::Simd;

    /// # Safety
    /// There must be [`Scalar::PAIR`] values at `at`.
    unsafe fn left(self, at: *const Self::Scalar) -> Self::Left;

    /// # Safety
    /// There must be [`Scalar::PAIR`] values for each lane at `at`.
    unsafe fn right(self, at: *const Self::Scalar) -> Self::Right;

    fn multiply_add(self, left: Self::Left, right: Self::Right, sum: Sums<Self>) -> Sums<Self>;

    /// Rounds sums and writes as many as there is room for; to bf16 as the machine does it, subnormal numbers become zeros.
    fn store(self, sums: Sums<Self>, values: &mut [Self::Scalar]);
}

/// A vector of float32 sums.
pub type Sums<M> = <<M as Machine>::Simd as Simd>::f32s;

/// Work that any machine can do. Implementations are `#[inline(always)]`, so that they are compiled for each.
pub trait WithMachine<E: Scalar> {
    type Output;

    fn with_machine<M: Machine<Scalar = E>>(self, machine: M) -> Self::Output;
}

/// [`Scalar::filling`] for float32.
pub fn float32<Op: WithMachine<f32>>(values: usize, op: Op) -> Op::Output {
    filling(values, OnSingles(op))
}

/// [`Scalar::filling`] for bf16.
pub fn bf16_pairs<Op: WithMachine<bf16>>(values: usize, op: Op) -> Op::Output {
    #[cfg(target_arch = "x86_64")]
    if values.is_multiple_of(DotProduct::LANES)
        && let Some(machine) = DotProduct::find()
    {
        // SAFETY: found on this machine.
        return unsafe { on_dot_product(machine, op) };
    }
    filling(values, OnPairs(op))
}

struct OnSingles<Op>(Op);

impl<Op: WithMachine<f32>> WithSimd for OnSingles<Op> {
    type Output = Op::Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Op::Output {
        self.0.with_machine(Singles(simd))
    }
}

struct OnPairs<Op>(Op);

impl<Op: WithMachine<bf16>> WithSimd for OnPairs<Op> {
    type Output = Op::Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Op::Output {
        self.0.with_machine(Pairs(simd))
    }
}

/// float32 on any vectors.
#[derive(Clone, Copy)]
pub struct Singles<S>(pub S);

impl<S: Simd> Machine for Singles<S> {
    type Simd = S;
    type Scalar = f32;
    type Left = S::f32s;
    type Right = S::f32s;

    #[inline(always)]
    fn simd(self) -> S {
        self.0
    }

    #[inline(always)]
    unsafe fn left(self, at: *const f32) -> S::f32s {
        // SAFETY: the caller's promise.
        self.0.splat_f32s(unsafe { *at })
    }

    #[inline(always)]
    unsafe fn right(self, at: *const f32) -> S::f32s {
        // SAFETY: the caller's promise; a vector is read without regard to alignment.
        unsafe { at.cast::<S::f32s>().read_unaligned() }
    }

    #[inline(always)]
    fn multiply_add(self, left: S::f32s, right: S::f32s, sum: S::f32s) -> S::f32s {
        self.0.mul_add_f32s(left, right, sum)
    }

    #[inline(always)]
    fn store(self, sums: S::f32s, values: &mut [f32]) {
        f32::store(self.0, values, sums);
    }
}

/// bf16 on any vectors: pairs are taken apart into float32.
#[derive(Clone, Copy)]
pub struct Pairs<S>(pub S);

impl<S: Simd> Pairs<S> {
    /// The first values of pairs, and the second.
    #[inline(always)]
    fn split(self, pairs: S::u32s) -> [S::f32s; 2] {
        let simd = self.0;
        let first = simd.wrapping_dyn_shl_u32s(pairs, simd.splat_u32s(16));
        let second = simd.and_u32s(pairs, simd.splat_u32s(0xffff_0000));
        [
            simd.transmute_f32s_u32s(first),
            simd.transmute_f32s_u32s(second),
        ]
    }
}

impl<S: Simd> Machine for Pairs<S> {
    type Simd = S;
    type Scalar = bf16;
    type Left = [S::f32s; 2];
    type Right = [S::f32s; 2];

    #[inline(always)]
    fn simd(self) -> S {
        self.0
    }

    #[inline(always)]
    unsafe fn left(self, at: *const bf16) -> [S::f32s; 2] {
        // SAFETY: the caller's promise.
        let pair = unsafe { [*at, *at.add(1)] };
        [
            self.0.splat_f32s(pair[0].float()),
            self.0.splat_f32s(pair[1].float()),
        ]
    }

    #[inline(always)]
    unsafe fn right(self, at: *const bf16) -> [S::f32s; 2] {
        // SAFETY: the caller's promise; a pair of 16-bit values is as long as a lane of 32 bits.
        self.split(unsafe { at.cast::<S::u32s>().read_unaligned() })
    }

    #[inline(always)]
    fn multiply_add(self, left: [S::f32s; 2], right: [S::f32s; 2], sum: S::f32s) -> S::f32s {
        let sum = self.0.mul_add_f32s(left[1], right[1], sum);
        self.0.mul_add_f32s(left[0], right[0], sum)
    }

    #[inline(always)]
    fn store(self, sums: S::f32s, values: &mut [bf16]) {
        bf16::store(self.0, values, flushed(self.0, sums));
    }
}

#[cfg(target_arch = "x86_64")]
pub use x86::{DotProduct, on_dot_product};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256bh, __m512, __m512bh, _mm512_cvtneps_pbh, _mm512_dpbf16_ps, _mm512_set1_epi32,
    };
    use std::mem::transmute;

    use pulp::Arch;
    use pulp::x86::V4;

    use super::{Machine, WithMachine, bf16};
    use crate::exec::cpu::simd::widest;

    /// bf16 on AVX-512 with its instruction for pairs.
    #[derive(Clone, Copy)]
    pub struct DotProduct(V4);

    impl DotProduct {
        /// It, if this machine has it.
        pub fn find() -> Option<Self> {
            match (widest(), std::arch::is_x86_feature_detected!("avx512bf16")) {
                (Arch::V4(simd), true) => Some(Self(simd)),
                _ => None,
            }
        }
    }

    /// Compiles `op` for the instruction: what is inlined here may use it.
    ///
    /// # Safety
    /// `machine` is the proof that the machine has every feature named here.
    #[target_feature(
        enable = "sse,sse2,sse3,ssse3,sse4.1,sse4.2,popcnt,fxsr,avx,avx2,bmi1,bmi2,fma,lzcnt"
    )]
    #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512bf16")]
    pub unsafe fn on_dot_product<Op: WithMachine<bf16>>(machine: DotProduct, op: Op) -> Op::Output {
        op.with_machine(machine)
    }

    impl Machine for DotProduct {
        type Simd = V4;
        type Scalar = bf16;
        type Left = __m512bh;
        type Right = __m512bh;

        #[inline(always)]
        fn simd(self) -> V4 {
            self.0
        }

        #[inline(always)]
        unsafe fn left(self, at: *const bf16) -> __m512bh {
            // SAFETY: the caller's promise; the machine has the instruction, or there would be no `self`; both types are
            // 512 bits of which all patterns are values.
            unsafe { transmute(_mm512_set1_epi32(at.cast::<i32>().read_unaligned())) }
        }

        #[inline(always)]
        unsafe fn right(self, at: *const bf16) -> __m512bh {
            // SAFETY: the caller's promise.
            unsafe { at.cast::<__m512bh>().read_unaligned() }
        }

        #[inline(always)]
        fn multiply_add(self, left: __m512bh, right: __m512bh, sum: pulp::f32x16) -> pulp::f32x16 {
            // SAFETY: as in `left`.
            unsafe {
                let sum = _mm512_dpbf16_ps(transmute::<pulp::f32x16, __m512>(sum), left, right);
                transmute::<__m512, pulp::f32x16>(sum)
            }
        }

        #[inline(always)]
        fn store(self, sums: pulp::f32x16, values: &mut [bf16]) {
            // SAFETY: as in `left`; both types are 256 bits of which all patterns are values.
            let rounded = unsafe {
                let rounded = _mm512_cvtneps_pbh(transmute::<pulp::f32x16, __m512>(sums));
                transmute::<__m256bh, [bf16; 16]>(rounded)
            };
            match values.first_chunk_mut() {
                Some(to) => *to = rounded,
                None => values.copy_from_slice(&rounded[..values.len()]),
            }
        }
    }
}
