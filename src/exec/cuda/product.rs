//! The steps around convolutions, and those themselves: `kernels/conv.cu` and cuDNN.

use super::conv::Convolution;
use super::gpu::{Arg, Grid};
use super::run::Pass;
use super::shift::Shift;
use crate::base::Result;
use crate::graph::ParamId;
use crate::program::{BufferId, ConvGeometry, Op, step};

impl Pass<'_> {
    pub(super) fn pack_forward(&self, op: &Op) -> Result<()> {
        let Op::PackForward {
            conv,
            weight,
            bias,
            alter,
            norm,
            branches,
            w,
            b,
        } = op
        else {
            return Ok(());
        };
        let outputs = conv.to.channels;
        for (i, &branch) in step::matrices(branches).iter().enumerate() {
            let folded = norm.as_ref().map(|norm| norm.of(branch));
            let [mean, var, gamma] = folded.map_or([Arg::NULL; 3], |norm| {
                let (mean, var) = self.statistics(norm.stat);
                [mean, var, self.param(norm.weight)]
            });
            let alter = alter.get(branch).map_or(Arg::NULL, |&id| self.param(id));
            let w = self.from(*w, i * conv.packed_forward());
            self.pack(conv, *weight, [alter, var, gamma], w)?;
            let bias = folded.map(|norm| norm.bias).or(*bias);
            if let (Some(b), Some(bias)) = (b, bias) {
                let args = [
                    self.param(bias),
                    mean,
                    var,
                    gamma,
                    Arg::int(outputs),
                    self.from(*b, i * outputs),
                ];
                self.launch(
                    "pack_bias",
                    Grid::Values {
                        length: outputs,
                        parts: 1,
                    },
                    &args,
                )?;
            }
        }
        Ok(())
    }

    /// `folded`: alteration, running variance and norm weight, or null.
    pub(super) fn pack(
        &self,
        conv: &ConvGeometry,
        weight: ParamId,
        folded: [Arg; 3],
        w: Arg,
    ) -> Result<()> {
        let (inputs, taps) = (conv.from.channels, conv.kernel * conv.kernel);
        let [alter, var, gamma] = folded;
        let (inputs, taps, length) = (Arg::int(inputs), Arg::int(taps), inputs * taps);
        let args = [self.param(weight), alter, var, gamma, inputs, taps, w];
        let grid = Grid::Values {
            length,
            parts: conv.to.channels,
        };
        self.launch("pack_weight", grid, &args)
    }

    pub(super) fn conv(&self, op: &Op, index: usize) -> Result<()> {
        let Op::Conv {
            conv,
            shift,
            relu,
            branches,
            x,
            w,
            b,
            residual,
            y,
        } = op
        else {
            return Ok(());
        };
        let mut input = self.address(*x, 0);
        if let Some(div) = shift {
            let all = Shift {
                shape: conv.from,
                shift: Some(*div),
                adjoint: false,
            };
            let shifted = self.memory.shifted(self.gpu);
            let [from, to] = [input, shifted].map(Arg::Address);
            let frames = 0..self.program.batch.frames;
            self.shift_frames(all, frames, [from, Arg::NULL, Arg::NULL, to])?;
            input = shifted;
        }
        let products = self.program.batch.runs(branches);
        for ((frames, matrix), convolution) in products.into_iter().zip(&self.convolutions[index]) {
            let first = (frames.start * conv.from.count() * size_of::<f32>()) as u64;
            let matrix_at = self.address(*w, matrix * conv.packed_forward());
            let out = frames.start * conv.to.count();
            self.convolution(
                convolution,
                [input + first, matrix_at],
                self.address(*y, out),
            )?;
            if b.is_none() && residual.is_none() && !relu {
                continue;
            }
            let (length, channels) = (conv.to.count(), conv.to.channels);
            let args = [
                b.map_or(Arg::NULL, |b| self.from(b, matrix * channels)),
                residual.map_or(Arg::NULL, |r| self.from(r, out)),
                Arg::Int(i32::from(*relu)),
                Arg::int(length),
                Arg::int(channels),
                self.from(*y, out),
            ];
            let grid = Grid::Values {
                length,
                parts: frames.len(),
            };
            self.launch("finish", grid, &args)?;
        }
        Ok(())
    }

    /// A step's only convolution.
    pub(super) fn convolve(
        &self,
        index: usize,
        read: [BufferId; 2],
        written: BufferId,
    ) -> Result<()> {
        let read = read.map(|id| self.address(id, 0));
        self.convolution(&self.convolutions[index][0], read, self.address(written, 0))
    }

    pub(super) fn convolution(
        &self,
        conv: &Convolution,
        read: [u64; 2],
        written: u64,
    ) -> Result<()> {
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
        self.convolve(index, [x, dy], partials)?;
        let (inputs, taps) = (conv.from.channels, conv.kernel * conv.kernel);
        let (dw, gradient) = (self.at(partials), self.gradient(weight));
        let grid = Grid::Values {
            length: inputs * taps,
            parts: conv.to.channels,
        };
        self.launch(
            "unpack_gradient",
            grid,
            &[dw, Arg::int(inputs), Arg::int(taps), gradient],
        )
    }

    pub(super) fn border(&self, op: &Op) -> Result<()> {
        let Op::Border { from, border, x, y } = op else {
            return Ok(());
        };
        let (grid, length) = self.values(*y);
        let [height, width, border] = [from.height, from.width, *border].map(Arg::int);
        let (x, channels, y) = (self.at(*x), Arg::int(from.channels), self.at(*y));
        self.launch(
            "surround",
            grid,
            &[x, height, width, border, length, channels, y],
        )
    }
}
