//! Shift and alteration in one pass: y = (1 + a)·S(x), where either may be missing.
//!
//! dx = Sᵀ((1 + a)·dy) (+ add), da = Σ dy·S(x). [`ShiftAlter`] reads x and writes y. [`ShiftAlterBack`] reads dy, then x if there is an
//! alteration, then what is added if anything is, and writes dx.

use super::reference::{Array, ArrayMut};
use super::{Compute, NoRule, ParamId, Real, Reverse, Site, StepOp, alter, shift};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShiftAlter {
    /// The divisor of [`super::Shift`].
    pub div: Option<usize>,
    /// As [`super::Alter`] has them; empty: no alteration.
    pub weights: Vec<ParamId>,
}

/// The gradient of shift and alteration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShiftAlterBack {
    pub of: ShiftAlter,
    /// Whether another gradient of x is added.
    pub adds: bool,
}

impl ShiftAlter {
    /// A shift, an alteration or both as the one of both.
    pub fn of(op: &StepOp) -> Option<Self> {
        if let StepOp::Shift(shift) = op {
            return Some(Self {
                div: Some(shift.div),
                weights: Vec::new(),
            });
        }
        if let StepOp::Alter(alter) = op {
            return Some(Self {
                div: None,
                weights: alter.weights.clone(),
            });
        }
        if let StepOp::ShiftAlter(both) = op {
            return Some(both.clone());
        }
        None
    }

    /// A gradient of one of them or of both, to which nothing is added yet, as that of both.
    pub fn of_gradient(op: &StepOp) -> Option<Self> {
        if let StepOp::ShiftBack(shift) = op {
            return Some(Self {
                div: Some(shift.div),
                weights: Vec::new(),
            });
        }
        if let StepOp::AlterBack(alter) = op {
            return Some(Self {
                div: None,
                weights: alter.weights.clone(),
            });
        }
        if let StepOp::ShiftAlterBack(both) = op {
            return (!both.adds).then(|| both.of.clone());
        }
        None
    }

    /// S(x), or with −1 its adjoint.
    fn shifted<R: Real>(&self, site: &Site<'_, '_, R>, x: Array<'_, R>, first: isize) -> Vec<R> {
        let mut values = vec![R::zero(); x.values.len()];
        let mut to = ArrayMut {
            extent: x.extent,
            values: &mut values,
        };
        let layout = site.batch.at(x.extent.rate);
        shift::shifted(layout, self.div.unwrap_or(0), first, x, &mut to);
        values
    }
}

impl Compute for ShiftAlter {
    fn kind(&self) -> &'static str {
        "shift and alteration"
    }

    fn trained(&self) -> Vec<ParamId> {
        self.weights.clone()
    }

    /// A fusion is made after differentiation.
    fn differentiate(&self, _: &mut Reverse<'_>) -> Result<(), NoRule> {
        Err(NoRule)
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let x = self.shifted(&site, site.reads[0], 1);
        match self.weights.is_empty() {
            true => site.writes[0].values.copy_from_slice(&x),
            false => alter::altered(&mut site, &self.weights, &x),
        }
    }
}

impl Compute for ShiftAlterBack {
    fn kind(&self) -> &'static str {
        "shift and alteration, gradient"
    }

    fn gradients(&self) -> Vec<ParamId> {
        self.of.weights.clone()
    }

    fn differentiate(&self, _: &mut Reverse<'_>) -> Result<(), NoRule> {
        Err(NoRule)
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let dy = site.reads[0];
        let weights = &self.of.weights;
        if weights.is_empty() {
            site.writes[0].values.copy_from_slice(dy.values);
        } else {
            let x = self.of.shifted(&site, site.reads[1], 1);
            alter::weight_gradients(&mut site, weights, &x);
            alter::altered(&mut site, weights, dy.values);
        }
        let altered = site.writes[0].values.to_vec();
        let extent = dy.extent;
        let dx = self.of.shifted(
            &site,
            Array {
                extent,
                values: &altered,
            },
            -1,
        );
        let added = if self.adds { site.reads.last() } else { None };
        let added = added.map(|added| added.values);
        for (at, (to, dx)) in site.writes[0].values.iter_mut().zip(dx).enumerate() {
            *to = dx + added.map_or(R::zero(), |added| added[at]);
        }
    }
}
