//! A convolution in evaluation with everything folded that stands around it: y = ReLU(S(x) ∗ w' + b' + residual), where
//! w'[o, i, k] = w[o, i, k]·(1 + a[i])·s[o] and b'[o] = β[o] − μ[o]·s[o], s = γ/sqrt(σ² + eps), by the rows' own branch.
//!
//! It reads x, and the residual if there is one, and writes y. Only fusions make it: alteration, shift, running norm, sum and ReLU
//! of the plain program.

use super::reference::{Array, ArrayMut};
use super::{
    Batch, Buffer, Compute, Conv, NoRule, Norm, ParamId, Real, Reverse, Site, Step, conv, shift,
};

#[derive(Debug, Clone, PartialEq)]
pub struct FoldedConv {
    pub conv: Conv,
    /// The divisor of [`super::Shift`], if the input is shifted.
    pub shift: Option<usize>,
    /// As [`super::Alter`] has them, if the input is altered.
    pub alter: Vec<ParamId>,
    /// By running statistics.
    pub norm: Option<Norm>,
    pub residual: bool,
    pub relu: bool,
}

impl FoldedConv {
    /// A convolution with nothing folded yet.
    pub fn plain(conv: Conv) -> Self {
        Self {
            conv,
            shift: None,
            alter: Vec::new(),
            norm: None,
            residual: false,
            relu: false,
        }
    }

    /// Whether each branch has a weight of its own.
    pub fn is_private(&self) -> bool {
        self.norm.is_some() || !self.alter.is_empty()
    }
}

impl Compute for FoldedConv {
    fn kind(&self) -> &'static str {
        Compute::kind(&self.conv)
    }

    fn multiply_adds(&self, step: &Step, buffers: &[Buffer], batch: &Batch) -> u64 {
        self.conv.multiply_adds(step, buffers, batch)
    }

    /// A fusion is made after differentiation.
    fn differentiate(&self, _: &mut Reverse<'_>) -> Result<(), NoRule> {
        Err(NoRule)
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let x = site.reads[0];
        let layout = site.batch.at(x.extent.rate);
        let channels = x.extent.shape.channels;
        let mut input = vec![R::zero(); x.values.len()];
        let mut to = ArrayMut {
            extent: x.extent,
            values: &mut input,
        };
        shift::shifted(layout, self.shift.unwrap_or(0), 1, x, &mut to);
        for (row, &branch) in layout.branch_of.iter().enumerate() {
            let Some(&weight) = self.alter.get(branch) else {
                continue;
            };
            let weight = site.params[weight];
            let values = to.row(row).iter_mut().enumerate();
            values.for_each(|(at, v)| *v = *v * (R::one() + weight[at % channels]));
        }
        let x = Array {
            extent: x.extent,
            values: &input,
        };
        let (y, weight) = (&mut site.writes[0], site.params[self.conv.weight]);
        let layout = site.batch.at(y.extent.rate);
        conv::forward(&self.conv, site.batch, weight, x, y);
        let channels = y.extent.shape.channels;
        let residual = if self.residual {
            Some(site.reads[1])
        } else {
            None
        };
        for (row, &branch) in layout.branch_of.iter().enumerate() {
            for (at, y) in y.row(row).iter_mut().enumerate() {
                let c = at % channels;
                let bias = self
                    .conv
                    .bias
                    .map_or(R::zero(), |bias| site.params[bias][c]);
                *y = *y + bias;
                if let Some(norm) = &self.norm {
                    let of = norm.of(branch);
                    let stat = |all: &[Vec<f32>]| R::of(f64::from(all[of.stat][c]));
                    let (mean, var) = (stat(&site.stats.mean), stat(&site.stats.var));
                    let scale = site.params[of.weight][c] / (var + R::of(norm.eps)).sqrt();
                    *y = (*y - mean) * scale + site.params[of.bias][c];
                }
                *y = *y + residual.map_or(R::zero(), |r| r.row(row)[at]);
                if self.relu && *y < R::zero() {
                    *y = R::zero();
                }
            }
        }
    }
}
