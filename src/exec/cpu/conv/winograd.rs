//! 3×3 convolutions of stride 1 by minimal filtering, F(2×2, 3×3): S. Winograd, "Arithmetic complexity of computations"
//! (1980); A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks" (2016).
//!
//! A tile of 2×2 outputs sees a patch d of 4×4 inputs: y = Aᵀ·((G·g·Gᵀ) ⊙ (Bᵀ·d·B))·A, where ⊙ multiplies place by
//! place and sums over channels. So 16 products of matrices take the place of 36 multiplications for each tile,
//! channel and output: `[tiles, in]·[in, out]` for each of the 16 places of the patch.
//!
//! Bᵀ, Aᵀ: sums and differences alone. Rounding errors stay within twice those of a direct sum.
//!
//! Check: `cargo test --lib exec::cpu::conv`; time: `ffn bench eval EXPERIMENT --steps`.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::exec::cpu::conv::tiling::{PANEL, PATCH, STRIP, WINOGRAD_TILES as TILES};
use crate::exec::cpu::machine::Machine;
use crate::exec::cpu::memory::Scratch;
use crate::exec::cpu::product::{DEPTH, Finish};
use crate::exec::cpu::scalar::Scalar;
use crate::exec::cpu::simd::filling;
use crate::exec::cpu::tile::{self, Columns, Panels, Tile, Walk};
use crate::ops::Shape;

/// Tasks that images are cut into, if they have that many tiles.
const TASKS: usize = 16;
/// Tiles of a task at least: enough for a panel of the weight to be worth fetching.
const TASK_TILES: usize = 32;
const PLACES: usize = PATCH * PATCH;

/// y = x ∗ w, and what finishes it. Images keep their height and width.
#[derive(Clone, Copy)]
pub struct Winograd<'a, X, Y> {
    pub source: Shape,
    /// Channels of y.
    pub columns: usize,
    pub x: &'a [X],
    /// `[strip of outputs][place][in][16]`, by [`crate::exec::cpu::pack`].
    pub w: &'a [X],
    pub finish: Finish<'a, Y>,
}

impl<X: Scalar, Y: Scalar> Winograd<'_, X, Y> {
    /// The frames `frames` of `y`, which holds all frames. Tasks are whole lines of tiles, of an odd height whole frames.
    pub fn run(&self, frames: Range<usize>, y: &mut [Y], scratch: &Scratch) {
        let Shape { height, width, .. } = self.source;
        let lines = if height.is_multiple_of(2) { 2 } else { height };
        let tiles = lines.div_ceil(2) * width.div_ceil(2);
        let count = frames.len() * height / lines;
        let each = count.div_ceil(TASKS).max(TASK_TILES.div_ceil(tiles));
        let line = width * self.columns;
        let y = &mut y[frames.start * height * line..frames.end * height * line];
        let tasks = y.par_chunks_mut(each * lines * line).enumerate();
        tasks.for_each(|(i, y)| {
            let first = frames.start * height / lines + i * each;
            let end = first + y.len() / (lines * line);
            scratch.with(|scratch| {
                self.tiles(first * tiles..end * tiles, first * lines, y, scratch);
            });
        });
    }

    /// The tiles `tiles`, counted over all frames; `y` begins with line `line`, counted likewise.
    fn tiles(&self, tiles: Range<usize>, line: usize, y: &mut [Y], scratch: &mut [f32]) {
        let (sums, patches) = scratch.split_at_mut(PLACES * TILES * PANEL * STRIP);
        let patches = X::view(patches, PLACES * TILES * self.source.channels);
        for first in tiles.clone().step_by(TILES) {
            let tiles = first..tiles.end.min(first + TILES);
            let spread = Spread {
                product: self,
                tiles: tiles.clone(),
                patches,
            };
            filling(self.source.channels, spread);
            let mut block = Block {
                product: self,
                tiles,
                patches,
                sums,
                line,
                y,
            };
            tile::for_each_panel(self.columns, &mut block);
        }
    }

    /// Frame, line and column of a tile's first output.
    fn corner(&self, tile: usize) -> (usize, usize, usize) {
        let across = self.source.width.div_ceil(2);
        let down = self.source.height.div_ceil(2);
        let (line, column) = (tile / across, tile % across);
        (line / down, line % down * 2, column * 2)
    }
}

/// Bᵀ·d·B of each tile: `[place][tile][channel]`.
struct Spread<'a, X, Y> {
    product: &'a Winograd<'a, X, Y>,
    tiles: Range<usize>,
    patches: &'a mut [X],
}

impl<X: Scalar, Y: Scalar> WithSimd for Spread<'_, X, Y> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let channels = self.product.source.channels;
        for (i, tile) in self.tiles.enumerate() {
            let pixels = self.product.patch(tile);
            for v in 0..channels / S::F32_LANES {
                let mut patch = [[simd.splat_f32s(0.0); PATCH]; PATCH];
                for (row, pixels) in patch.iter_mut().zip(&pixels) {
                    for (value, pixel) in row.iter_mut().zip(pixels) {
                        if let Some(pixel) = pixel {
                            *value = X::load(simd, &pixel[v * S::F32_LANES..][..S::F32_LANES]);
                        }
                    }
                    *row = spread(simd, *row);
                }
                for column in 0..PATCH {
                    let [a, b, c, d] = patch;
                    let places = [a[column], b[column], c[column], d[column]];
                    for (row, value) in spread(simd, places).into_iter().enumerate() {
                        let place = row * PATCH + column;
                        let to = (place * TILES + i) * channels + v * S::F32_LANES;
                        X::store(simd, &mut self.patches[to..to + S::F32_LANES], value);
                    }
                }
            }
        }
    }
}

