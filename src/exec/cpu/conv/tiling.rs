//! How convolutions are cut into tasks. The cuts depend on shapes alone, so results do not depend on threads.
//!
//! A convolution is a product of matrices: the rows of the left one are the windows that pixels look through. Forward
//! there is one set of windows; backward one for each phase of the stride: pixels `stride` apart see
//! the same taps of the kernel, so no product is spent on the zeros between the gradients of a strided output.

use std::ops::Range;

use super::{Algorithm, ConvGeometry};
use crate::exec::cpu::amx::blocks::{self, WeightBlocks};
use crate::ops::Shape;

/// Rows of a task at most: enough for a panel of the weight to be worth fetching.
const TASK_ROWS: usize = PRODUCT_ROWS;
/// Rows of a task are a multiple of this, which every tile's height divides.
const TILE_HEIGHT: usize = 24;
/// Tasks that a small product is cut into, so that threads finish together.
const TASKS: usize = 16;
/// Images whose pixels have fewer channels get a border of zeros before they are convolved.
const NARROW: usize = 16;
/// Pixels whose products are added in registers for a weight's gradient.
pub const WEIGHT_CHUNK: usize = 256;
/// Rows from one packed strip of a chunk to the next: strips a power of two apart would meet in the same sets of a cache.
pub const WEIGHT_PITCH: usize = WEIGHT_CHUNK + 8;
/// Columns are packed side by side in strips of this many: one vector of the widest machines.
pub const STRIP: usize = 16;
/// Strips of a panel at most: the columns that are computed together.
pub const PANEL: usize = 4;
/// Rows of a product that are computed together.
pub const PRODUCT_ROWS: usize = 192;
/// Inputs on a side of the patch that a tile of minimal filtering sees.
pub const PATCH: usize = 4;
/// Tiles of minimal filtering that are computed together.
pub const WINOGRAD_TILES: usize = 48;
/// Rows of a strip of a weight's gradient at least.
const STRIP_ROWS: usize = 512;
/// Tasks that a weight's gradient is cut into, if its size allows.
const WEIGHT_TASKS: usize = 16;
/// Rows of a tile of a weight's gradient at most: with them its part of the sum stays in the second cache.
const TILE_ROWS: usize = 576;

/// How matrix rows are gathered from an activation: row (r, c) of the grid takes `depth` values at each of the `taps`
/// pixels from (r·step.0 + first.0, c·step.1 + first.1) on; pixels outside are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gather {
    pub source: Shape,
    /// Rows and columns of positions in a frame.
    pub grid: (usize, usize),
    pub step: (usize, usize),
    pub first: (isize, isize),
    pub taps: (usize, usize),
    /// The channels of a pixel; of a window that never leaves the image those of a whole line.
    pub depth: usize,
}

impl Gather {
    /// Values of one gathered row.
    pub fn width(&self) -> usize {
        self.taps.0 * self.taps.1 * self.depth
    }

    /// Whether windows have one column of taps, all inside the image.
    pub fn is_inside(&self) -> bool {
        let fits = |grid: usize, step: usize, taps: usize, side: usize| {
            grid == 0 || (grid - 1) * step + taps <= side
        };
        let across = self.depth / self.source.channels.max(1);
        self.first == (0, 0)
            && self.taps.1 == 1
            && fits(self.grid.0, self.step.0, self.taps.0, self.source.height)
            && fits(self.grid.1, self.step.1, across, self.source.width)
    }

    /// Distance of tap (y, x) from the first, in values.
    #[inline(always)]
    pub fn offset(&self, tap: (usize, usize)) -> isize {
        ((tap.0 * self.source.width + tap.1) * self.source.channels) as isize
    }

    /// Rows of one frame.
    pub fn rows(&self) -> usize {
        self.grid.0 * self.grid.1
    }

    /// Positions (columns of the grid) whose tap in column `tap` of the window lies inside the image.
    pub fn columns_inside(&self, tap: usize) -> Range<usize> {
        let first = self.first.1 + tap as isize;
        let position = |x: isize| {
            x.max(0)
                .unsigned_abs()
                .div_ceil(self.step.1)
                .min(self.grid.1)
        };
        let (start, end) = (
            position(-first),
            position(self.source.width as isize - first),
        );
        start..end.max(start)
    }

    /// Rows of `width` values, one after another.
    pub fn matrix(rows: usize, width: usize) -> Self {
        Self {
            source: Shape {
                height: 1,
                width: rows,
                channels: width,
            },
            grid: (1, rows),
            step: (1, 1),
            first: (0, 0),
            taps: (1, 1),
            depth: width,
        }
    }

    /// One line of the window.
    pub fn line(&self, line: usize) -> Self {
        Self {
            first: (self.first.0 + line as isize, self.first.1),
            taps: (1, self.taps.1),
            ..*self
        }
    }
}

/// Pixels (r·stride + y, c·stride + x) of a convolution's input, for the gradient: the gathering of the output's
/// gradient that they see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase {
    pub at: (usize, usize),
    pub gather: Gather,
    /// Where its matrix begins in the packed weight.
    pub offset: usize,
}

