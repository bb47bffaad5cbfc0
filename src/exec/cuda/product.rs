//! Convolutions and what they read: `kernels/conv.cu` and cuDNN.

use std::ops::Range;

use super::compile::Variant;
use super::conv::{Convolution, Product};
use super::gpu::{Arg, Grid, Kernel};
use super::run::Pass;
use super::shift::Shift;
use crate::base::Result;
use crate::program::{BufferId, Element, Op, PixelShape};

impl Pass<'_> {
    pub(super) fn conv(&self, op: &Op, index: usize) -> Result<()> {
        let Op::Conv {
            conv,
            shift,
            branches,
            x,
            w,
            y,
            ..
        } = op
        else {
            return Ok(());
        };
        let product = Product::of(self.program, conv, *x, *y);
        let input = match (shift, product.picture) {
            (Some(div), _) => self.shifted(conv.from, *div, *x)?,
            (None, Some(_)) => self.widened(&product, *x)?,
            (None, None) => self.address(*x, 0),
        };
        let products = self.program.batch.runs(branches);
        for ((frames, matrix), convolution) in products.into_iter().zip(&self.convolutions[index]) {
            let first = product.input_bytes(frames.start) as u64;
            let matrix_at = self.address(*w, matrix * conv.packed_forward());
            let weight = match product.picture {
                None => matrix_at,
                Some(channels) => {
                    let staged = self.memory.staged_weight(self.gpu);
                    let wide = product.conv.weights();
                    self.widen(product.element, channels, wide, [matrix_at, staged])?;
                    staged
                }
            };
            let to = self.address(*y, frames.start * conv.to.count());
            self.convolution(convolution, [input + first, weight], to)?;
            self.finish(op, frames, matrix)?;
        }
        Ok(())
    }

    /// What follows a product of some frames by a matrix: bias, residual, ReLU.
    fn finish(&self, op: &Op, frames: Range<usize>, matrix: usize) -> Result<()> {
        let &Op::Conv {
            conv,
            relu,
            b,
            residual,
            y,
            ..
        } = op
        else {
            return Ok(());
        };
        if b.is_none() && residual.is_none() && !relu {
            return Ok(());
        }
        let (length, channels) = (conv.to.count(), conv.to.channels);
        let first = frames.start * length;
        let args = [
            b.map_or(Arg::NULL, |b| self.from(b, matrix * channels)),
            residual.map_or(Arg::NULL, |r| self.from(r, first)),
            Arg::Int(i32::from(relu)),
            Arg::int(length),
            Arg::int(channels),
            self.from(y, first),
        ];
        let parts = frames.len();
        let grid = Grid::Values { length, parts };
        self.launch(self.wide("finish", y, channels), grid, &args)
    }

    /// A copy of x, shifted by `div` within clips.
    fn shifted(&self, shape: PixelShape, div: usize, x: BufferId) -> Result<u64> {
        let shift = Shift {
            shape,
            shift: Some(div),
            adjoint: false,
            element: self.program.buffers[x].element,
        };
        let shifted = self.memory.staged_input(self.gpu);
        let frames = 0..self.program.batch.frames;
        let [from, to] = [self.address(x, 0), shifted].map(Arg::Address);
        self.shift_frames(shift, frames, [from, Arg::NULL, Arg::NULL, to])?;
        Ok(shifted)
    }

    /// A copy of the picture x with as many channels as the product wants.
    fn widened(&self, product: &Product, x: BufferId) -> Result<u64> {
        let staged = self.memory.staged_input(self.gpu);
        let (from, channels) = (self.address(x, 0), product.picture.unwrap_or_default());
        let length = self.program.batch.frames * product.conv.from.count();
        self.widen(product.element, channels, length, [from, staged])?;
        Ok(staged)
    }

    /// `length`: values that are written.
    fn widen(
        &self,
        element: Element,
        channels: usize,
        length: usize,
        [x, y]: [u64; 2],
    ) -> Result<()> {
        let [x, y] = [x, y].map(Arg::Address);
        let kernel = Kernel {
            name: "widen",
            variant: Variant::wide(element),
        };
        let grid = Grid::Values { length, parts: 1 };
        let args = [x, Arg::Count(length as u64), Arg::int(channels), y];
        self.launch(kernel, grid, &args)
    }

    pub(super) fn conv_back_data(&self, op: &Op, index: usize) -> Result<()> {
        let &Op::ConvBackData { dy, w, dx, .. } = op else {
            return Ok(());
        };
        let read = [dy, w].map(|id| self.address(id, 0));
        self.convolution(&self.convolutions[index][0], read, self.address(dx, 0))
    }

    fn convolution(&self, conv: &Convolution, read: [u64; 2], written: u64) -> Result<()> {
        let workspace = self.memory.workspace(self.gpu);
        // SAFETY: the convolution was made for the step whose buffers these are; the workspace holds the largest.
        unsafe { conv.run(self.gpu, read, written, workspace) }
    }

    pub(super) fn conv_back_weight(&self, op: &Op, index: usize) -> Result<()> {
        let &Op::ConvBackWeight {
            conv,
            weight,
            x,
            dy,
            partials,
            ..
        } = op
        else {
            return Ok(());
        };
        let product = Product::of(self.program, &conv, x, dy);
        let (input, dw) = match product.picture {
            None => (self.address(x, 0), self.address(partials, 0)),
            Some(_) => (
                self.widened(&product, x)?,
                self.memory.staged_weight(self.gpu),
            ),
        };
        let read = [input, self.address(dy, 0)];
        self.convolution(&self.convolutions[index][0], read, dw)?;
        self.unpack(&product, dw, weight)
    }

    pub(super) fn border(&self, op: &Op) -> Result<()> {
        let Op::Border { from, border, x, y } = op else {
            return Ok(());
        };
        let (grid, length) = self.values(*y);
        let [height, width, border] = [from.height, from.width, *border].map(Arg::int);
        let (x, channels, y) = (self.at(*x), Arg::int(from.channels), self.at(*y));
        let args = [x, height, width, border, length, channels, y];
        self.launch(Kernel::plain("surround"), grid, &args)
    }
}
