//! Products of bf16 in the order of sums of Intel's AMX, on the processors that have it and on all others.
//!
//! A block of the product, 32 × 32 sums, takes 32 terms of each sum at a time, t₀ … t₃₁ with tₖ = leftₖ·rightₖ:
//!
//! even ← (…((0 + t₀) + t₂) …) + t₃₀
//! odd  ← (…((0 + t₁) + t₃) …) + t₃₁
//! sum  ← sum + (even + odd)
//!
//! Products are exact, each addition is rounded to the nearest float32, ties to even. Subnormal numbers count as zeros, of
//! the terms as of every sum. Terms behind the last are zeros. That is what `tdpbf16ps` computes (Intel 64 and IA-32
//! Architectures Software Developer's Manual, volume 2), and what [`emulated`] computes with fused multiply-adds: a run
//! moves to any machine and keeps its bits.
//!
//! Rows of the left factor are gathered first, whole windows one after another, so that no product asks where its terms come
//! from; right factors are packed as for [`super::product`], their rows filled up to a multiple of 32.
//!
//! Check: `cargo test --lib exec::cpu`; time: `ffn bench eval EXPERIMENT --engine compiled-amx --steps`.

pub mod blocks;
mod emulated;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod tiles;
pub mod product;
mod transpose;
pub mod weight_gradient;

use super::machine::Machine;
use super::scalar::bf16;
use super::tile::Columns;
use crate::exec::cpu::amx::blocks::{SIDE, SUMS};
use crate::exec::cpu::conv::tiling::STRIP;

/// Rows or columns of a tile; a block has two by two at most.
const TILE: usize = 16;

/// Rows of the left factor.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    pub values: &'a [bf16],
    /// From one row to the next.
    pub pitch: usize,
    /// One tile of rows, or two.
    pub tiles: usize,
}

/// Columns of the right factor.
#[derive(Clone, Copy)]
pub struct Strips<'a> {
    pub columns: Columns<'a, bf16>,
    /// One strip, or two.
    pub count: usize,
}

/// A block's factors.
#[derive(Clone, Copy)]
pub struct Factors<'a> {
    pub rows: Rows<'a>,
    pub strips: Strips<'a>,
    /// Times 32 terms.
    pub steps: usize,
}

/// What multiplies blocks on this thread; as long as it lives, the thread's tiles are configured.
pub enum Unit {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Tiles(tiles::Tiles),
    Emulated,
}

/// Whether this processor has AMX and this process may use it.
pub fn has_amx() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    return tiles::are_permitted();
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    return false;
}

/// Multiplies blocks on the registers of this thread, `rounds` times 32 terms of each sum; how many multiply-adds that were. None
/// without AMX.
pub fn multiply_tiles(rounds: usize) -> Option<u64> {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    return tiles::Tiles::open().map(|tiles| {
        tiles.multiply_registers(rounds);
        (rounds * SUMS * SIDE) as u64
    });
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    {
        let _ = rounds;
        None
    }
}

impl Unit {
    pub fn open() -> Self {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if let Some(tiles) = tiles::Tiles::open() {
            return Self::Tiles(tiles);
        }
        Self::Emulated
    }

    /// Adds the block's products to its sums, `[row][column]` of 32 × 32, or to zeros unless they are `kept`. Sums of tiles that the
    /// factors lack are not touched. Panics if there are fewer values than the steps take.
    #[inline(always)]
    pub fn multiply<M: Machine<Scalar = bf16>>(
        &self,
        machine: M,
        factors: Factors<'_>,
        sums: &mut [f32],
        kept: bool,
    ) {
        factors.check();
        assert!(sums.len() >= SUMS);
        match self {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Self::Tiles(tiles) => tiles.multiply(factors, sums, kept),
            Self::Emulated => emulated::multiply(machine.simd(), factors, sums, kept),
        }
    }
}

impl Factors<'_> {
    /// # Panics
    /// If there are fewer values than the steps take.
    #[inline(always)]
    fn check(&self) {
        let Self {
            rows,
            strips,
            steps,
        } = *self;
        assert!(matches!((rows.tiles, strips.count), (1..=2, 1..=2)) && steps > 0);
        assert!(rows.values.len() >= (rows.tiles * TILE - 1) * rows.pitch + steps * SIDE);
        let last = (strips.count - 1) * strips.columns.strip;
        assert!(strips.columns.values.len() >= last + steps * SIDE * STRIP);
    }
}

#[cfg(test)]
mod tests;
