//! Means: of a row's pixels, or of a clip's rows.
//!
//! | operation | y | dx |
//! |---|---|---|
//! | [`Mean::Pixels`] | `[row, c]`, the mean of the row's pixels | dy / pixels at each |
//! | [`Mean::Rows`] | one row a clip, the mean of its rows | dy / rows in each |
//!
//! [`Mean`] reads x and writes y; [`MeanBack`] reads dy and writes dx.

use super::{
    Compute, Extent, Layer, Lowering, NoRule, Rate, Real, Reverse, Shape, Site, Surroundings,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mean {
    Pixels,
    Rows,
}

/// The gradient of a mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeanBack(pub Mean);

impl Layer for Mean {
    fn name(&self) -> &'static str {
        match self {
            Self::Pixels => "average pool",
            Self::Rows => "frame mean",
        }
    }

    fn extent(&self, inputs: &[Extent], _: Surroundings<'_>) -> Result<Extent, String> {
        let x = inputs[0];
        Ok(match self {
            Self::Pixels => x.with(Shape::vector(x.shape.channels)),
            Self::Rows => Extent {
                rate: Rate::Clip,
                ..x
            },
        })
    }

    fn lower(&self, at: &mut Lowering<'_>) {
        at.single(*self);
    }
}

impl Compute for Mean {
    fn kind(&self) -> &'static str {
        match self {
            Self::Pixels => "pooling",
            Self::Rows => "head",
        }
    }

    fn differentiate(&self, at: &mut Reverse<'_>) -> Result<(), NoRule> {
        let dy = at.dy();
        at.emit(0, MeanBack(*self), vec![dy]);
        Ok(())
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let x = site.reads[0];
        let to = &mut site.writes[0];
        match self {
            Self::Pixels => {
                let pixels = R::of(x.extent.shape.pixels() as f64);
                for row in 0..to.rows() {
                    let y = to.row(row);
                    add_all(y, x.row(row));
                    y.iter_mut().for_each(|y| *y = *y / pixels);
                }
            }
            Self::Rows => {
                let layout = site.batch.at(x.extent.rate);
                let clips = layout.segments.iter().flat_map(|s| {
                    s.rows
                        .clone()
                        .step_by(s.clip)
                        .map(|first| first..first + s.clip)
                });
                for (clip, rows) in clips.enumerate() {
                    let (y, count) = (to.row(clip), R::of(rows.len() as f64));
                    rows.for_each(|row| add_all(y, x.row(row)));
                    y.iter_mut().for_each(|y| *y = *y / count);
                }
            }
        }
    }
}

/// Adds every group of as many values as there are sums.
fn add_all<R: Real>(sums: &mut [R], values: &[R]) {
    for group in values.chunks_exact(sums.len()) {
        sums.iter_mut()
            .zip(group)
            .for_each(|(sum, v)| *sum = *sum + *v);
    }
}

impl Compute for MeanBack {
    fn kind(&self) -> &'static str {
        match self.0 {
            Mean::Pixels => "pooling, gradient",
            Mean::Rows => "head, gradient",
        }
    }

    fn differentiate(&self, _: &mut Reverse<'_>) -> Result<(), NoRule> {
        Err(NoRule)
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let dy = site.reads[0];
        let to = &mut site.writes[0];
        match self.0 {
            Mean::Pixels => {
                let pixels = R::of(to.extent.shape.pixels() as f64);
                for row in 0..to.rows() {
                    let dy = dy.row(row);
                    for dx in to.row(row).chunks_exact_mut(dy.len()) {
                        dx.iter_mut()
                            .zip(dy)
                            .for_each(|(dx, dy)| *dx = *dy / pixels);
                    }
                }
            }
            Mean::Rows => {
                let mut clip = 0;
                for segment in &site.batch.at(to.extent.rate).segments {
                    for first in segment.rows.clone().step_by(segment.clip) {
                        for row in first..first + segment.clip {
                            let pairs = to.row(row).iter_mut().zip(dy.row(clip));
                            pairs.for_each(|(dx, dy)| *dx = *dy / R::of(segment.clip as f64));
                        }
                        clip += 1;
                    }
                }
            }
        }
    }
}
