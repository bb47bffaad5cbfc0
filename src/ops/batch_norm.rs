//! Batch norm over the rows and pixels of a norm group, in two steps: statistics → coefficients → normalised values, because
//! values are often normalised again in the backward pass, and statistics never.
//!
//! x̂ = (x − μ)·r, r = 1/sqrt(σ² + eps), y = γ·x̂ + β (+ residual) (then ReLU). With n values of a channel in a group, μ = Σx/n and
//! σ² = Σ(x − μ)²/n; the running statistics follow as in PyTorch: r ← 0.9·r + 0.1·new, the new variance with n − 1. Frozen
//! norms and evaluation take the running ones.
//!
//! Coefficients hold for each norm group four rows of channels: μ, r, γ·r, β.
//!
//! With g = dy where the ReLU passed: dβ = Σg, dγ = Σg·x̂, dx = γ·r·(g − dβ/n − x̂·dγ/n), frozen dx = γ·r·g; the residual gets g.
//!
//! | step | reads | writes |
//! |---|---|---|
//! | [`BatchStatistics`] | x | coefficients |
//! | [`RunningStatistics`] | | coefficients |
//! | [`Normalize`] | x, coefficients, the residual if there is one | y |
//! | [`NormalizeBack`] | dy, x, coefficients, y if the mask is [`Mask::Output`] | dx, then g if it is kept |

use super::reference::Array;
use super::{
    Compute, Extent, Layer, Layout, Lowering, NoRule, ParamId, Real, Reverse, Site, StatId,
    Surroundings,
};
use crate::spec::FrozenNorms;

/// Weight of a batch's statistics in the running ones; PyTorch's default.
pub const MOMENTUM: f64 = 0.1;

/// Weight, bias and running statistics of a batch norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NormParams {
    pub weight: ParamId,
    pub bias: ParamId,
    pub stat: StatId,
}

/// One entry that all branches share, or one for each branch.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchNorm {
    pub branches: Vec<NormParams>,
    /// What is added to the variance.
    pub eps: f64,
}

impl BatchNorm {
    /// PyTorch's default.
    pub const EPS: f64 = 1e-5;
    /// The statistic of the norm that comes first in the graph.
    const FIRST: StatId = 0;

    /// Whether training leaves it alone: it takes its running statistics, and its weights and biases get no gradient.
    pub fn is_frozen(&self, frozen: FrozenNorms) -> bool {
        match frozen {
            FrozenNorms::Off => false,
            FrozenNorms::AllButFirst => self.branches.iter().all(|n| n.stat != Self::FIRST),
            FrozenNorms::All => true,
        }
    }
}

/// A batch norm as steps have it.
#[derive(Debug, Clone, PartialEq)]
pub struct Norm {
    pub branches: Vec<NormParams>,
    pub eps: f64,
    /// Running statistics normalise; weight and bias are not trained.
    pub frozen: bool,
}

impl Norm {
    pub fn of(&self, branch: usize) -> NormParams {
        self.branches[if self.branches.len() == 1 { 0 } else { branch }]
    }

    /// Weights and biases, those of each branch together; none if they are frozen.
    fn trained(&self) -> Vec<ParamId> {
        let params = self.branches.iter().flat_map(|n| [n.weight, n.bias]);
        params.filter(|_| !self.frozen).collect()
    }
}

/// Statistics of each norm group; the running ones follow.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchStatistics(pub Norm);

#[derive(Debug, Clone, PartialEq)]
pub struct RunningStatistics(pub Norm);

#[derive(Debug, Clone, PartialEq)]
pub struct Normalize {
    pub norm: Norm,
    pub relu: bool,
    /// Whether a residual is added before the ReLU.
    pub residual: bool,
}

/// Where the gradient passes a ReLU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mask {
    /// There is no ReLU.
    All,
    /// Where the normalised value, computed again, is positive.
    Recomputed,
    /// Where the output is positive.
    Output,
}

#[derive(Debug, Clone, PartialEq)]
pub struct NormalizeBack {
    pub norm: Norm,
    pub mask: Mask,
    /// Whether the gradient behind the ReLU is written: a residual gets it.
    pub keeps: bool,
}

