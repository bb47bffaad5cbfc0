//! Inverted dropout: y = x·m, where m is 0 with the layer's probability, else 1 / (1 − probability). In evaluation it passes its
//! input.
//!
//! | what is dropped | probability | mask |
//! |---|---|---|
//! | [`Drops::Values`] | that of the training options | for each value |
//! | [`Drops::Clips`]: drop path (Huang et al., 2016) | the layer's share of the options' | one number a clip, for each channel of its rows |
//!
//! The mask of a segment comes from a stream of its own, keyed by seed, step, branch and node, in row-major order: [`draw`].
//! [`Dropout`] reads x and writes y and the mask.

use super::{
    Batch, Binary, Compute, Extent, Layer, Lowering, NoRule, Rate, Real, Reverse, Shape, Site,
    Surroundings,
};
use crate::base::rng::{Purpose, Stream};

/// What is dropped together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Drops {
    /// Each value by itself.
    Values,
    /// Everything of a clip together.
    Clips {
        /// Of the probability: deeper layers drop more.
        share: f32,
    },
}

/// As a layer: what the training options' probabilities apply to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    pub drops: Drops,
    /// Set when the layer is lowered: 0 before.
    pub probability: f32,
    /// Which of the network's dropout layers it is, in the graph's order. Set when the layer is lowered.
    pub index: usize,
}

/// Key of a step's dropout masks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DropoutKey {
    pub seed: u64,
    pub step: u64,
    /// Clips of the step that come before those of this pass: masks are drawn for the whole step.
    pub first_clip: usize,
}

impl Dropout {
    /// The extent of the mask of an activation.
    pub fn mask(&self, x: Extent) -> Extent {
        match self.drops {
            Drops::Values => x,
            Drops::Clips { .. } => x.with(Shape::vector(x.shape.channels)),
        }
    }

    /// A layer.
    pub const fn layer(drops: Drops) -> Self {
        Self {
            drops,
            probability: 0.0,
            index: 0,
        }
    }
}

/// Draws a mask: one stream for each segment, keyed by step, the frame count of its branch and, behind the
/// network's first dropout layer, the layer's index; so no two layers share a mask.
pub fn draw(
    dropout: Dropout,
    key: DropoutKey,
    batch: &Batch,
    mask: Extent,
    mut each: impl FnMut(usize, f32),
) {
    let Dropout {
        probability, index, ..
    } = dropout;
    let kept = 1.0 / (1.0 - probability);
    let count = mask.shape.count();
    for segment in &batch.at(mask.rate).segments {
        let branch = batch.branches.get(segment.branch).copied().unwrap_or(0);
        let parts = [key.step, branch as u64, index as u64];
        let parts = if index == 0 { &parts[..2] } else { &parts };
        let mut stream = Stream::new(key.seed, Purpose::Dropout, parts);
        let of_clip = match dropout.drops {
            Drops::Values => segment.clip * count,
            Drops::Clips { .. } => 1,
        };
        stream.skip((key.first_clip * of_clip) as u64);
        let mut factor = || match stream.uniform() < f64::from(probability) {
            true => 0.0,
            false => kept,
        };
        let values = segment.rows.start * count..segment.rows.end * count;
        match dropout.drops {
            Drops::Values => values.for_each(|at| each(at, factor())),
            Drops::Clips { .. } => {
                let clip = segment.clip * count;
                for first in values.step_by(clip.max(1)) {
                    let factor = factor();
                    (first..first + clip).for_each(|at| each(at, factor));
                }
            }
        }
    }
}

impl Layer for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn extent(&self, inputs: &[Extent], _: Surroundings<'_>) -> Result<Extent, String> {
        match inputs[0].rate {
            Rate::Every(_) | Rate::Clip => Ok(inputs[0]),
            Rate::Group => Err("coefficients are not dropped".to_owned()),
        }
    }

    fn lower(&self, at: &mut Lowering<'_>) {
        let probability = at.training.map_or(0.0, |rules| match self.drops {
            Drops::Values => rules.dropout,
            Drops::Clips { share } => share * rules.drop_path,
        });
        if probability == 0.0 {
            return at.pass_through();
        }
        let mask = at.buffer(format!("{}.mask", at.name), self.mask(at.extent));
        let (reads, y) = (at.inputs.clone(), at.output());
        let op = Self {
            probability,
            index: at.dropouts,
            ..*self
        };
        at.step(op, reads, vec![y, mask]);
    }
}

impl Compute for Dropout {
    fn kind(&self) -> &'static str {
        "head"
    }

    fn differentiate(&self, at: &mut Reverse<'_>) -> Result<(), NoRule> {
        let (dy, mask) = (at.dy(), at.y(1));
        at.emit(0, Binary::Multiply, vec![dy, mask]);
        Ok(())
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let x = site.reads[0];
        let (y, mask) = site.writes.split_at_mut(1);
        let (y, mask) = (&mut y[0], &mut mask[0]);
        draw(*self, site.dropout, site.batch, mask.extent, |at, kept| {
            mask.values[at] = R::of(f64::from(kept));
        });
        for row in 0..y.rows() {
            let factors = mask.row(row);
            for (at, (y, &x)) in y.row(row).iter_mut().zip(x.row(row)).enumerate() {
                *y = x * factors[at % factors.len()];
            }
        }
    }
}
