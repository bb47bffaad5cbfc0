//! The rows of a clip moved along time: y[t] = x[t + offset], zero outside the clip. Its adjoint moves them back.
//!
//! [`TakeFrames`] reads x and writes y.

use super::{Compute, Extent, Layer, Lowering, NoRule, Real, Reverse, Site, Surroundings};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakeFrames {
    pub offset: isize,
}

impl Layer for TakeFrames {
    fn name(&self) -> &'static str {
        "take frames"
    }

    fn extent(&self, inputs: &[Extent], _: Surroundings<'_>) -> Result<Extent, String> {
        Ok(inputs[0])
    }

    fn lower(&self, at: &mut Lowering<'_>) {
        at.single(*self);
    }
}

impl Compute for TakeFrames {
    fn kind(&self) -> &'static str {
        "frames"
    }

    fn differentiate(&self, at: &mut Reverse<'_>) -> Result<(), NoRule> {
        let dy = at.dy();
        at.emit(
            0,
            Self {
                offset: -self.offset,
            },
            vec![dy],
        );
        Ok(())
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let x = site.reads[0];
        let layout = site.batch.at(x.extent.rate);
        let to = &mut site.writes[0];
        for row in 0..to.rows() {
            match layout.shifted(row, self.offset) {
                Some(source) => to.row(row).copy_from_slice(x.row(source)),
                None => to.row(row).fill(R::zero()),
            }
        }
    }
}