impl Layer for BatchNorm {
    fn name(&self) -> &'static str {
        "norm"
    }

    fn params(&self) -> Vec<ParamId> {
        self.branches
            .iter()
            .flat_map(|n| [n.weight, n.bias])
            .collect()
    }

    fn stats(&self) -> Vec<StatId> {
        self.branches.iter().map(|n| n.stat).collect()
    }

    fn extent(&self, inputs: &[Extent], around: Surroundings<'_>) -> Result<Extent, String> {
        around.per_branch(self.branches.len(), true)?;
        around.all_channels(self.params().into_iter(), inputs[0])
    }

    fn lower(&self, at: &mut Lowering<'_>) {
        let norm = Norm {
            branches: self.branches.clone(),
            eps: self.eps,
            frozen: at.is_frozen(self),
        };
        let (x, coefficients) = (at.inputs[0], at.coefficients(at.extent.shape.channels));
        match norm.frozen {
            true => at.step(RunningStatistics(norm.clone()), vec![], vec![coefficients]),
            false => at.step(BatchStatistics(norm.clone()), vec![x], vec![coefficients]),
        }
        let normalize = Normalize {
            norm,
            relu: false,
            residual: false,
        };
        let y = at.output();
        at.step(normalize, vec![x, coefficients], vec![y]);
    }
}

/// A group's coefficients.
struct Coefficients<'a, R> {
    mean: &'a [R],
    inverse: &'a [R],
    scale: &'a [R],
    bias: &'a [R],
}

impl<'a, R: Real> Coefficients<'a, R> {
    fn of(coefficients: Array<'a, R>, group: usize) -> Self {
        let channels = coefficients.extent.shape.channels;
        let part = |i: usize| &coefficients.row(group)[i * channels..][..channels];
        Self {
            mean: part(0),
            inverse: part(1),
            scale: part(2),
            bias: part(3),
        }
    }

    fn normalized(&self, c: usize, x: R) -> R {
        (x - self.mean[c]) * self.scale[c] + self.bias[c]
    }
}

/// Sets a channel's coefficients from its mean and variance.
fn set<R: Real>(
    row: &mut [R],
    channel: usize,
    (mean, var): (R, R),
    (weight, bias): (R, R),
    eps: f64,
) {
    let channels = row.len() / 4;
    let inverse = (var + R::of(eps)).sqrt().recip();
    row[channel] = mean;
    row[channels + channel] = inverse;
    row[2 * channels + channel] = weight * inverse;
    row[3 * channels + channel] = bias;
}

/// Mean and sum of squares around it of one channel in some rows.
fn moments<R: Real>(x: Array<'_, R>, rows: std::ops::Range<usize>, channel: usize) -> (R, R) {
    let channels = x.extent.shape.channels;
    let values = || {
        rows.clone()
            .flat_map(|row| x.row(row).iter().skip(channel).step_by(channels))
    };
    let count = R::of((rows.len() * x.extent.shape.pixels()) as f64);
    let mean = values().copied().sum::<R>() / count;
    (mean, values().map(|&v| (v - mean) * (v - mean)).sum())
}

impl Compute for BatchStatistics {
    fn kind(&self) -> &'static str {
        "norm statistics"
    }

    /// Its gradient is part of the normalisation's.
    fn differentiate(&self, _: &mut Reverse<'_>) -> Result<(), NoRule> {
        Ok(())
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let Self(norm) = self;
        let x = site.reads[0];
        let groups = &site.batch.at(x.extent.rate).norm_groups;
        for (index, group) in groups.iter().enumerate() {
            let of = norm.of(group.branch);
            let count = (group.rows.len() * x.extent.shape.pixels()) as f64;
            for c in 0..x.extent.shape.channels {
                let (mean, squares) = moments(x, group.rows.clone(), c);
                let affine = (site.params[of.weight][c], site.params[of.bias][c]);
                let moments = (mean, squares / R::of(count));
                set(site.writes[0].row(index), c, moments, affine, norm.eps);
                if group.updates {
                    let follow = |running: &mut f32, new: f64| {
                        let kept = (1.0 - MOMENTUM) * f64::from(*running);
                        *running = (kept + MOMENTUM * new) as f32;
                    };
                    let unbiased = squares.exact() / (count - 1.0).max(1.0);
                    follow(&mut site.stats.mean[of.stat][c], mean.exact());
                    follow(&mut site.stats.var[of.stat][c], unbiased);
                }
            }
            site.stats.batches[of.stat] += u64::from(group.updates);
        }
    }
}

