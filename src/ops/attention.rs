//! Scaled dot-product attention of every pixel of a clip to every other, space and time together (Vaswani et al., 2017).
//!
//! x has 3·C channels: queries, keys and values of C each; of each the heads follow one another, d = C / heads channels a head.
//! The tokens are the N pixels of all rows of a clip, and for each head
//!
//! ```text
//! S = scale·Q·Kᵀ   [N, N]      P = softmax of each row of S      Y = P·V   [N, d]
//! ```
//!
//! y has C channels, the heads side by side. Backward, with dY of a head: dV = Pᵀ·dY, dP = dY·Vᵀ,
//! dS = P∘(dP − Σ_row dP∘P), dQ = scale·dS·K, dK = scale·dSᵀ·Q. P is computed again.
//!
//! | step | reads | writes |
//! |---|---|---|
//! | [`Attention`] | x | y |
//! | [`AttentionBack`] | dy, x | dx |

use std::ops::Range;

use super::{
    Batch, Buffer, Compute, Extent, Layer, Lowering, NoRule, Rate, Real, Reverse, Site, Step,
    Surroundings,
};

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attention {
    pub heads: usize,
    /// Of the products of queries and keys: usually d^-½.
    pub scale: f64,
}

/// The gradient of an attention.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionBack(pub Attention);

impl Attention {
    /// The tokens of each clip, as indices of pixels.
    pub fn clips(batch: &Batch, extent: Extent) -> Vec<Range<usize>> {
        let pixels = extent.shape.pixels();
        let segments = batch.at(extent.rate).segments.iter();
        let clips = segments.flat_map(|segment| {
            let rows = segment.rows.clone().step_by(segment.clip.max(1));
            rows.map(|row| row * pixels..(row + segment.clip) * pixels)
        });
        clips.collect()
    }

    /// Both products.
    fn of_clip(tokens: usize, channels: usize) -> u64 {
        2 * (tokens * tokens) as u64 * channels as u64
    }
}

impl Layer for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn extent(&self, inputs: &[Extent], _: Surroundings<'_>) -> Result<Extent, String> {
        let x = inputs[0];
        let parts = 3 * self.heads;
        let fits = parts > 0 && x.shape.channels.is_multiple_of(parts);
        match (x.rate, fits) {
            (Rate::Every(_) | Rate::Clip, true) => Ok(x.with_channels(x.shape.channels / 3)),
            (Rate::Every(_) | Rate::Clip | Rate::Group, _) => Err(format!(
                "{x} has no queries, keys and values of {} heads",
                self.heads
            )),
        }
    }

    fn clip_multiply_adds(&self, _: Surroundings<'_>, output: Extent, frames: usize) -> u64 {
        let tokens = output.rate.rows(frames) * output.shape.pixels();
        Self::of_clip(tokens, output.shape.channels)
    }

    fn lower(&self, at: &mut Lowering<'_>) {
        at.single(*self);
    }
}

/// Queries, keys and values of one head and clip: what of a pixel they are, and the pixels.
struct Head<'a, R> {
    x: &'a [R],
    channels: usize,
    first: usize,
    width: usize,
    tokens: Range<usize>,
}

impl<R: Real> Head<'_, R> {
    /// Part 0, 1 or 2 of a token: query, key or value.
    fn part(&self, part: usize, token: usize) -> &[R] {
        &self.x[self.at(part, token)..][..self.width]
    }

    fn at(&self, part: usize, token: usize) -> usize {
        (self.tokens.start + token) * 3 * self.channels + part * self.channels + self.first
    }

    /// A row of P.
    fn weights(&self, query: usize, scale: R) -> Vec<R> {
        let q = self.part(0, query);
        let tokens = 0..self.tokens.len();
        let scores: Vec<R> = tokens
            .map(|key| scale * dot(q, self.part(1, key)))
            .collect();
        let largest = scores.iter().copied().fold(R::neg_infinity(), R::max);
        let powers: Vec<R> = scores
            .iter()
            .map(|&score| (score - largest).exponential())
            .collect();
        let sum: R = powers.iter().copied().sum();
        powers.into_iter().map(|power| power / sum).collect()
    }
}

