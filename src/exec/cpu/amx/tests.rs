//! Blocks on tiles and by fused multiply-adds: the same bits, whatever the values.

use pulp::{Arch, Scalar, Simd};

use super::*;
use crate::base::rng::{Purpose, Stream};
use crate::exec::cpu::machine::Pairs;
use crate::exec::cpu::simd::{CEILING, flushed};

const STEPS: usize = 3;
const PITCH: usize = STEPS * SIDE + 5;
const STRIP_LEN: usize = STEPS * SIDE * STRIP + 32;

/// The order of sums as it is written at the top, with every subnormal number taken for zero.
fn defined(left: impl Fn(usize) -> bf16, right: impl Fn(usize) -> bf16, before: f32) -> f32 {
    let simd = Scalar::new();
    let flush = |v: f32| flushed(simd, v);
    let mut sum = flush(before);
    for step in 0..STEPS {
        let mut sums = [0.0f32; 2];
        for term in step * SIDE..(step + 1) * SIDE {
            let [l, r] = [left(term), right(term)].map(|v| flush(v.to_f32()));
            sums[term % 2] = flush(l.mul_add(r, sums[term % 2]));
        }
        sum = flush(sum + flush(sums[0] + sums[1]));
    }
    sum
}

/// Random factors; `exponents`: of two, where their magnitudes lie.
struct Random {
    rows: Vec<bf16>,
    strips: Vec<bf16>,
    before: Vec<f32>,
}

impl Random {
    fn new(seed: u64, exponents: (f64, f64)) -> Self {
        let mut stream = Stream::new(seed, Purpose::Init, &[]);
        let mut value = || {
            let exponent = exponents.0 + (exponents.1 - exponents.0) * stream.uniform();
            let sign = if stream.uniform() < 0.5 { -1.0 } else { 1.0 };
            (sign * exponent.exp2() * f64::from(stream.uniform() > 0.1)) as f32
        };
        Self {
            rows: (0..SIDE * PITCH).map(|_| bf16::from_f32(value())).collect(),
            strips: (0..2 * STRIP_LEN)
                .map(|_| bf16::from_f32(value()))
                .collect(),
            before: (0..SUMS).map(|_| value() * value()).collect(),
        }
    }

    fn factors(&self, tiles: usize, count: usize) -> Factors<'_> {
        Factors {
            rows: Rows {
                values: &self.rows,
                pitch: PITCH,
                tiles,
            },
            strips: Strips {
                columns: Columns {
                    values: &self.strips,
                    strip: STRIP_LEN,
                },
                count,
            },
            steps: STEPS,
        }
    }

    /// What every unit has to find.
    fn expected(&self, tiles: usize, count: usize, kept: bool) -> Vec<u32> {
        let value = |i: usize| {
            let (row, column) = (i / SIDE, i % SIDE);
            if row >= tiles * TILE || column >= count * STRIP {
                return self.before[i];
            }
            let left = |term: usize| self.rows[row * PITCH + term];
            let strip = &self.strips[column / STRIP * STRIP_LEN..];
            let right = |term: usize| strip[(term / 2 * STRIP + column % STRIP) * 2 + term % 2];
            defined(left, right, if kept { self.before[i] } else { 0.0 })
        };
        (0..SUMS).map(|i| value(i).to_bits()).collect()
    }

    fn check(&self, name: &str, multiply: impl Fn(Factors<'_>, &mut [f32], bool)) {
        for (tiles, count) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
            for kept in [false, true] {
                let mut sums = self.before.clone();
                multiply(self.factors(tiles, count), &mut sums, kept);
                let found: Vec<u32> = sums.iter().map(|v| v.to_bits()).collect();
                let expected = self.expected(tiles, count, kept);
                let differ = found.iter().zip(&expected).filter(|(a, b)| a != b).count();
                assert_eq!(differ, 0, "{name}: {tiles} × {count} tiles, kept: {kept}");
            }
        }
    }
}

/// Ordinary magnitudes; sums that become subnormal; factors that are; sums that overflow.
const EXPONENTS: [(f64, f64); 5] = [
    (-6.0, 2.0),
    (-70.0, -50.0),
    (-66.0, -60.0),
    (-134.0, -120.0),
    (60.0, 66.0),
];

fn each_case(check: impl Fn(&Random)) {
    for (seed, exponents) in EXPONENTS.into_iter().enumerate() {
        check(&Random::new(seed as u64, exponents));
    }
}

#[test]
fn fused_multiply_adds_give_the_bits_of_the_definition() {
    each_case(|random| {
        random.check("no vectors", |factors, sums, kept| {
            emulated::multiply(Scalar::new(), factors, sums, kept);
        });
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        if let Some(simd) = pulp::x86::V3::try_new() {
            random.check("AVX2", |factors, sums, kept| {
                emulated::multiply(simd, factors, sums, kept);
            });
        }
        random.check("widest", |factors, sums, kept| {
            struct Multiply<'a>(Factors<'a>, &'a mut [f32], bool);
            impl pulp::WithSimd for Multiply<'_> {
                type Output = ();
                #[inline(always)]
                fn with_simd<S: Simd>(self, simd: S) {
                    emulated::multiply(simd, self.0, self.1, self.2);
                }
            }
            Arch::new().dispatch(Multiply(factors, sums, kept));
        });
    });
}

#[test]
fn tiles_give_the_bits_of_the_definition() {
    if !has_amx() {
        eprintln!("skipped: AMX, which this machine does not have or does not give");
        return;
    }
    each_case(|random| {
        let unit = Unit::open();
        assert!(!matches!(unit, Unit::Emulated));
        random.check("tiles", |factors, sums, kept| {
            unit.multiply(Pairs(Scalar::new()), factors, sums, kept);
        });
    });
}

#[test]
fn what_is_not_a_number_stays_so() {
    let mut random = Random::new(9, (-3.0, 3.0));
    random.rows[7] = bf16::NAN;
    random.rows[PITCH + 8] = bf16::INFINITY;
    let mut found = Vec::new();
    for ceiling in [None, Some(Arch::Scalar)] {
        CEILING.set(ceiling);
        let mut sums = vec![0.0; SUMS];
        Unit::open().multiply(Pairs(Scalar::new()), random.factors(2, 2), &mut sums, false);
        assert!(sums[..SIDE].iter().all(|v| v.is_nan()));
        found.push(sums.iter().map(|v| v.is_nan()).collect::<Vec<_>>());
    }
    CEILING.set(None);
    assert_eq!(found[0], found[1]);
}

#[test]
fn too_few_values_are_refused() {
    let random = Random::new(0, (0.0, 1.0));
    let factors = random.factors(2, 2);
    let shorter = [
        Factors {
            rows: Rows {
                values: &random.rows[..factors.rows.values.len() - 6],
                ..factors.rows
            },
            ..factors
        },
        Factors {
            steps: STEPS + 1,
            ..factors
        },
    ];
    for factors in shorter {
        let multiply = || {
            let sums = &mut vec![0.0; SUMS];
            Unit::Emulated.multiply(Pairs(Scalar::new()), factors, sums, false);
        };
        assert!(std::panic::catch_unwind(multiply).is_err());
    }
}