impl Compute for RunningStatistics {
    fn kind(&self) -> &'static str {
        "norm statistics"
    }

    fn differentiate(&self, _: &mut Reverse<'_>) -> Result<(), NoRule> {
        Ok(())
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let Self(norm) = self;
        let to = &mut site.writes[0];
        let groups = &site.batch.at(super::Rate::FRAME).norm_groups;
        for (index, group) in groups.iter().enumerate() {
            let of = norm.of(group.branch);
            for c in 0..to.extent.shape.channels {
                let [mean, var] = [&site.stats.mean, &site.stats.var]
                    .map(|all| R::of(f64::from(all[of.stat][c])));
                let affine = (site.params[of.weight][c], site.params[of.bias][c]);
                set(to.row(index), c, (mean, var), affine, norm.eps);
            }
        }
    }
}

impl Compute for Normalize {
    fn kind(&self) -> &'static str {
        "norm"
    }

    fn trained(&self) -> Vec<ParamId> {
        self.norm.trained()
    }

    fn differentiate(&self, at: &mut Reverse<'_>) -> Result<(), NoRule> {
        if self.relu || self.residual {
            // A fusion is made after differentiation.
            return Err(NoRule);
        }
        let reads = vec![at.dy(), at.x(0), at.x(1)];
        let norm = self.norm.clone();
        at.emit_with_gradients(
            0,
            NormalizeBack {
                norm,
                mask: Mask::All,
                keeps: false,
            },
            reads,
        );
        Ok(())
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let (x, coefficients) = (site.reads[0], site.reads[1]);
        let layout = site.batch.at(x.extent.rate);
        let channels = x.extent.shape.channels;
        let residual = if self.residual {
            Some(site.reads[2])
        } else {
            None
        };
        for (row, &group) in layout.group_of.iter().enumerate() {
            let of = Coefficients::of(coefficients, group);
            for (at, y) in site.writes[0].row(row).iter_mut().enumerate() {
                let added = residual.map_or(R::zero(), |r| r.row(row)[at]);
                *y = of.normalized(at % channels, x.row(row)[at]) + added;
                if self.relu && *y < R::zero() {
                    *y = R::zero();
                }
            }
        }
    }
}

impl NormalizeBack {
    /// g of every value.
    fn behind_relu<R: Real>(&self, site: &Site<'_, '_, R>, layout: &Layout) -> Vec<R> {
        let (dy, x, coefficients) = (site.reads[0], site.reads[1], site.reads[2]);
        let count = dy.extent.shape.count();
        let passes = |at: usize| match self.mask {
            Mask::All => true,
            Mask::Output => site.reads[3].values[at] > R::zero(),
            Mask::Recomputed => {
                let of = Coefficients::of(coefficients, layout.group_of[at / count]);
                of.normalized(at % dy.extent.shape.channels, x.values[at]) > R::zero()
            }
        };
        let values = dy.values.iter().enumerate();
        values
            .map(|(at, &dy)| if passes(at) { dy } else { R::zero() })
            .collect()
    }
}

impl Compute for NormalizeBack {
    fn kind(&self) -> &'static str {
        "norm, gradient"
    }

    fn gradients(&self) -> Vec<ParamId> {
        self.norm.trained()
    }

    fn differentiate(&self, _: &mut Reverse<'_>) -> Result<(), NoRule> {
        Err(NoRule)
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let (x, coefficients) = (site.reads[1], site.reads[2]);
        let layout = site.batch.at(x.extent.rate);
        let g = self.behind_relu(&site, layout);
        let (count, channels) = (x.extent.shape.count(), x.extent.shape.channels);
        for (index, group) in layout.norm_groups.iter().enumerate() {
            let of = Coefficients::of(coefficients, index);
            let params = self.norm.of(group.branch);
            let n = R::of((group.rows.len() * x.extent.shape.pixels()) as f64);
            for c in 0..channels {
                let all =
                    || (group.rows.start * count + c..group.rows.end * count).step_by(channels);
                let normal = |at: usize| (x.values[at] - of.mean[c]) * of.inverse[c];
                let (mut bias, mut weight) = (R::zero(), R::zero());
                if !self.norm.frozen {
                    bias = all().map(|at| g[at]).sum();
                    weight = all().map(|at| g[at] * normal(at)).sum();
                    let add = |gradient: &mut R, sum: R| *gradient = *gradient + sum;
                    add(&mut site.grads[params.bias][c], bias);
                    add(&mut site.grads[params.weight][c], weight);
                }
                for at in all() {
                    let centred = g[at] - bias / n - normal(at) * weight / n;
                    site.writes[0].values[at] = of.scale[c] * centred;
                }
            }
        }
        if self.keeps {
            site.writes[1].values.copy_from_slice(&g);
        }
    }
}
