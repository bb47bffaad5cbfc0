//! A function of each value.
//!
//! | operation | y | dx |
//! |---|---|---|
//! | [`Each::Relu`] | max(x, 0); NaN stays | dy where y > 0 |
//! | [`Each::Sigmoid`] | 1 / (1 + exp(−x)) | dy · y · (1 − y) |
//! | [`Each::Gelu`] | x·Φ(x), Φ(x) = (1 + erf(x/√2))/2 (Hendrycks and Gimpel, 2016; not the approximation by tanh) | dy·(Φ(x) + x·exp(−x²/2)/√(2π)) |
//! | [`Each::Add`] | x + c | dy |
//!
//! [`Each`] reads x and writes y; [`EachBack`] reads dy and y, of [`EachBack::Gelu`] x instead of y, and writes dx.

use std::f64::consts::{FRAC_1_SQRT_2, TAU};

use super::{Compute, Extent, Layer, Lowering, NoRule, Real, Reverse, Site, Surroundings};

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Each {
    Relu,
    Sigmoid,
    Gelu,
    /// Adds a constant.
    Add(f64),
}

/// The gradient of a function whose slope follows from its result, or else from its input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum EachBack {
    Relu,
    Sigmoid,
    Gelu,
}

/// Φ: the distribution function of the normal distribution.
fn normal<R: Real>(x: R) -> R {
    R::of(0.5) * (R::one() + (x * R::of(FRAC_1_SQRT_2)).error_function())
}

impl Each {
    pub fn of<R: Real>(self, x: R) -> R {
        match self {
            Self::Relu if x < R::zero() => R::zero(),
            Self::Relu => x,
            Self::Sigmoid => R::one() / (R::one() + (-x).exponential()),
            Self::Gelu => x * normal(x),
            Self::Add(constant) => x + R::of(constant),
        }
    }
}

impl EachBack {
    /// `at`: the function's result, of GELU its input.
    pub fn of<R: Real>(self, dy: R, at: R) -> R {
        match self {
            Self::Relu if at > R::zero() => dy,
            Self::Relu => R::zero(),
            Self::Sigmoid => dy * at * (R::one() - at),
            Self::Gelu => {
                let density = (R::of(-0.5) * at * at).exponential() * R::of(1.0 / TAU.sqrt());
                dy * (normal(at) + at * density)
            }
        }
    }
}

impl Layer for Each {
    fn name(&self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::Sigmoid => "sigmoid",
            Self::Gelu => "gelu",
            Self::Add(_) => "add constant",
        }
    }

    fn extent(&self, inputs: &[Extent], _: Surroundings<'_>) -> Result<Extent, String> {
        Ok(inputs[0])
    }

    fn lower(&self, at: &mut Lowering<'_>) {
        at.single(*self);
    }
}

impl Compute for Each {
    fn kind(&self) -> &'static str {
        "single values"
    }

    fn differentiate(&self, at: &mut Reverse<'_>) -> Result<(), NoRule> {
        let (dy, y) = (at.dy(), at.y(0));
        match self {
            Self::Relu => at.emit(0, EachBack::Relu, vec![dy, y]),
            Self::Sigmoid => at.emit(0, EachBack::Sigmoid, vec![dy, y]),
            Self::Gelu => at.emit(0, EachBack::Gelu, vec![dy, at.x(0)]),
            Self::Add(_) => at.contribute(0, dy),
        }
        Ok(())
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let x = site.reads[0].values;
        let y = site.writes[0].values.iter_mut();
        y.zip(x).for_each(|(y, &x)| *y = self.of(x));
    }
}

impl Compute for EachBack {
    fn kind(&self) -> &'static str {
        "single values, gradient"
    }

    fn differentiate(&self, _: &mut Reverse<'_>) -> Result<(), NoRule> {
        Err(NoRule)
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let pairs = site.reads[0].values.iter().zip(site.reads[1].values);
        let dx = site.writes[0].values.iter_mut();
        dx.zip(pairs)
            .for_each(|(dx, (&dy, &y))| *dx = self.of(dy, y));
    }
}
