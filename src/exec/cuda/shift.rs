//! The steps of shift and alteration: `kernels/shift.cu`.

use std::ops::Range;

use super::compile::Variant;
use super::gpu::{Arg, Grid, Kernel};
use super::run::Pass;
use crate::base::Result;
use crate::graph::ParamId;
use crate::program::{BufferId, Element, Op, PixelShape, step};

/// The shift of frames of a shape; with `adjoint` the transposed one.
#[derive(Clone, Copy)]
pub struct Shift {
    pub shape: PixelShape,
    /// As [`Op::ShiftAlter`] has it.
    pub shift: Option<usize>,
    pub adjoint: bool,
    pub element: Element,
}

impl Shift {
    /// Channels that come from the next frame, and as many from the previous one.
    fn fold(&self) -> usize {
        step::fold(self.shape.channels, self.shift)
    }

    /// A thread's values come from one frame: neither a pixel nor a fold may end within them.
    fn kernel(&self, name: &'static str) -> Kernel {
        let channels = self.shape.channels;
        match Variant::of(self.element, channels) {
            wide if self.fold().is_multiple_of(wide.width) => Kernel {
                name,
                variant: wide,
            },
            _ => Kernel::single(name, self.element),
        }
    }
}

impl Pass<'_> {
    pub(super) fn shift(&self, op: &Op) -> Result<()> {
        match op {
            Op::ShiftAlter {
                shape,
                shift,
                alter,
                x,
                y,
            } => {
                let all = Shift {
                    shape: *shape,
                    shift: *shift,
                    adjoint: false,
                    element: self.program.buffers[*y].element,
                };
                self.shift_branches(all, alter, [*x, *y], None)
            }
            Op::ShiftAlterBack {
                shape,
                shift,
                alter,
                dy,
                x,
                add,
                partials,
                dx,
            } => {
                let all = Shift {
                    shape: *shape,
                    shift: *shift,
                    adjoint: true,
                    element: self.program.buffers[*dx].element,
                };
                if let (Some(x), Some(partials)) = (x, partials) {
                    self.alteration_gradients(all, alter, [*x, *dy, *partials])?;
                }
                self.shift_branches(all, alter, [*dy, *dx], *add)
            }
            _ => Ok(()),
        }
    }

    /// Each branch by its own alteration.
    pub(super) fn shift_branches(
        &self,
        all: Shift,
        alter: &[ParamId],
        [x, y]: [BufferId; 2],
        add: Option<BufferId>,
    ) -> Result<()> {
        let batch = &self.program.batch;
        let parts: Vec<_> = match alter {
            [] => vec![(0..batch.frames, Arg::NULL)],
            alter => {
                let param = |branch| alter.get(branch).map_or(Arg::NULL, |&id| self.param(id));
                let segments = batch.segment_frames();
                segments
                    .map(|(frames, segment)| (frames, param(segment.branch)))
                    .collect()
            }
        };
        for (frames, alter) in parts {
            let first = frames.start * all.shape.count();
            let add = add.map_or(Arg::NULL, |add| self.from(add, first));
            self.shift_frames(
                all,
                frames,
                [self.from(x, first), alter, add, self.from(y, first)],
            )?;
        }
        Ok(())
    }

    /// The addresses are those of the first of the frames.
    pub(super) fn shift_frames(
        &self,
        all: Shift,
        frames: Range<usize>,
        [x, alter, add, y]: [Arg; 4],
    ) -> Result<()> {
        let length = all.shape.count();
        let args = [
            x,
            self.memory.neighbours(self.gpu, frames.start),
            alter,
            add,
            Arg::Int(i32::from(all.adjoint)),
            Arg::int(all.fold()),
            Arg::int(length),
            Arg::int(all.shape.channels),
            y,
        ];
        let grid = Grid::Values {
            length,
            parts: frames.len(),
        };
        self.launch(all.kernel("shift_alter"), grid, &args)
    }

    pub(super) fn alteration_gradients(
        &self,
        all: Shift,
        alter: &[ParamId],
        [x, dy, partials]: [BufferId; 3],
    ) -> Result<()> {
        let (channels, batch) = (all.shape.channels, &self.program.batch);
        let args = [
            self.at(x),
            self.at(dy),
            self.memory.neighbours(self.gpu, 0),
            Arg::int(all.fold()),
            Arg::int(all.shape.pixels()),
            Arg::int(channels),
            self.at(partials),
        ];
        let grid = Grid::Sums {
            channels,
            parts: batch.frames,
        };
        self.launch(all.kernel("frame_alterations"), grid, &args)?;
        for (frames, segment) in batch.segment_frames() {
            if let Some(&param) = alter.get(segment.branch) {
                let rows = self.from(partials, frames.start * channels);
                self.add_rows(rows, frames.len(), channels, self.gradient(param))?;
            }
        }
        Ok(())
    }

    /// gradient += Σ rows.
    pub(super) fn add_rows(
        &self,
        rows: Arg,
        count: usize,
        channels: usize,
        gradient: Arg,
    ) -> Result<()> {
        let args = [rows, Arg::int(count), Arg::int(channels), gradient];
        let grid = Grid::Sums { channels, parts: 1 };
        self.launch(Kernel::plain("add_rows"), grid, &args)
    }
}
