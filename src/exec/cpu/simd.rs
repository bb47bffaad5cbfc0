//! Loops over values, compiled for the widest vectors that the machine has (crate `pulp`).
//!
//! Each is written as a plain loop without a reduction across lanes; nothing is contracted into fused multiply-adds,
//! so every instruction set gives the same bits.

use pulp::{Arch, Scalar, Simd, WithSimd};

#[cfg(test)]
thread_local! {
    /// The vectors that stand in for the machine's widest on this thread; with any it has no tiles.
    pub static CEILING: std::cell::Cell<Option<Arch>> = const { std::cell::Cell::new(None) };
}

/// The machine's widest vectors.
#[inline(always)]
pub fn widest() -> Arch {
    #[cfg(test)]
    if let Some(ceiling) = CEILING.get() {
        return ceiling;
    }
    Arch::new()
}

/// Whether the machine computes vectors of 16 values as two of 8 (Zen 4), so that those are as fast: measured once, by some ten
/// microseconds of multiply-adds. No bit depends on it.
#[cfg(target_arch = "x86_64")]
pub fn splits_wide_vectors() -> bool {
    use std::sync::OnceLock;
    static SPLITS: OnceLock<bool> = OnceLock::new();
    *SPLITS.get_or_init(|| {
        let vectors = (pulp::x86::V4::try_new(), pulp::x86::V3::try_new());
        match vectors {
            (Some(wide), Some(half)) => chains(wide) > chains(half).mul_f64(1.5),
            _ => true,
        }
    })
}

#[cfg(not(target_arch = "x86_64"))]
pub fn splits_wide_vectors() -> bool {
    true
}

/// The least time of some multiply-adds on registers, as many vectors whatever their length.
#[cfg(target_arch = "x86_64")]
fn chains<S: Simd>(simd: S) -> std::time::Duration {
    let once = |_| {
        let begun = std::time::Instant::now();
        Simd::vectorize(simd, MultiplyAdds { rounds: 512 });
        begun.elapsed()
    };
    (0..8).map(once).min().unwrap_or_default()
}

/// Multiply-adds on registers alone, for measurements of what a machine can do at most; how many they were.
pub struct MultiplyAdds {
    pub rounds: usize,
}

impl WithSimd for MultiplyAdds {
    type Output = u64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> u64 {
        /// Sums that run beside each other: more than the latency of a multiply-add takes, fewer than there are registers.
        const SUMS: usize = 12;
        // A compiler that knew the numbers would know the sums.
        let (factor, start) = std::hint::black_box((0.5, 3.0));
        let (factor, mut sums) = (simd.splat_f32s(factor), [simd.splat_f32s(start); SUMS]);
        for _ in 0..self.rounds {
            for sum in &mut sums {
                *sum = simd.mul_add_f32s(*sum, factor, factor);
            }
        }
        std::hint::black_box(sums);
        (self.rounds * SUMS * S::F32_LANES) as u64
    }
}

/// Whether this thread stands for a lesser machine, without tiles.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub fn is_capped() -> bool {
    #[cfg(test)]
    return CEILING.get().is_some();
    #[cfg(not(test))]
    return false;
}

/// Runs a loop with the machine's widest vectors. The loop's functions must be `#[inline(always)]`.
#[inline(always)]
pub fn wide<R>(run: impl FnOnce() -> R) -> R {
    widest().dispatch(run)
}

/// Runs `op` with the widest vectors that `values` values fill.
pub fn filling<Op: WithSimd>(values: usize, op: Op) -> Op::Output {
    let op = match widest().dispatch(IfFilled { values, op }) {
        Ok(output) => return output,
        Err(op) => op,
    };
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if let (true, Some(simd)) = (values.is_multiple_of(8), pulp::x86::V3::try_new()) {
        return Simd::vectorize(simd, op);
    }
    Simd::vectorize(Scalar::new(), op)
}

struct IfFilled<Op> {
    values: usize,
    op: Op,
}

impl<Op: WithSimd> WithSimd for IfFilled<Op> {
    type Output = Result<Op::Output, Op>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        match self.values.is_multiple_of(S::F32_LANES) {
            true => Ok(self.op.with_simd(simd)),
            false => Err(self.op),
        }
    }
}

/// With zeros of the same sign in the place of subnormal numbers.
#[inline(always)]
pub fn flushed<S: Simd>(simd: S, v: S::f32s) -> S::f32s {
    let zero = simd.and_f32s(v, simd.splat_f32s(-0.0));
    let is_small = simd.less_than_f32s(simd.abs_f32s(v), simd.splat_f32s(f32::MIN_POSITIVE));
    simd.select_f32s(is_small, zero, v)
}

/// ReLU that keeps NaN, so that a diverging network is noticed.
#[inline(always)]
pub fn positive(v: f32) -> f32 {
    if v < 0.0 { 0.0 } else { v }
}
