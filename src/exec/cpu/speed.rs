//! How fast this machine multiplies in each of the engine's numerics: measured, in a few hundredths of a second.
//!
//! The work is what engines do most: the convolutions of a block of ResNet-50's third stage (1024 → 256 → 256 → 1024 channels,
//! 14 × 14 pixels) on one frame, forward, by one thread, each as that engine computes it. Numerics take turns, so that what
//! else the machine does meets all of them, and the fastest of several rounds counts.

use std::time::{Duration, Instant};

use rayon::ThreadPoolBuilder;

use super::amx::has_amx;
use super::conv::{Algorithm, ConvGeometry};
use super::conv::{Blocks, Direct, Forward, Products};
use super::memory::Scratch;
use super::pack::{self, Folded};
use super::product::Finish;
use super::scalar::{Scalar, bf16};
use crate::ops::Shape;
use crate::program::Numerics;

const ROUNDS: usize = 4;
const SIDE: usize = 14;
/// Inputs, outputs and kernel of each convolution.
const LAYERS: [(usize, usize, usize); 3] = [(1024, 256, 1), (256, 256, 3), (256, 1024, 1)];

/// Multiply-adds a second of one thread, in each of the numerics that this machine has instructions for. None if there is no
/// memory or no thread to measure with.
pub fn measure() -> Vec<(Numerics, f64)> {
    let pool = ThreadPoolBuilder::new().num_threads(1).build();
    let rates = pool.ok().and_then(|pool| pool.install(rates));
    rates.unwrap_or_default()
}

fn rates() -> Option<Vec<(Numerics, f64)>> {
    let mut kinds = vec![Numerics::Float32, Numerics::Bf16];
    kinds.extend(has_amx().then_some(Numerics::Bf16Amx));
    let block = |&numerics: &Numerics| -> Option<Vec<_>> {
        let layers = LAYERS.map(|layer| layer_in(numerics, geometry(layer)));
        layers.into_iter().collect()
    };
    let mut blocks = kinds.iter().map(block).collect::<Option<Vec<_>>>()?;
    let mut best = vec![Duration::MAX; kinds.len()];
    // In the first round memory is touched for the first time.
    for _ in 0..=ROUNDS {
        for (best, block) in best.iter_mut().zip(&mut blocks) {
            let begun = Instant::now();
            block.iter_mut().for_each(|layer| layer());
            *best = begun.elapsed().min(*best);
        }
    }
    let work = LAYERS.map(|layer| {
        let conv = geometry(layer);
        conv.weights() * conv.to.pixels()
    });
    let work = work.iter().sum::<usize>() as f64;
    let rates = best.iter().map(|time| work / time.as_secs_f64());
    Some(kinds.into_iter().zip(rates).collect())
}

fn geometry((inputs, outputs, kernel): (usize, usize, usize)) -> ConvGeometry {
    let shape = |channels| Shape {
        channels,
        height: SIDE,
        width: SIDE,
    };
    ConvGeometry {
        from: shape(inputs),
        to: shape(outputs),
        kernel,
        stride: 1,
        padding: kernel / 2,
        algorithm: Algorithm::Direct,
    }
}

/// A convolution whose weight is packed, to be computed again and again.
type Layer = Box<dyn FnMut()>;

fn layer_in(numerics: Numerics, conv: ConvGeometry) -> Option<Layer> {
    let by = |algorithm| ConvGeometry { algorithm, ..conv };
    let usual = match conv.suits_winograd() {
        true => by(Algorithm::Winograd),
        false => conv,
    };
    match numerics {
        Numerics::Float32 => layer::<f32, Direct>(usual),
        Numerics::Bf16 => layer::<bf16, Direct>(usual),
        Numerics::Bf16Amx => layer::<bf16, Blocks>(by(Algorithm::Amx)),
    }
}

/// None if there is no memory.
fn layer<E: Scalar, P: Products<E, E>>(conv: ConvGeometry) -> Option<Layer> {
    let scratch = Scratch::new(1, conv.forward_scratch()).ok()?;
    let x = vec![E::round(0.5); conv.from.count()];
    let mut y = vec![E::default(); conv.to.count()];
    let mut w = vec![E::default(); conv.packed_forward()];
    let unfolded = Folded {
        alter: None,
        scale: None,
    };
    pack::forward(&conv, &vec![0.25; conv.weights()], unfolded, &mut w);
    Some(Box::new(move || {
        let product = Forward {
            conv: &conv,
            x: &x,
            w: &w,
            shifted: None,
            finish: Finish::NONE,
        };
        product.run::<P>(0..1, &mut y, &scratch);
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_a_machine() {
        let rates = measure();
        assert_eq!(rates.len(), 2 + usize::from(has_amx()));
        for (numerics, rate) in rates {
            assert!((1e7..1e13).contains(&rate), "{numerics:?}: {rate}");
        }
    }
}