/// Rows of one task of a product of `rows` rows.
pub fn task_rows(rows: usize) -> usize {
    let even = rows.div_ceil(TASKS).next_multiple_of(TILE_HEIGHT);
    even.clamp(TILE_HEIGHT, TASK_ROWS)
}

/// How the gradient of a weight is cut: the whole window, or lines of it, by `parts` parts of a tap's channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeightTiles {
    pub lines: usize,
    pub parts: usize,
    /// Of a tile.
    pub taps: usize,
    pub channels: usize,
}

impl WeightTiles {
    pub fn count(&self) -> usize {
        self.lines * self.parts
    }

    /// Where a row of the whole gradient, `[tap][channel]`, lies in the tiles, `[tile][tap][channel]`.
    pub fn row(&self, row: usize) -> usize {
        let (tap, channel) = (
            row / (self.parts * self.channels),
            row % (self.parts * self.channels),
        );
        let tile = tap / self.taps * self.parts + channel / self.channels;
        (tile * self.taps + tap % self.taps) * self.channels + channel % self.channels
    }
}

impl ConvGeometry {
    /// How many neighbouring outputs of a line make one row of a product, with the columns of all. Outputs of few channels would leave
    /// vectors nearly empty; together they fill them, and what their windows share is read once. Only where no window leaves the
    /// image, so that a line of it is one piece.
    pub fn neighbours(&self) -> usize {
        let fits = |n: &usize| self.to.width.is_multiple_of(*n) && n * self.to.channels <= STRIP;
        let overlap = self.algorithm == Algorithm::Direct && self.stride < self.kernel;
        match overlap && self.padding == 0 {
            true => [8, 4, 2].into_iter().find(fits).unwrap_or(1),
            false => 1,
        }
    }

    /// Columns of the forward product, and of the one for the weight's gradient.
    pub fn columns(&self) -> usize {
        self.neighbours() * self.to.channels
    }

    /// Values of a line of a window, or of what neighbours see together.
    pub fn line(&self) -> usize {
        (self.kernel + (self.neighbours() - 1) * self.stride) * self.from.channels
    }

    /// The windows of the forward product, and of the one for the weight's gradient.
    pub fn gather(&self) -> Gather {
        let padding = self.padding as isize;
        let (line, depth) = match padding {
            0 => (self.kernel.max(1), self.line()),
            _ => (1, self.from.channels),
        };
        let neighbours = self.neighbours();
        Gather {
            source: self.from,
            grid: (self.to.height, self.to.width / neighbours),
            step: (self.stride, self.stride * neighbours),
            first: (-padding, -padding),
            taps: (self.kernel, self.kernel / line),
            depth,
        }
    }

    /// Values of the weight's gradient while it is summed: of what neighbours see together.
    pub fn weight_sums(&self) -> usize {
        self.kernel * self.line() * self.columns()
    }

    /// The same convolution of an image that has a border of zeros, if that is worth a copy: its windows then are
    /// lines of many values, not pixels of few.
    pub fn bordered(&self) -> Option<Self> {
        let pad = |shape: Shape| Shape {
            height: shape.height + 2 * self.padding,
            width: shape.width + 2 * self.padding,
            ..shape
        };
        (self.padding > 0 && self.from.channels < NARROW).then(|| Self {
            from: pad(self.from),
            padding: 0,
            ..*self
        })
    }

    /// The phases of the product for the input's gradient.
    pub fn phases(&self) -> impl Iterator<Item = Phase> + use<> {
        let conv = *self;
        let positions =
            (0..conv.stride * conv.stride).map(move |i| (i / conv.stride, i % conv.stride));
        positions.scan(0, move |offset, at| {
            let (y, x) = (conv.seen_from(at.0), conv.seen_from(at.1));
            let phase = Phase {
                at,
                offset: *offset,
                gather: Gather {
                    source: conv.to,
                    grid: (
                        conv.from.height.saturating_sub(at.0).div_ceil(conv.stride),
                        conv.from.width.saturating_sub(at.1).div_ceil(conv.stride),
                    ),
                    step: (1, 1),
                    first: (y.start, x.start),
                    taps: (y.len(), x.len()),
                    depth: conv.to.channels,
                },
            };
            *offset += conv.packed(y.len() * x.len() * conv.to.channels, conv.from.channels);
            Some(phase)
        })
    }

    /// Offsets d of the outputs that see an input at phase `at`: output d is seen through tap `at + padding − d·stride`.
    fn seen_from(&self, at: usize) -> Range<isize> {
        let (kernel, stride) = (self.kernel as isize, self.stride as isize);
        let reach = (at + self.padding) as isize;
        let last = reach.div_euclid(stride);
        let first = (reach - kernel + 1 + stride - 1).div_euclid(stride);
        first..(last + 1).max(first)
    }

    /// The kernel tap through which phase `phase` sees its tap (y, x).
    pub fn kernel_tap(&self, phase: &Phase, y: usize, x: usize) -> usize {
        let along = |at: usize, first: isize, i: usize| {
            (at + self.padding) as isize - (first + i as isize) * self.stride as isize
        };
        let ky = along(phase.at.0, phase.gather.first.0, y);
        let kx = along(phase.at.1, phase.gather.first.1, x);
        ky as usize * self.kernel + kx as usize
    }

