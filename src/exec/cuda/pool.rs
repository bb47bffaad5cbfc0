//! The steps of pooling and of a clip's mean: `kernels/pool.cu`.

use super::gpu::{Arg, Grid};
use super::run::Pass;
use crate::base::Result;
use crate::program::Op;

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
                self.launch("max_pool", grid, &args)
            }
            Op::MaxPoolBack {
                from,
                to,
                x,
                dy,
                dx,
            } => {
                let (grid, _) = self.values(*dx);
                let shapes = [from.height, from.width, to.height, to.width, from.channels];
                let [height, width, rows, columns, channels] = shapes.map(Arg::int);
                let (x, dy, dx) = (self.at(*x), self.at(*dy), self.at(*dx));
                let args = [x, dy, height, width, rows, columns, channels, dx];
                self.launch("max_pool_back", grid, &args)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn average_pool(&self, op: &Op) -> Result<()> {
        let (Op::AveragePool { from, .. } | Op::AveragePoolBack { from, .. }) = op else {
            return Ok(());
        };
        let rows = Rows {
            parts: self.program.batch.frames,
            count: from.pixels(),
            channels: from.channels,
        };
        match *op {
            Op::AveragePool { x, y, .. } => self.mean_rows(rows, self.at(x), self.at(y)),
            Op::AveragePoolBack { dy, dx, .. } => {
                self.mean_rows_back(rows, self.at(dy), self.at(dx))
            }
            _ => Ok(()),
        }
    }

    fn mean_rows(&self, rows: Rows, x: Arg, y: Arg) -> Result<()> {
        let Rows {
            parts,
            count,
            channels,
        } = rows;
        let args = [x, Arg::int(count), Arg::int(channels), y];
        self.launch(
            "mean_rows",
            Grid::Values {
                length: channels,
                parts,
            },
            &args,
        )
    }

    fn mean_rows_back(&self, rows: Rows, dy: Arg, dx: Arg) -> Result<()> {
        let Rows {
            parts,
            count,
            channels,
        } = rows;
        let length = count * channels;
        let args = [
            dy,
            Arg::int(count),
            Arg::int(length),
            Arg::int(channels),
            dx,
        ];
        self.launch("mean_rows_back", Grid::Values { length, parts }, &args)
    }

    pub(super) fn frame_mean(&self, op: &Op) -> Result<()> {
        let mut clip = 0;
        for (frames, segment) in self.program.batch.segment_frames() {
            let (parts, count) = (segment.clips, segment.frames);
            match *op {
                Op::FrameMean { channels, x, y } => {
                    let (x, y) = (
                        self.from(x, frames.start * channels),
                        self.from(y, clip * channels),
                    );
                    self.mean_rows(
                        Rows {
                            parts,
                            count,
                            channels,
                        },
                        x,
                        y,
                    )?;
                }
                Op::FrameMeanBack { channels, dy, dx } => {
                    let (dy, dx) = (
                        self.from(dy, clip * channels),
                        self.from(dx, frames.start * channels),
                    );
                    self.mean_rows_back(
                        Rows {
                            parts,
                            count,
                            channels,
                        },
                        dy,
                        dx,
                    )?;
                }
                _ => {}
            }
            clip += segment.clips;
        }
        Ok(())
    }
}
