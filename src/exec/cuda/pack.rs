//! Weights as cuDNN wants them, and their gradients as the program does: `kernels/conv.cu`.

use super::conv::Product;
use super::gpu::{Arg, Grid, Kernel};
use super::run::Pass;
use crate::base::Result;
use crate::graph::ParamId;
use crate::program::{BufferId, ConvGeometry, Op, step};

/// What evaluation folds into a weight; null where there is nothing.
struct Folded {
    alter: Arg,
    mean: Arg,
    var: Arg,
    gamma: Arg,
}

impl Folded {
    const NOTHING: Self = Self {
        alter: Arg::NULL,
        mean: Arg::NULL,
        var: Arg::NULL,
        gamma: Arg::NULL,
    };
}

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
        for (matrix, &branch) in step::matrices(branches).iter().enumerate() {
            let norm = norm.as_ref().map(|norm| norm.of(branch));
            let [mean, var, gamma] = norm.map_or([Arg::NULL; 3], |norm| {
                let (mean, var) = self.statistics(norm.stat);
                [mean, var, self.param(norm.weight)]
            });
            let alter = alter.get(branch).map_or(Arg::NULL, |&id| self.param(id));
            let folded = Folded {
                alter,
                mean,
                var,
                gamma,
            };
            self.pack(conv, *weight, &folded, (*w, matrix))?;
            let bias = norm.map(|norm| norm.bias).or(*bias);
            if let (Some(b), Some(bias)) = (b, bias) {
                self.pack_bias(bias, &folded, conv.to.channels, (*b, matrix))?;
            }
        }
        Ok(())
    }

    pub(super) fn pack_backward(&self, op: &Op) -> Result<()> {
        let Op::PackBackward { conv, weight, w } = op else {
            return Ok(());
        };
        self.pack(conv, *weight, &Folded::NOTHING, (*w, 0))
    }

    fn pack(
        &self,
        conv: &ConvGeometry,
        weight: ParamId,
        folded: &Folded,
        (w, matrix): (BufferId, usize),
    ) -> Result<()> {
        let (inputs, taps) = (conv.from.channels, conv.kernel * conv.kernel);
        let args = [
            self.param(weight),
            folded.alter,
            folded.var,
            folded.gamma,
            Arg::int(inputs),
            Arg::int(taps),
            self.from(w, matrix * conv.packed_forward()),
        ];
        let grid = Grid::Values {
            length: inputs * taps,
            parts: conv.to.channels,
        };
        let element = self.program.buffers[w].element;
        self.launch(Kernel::single("pack_weight", element), grid, &args)
    }

    fn pack_bias(
        &self,
        bias: ParamId,
        folded: &Folded,
        outputs: usize,
        (b, matrix): (BufferId, usize),
    ) -> Result<()> {
        let args = [
            self.param(bias),
            folded.mean,
            folded.var,
            folded.gamma,
            Arg::int(outputs),
            self.from(b, matrix * outputs),
        ];
        let grid = Grid::Values {
            length: outputs,
            parts: 1,
        };
        self.launch(Kernel::plain("pack_bias"), grid, &args)
    }

    /// `dw`: where the product left the weight's gradient.
    pub(super) fn unpack(&self, product: &Product, dw: u64, weight: ParamId) -> Result<()> {
        let conv = &product.conv;
        let (wide, taps) = (conv.from.channels, conv.kernel * conv.kernel);
        let inputs = product.picture.unwrap_or(wide);
        let args = [
            Arg::Address(dw),
            Arg::int(inputs),
            Arg::int(wide),
            Arg::int(taps),
            self.gradient(weight),
        ];
        let grid = Grid::Values {
            length: inputs * taps,
            parts: conv.to.channels,
        };
        let kernel = Kernel::single("unpack_gradient", product.element);
        self.launch(kernel, grid, &args)
    }
}