    /// Frames of a task of the input's gradient.
    pub fn back_task_frames(&self) -> usize {
        let rows = self.phases().map(|phase| phase.gather.rows()).min();
        TASK_ROWS.div_ceil(rows.unwrap_or(1).max(1))
    }

    /// Rows of a packed matrix that a product takes with `rows` terms.
    pub fn packed_rows(&self, rows: usize) -> usize {
        match self.algorithm {
            Algorithm::Amx => rows.next_multiple_of(blocks::SIDE),
            Algorithm::Direct | Algorithm::Winograd => rows,
        }
    }

    /// Values of a packed matrix.
    fn packed(&self, rows: usize, columns: usize) -> usize {
        self.packed_rows(rows) * columns.next_multiple_of(STRIP)
    }

    /// Values of the weight packed for the forward product: `[strip of columns][tap][in][16]`, neighbours' columns one after another.
    pub fn packed_forward(&self) -> usize {
        let rows = match self.algorithm {
            Algorithm::Winograd => PATCH * PATCH * self.from.channels,
            Algorithm::Direct | Algorithm::Amx => self.kernel * self.line(),
        };
        self.packed(rows, self.columns())
    }

    /// Values of the weight packed for the input's gradient: of each phase `[strip of inputs][tap][out][16]`.
    pub fn packed_backward(&self) -> usize {
        let matrix = |rows: usize| self.packed(rows * self.to.channels, self.from.channels);
        match self.algorithm {
            Algorithm::Winograd => matrix(PATCH * PATCH),
            Algorithm::Direct | Algorithm::Amx => {
                let phases = self.phases().map(|phase| phase.gather.taps);
                phases.map(|(y, x)| matrix(y * x)).sum()
            }
        }
    }

    /// Scratch words of the forward product.
    pub fn forward_scratch(&self) -> usize {
        let terms = self.kernel * self.kernel * self.from.channels;
        self.product_scratch(self.from.channels, terms, self.to.channels)
    }

    /// Scratch words of the product for the input's gradient.
    pub fn backward_scratch(&self) -> usize {
        let terms = self.kernel * self.kernel * self.to.channels;
        self.product_scratch(self.to.channels, terms, self.from.channels)
    }

    /// A panel of a product's sums; of minimal filtering a panel for each place of a patch, and the patches.
    fn product_scratch(&self, channels: usize, terms: usize, columns: usize) -> usize {
        match self.algorithm {
            Algorithm::Winograd => PATCH * PATCH * WINOGRAD_TILES * (channels + PANEL * STRIP),
            Algorithm::Direct => PRODUCT_ROWS * PANEL * STRIP,
            Algorithm::Amx => blocks::product_scratch(terms, columns),
        }
    }

    /// Partial sums of the weight's gradient.
    pub fn weight_partials(&self, frames: usize) -> usize {
        self.weight_strips(frames)
            * match self.algorithm {
                Algorithm::Direct | Algorithm::Winograd => self.weight_sums(),
                Algorithm::Amx => self.weight_tasks() * WeightBlocks::of(self).sums(),
            }
    }

    /// Scratch words of the weight's gradient: a chunk of its tile's inputs, and of a panel of the outputs' gradients.
    pub fn weight_scratch(&self) -> usize {
        if self.algorithm == Algorithm::Amx {
            return WeightBlocks::of(self).scratch();
        }
        let tiles = self.weight_tiles();
        let inputs = tiles.taps * tiles.channels.next_multiple_of(STRIP);
        (inputs + PANEL * STRIP) * WEIGHT_PITCH
    }

    /// The tiles of the weight's gradient.
    pub fn weight_tiles(&self) -> WeightTiles {
        let Gather {
            taps: (lines, columns),
            depth,
            ..
        } = self.gather();
        let (lines, taps) = match lines * columns * depth <= TILE_ROWS {
            true => (1, lines * columns),
            false => (lines, columns),
        };
        let fits =
            |parts: &usize| depth.is_multiple_of(*parts) && taps * depth / parts <= TILE_ROWS;
        let parts = (1..=depth).find(fits).unwrap_or(depth.max(1));
        WeightTiles {
            lines,
            parts,
            taps,
            channels: depth / parts,
        }
    }

    /// Tasks of each strip of the weight's gradient.
    fn weight_tasks(&self) -> usize {
        let parts = match self.algorithm {
            Algorithm::Direct | Algorithm::Winograd => 1,
            Algorithm::Amx => WeightBlocks::of(self).parts(),
        };
        self.weight_tiles().count() * parts
    }

    /// Strips of frames that the weight's gradient is summed over one by one.
    pub fn weight_strips(&self, frames: usize) -> usize {
        let wanted = WEIGHT_TASKS.div_ceil(self.weight_tasks());
        let rows = frames * self.gather().rows();
        let most = (rows / STRIP_ROWS).clamp(1, frames.max(1));
        let frames_each = frames.div_ceil(wanted.min(most)).max(1);
        frames.div_ceil(frames_each).max(1)
    }
}
