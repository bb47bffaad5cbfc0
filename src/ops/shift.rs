//! The temporal shift (TSM, section 3.2): of C channels `[0, C/div)` come from the next row of the clip, `[C/div, 2C/div)` from
//! the previous one, zero at the clip's ends; the others stay.
//!
//! Its adjoint takes the same channels from the other neighbour. [`Shift`] reads x and writes y; [`ShiftBack`] reads dy and writes
//! dx.

use super::reference::{Array, ArrayMut};
use super::{Compute, Extent, Layer, Layout, Lowering, NoRule, Real, Reverse, Site, Surroundings};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shift {
    pub div: usize,
}

/// The gradient of a shift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShiftBack {
    pub div: usize,
}

/// Channels that a shift takes from the next row, and as many from the previous one, of `channels`.
pub fn fold(channels: usize, div: usize) -> usize {
    channels / div.max(1)
}

impl Layer for Shift {
    fn name(&self) -> &'static str {
        "shift"
    }

    fn extent(&self, inputs: &[Extent], _: Surroundings<'_>) -> Result<Extent, String> {
        let (x, div) = (inputs[0], self.div);
        match div == 0 || 2 * fold(x.shape.channels, div) > x.shape.channels {
            true => Err(format!("cannot shift {x} by a {div}th")),
            false => Ok(x),
        }
    }

    fn lower(&self, at: &mut Lowering<'_>) {
        at.single(*self);
    }
}

impl Compute for Shift {
    fn kind(&self) -> &'static str {
        "shift and alteration"
    }

    fn differentiate(&self, at: &mut Reverse<'_>) -> Result<(), NoRule> {
        let dy = at.dy();
        at.emit(0, ShiftBack { div: self.div }, vec![dy]);
        Ok(())
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let x = site.reads[0];
        shifted(
            site.batch.at(x.extent.rate),
            self.div,
            1,
            x,
            &mut site.writes[0],
        );
    }
}

impl Compute for ShiftBack {
    fn kind(&self) -> &'static str {
        "shift and alteration, gradient"
    }

    fn differentiate(&self, _: &mut Reverse<'_>) -> Result<(), NoRule> {
        Err(NoRule)
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let dy = site.reads[0];
        shifted(
            site.batch.at(dy.extent.rate),
            self.div,
            -1,
            dy,
            &mut site.writes[0],
        );
    }
}

/// The first fold of channels from the row `first` later, the second from as much earlier. A `div` of zero shifts nothing.
pub(super) fn shifted<R: Real>(
    layout: &Layout,
    div: usize,
    first: isize,
    x: Array<'_, R>,
    y: &mut ArrayMut<'_, R>,
) {
    let channels = x.extent.shape.channels;
    let fold = if div == 0 { 0 } else { fold(channels, div) };
    for row in 0..y.rows() {
        let [first, second] = [first, -first].map(|offset| layout.shifted(row, offset));
        for (at, y) in y.row(row).iter_mut().enumerate() {
            let source = match at % channels {
                c if c < fold => first,
                c if c < 2 * fold => second,
                _ => Some(row),
            };
            *y = source.map_or(R::zero(), |row| x.row(row)[at]);
        }
    }
}
