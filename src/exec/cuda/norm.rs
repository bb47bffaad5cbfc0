//! The norms' steps: `kernels/norm.cu`.

use super::gpu::{Arg, Grid, Kernel};
use super::run::Pass;
use crate::base::Result;
use crate::program::{BufferId, Mask, Norm, Op};

impl Pass<'_> {
    pub(super) fn batch_statistics(&self, op: &Op) -> Result<()> {
        let Op::BatchStatistics {
            norm,
            pixels,
            x,
            partials,
            coefficients,
        } = op
        else {
            return Ok(());
        };
        let (channels, row) = (norm.channels, norm.row());
        let shape = [Arg::int(*pixels), Arg::int(channels)];
        let parts = self.program.batch.frames;
        let args = [self.at(*x), shape[0], shape[1], self.at(*partials)];
        let kernel = self.wide("frame_statistics", *x, channels);
        self.launch(kernel, Grid::Sums { channels, parts }, &args)?;
        for (index, group) in self.program.batch.norm_groups.iter().enumerate() {
            let of = norm.of(group.branch);
            let (mean, var) = match group.updates {
                true => self.statistics(of.stat),
                false => (Arg::NULL, Arg::NULL),
            };
            let args = [
                self.from(*partials, group.frames.start * 2 * channels),
                Arg::int(group.frames.len()),
                shape[0],
                shape[1],
                Arg::int(row),
                self.param(of.weight),
                self.param(of.bias),
                mean,
                var,
                self.from(*coefficients, index * 4 * row),
            ];
            let kernel = Kernel::plain("group_statistics");
            self.launch(kernel, Grid::Sums { channels, parts: 1 }, &args)?;
        }
        Ok(())
    }

    pub(super) fn running_statistics(&self, norm: &Norm, coefficients: BufferId) -> Result<()> {
        let (channels, row) = (norm.channels, norm.row());
        for (index, group) in self.program.batch.norm_groups.iter().enumerate() {
            let of = norm.of(group.branch);
            let (mean, var) = self.statistics(of.stat);
            let args = [
                mean,
                var,
                self.param(of.weight),
                self.param(of.bias),
                Arg::int(channels),
                Arg::int(row),
                self.from(coefficients, index * 4 * row),
            ];
            let grid = Grid::Values {
                length: channels,
                parts: 1,
            };
            self.launch(Kernel::plain("running_statistics"), grid, &args)?;
        }
        Ok(())
    }

    pub(super) fn normalize(&self, op: &Op) -> Result<()> {
        let Op::Normalize {
            norm,
            relu,
            x,
            coefficients,
            residual,
            y,
            ..
        } = op
        else {
            return Ok(());
        };
        let (grid, length) = self.values(*y);
        let args = [
            self.at(*x),
            self.at(*coefficients),
            self.groups(),
            self.maybe(*residual),
            Arg::Int(i32::from(*relu)),
            length,
            Arg::int(norm.channels),
            Arg::int(norm.row()),
            self.at(*y),
        ];
        self.launch(self.wide("normalize", *y, norm.channels), grid, &args)
    }

    pub(super) fn normalize_back(&self, op: &Op) -> Result<()> {
        let Op::NormalizeBack {
            norm,
            pixels,
            mask,
            dy,
            x,
            coefficients,
            partials,
            masked,
            dx,
        } = op
        else {
            return Ok(());
        };
        let (channels, row, frames) = (norm.channels, norm.row(), self.program.batch.frames);
        let output = match mask {
            Mask::Output(y) => Some(*y),
            Mask::All | Mask::Recomputed => None,
        };
        let recomputed = Arg::Int(i32::from(*mask == Mask::Recomputed));
        let (x, coefficients, groups) = (self.at(*x), self.at(*coefficients), self.groups());
        let args = [
            self.at(*dy),
            x,
            coefficients,
            groups,
            self.maybe(output),
            recomputed,
            Arg::int(*pixels),
            Arg::int(channels),
            Arg::int(row),
            self.maybe(*masked),
            self.at(*partials),
        ];
        let grid = Grid::Sums {
            channels,
            parts: frames,
        };
        self.launch(self.wide("frame_gradients", *dx, channels), grid, &args)?;
        // Behind the frames' sums come each group's rows of means.
        let means = 2 * frames * channels;
        if !norm.frozen {
            self.group_gradients(norm, *pixels, *partials, means)?;
        }
        let (grid, length) = self.values(*dx);
        let args = [
            // What passed the ReLU is written by now, where there is a buffer for it.
            self.at(masked.unwrap_or(*dy)),
            x,
            coefficients,
            if norm.frozen {
                Arg::NULL
            } else {
                self.from(*partials, means)
            },
            groups,
            recomputed,
            length,
            Arg::int(channels),
            Arg::int(row),
            self.at(*dx),
        ];
        self.launch(self.wide("normalize_back", *dx, channels), grid, &args)
    }

    /// `means`: where in `partials` the groups' rows begin.
    pub(super) fn group_gradients(
        &self,
        norm: &Norm,
        pixels: usize,
        partials: BufferId,
        means: usize,
    ) -> Result<()> {
        let (channels, row) = (norm.channels, norm.row());
        for (index, group) in self.program.batch.norm_groups.iter().enumerate() {
            let of = norm.of(group.branch);
            let args = [
                self.from(partials, group.frames.start * 2 * channels),
                Arg::int(group.frames.len()),
                Arg::int(pixels),
                Arg::int(channels),
                Arg::int(row),
                self.gradient(of.bias),
                self.gradient(of.weight),
                self.from(partials, means + index * 2 * row),
            ];
            let kernel = Kernel::plain("group_gradients");
            self.launch(kernel, Grid::Sums { channels, parts: 1 }, &args)?;
        }
        Ok(())
    }
}
