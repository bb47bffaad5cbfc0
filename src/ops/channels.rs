//! Channels taken apart and put together.
//!
//! | step | reads | writes | its gradient |
//! |---|---|---|---|
//! | [`SliceChannels`] | x | `count` channels from `first` on | [`PadChannels`] |
//! | [`PadChannels`] | x | x's channels from `first` on, zeros around | |
//! | [`ConcatChannels`] | x₀, x₁, … | the channels of all, in order | a slice each |

use super::{Compute, Extent, Layer, Lowering, NoRule, Real, Reverse, Site, Surroundings};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceChannels {
    pub first: usize,
    pub count: usize,
}

/// The gradient of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PadChannels {
    pub first: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConcatChannels;

impl Layer for SliceChannels {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn extent(&self, inputs: &[Extent], _: Surroundings<'_>) -> Result<Extent, String> {
        let x = inputs[0];
        match self.count > 0 && self.first + self.count <= x.shape.channels {
            true => Ok(x.with_channels(self.count)),
            false => Err(format!(
                "{x} has no {} channels from {} on",
                self.count, self.first
            )),
        }
    }

    fn lower(&self, at: &mut Lowering<'_>) {
        at.single(*self);
    }
}

impl Compute for SliceChannels {
    fn kind(&self) -> &'static str {
        "channels"
    }

    fn differentiate(&self, at: &mut Reverse<'_>) -> Result<(), NoRule> {
        let dy = at.dy();
        at.emit(0, PadChannels { first: self.first }, vec![dy]);
        Ok(())
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let range = self.first..self.first + self.count;
        let pixels = site.writes[0].pixels().zip(site.reads[0].pixels());
        pixels.for_each(|(y, x)| y.copy_from_slice(&x[range.clone()]));
    }
}

impl Compute for PadChannels {
    fn kind(&self) -> &'static str {
        "channels"
    }

    fn differentiate(&self, _: &mut Reverse<'_>) -> Result<(), NoRule> {
        Err(NoRule)
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let x = site.reads[0];
        let range = self.first..self.first + x.extent.shape.channels;
        let pixels = site.writes[0].pixels().zip(x.pixels());
        pixels.for_each(|(y, x)| y[range.clone()].copy_from_slice(x));
    }
}

impl Layer for ConcatChannels {
    fn name(&self) -> &'static str {
        "concatenate"
    }

    fn takes(&self, inputs: usize) -> bool {
        inputs > 0
    }

    fn extent(&self, inputs: &[Extent], _: Surroundings<'_>) -> Result<Extent, String> {
        let first = inputs[0];
        let alike = |x: &&Extent| x.with_channels(0) == first.with_channels(0);
        match inputs.iter().find(|x| !alike(x)) {
            Some(other) => Err(format!("cannot put {first} and {other} side by side")),
            None => Ok(first.with_channels(inputs.iter().map(|x| x.shape.channels).sum())),
        }
    }

    fn lower(&self, at: &mut Lowering<'_>) {
        at.single(*self);
    }
}

impl Compute for ConcatChannels {
    fn kind(&self) -> &'static str {
        "channels"
    }

    fn differentiate(&self, at: &mut Reverse<'_>) -> Result<(), NoRule> {
        let dy = at.dy();
        let mut first = 0;
        for index in 0..at.step.reads.len() {
            let count = at.extent(at.x(index)).shape.channels;
            at.emit(index, SliceChannels { first, count }, vec![dy]);
            first += count;
        }
        Ok(())
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let mut first = 0;
        for x in &site.reads {
            let count = x.extent.shape.channels;
            let pixels = site.writes[0].pixels().zip(x.pixels());
            pixels.for_each(|(y, x)| y[first..first + count].copy_from_slice(x));
            first += count;
        }
    }
}