impl<X: Scalar, Y: Scalar> Winograd<'_, X, Y> {
    /// The pixels that a tile sees; none outside the image.
    fn patch(&self, tile: usize) -> [[Option<&[X]>; PATCH]; PATCH] {
        let Shape {
            height,
            width,
            channels,
        } = self.source;
        let (frame, top, left) = self.corner(tile);
        let mut patch = [[None; PATCH]; PATCH];
        for (i, row) in patch.iter_mut().enumerate() {
            for (j, pixel) in row.iter_mut().enumerate() {
                // The padding is one pixel: the patch begins one before the tile.
                let (y, x) = ((top + i).wrapping_sub(1), (left + j).wrapping_sub(1));
                if y < height && x < width {
                    let at = (frame * height + y) * width + x;
                    *pixel = Some(&self.x[at * channels..][..channels]);
                }
            }
        }
        patch
    }
}

/// Bᵀ·d
#[inline(always)]
fn spread<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; PATCH]) -> [S::f32s; PATCH] {
    [
        simd.sub_f32s(a, c),
        simd.add_f32s(b, c),
        simd.sub_f32s(c, b),
        simd.sub_f32s(b, d),
    ]
}

/// Aᵀ·m
#[inline(always)]
fn collect<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; PATCH]) -> [S::f32s; 2] {
    [
        simd.add_f32s(simd.add_f32s(a, b), c),
        simd.sub_f32s(simd.sub_f32s(b, c), d),
    ]
}

/// Some tiles of a product.
struct Block<'a, X, Y> {
    product: &'a Winograd<'a, X, Y>,
    tiles: Range<usize>,
    patches: &'a [X],
    /// Room for the products of a panel: `[place][tile][column]`.
    sums: &'a mut [f32],
    /// Of y's first value.
    line: usize,
    y: &'a mut [Y],
}

impl<X: Scalar, Y: Scalar> Panels for Block<'_, X, Y> {
    type Scalar = X;

    #[inline(always)]
    fn panel<M: Machine<Scalar = X>, const R: usize, const V: usize>(
        &mut self,
        machine: M,
        column: usize,
    ) {
        for place in 0..PLACES {
            for tile in (0..self.tiles.len()).step_by(R) {
                self.multiply::<M, R, V>(machine, (place, tile), column);
            }
        }
        for tile in self.tiles.clone() {
            for v in 0..V {
                self.finish::<M::Simd, V>(machine.simd(), tile, (column, v));
            }
        }
    }
}

impl<X: Scalar, Y: Scalar> Block<'_, X, Y> {
    /// The products of R tiles at one place of their patches.
    #[inline(always)]
    fn multiply<M: Machine<Scalar = X>, const R: usize, const V: usize>(
        &mut self,
        machine: M,
        (place, tile): (usize, usize),
        column: usize,
    ) {
        let channels = self.product.source.channels;
        let count = self.tiles.len();
        let rows = PLACES * channels;
        for start in (0..channels).step_by(DEPTH) {
            let steps = DEPTH.min(channels - start);
            // The last tiles repeat the last one.
            let mut left: [&[X]; R] = [&[]; R];
            for (r, row) in left.iter_mut().enumerate() {
                let tile = (count - 1).min(tile + r);
                let patch = &self.patches[(place * TILES + tile) * channels..][..channels];
                *row = &patch[start..start + steps];
            }
            let columns = Columns {
                values: &self.product.w
                    [tile::packed_index::<X>(rows, place * channels + start, column)..],
                strip: rows * STRIP,
            };
            let mut sum: Tile<M, R, V> = tile::zeros(machine);
            tile::accumulate(machine, &mut sum, left, Walk::along::<X>(steps), columns);
            for (r, values) in sum.into_iter().enumerate().take(count - tile) {
                let to = (place * TILES + tile + r) * V;
                let to = &mut M::Simd::as_mut_simd_f32s(self.sums).0[to..to + V];
                for (to, value) in to.iter_mut().zip(values) {
                    *to = match start {
                        0 => value,
                        _ => machine.simd().add_f32s(*to, value),
                    };
                }
            }
        }
    }

    /// Vector v of a panel's outputs of one tile.
    #[inline(always)]
    fn finish<S: Simd, const V: usize>(
        &mut self,
        simd: S,
        tile: usize,
        (column, v): (usize, usize),
    ) {
        let Winograd {
            source, columns, ..
        } = *self.product;
        let sums = S::as_simd_f32s(self.sums).0;
        let at = tile - self.tiles.start;
        let mut rows = [[simd.splat_f32s(0.0); 2]; PATCH];
        for (i, row) in rows.iter_mut().enumerate() {
            let mut places = [simd.splat_f32s(0.0); PATCH];
            for (j, place) in places.iter_mut().enumerate() {
                *place = sums[((i * PATCH + j) * TILES + at) * V + v];
            }
            *row = collect(simd, places);
        }
        let (frame, top, left) = self.product.corner(tile);
        let from = column + v * S::F32_LANES;
        if from >= columns {
            return;
        }
        for x in 0..source.width.min(left + 2) - left {
            let [a, b, c, d] = rows;
            let outputs = collect(simd, [a[x], b[x], c[x], d[x]]);
            let left = left + x;
            for (y, value) in outputs.into_iter().enumerate().take(source.height - top) {
                let line = frame * source.height + top + y;
                let range = from..columns.min(from + S::F32_LANES);
                let width = range.len();
                let pixel = (line * source.width + left) * columns;
                let value = self.product.finish.apply(simd, value, range, pixel);
                let to = ((line - self.line) * source.width + left) * columns + from;
                Y::store(simd, &mut self.y[to..to + width], value);
            }
        }
    }
}
