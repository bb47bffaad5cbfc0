//! The logarithm of probabilities that are averaged over the pixels of a row: y[c] = ln((1/P)·Σ_p softmax(x[p])[c]).
//!
//! Of one pixel that is log softmax(x). The softmax of y is the mean probability itself, so y takes the place of logits.
//!
//! With s_p = softmax(x[p]), m = exp(y) and u = dy/m: dx[p] = s_p∘(u − Σ_c s_p[c]·u[c]) / P.
//!
//! | step | reads | writes |
//! |---|---|---|
//! | [`MeanProbabilities`] | x | y |
//! | [`MeanProbabilitiesBack`] | dy, x, y | dx |

use super::{Compute, Extent, Layer, Lowering, NoRule, Real, Reverse, Shape, Site, Surroundings};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeanProbabilities;

/// The gradient of averaged probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeanProbabilitiesBack;

fn softmax<R: Real>(x: &[R]) -> Vec<R> {
    let largest = x.iter().copied().fold(R::neg_infinity(), R::max);
    let powers: Vec<R> = x.iter().map(|&v| (v - largest).exponential()).collect();
    let sum: R = powers.iter().copied().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

impl Layer for MeanProbabilities {
    fn name(&self) -> &'static str {
        "mean probabilities"
    }

    fn extent(&self, inputs: &[Extent], _: Surroundings<'_>) -> Result<Extent, String> {
        let x = inputs[0];
        Ok(x.with(Shape::vector(x.shape.channels)))
    }

    fn lower(&self, at: &mut Lowering<'_>) {
        at.single(*self);
    }
}

impl Compute for MeanProbabilities {
    fn kind(&self) -> &'static str {
        "head"
    }

    fn differentiate(&self, at: &mut Reverse<'_>) -> Result<(), NoRule> {
        let reads = vec![at.dy(), at.x(0), at.y(0)];
        at.emit(0, MeanProbabilitiesBack, reads);
        Ok(())
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let x = site.reads[0];
        let (pixels, channels) = (x.extent.shape.pixels(), x.extent.shape.channels);
        let to = &mut site.writes[0];
        for row in 0..to.rows() {
            let y = to.row(row);
            for pixel in x.row(row).chunks_exact(channels) {
                let pairs = y.iter_mut().zip(softmax(pixel));
                pairs.for_each(|(y, p)| *y = *y + p);
            }
            let count = R::of(pixels as f64);
            y.iter_mut().for_each(|y| *y = (*y / count).ln());
        }
    }
}

impl Compute for MeanProbabilitiesBack {
    fn kind(&self) -> &'static str {
        "head, gradient"
    }

    fn differentiate(&self, _: &mut Reverse<'_>) -> Result<(), NoRule> {
        Err(NoRule)
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let (dy, x, y) = (site.reads[0], site.reads[1], site.reads[2]);
        let (pixels, channels) = (x.extent.shape.pixels(), x.extent.shape.channels);
        let to = &mut site.writes[0];
        for row in 0..to.rows() {
            let slopes = dy.row(row).iter().zip(y.row(row));
            let slopes: Vec<R> = slopes.map(|(&dy, &y)| dy / y.exponential()).collect();
            let outputs = to.row(row).chunks_exact_mut(channels);
            for (dx, x) in outputs.zip(x.row(row).chunks_exact(channels)) {
                let p = softmax(x);
                let sum: R = p.iter().zip(&slopes).map(|(&p, &u)| p * u).sum();
                for ((dx, p), u) in dx.iter_mut().zip(p).zip(&slopes) {
                    *dx = p * (*u - sum) / R::of(pixels as f64);
                }
            }
        }
    }
}