fn dot<R: Real>(a: &[R], b: &[R]) -> R {
    a.iter().zip(b).map(|(&a, &b)| a * b).sum()
}

/// to += factor·from.
fn add<R: Real>(to: &mut [R], factor: R, from: &[R]) {
    let pairs = to.iter_mut().zip(from);
    pairs.for_each(|(to, &from)| *to = *to + factor * from);
}

impl Attention {
    /// Calls `each` with every head of every clip.
    fn heads<'a, R: Real>(
        &self,
        batch: &Batch,
        extent: Extent,
        x: &'a [R],
        mut each: impl FnMut(Head<'a, R>),
    ) {
        let channels = extent.shape.channels / 3;
        let width = channels / self.heads;
        for tokens in Self::clips(batch, extent) {
            for head in 0..self.heads {
                each(Head {
                    x,
                    channels,
                    first: head * width,
                    width,
                    tokens: tokens.clone(),
                });
            }
        }
    }
}

impl Compute for Attention {
    fn kind(&self) -> &'static str {
        "attention"
    }

    fn multiply_adds(&self, step: &Step, buffers: &[Buffer], batch: &Batch) -> u64 {
        products(batch, buffers[step.writes[0]].extent)
    }

    fn differentiate(&self, at: &mut Reverse<'_>) -> Result<(), NoRule> {
        let reads = vec![at.dy(), at.x(0)];
        at.emit(0, AttentionBack(*self), reads);
        Ok(())
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let (x, y) = (site.reads[0], &mut *site.writes[0].values);
        let scale = R::of(self.scale);
        self.heads(site.batch, x.extent, x.values, |head| {
            for query in 0..head.tokens.len() {
                let to = (head.tokens.start + query) * head.channels + head.first;
                for (key, p) in head.weights(query, scale).into_iter().enumerate() {
                    add(&mut y[to..][..head.width], p, head.part(2, key));
                }
            }
        });
    }
}

impl Compute for AttentionBack {
    fn kind(&self) -> &'static str {
        "attention, gradient"
    }

    fn multiply_adds(&self, step: &Step, buffers: &[Buffer], batch: &Batch) -> u64 {
        // As usual twice the forward ones, though P is computed again.
        2 * products(batch, buffers[step.reads[0]].extent)
    }

    fn differentiate(&self, _: &mut Reverse<'_>) -> Result<(), NoRule> {
        Err(NoRule)
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let (dy, x) = (site.reads[0], site.reads[1]);
        let dx = &mut *site.writes[0].values;
        let scale = R::of(self.0.scale);
        self.0.heads(site.batch, x.extent, x.values, |head| {
            let width = head.width;
            for query in 0..head.tokens.len() {
                let from = (head.tokens.start + query) * head.channels + head.first;
                let dy = &dy.values[from..][..width];
                let p = head.weights(query, scale);
                let dp: Vec<R> = (0..p.len()).map(|key| dot(dy, head.part(2, key))).collect();
                let sum = dot(&p, &dp);
                for (key, (&p, &dp)) in p.iter().zip(&dp).enumerate() {
                    let ds = scale * p * (dp - sum);
                    add(&mut dx[head.at(0, query)..][..width], ds, head.part(1, key));
                    add(&mut dx[head.at(1, key)..][..width], ds, head.part(0, query));
                    add(&mut dx[head.at(2, key)..][..width], p, dy);
                }
            }
        });
    }
}

/// Multiply-adds of both products forward. `y`: the extent of the output.
fn products(batch: &Batch, y: Extent) -> u64 {
    let clips = Attention::clips(batch, y).into_iter();
    clips
        .map(|tokens| Attention::of_clip(tokens.len(), y.shape.channels))
        .sum()
}
