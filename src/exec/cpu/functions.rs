//! exp, and GELU with its slope, as sums and products that vectors compute: no branch, no table, the same bits whatever the vectors.

use std::f32::consts::{FRAC_1_SQRT_2, LOG2_E};

/// eˣ, within 2 units of the last place; of x below −87 as of −87, of x above 88 as of 88.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    /// 1.5·2²³: added, it leaves a whole number in the lowest bits.
    const WHOLE: f32 = 12_582_912.0;
    // ln 2 in two parts, the first exact in few bits (Cody and Waite).
    const HIGH: f32 = 0.693_359_4;
    const LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * LOG2_E + WHOLE;
    let whole = shifted - WHOLE;
    let r = x - whole * HIGH - whole * LOW;
    // Taylor's, for |r| ≤ ln 2 / 2.
    let mut sum = 1.0 / 5040.0;
    for factor in [
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        sum = sum * r + factor;
    }
    sum * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

/// erf(x) as an odd rational function, within 4e-7 of its value relatively: the minimax fit that Eigen has (`generic_fast_erf`).
#[inline(always)]
fn erf(x: f32) -> f32 {
    const ABOVE: [f32; 7] = [
        -2.726_142_3e-10,
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_4e-5,
        -7.349_906e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ];
    const BELOW: [f32; 5] = [
        -1.456_607_2e-5,
        -2.133_740_5e-4,
        -1.682_827e-3,
        -7.373_329_3e-3,
        -1.426_474e-2,
    ];
    // Beyond it erf is 1.
    let x = x.clamp(-3.832_507, 3.832_507);
    let square = x * x;
    let (mut above, mut below) = (ABOVE[0], BELOW[0]);
    for factor in &ABOVE[1..] {
        above = above * square + factor;
    }
    for factor in &BELOW[1..] {
        below = below * square + factor;
    }
    x * above / below
}

/// Φ(x)
#[inline(always)]
fn normal(x: f32) -> f32 {
    0.5 + 0.5 * erf(x * FRAC_1_SQRT_2)
}

/// x·Φ(x)
#[inline(always)]
pub fn gelu(x: f32) -> f32 {
    x * normal(x)
}

/// Φ(x) + x·φ(x)
#[inline(always)]
pub fn gelu_slope(x: f32) -> f32 {
    /// 1/√(2π)
    const PEAK: f32 = 0.398_942_3;
    normal(x) + x * (PEAK * exp(-0.5 * x * x))
}

/// As many sums as the widest vectors have lanes: the order of a sum is the same whatever the vectors.
pub const LANES: usize = 16;

/// Σ f(a, b) over two slices of one length, in an order that the length alone decides.
#[inline(always)]
pub fn sum(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a.remainder().iter().zip(b.remainder());
    for (a, b) in a.zip(b) {
        for lane in 0..LANES {
            lanes[lane] += f(a[lane], b[lane]);
        }
    }
    for (lane, (&a, &b)) in lanes.iter_mut().zip(rest) {
        *lane += f(a, b);
    }
    folded(lanes, |a, b| a + b)
}

/// f over all lanes: halves with one another until one is left.
#[inline(always)]
pub fn folded(mut lanes: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] = f(lanes[lane], lanes[lane + half]);
        }
        half /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each(check: impl Fn(f32)) {
        (-90_000..=90_000).for_each(|i| check(i as f32 * 1e-3));
    }

    #[test]
    fn exp_is_within_two_places() {
        each(|x| {
            let expected = libm::exp(f64::from(x.clamp(-87.0, 88.0)));
            let error = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(error < 2.0 * f64::from(f32::EPSILON), "{x}: {error:e}");
        });
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn gelu_and_its_slope_are_near() {
        each(|x| {
            let wide = f64::from(x);
            let phi = 0.5 * (1.0 + libm::erf(wide / std::f64::consts::SQRT_2));
            let density = libm::exp(-0.5 * wide * wide) / std::f64::consts::TAU.sqrt();
            let error = (f64::from(gelu(x)) - wide * phi).abs();
            assert!(error < 3e-7 * wide.abs().max(1e-3), "{x}: {error:e}");
            let error = (f64::from(gelu_slope(x)) - (phi + wide * density)).abs();
            assert!(error < 6e-7, "{x}: {error:e}");
        });
        assert!(gelu(f32::NAN).is_nan() && gelu_slope(f32::NAN).is_nan());
    }

    #[test]
    fn sums_have_every_term() {
        for count in 0..70 {
            let values: Vec<f32> = (0..count).map(|v| v as f32).collect();
            let expected = (0..count).map(|v| (v * v) as f32).sum::<f32>();
            assert_eq!(sum(&values, &values, |a, b| a * b), expected);
        }
    }
}
