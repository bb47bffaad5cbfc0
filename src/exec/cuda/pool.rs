//! The steps of pooling and of a clip's mean: `kernels/pool.cu`.

use super::gpu::{Arg, Grid};
use super::run::Pass;
use crate::base::Result;
use crate::program::{BufferId, Op, PixelShape};

/// Parts of as many rows each.
#[derive(Clone, Copy)]
struct Rows {
    parts: usize,
    count: usize,
    channels: usize,
}

impl Pass<'_> {
    pub(super) fn max_pool(&self, op: &Op) -> Result<()> {
        match op {
            Op::MaxPool { from, to, x, y } => {
                let (grid, length) = self.values(*y);
                let [height, width, columns, channels] =
                    [from.height, from.width, to.width, from.channels].map(Arg::int);
                let args = [
                    self.at(*x),
                    height,
                    width,
                    columns,
                    length,
                    channels,
                    self.at(*y),
                ];
                self.launch(self.wide("max_pool", *y, from.channels), grid, &args)
            }
            Op::MaxPoolBack {
                from,
                to,
                x,
                dy,
                dx,
            } => {
                let (grid, _) = self.values(*dx);
                let kernel = self.wide("max_pool_back", *dx, from.channels);
                let shapes = [from.height, from.width, to.height, to.width, from.channels];
                let [height, width, rows, columns, channels] = shapes.map(Arg::int);
                let (x, dy, dx) = (self.at(*x), self.at(*dy), self.at(*dx));
                let args = [x, dy, height, width, rows, columns, channels, dx];
                self.launch(kernel, grid, &args)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn average_pool(&self, op: &Op) -> Result<()> {
        let rows = |from: &PixelShape| Rows {
            parts: self.program.batch.frames,
            count: from.pixels(),
            channels: from.channels,
        };
        match op {
            Op::AveragePool { from, x, y } => self.mean_rows(rows(from), (*x, 0), (*y, 0)),
            Op::AveragePoolBack { from, dy, dx } => {
                self.mean_rows_back(rows(from), (*dy, 0), (*dx, 0))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn frame_mean(&self, op: &Op) -> Result<()> {
        let mut clip = 0;
        for (frames, segment) in self.program.batch.segment_frames() {
            let rows = |channels| Rows {
                parts: segment.clips,
                count: segment.frames,
                channels,
            };
            match *op {
                Op::FrameMean { channels, x, y } => {
                    let (first, to) = (frames.start * channels, clip * channels);
                    self.mean_rows(rows(channels), (x, first), (y, to))?;
                }
                Op::FrameMeanBack { channels, dy, dx } => {
                    let (first, to) = (clip * channels, frames.start * channels);
                    self.mean_rows_back(rows(channels), (dy, first), (dx, to))?;
                }
                _ => {}
            }
            clip += segment.clips;
        }
        Ok(())
    }

    /// Of buffers from a value on.
    fn mean_rows(&self, rows: Rows, x: (BufferId, usize), y: (BufferId, usize)) -> Result<()> {
        let (parts, channels) = (rows.parts, rows.channels);
        let args = [
            self.from(x.0, x.1),
            Arg::int(rows.count),
            Arg::int(channels),
            self.from(y.0, y.1),
        ];
        let grid = Grid::Values {
            length: channels,
            parts,
        };
        self.launch(self.wide("mean_rows", x.0, channels), grid, &args)
    }

    fn mean_rows_back(
        &self,
        rows: Rows,
        dy: (BufferId, usize),
        dx: (BufferId, usize),
    ) -> Result<()> {
        let (parts, length) = (rows.parts, rows.count * rows.channels);
        let args = [
            self.from(dy.0, dy.1),
            Arg::int(rows.count),
            Arg::int(length),
            Arg::int(rows.channels),
            self.from(dx.0, dx.1),
        ];
        let kernel = self.wide("mean_rows_back", dx.0, rows.channels);
        self.launch(kernel, Grid::Values { length, parts }, &args)
    }
}
