//! FFN's weight alteration (section 3.4): a depthwise 1×1 convolution with a residual, y = (1 + a)·x for each channel, one weight
//! `[C, 1, 1, 1]` for each branch.
//!
//! dx = (1 + a)·dy, da = Σ dy·x over the branch's rows and pixels. [`Alter`] reads x and writes y; [`AlterBack`] reads dy and x and
//! writes dx.

use super::{Compute, Extent, Layer, Lowering, NoRule, ParamId, Real, Reverse, Site, Surroundings};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alter {
    /// One for each branch.
    pub weights: Vec<ParamId>,
}

/// The gradient of an alteration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterBack {
    pub weights: Vec<ParamId>,
}

impl Layer for Alter {
    fn name(&self) -> &'static str {
        "alter"
    }

    fn params(&self) -> Vec<ParamId> {
        self.weights.clone()
    }

    fn extent(&self, inputs: &[Extent], around: Surroundings<'_>) -> Result<Extent, String> {
        around.per_branch(self.weights.len(), false)?;
        around.all_channels(self.weights.iter().copied(), inputs[0])
    }

    fn lower(&self, at: &mut Lowering<'_>) {
        at.single(self.clone());
    }
}

/// y = (1 + a)·x with each row's own a.
pub(super) fn altered<R: Real>(site: &mut Site<'_, '_, R>, weights: &[ParamId], x: &[R]) {
    let to = &mut site.writes[0];
    let branch_of = &site.batch.at(to.extent.rate).branch_of;
    let count = to.extent.shape.count();
    for (row, &branch) in branch_of.iter().enumerate() {
        let weight = site.params[weights[branch]];
        let x = &x[row * count..][..count];
        for (at, (y, &x)) in to.row(row).iter_mut().zip(x).enumerate() {
            *y = (R::one() + weight[at % weight.len()]) * x;
        }
    }
}

/// da += Σ dy·x.
pub(super) fn weight_gradients<R: Real>(site: &mut Site<'_, '_, R>, weights: &[ParamId], x: &[R]) {
    let dy = site.reads[0];
    let branch_of = &site.batch.at(dy.extent.rate).branch_of;
    let count = dy.extent.shape.count();
    for (row, &branch) in branch_of.iter().enumerate() {
        let gradient = &mut *site.grads[weights[branch]];
        let channels = gradient.len();
        for (at, (&dy, &x)) in dy.row(row).iter().zip(&x[row * count..]).enumerate() {
            gradient[at % channels] = gradient[at % channels] + dy * x;
        }
    }
}

impl Compute for Alter {
    fn kind(&self) -> &'static str {
        "shift and alteration"
    }

    fn trained(&self) -> Vec<ParamId> {
        self.weights.clone()
    }

    fn differentiate(&self, at: &mut Reverse<'_>) -> Result<(), NoRule> {
        let (x, dy) = (at.x(0), at.dy());
        let weights = self.weights.clone();
        at.emit_with_gradients(0, AlterBack { weights }, vec![dy, x]);
        Ok(())
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let x = site.reads[0].values;
        altered(&mut site, &self.weights, x);
    }
}

impl Compute for AlterBack {
    fn kind(&self) -> &'static str {
        "shift and alteration, gradient"
    }

    fn gradients(&self) -> Vec<ParamId> {
        self.weights.clone()
    }

    fn differentiate(&self, _: &mut Reverse<'_>) -> Result<(), NoRule> {
        Err(NoRule)
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let (dy, x) = (site.reads[0].values, site.reads[1].values);
        weight_gradients(&mut site, &self.weights, x);
        altered(&mut site, &self.weights, dy);
    }
}
