//! The frames' way to the GPU: normalised to the CPU's bits, copied ahead or not.

use std::rc::Rc;
use std::sync::Arc;

use ffn::data::Pixels;
use ffn::exec::cuda;
use ffn::exec::{Input, Segment, Statistics};
use ffn::program::{Numerics, compile_eval};
use ffn::spec::*;

use crate::engine::{STEP, gpu, network_of, weights};

/// Three frames of 15 × 15 pixels: no multiple of what a thread takes at once, and every byte in every channel.
const SIDE: usize = 15;
const COUNT: usize = 3 * SIDE * SIDE * 3;

const NORMALIZE: Normalize = Normalize {
    mean: [0.485, 0.456, 0.406],
    std: [0.229, 0.224, 0.225],
};

/// An engine that tells what the network reads.
struct Reader {
    engine: cuda::Engine,
    weights: cuda::Weights,
    stats: Statistics,
}

impl Reader {
    fn new() -> Option<Self> {
        let gpu = gpu()?;
        let graph = network_of((SIDE, SIDE), Block::Basic, Stem::Small, Norms::Private);
        let segments = [Segment {
            branch: 0,
            frames: 3,
            clips: 1,
        }];
        let program = compile_eval(&graph, &segments, &[0], Numerics::Float32).unwrap();
        let (params, stats) = weights(&graph);
        Some(Self {
            weights: cuda::Weights::new(Rc::clone(&gpu), &graph, &params).unwrap(),
            engine: cuda::Engine::new(&graph, program, gpu).unwrap(),
            stats,
        })
    }

    fn read(&mut self, input: Input<'_>) -> ffn::base::Result<Vec<f32>> {
        self.engine
            .forward(&self.weights, &mut self.stats, input, STEP)?;
        let (_, values) = self.engine.observed().next().unwrap();
        Ok(values.to_vec())
    }
}

fn bytes(first: usize, count: usize) -> Arc<Pixels> {
    let bytes = (first..first + count).map(|i| i as u8);
    Arc::new(Pixels::Bytes(bytes.collect()))
}

fn input(pixels: &Pixels) -> Input<'_> {
    Input::of(pixels, &NORMALIZE, None)
}

#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn bytes_are_normalized_as_on_the_cpu() {
    let Some(mut reader) = Reader::new() else {
        return;
    };
    for first in [0, 77] {
        let bytes = bytes(first, COUNT);
        let expected = input(&bytes).values();
        assert_eq!(reader.read(input(&bytes)).unwrap(), *expected);
    }
    let error = reader.read(input(&bytes(0, COUNT - 1))).err().unwrap();
    assert_eq!(error.message, "input: expected 2025 values, found 2024");
}

/// Whatever was copied ahead, a pass reads its own bytes.
#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn no_pass_reads_what_is_not_its_own() {
    let Some(mut reader) = Reader::new() else {
        return;
    };
    let [a, b, c] = [0, 1, 2].map(|first| bytes(first, COUNT));
    let other_shape = bytes(0, COUNT + 1);
    let equal = bytes(1, COUNT);
    let passes = [
        (&a, Some(&b)),
        (&b, Some(&c)),
        // Another than the one that was to come, and that one after it.
        (&a, None),
        (&c, Some(&other_shape)),
        (&b, Some(&b)),
        (&b, Some(&b)),
        (&equal, None),
        (&b, None),
    ];
    for (index, (own, next)) in passes.into_iter().enumerate() {
        let next = || next.cloned();
        let pixels = Input::of(own, &NORMALIZE, Some(&next));
        let found = reader.read(pixels).unwrap();
        assert_eq!(found, *input(own).values(), "pass {index}");
    }
}
