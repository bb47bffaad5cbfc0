//! A function of two values: y = a + b, a − b or a · b. b has a's extent, or one pixel for all pixels of a row.
//!
//! | operation | da | db |
//! |---|---|---|
//! | [`Binary::Add`] | dy | Σ dy |
//! | [`Binary::Subtract`] | dy | −Σ dy |
//! | [`Binary::Multiply`] | dy · b | Σ dy · a |
//!
//! The sums run over the pixels that share a value of b. [`Binary`] reads a and b and writes y. [`SumPixels`] reads x and writes
//! the sum of each row's pixels, times a factor; [`SumProducts`] reads a and b of one extent and writes that sum of a · b.

use super::reference::Array;
use super::{Compute, Extent, Layer, Lowering, NoRule, Real, Reverse, Shape, Site, Surroundings};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    Add,
    Subtract,
    Multiply,
}

/// y[row, c] = Σ x[row, pixel, c], negated or not. Values of one pixel a row pass as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SumPixels {
    pub negated: bool,
}

/// y[row, c] = Σ a[row, pixel, c] · b[row, pixel, c].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SumProducts;

impl Binary {
    pub fn of<R: Real>(self, a: R, b: R) -> R {
        match self {
            Self::Add => a + b,
            Self::Subtract => a - b,
            Self::Multiply => a * b,
        }
    }
}

impl Layer for Binary {
    fn name(&self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Subtract => "subtract",
            Self::Multiply => "multiply",
        }
    }

    fn takes(&self, inputs: usize) -> bool {
        inputs == 2
    }

    fn extent(&self, inputs: &[Extent], _: Surroundings<'_>) -> Result<Extent, String> {
        let (a, b) = (inputs[0], inputs[1]);
        let pixel = a.with(Shape::vector(a.shape.channels));
        match b == a || b == pixel {
            true => Ok(a),
            false => Err(format!("cannot {} {a} and {b}", self.name())),
        }
    }

    fn lower(&self, at: &mut Lowering<'_>) {
        at.single(*self);
    }
}

impl Compute for Binary {
    fn kind(&self) -> &'static str {
        "single values"
    }

    fn differentiate(&self, at: &mut Reverse<'_>) -> Result<(), NoRule> {
        let (a, b, dy) = (at.x(0), at.x(1), at.dy());
        let is_whole = at.extent(a) == at.extent(b);
        match self {
            Self::Add | Self::Subtract => {
                at.contribute(0, dy);
                let negated = *self == Self::Subtract;
                match is_whole && !negated {
                    true => at.contribute(1, dy),
                    false => at.emit(1, SumPixels { negated }, vec![dy]),
                }
            }
            Self::Multiply => {
                at.emit(0, Self::Multiply, vec![dy, b]);
                match is_whole {
                    true => at.emit(1, Self::Multiply, vec![dy, a]),
                    false => at.emit(1, SumProducts, vec![dy, a]),
                }
            }
        }
        Ok(())
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let (a, b) = (site.reads[0], site.reads[1]);
        let row = a.extent.shape.count();
        for (at, y) in site.writes[0].values.iter_mut().enumerate() {
            *y = self.of(a.values[at], beside(b, at / row, at % row));
        }
    }
}

/// The value of b beside value `at` of row `row` of a.
fn beside<R: Real>(b: Array<'_, R>, row: usize, at: usize) -> R {
    let values = b.row(row);
    values[at % values.len()]
}

impl Compute for SumPixels {
    fn kind(&self) -> &'static str {
        "single values, gradient"
    }

    fn differentiate(&self, _: &mut Reverse<'_>) -> Result<(), NoRule> {
        Err(NoRule)
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let x = site.reads[0];
        let sign = if self.negated { -R::one() } else { R::one() };
        let to = &mut site.writes[0];
        for row in 0..to.rows() {
            let y = to.row(row);
            for (at, &x) in x.row(row).iter().enumerate() {
                let at = at % y.len();
                y[at] = y[at] + sign * x;
            }
        }
    }
}

impl Compute for SumProducts {
    fn kind(&self) -> &'static str {
        "single values, gradient"
    }

    fn differentiate(&self, _: &mut Reverse<'_>) -> Result<(), NoRule> {
        Err(NoRule)
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let (a, b) = (site.reads[0], site.reads[1]);
        let to = &mut site.writes[0];
        for row in 0..to.rows() {
            let y = to.row(row);
            for (at, (&a, &b)) in a.row(row).iter().zip(b.row(row)).enumerate() {
                let at = at % y.len();
                y[at] = y[at] + a * b;
            }
        }
    }
}
