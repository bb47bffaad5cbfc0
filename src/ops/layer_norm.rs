//! Layer norm over the channels of each pixel (Ba et al., 2016).
//!
//! x̂ = (x − μ)·r with r = 1/√(σ² + eps), μ = Σx/C and σ² = Σ(x − μ)²/C over the C channels; y = γ·x̂ + β, with γ and β of the
//! branch. It has no running statistics, so training and evaluation compute the same.
//!
//! With g = γ·dy: dx = r·(g − Σg/C − x̂·Σ(g·x̂)/C); dγ = Σ dy·x̂ and dβ = Σ dy over all pixels of the branch.
//!
//! | step | reads | writes |
//! |---|---|---|
//! | [`LayerNorm`] | x | y |
//! | [`LayerNormBack`] | dy, x | dx; γ's and β's gradients |

use super::{Compute, Extent, Layer, Lowering, NoRule, ParamId, Real, Reverse, Site, Surroundings};

/// Weight and bias of a layer norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Affine {
    pub weight: ParamId,
    pub bias: ParamId,
}

/// One entry that all branches share, or one for each branch.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerNorm {
    pub branches: Vec<Affine>,
    /// What is added to the variance.
    pub eps: f64,
}

/// The gradient of a layer norm.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerNormBack(pub LayerNorm);

impl LayerNorm {
    pub fn of(&self, branch: usize) -> Affine {
        self.branches[if self.branches.len() == 1 { 0 } else { branch }]
    }
}

/// μ and r of one pixel.
fn moments<R: Real>(x: &[R], eps: f64) -> (R, R) {
    let count = R::of(x.len() as f64);
    let mean = x.iter().copied().sum::<R>() / count;
    let squares: R = x.iter().map(|&v| (v - mean) * (v - mean)).sum();
    (mean, (squares / count + R::of(eps)).sqrt().recip())
}

impl Layer for LayerNorm {
    fn name(&self) -> &'static str {
        "layer norm"
    }

    fn params(&self) -> Vec<ParamId> {
        let branches = self.branches.iter();
        branches.flat_map(|of| [of.weight, of.bias]).collect()
    }

    fn extent(&self, inputs: &[Extent], around: Surroundings<'_>) -> Result<Extent, String> {
        around.per_branch(self.branches.len(), true)?;
        around.all_channels(self.params().into_iter(), inputs[0])
    }

    fn lower(&self, at: &mut Lowering<'_>) {
        at.single(self.clone());
    }
}

impl Compute for LayerNorm {
    fn kind(&self) -> &'static str {
        "layer norm"
    }

    fn trained(&self) -> Vec<ParamId> {
        self.params()
    }

    fn differentiate(&self, at: &mut Reverse<'_>) -> Result<(), NoRule> {
        let reads = vec![at.dy(), at.x(0)];
        at.emit_with_gradients(0, LayerNormBack(self.clone()), reads);
        Ok(())
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let x = site.reads[0];
        let (pixels, channels) = (x.extent.shape.pixels(), x.extent.shape.channels);
        let branches = &site.batch.at(x.extent.rate).branch_of;
        let outputs = site.writes[0].pixels().zip(x.pixels());
        for (pixel, (y, x)) in outputs.enumerate() {
            let of = self.of(branches[pixel / pixels]);
            let (weight, bias) = (site.params[of.weight], site.params[of.bias]);
            let (mean, inverse) = moments(x, self.eps);
            for c in 0..channels {
                y[c] = (x[c] - mean) * inverse * weight[c] + bias[c];
            }
        }
    }
}

impl Compute for LayerNormBack {
    fn kind(&self) -> &'static str {
        "layer norm, gradient"
    }

    fn gradients(&self) -> Vec<ParamId> {
        self.0.params()
    }

    fn differentiate(&self, _: &mut Reverse<'_>) -> Result<(), NoRule> {
        Err(NoRule)
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let (dy, x) = (site.reads[0], site.reads[1]);
        let (pixels, channels) = (x.extent.shape.pixels(), x.extent.shape.channels);
        let branches = &site.batch.at(x.extent.rate).branch_of;
        let count = R::of(channels as f64);
        let inputs = dy.pixels().zip(x.pixels());
        let outputs = site.writes[0].pixels().zip(inputs);
        for (pixel, (dx, (dy, x))) in outputs.enumerate() {
            let of = self.0.of(branches[pixel / pixels]);
            let weight = site.params[of.weight];
            let (mean, inverse) = moments(x, self.0.eps);
            let normal = |c: usize| (x[c] - mean) * inverse;
            let sum: R = (0..channels).map(|c| weight[c] * dy[c]).sum();
            let product: R = (0..channels).map(|c| weight[c] * dy[c] * normal(c)).sum();
            for c in 0..channels {
                let centred = weight[c] * dy[c] - sum / count - normal(c) * product / count;
                dx[c] = inverse * centred;
                let add = |gradient: &mut R, value: R| *gradient = *gradient + value;
                add(&mut site.grads[of.bias][c], dy[c]);
                add(&mut site.grads[of.weight][c], dy[c] * normal(c));
            }
        }
    }
}
