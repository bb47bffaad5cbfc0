//! How convolutions are cut into the blocks of AMX: [`super`]. As in [`crate::exec::cpu::conv::tiling`], by shapes alone.

use crate::exec::cpu::conv::ConvGeometry;
use crate::exec::cpu::conv::tiling::{STRIP, WeightTiles};

/// Rows, columns and terms of a block: two tiles by two, whose sums run over 16 pairs.
pub const SIDE: usize = 32;
/// Sums of a block.
pub const SUMS: usize = SIDE * SIDE;
/// Rows of a product that are computed together: with them what is gathered stays in the second cache.
pub const ROWS: usize = 192;
/// Terms that are gathered at once.
const DEPTH: usize = 1024;
/// Tasks that a small product is cut into, so that threads finish together.
const TASKS: usize = 16;
/// Pixels whose products are added in registers for a weight's gradient.
pub const PIXELS: usize = 512;
/// Values of a packed strip of so many pixels, and a cache line: strips do not begin in the same sets.
pub const STRIP_VALUES: usize = (PIXELS + 2) * STRIP;
/// Outputs of a task of a weight's gradient at most.
pub const OUTPUTS: usize = 256;

/// Rows of one task of a product of `rows` rows.
pub fn task_rows(rows: usize) -> usize {
    let even = rows.div_ceil(TASKS).next_multiple_of(SIDE);
    even.clamp(SIDE, ROWS)
}

/// Chunks of a sum of `terms` terms, and the terms of each.
pub fn chunks(terms: usize) -> (usize, usize) {
    let count = terms.div_ceil(DEPTH).max(1);
    let each = terms.div_ceil(count).next_multiple_of(SIDE).max(SIDE);
    (terms.div_ceil(each).max(1), each)
}

/// Values from one gathered row to the next: an odd number of cache lines, so that the rows of a tile meet in no set.
pub const fn pitch(terms: usize) -> usize {
    (terms.div_ceil(SIDE) | 1) * SIDE
}

/// Words of a product's scratch memory: a chunk of the gathered rows, in bf16, and its sums: of a block, or where several
/// chunks are added of all columns.
pub fn product_scratch(terms: usize, columns: usize) -> usize {
    let (chunks, each) = chunks(terms);
    kept_sums(chunks, columns) + ROWS * pitch(each) / 2
}

/// Sums of a product that are in memory at a time.
pub fn kept_sums(chunks: usize, columns: usize) -> usize {
    match chunks {
        1 => SUMS,
        _ => ROWS * columns.next_multiple_of(SIDE),
    }
}

/// A task of a weight's gradient: a tile of the inputs (one side of a product) by a part of the outputs (the other).
#[derive(Debug, Clone, Copy)]
pub struct WeightBlocks {
    pub tiles: WeightTiles,
    /// Outputs of the whole gradient.
    outputs: usize,
}

impl WeightBlocks {
    pub fn of(conv: &ConvGeometry) -> Self {
        Self {
            tiles: conv.weight_tiles(),
            outputs: conv.to.channels,
        }
    }

    /// Parts of the outputs.
    pub fn parts(&self) -> usize {
        self.outputs.div_ceil(OUTPUTS).max(1)
    }

    /// Strips of a tap's channels.
    pub fn tap_strips(&self) -> usize {
        self.tiles.channels.div_ceil(STRIP)
    }

    /// Strips of the inputs' side: those of each tap.
    pub fn input_strips(&self) -> usize {
        self.tiles.taps * self.tap_strips()
    }

    /// Strips of the outputs' side, of the widest part.
    pub fn output_strips(&self) -> usize {
        self.outputs.min(OUTPUTS).div_ceil(STRIP)
    }

    /// Whether the rows of the sums are inputs; else they are outputs. The smaller side it is: rows have to be transposed.
    pub fn rows_are_inputs(&self) -> bool {
        self.input_strips() <= self.output_strips()
    }

    /// Blocks of the sums: rows of them, and columns.
    pub fn grid(&self) -> (usize, usize) {
        let [inputs, outputs] = [self.input_strips(), self.output_strips()].map(|n| n.div_ceil(2));
        match self.rows_are_inputs() {
            true => (inputs, outputs),
            false => (outputs, inputs),
        }
    }

    /// Sums of a task, block by block.
    pub fn sums(&self) -> usize {
        let (rows, columns) = self.grid();
        rows * columns * SUMS
    }

    /// Words of scratch memory: a chunk of pixels of both sides, in bf16.
    pub fn scratch(&self) -> usize {
        let (rows, columns) = self.grid();
        (rows * SIDE * pitch(PIXELS) + columns * 2 * STRIP_VALUES) / 2
    }
}
