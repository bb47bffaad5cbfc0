//! Tensors side by side: whether they are equal, and where they are not.

use std::fmt;

use super::Pair;
use crate::exec::{Arithmetic, Executor};
use crate::model::difference::{coordinates, furthest, relative_error};

/// Two engines sum in different orders: float32's rounding, amplified by a batch norm over few values. A mistake in an
/// operation is larger by orders of magnitude.
pub const ACTIVATIONS: f64 = 1e-4;

/// The gradient of a divergence is the difference of two distributions that nearly agree at first, so that most of
/// their digits cancel; so does the divergence itself.
pub const GRADIENTS: f64 = 1e-2;

/// The same where one side computes in bf16, whose roundings are 2¹⁵ times as large: PyTorch's mixed precision strays by
/// up to 0.014 from the goldens' activations, and by up to 0.42 from their gradients.
pub const BF16_ACTIVATIONS: f64 = 0.1;
pub const BF16_GRADIENTS: f64 = 0.75;

/// How far the two sides may stray from each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// Of activations, logits and weights.
    pub activations: Measure,
    /// Of loss terms, gradients and what follows from them.
    pub gradients: Measure,
}

impl Tolerance {
    /// One engine on one device gives the same bits, two give nearly the same values.
    pub fn between(executors: Pair<Executor>) -> Self {
        let sides = executors.map(|executor| (executor.engine, executor.device, executor.fusions));
        if sides.a == sides.b {
            return Self {
                activations: Measure::Bits,
                gradients: Measure::Bits,
            };
        }
        let engines = [sides.a.0, sides.b.0];
        let (activations, gradients) = match engines
            .iter()
            .any(|engine| engine.arithmetic() == Arithmetic::Bf16)
        {
            true => (BF16_ACTIVATIONS, BF16_GRADIENTS),
            false => (ACTIVATIONS, GRADIENTS),
        };
        Self {
            activations: Measure::Relative(activations),
            gradients: Measure::Relative(gradients),
        }
    }
}

/// When two tensors count as equal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measure {
    /// Bit for bit.
    Bits,
    /// ‖a − b‖ ≤ the bound · ‖b‖.
    Relative(f64),
}

/// How two tensors of one shape part.
#[derive(Debug, Clone, PartialEq)]
pub struct Apart {
    /// Where: of the first value that differs, or of the one that differs most.
    pub index: usize,
    pub a: f32,
    pub b: f32,
    /// Values that differ at all.
    pub differing: usize,
    pub values: usize,
    /// ‖a − b‖ / ‖b‖
    pub error: f64,
}

impl Measure {
    /// Compares values in order. Of different lengths only what both have is looked at.
    pub fn apart(self, a: &[f32], b: &[f32]) -> Option<Apart> {
        let pairs = || a.iter().zip(b).enumerate();
        let differs = |(_, (a, b)): &(usize, (&f32, &f32))| a.to_bits() != b.to_bits();
        let (first, _) = pairs().find(differs)?;
        let error = relative_error(a, b);
        let index = match self {
            Measure::Bits => first,
            Measure::Relative(bound) if error <= bound => return None,
            Measure::Relative(_) => furthest(a, b),
        };
        Some(Apart {
            index,
            a: a.get(index).copied().unwrap_or(f32::NAN),
            b: b.get(index).copied().unwrap_or(f32::NAN),
            differing: pairs().filter(differs).count(),
            values: a.len().min(b.len()),
            error,
        })
    }

    /// Whether two numbers are equal.
    pub fn equal(self, a: f64, b: f64) -> bool {
        match self {
            Measure::Bits => a.to_bits() == b.to_bits(),
            Measure::Relative(bound) => (a - b).abs() <= bound * b.abs(),
        }
    }
}

impl fmt::Display for Apart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Apart {
            differing,
            values,
            error,
            ..
        } = self;
        write!(
            f,
            "{differing} of {values} values differ, relative error {error:.1e}"
        )
    }
}

/// The place of element `index` in a row-major tensor: `[3, 0, 12]`; empty for a scalar.
pub fn place(index: usize, shape: &[usize]) -> String {
    match shape {
        [] => String::new(),
        shape => format!("{:?}", coordinates(index, shape)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_part_where_numbers_do_not() {
        let apart = Measure::Bits.apart(&[1.0, 0.0], &[1.0, -0.0]).unwrap();
        assert_eq!((apart.index, apart.differing, apart.error), (1, 1, 0.0));
        let nan = [f32::NAN];
        assert_eq!(Measure::Bits.apart(&nan, &nan), None);
        assert_eq!(Measure::Relative(0.1).apart(&[0.0], &[-0.0]), None);
    }

    #[test]
    fn the_worst_value_is_shown_where_some_error_is_allowed() {
        let (a, b) = ([1.0, 2.0, 4.0], [1.1, 2.0, 6.0]);
        let apart = Measure::Relative(0.1).apart(&a, &b).unwrap();
        assert_eq!((apart.index, apart.differing), (2, 2));
        assert_eq!(Measure::Bits.apart(&a, &b).unwrap().index, 0);
        assert_eq!(Measure::Relative(0.5).apart(&a, &b), None);
        let apart = Measure::Relative(0.5).apart(&a, &[1.0, f32::NAN, 4.0]);
        assert_eq!(apart.unwrap().index, 1);
    }
}
