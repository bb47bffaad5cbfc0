//! The definitions on numbers that can be followed by hand; [`gradients`] against finite differences.

mod gradients;

use dfdx::prelude::*;

use self::gradients::{FRAMES, between};
use super::gather::{Frames, Windows};
use super::{Pass, Rows, Vector, leaves, norm, ops};
use crate::exec::{DropoutKey, Segment, Statistics};
use crate::graph::Shape;
use crate::graph::arch::tsm::{Tsm, tsm};
use crate::ops::{Binary, Dropout, Drops, Each, Extent, Pooled, Rate, draw};
use crate::program::Batch;
use crate::spec::{Backbone, Shift, ShiftPlace};

fn rows<const N: usize>(values: [f64; N], columns: usize) -> Rows<f64> {
    Cpu::default().tensor_from_vec(values.to_vec(), (N / columns, columns))
}

fn vector<const N: usize>(values: [f64; N]) -> Vector<f64> {
    Cpu::default().tensor_from_vec(values.to_vec(), (N,))
}

/// So many frames of this shape, all of one clip.
fn frames(count: usize, channels: usize, height: usize, width: usize) -> Frames {
    Frames {
        count,
        period: count,
        shape: Shape {
            channels,
            height,
            width,
        },
    }
}

/// Two frames of 2 × 3 pixels, one channel, stride 2: the kernel's centre is 1, its right neighbour 10, the one below 100.
#[test]
fn convolution_of_two_frames() {
    let x = rows([1., 2., 3., 4., 5., 6., 7., 8., 9., 1., 2., 3.], 1);
    let weight = vector([0., 0., 0., 0., 1., 10., 0., 100., 0.]);
    let windows = Windows {
        from: frames(2, 1, 2, 3),
        to: frames(2, 1, 1, 2),
        kernel: [1, 3, 3],
        stride: [1, 2, 2],
        padding: [0, 1, 1],
    };
    let y = ops::convolution(x, weight, &windows, 1).unwrap();
    assert_eq!(y.as_vec(), [421., 603., 187., 309.]);
}

fn pointwise(count: usize, from: usize, to: usize, width: usize) -> Windows {
    Windows {
        from: frames(count, from, 1, width),
        to: frames(count, to, 1, width),
        kernel: [1; 3],
        stride: [1; 3],
        padding: [0; 3],
    }
}

/// PyTorch's order of a weight: out, in, height, width.
#[test]
fn convolution_mixes_channels() {
    let weight = vector([1., 0., 0., 1., 10., 100.]);
    let x = rows([1., 2., 3., 4.], 2);
    let y = ops::convolution(x, weight, &pointwise(1, 2, 3, 2), 1).unwrap();
    assert_eq!(y.as_vec(), [1., 2., 210., 3., 4., 430.]);
}

/// Two groups of two channels each: an output sees its own group alone.
#[test]
fn convolution_in_groups() {
    let weight = vector([1., 10., 100., 1000.]);
    let x = rows([1., 2., 3., 4.], 4);
    let y = ops::convolution(x, weight, &pointwise(1, 4, 2, 1), 2).unwrap();
    assert_eq!(y.as_vec(), [21., 4300.]);
}

/// Four frames of one pixel and two channels, in clips of two: the first channel takes the next frame, the second the one
/// before times ten.
#[test]
fn convolution_along_time_within_clips() {
    let clips = Frames {
        period: 2,
        ..frames(4, 2, 1, 1)
    };
    let windows = Windows {
        from: clips,
        to: clips,
        kernel: [3, 1, 1],
        stride: [1; 3],
        padding: [1, 0, 0],
    };
    let x = rows([1., 2., 3., 4., 5., 6., 7., 8.], 2);
    let weight = vector([0., 0., 1., 10., 0., 0.]);
    let y = ops::convolution(x, weight, &windows, 2).unwrap();
    assert_eq!(y.as_vec(), [3., 0., 0., 20., 7., 0., 0., 60.]);
}

/// The same as one kernel that mixes channels.
#[test]
fn dense_convolution_along_time() {
    let windows = Windows {
        from: frames(3, 1, 1, 1),
        to: frames(3, 2, 1, 1),
        kernel: [3, 1, 1],
        stride: [1; 3],
        padding: [1, 0, 0],
    };
    let weight = vector([1., 0., 0., 0., 1., 10.]);
    let y = ops::convolution(rows([1., 2., 3.], 1), weight, &windows, 1).unwrap();
    assert_eq!(y.as_vec(), [0., 21., 1., 32., 2., 3.]);
}

fn halving(pooled: Pooled, values: [f64; 6]) -> Vec<f64> {
    let windows = Windows {
        from: frames(1, 1, 2, 3),
        to: frames(1, 1, 1, 2),
        kernel: [1, 3, 3],
        stride: [1, 2, 2],
        padding: [0, 1, 1],
    };
    let y = ops::pool(rows(values, 1), pooled, &windows).unwrap();
    y.as_vec()
}

/// Padding is never the largest, not even of negative values.
#[test]
fn max_pool_of_negative_values() {
    let y = halving(Pooled::Max, [-5., -2., -3., -4., -1., -6.]);
    assert_eq!(y, [-1., -1.]);
}

/// Padding counts: the divisor is nine everywhere.
#[test]
fn mean_pool_counts_padding() {
    let y = halving(Pooled::Mean, [9., 18., 27., 36., 45., 54.]);
    assert_eq!(y, [12., 16.]);
}

/// Three frames of one pixel and four channels: the first from the next frame, the second from the one before.
#[test]
fn shift_within_a_clip_and_across_clips() {
    let x = || rows([1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12.], 4);
    let shifted = |period, div| {
        let frames = Frames {
            period,
            ..frames(3, 4, 1, 1)
        };
        ops::shift(x(), &frames, div).unwrap().as_vec()
    };
    assert_eq!(
        shifted(3, 4),
        [5., 0., 3., 4., 9., 2., 7., 8., 0., 6., 11., 12.]
    );
    assert_eq!(
        shifted(1, 4),
        [0., 0., 3., 4., 0., 0., 7., 8., 0., 0., 11., 12.]
    );
    assert_eq!(shifted(3, 8), x().as_vec(), "an eighth of four is nothing");
}

/// Four frames of two pixels, in clips of two.
#[test]
fn frames_are_taken_within_clips() {
    let x = || rows([1., 2., 3., 4., 5., 6., 7., 8.], 1);
    let clips = Frames {
        period: 2,
        ..frames(4, 1, 1, 2)
    };
    let taken = |offset| ops::take_frames(x(), &clips, offset).unwrap().as_vec();
    assert_eq!(taken(1), [3., 4., 0., 0., 7., 8., 0., 0.]);
    assert_eq!(taken(-1), [0., 0., 1., 2., 0., 0., 5., 6.]);
    assert_eq!(taken(2), [0.; 8]);
}

#[test]
fn functions_of_values() {
    let x = || rows([-1., 0., 2., 3.], 2);
    let each = |function| ops::each(x(), function).unwrap().as_vec();
    assert_eq!(each(Each::Relu), [0., 0., 2., 3.]);
    assert_eq!(each(Each::Add(-0.5)), [-1.5, -0.5, 1.5, 2.5]);
    // x·Φ(x), not the approximation by tanh, which differs in the fourth digit.
    let gelu = [
        -0.158_655_253_931,
        0.0,
        1.954_499_736_104,
        2.995_950_305_906,
    ];
    let found = each(Each::Gelu);
    assert!(
        found.iter().zip(gelu).all(|(a, b)| (a - b).abs() < 1e-9),
        "{found:?}"
    );
    let sigmoid = each(Each::Sigmoid);
    assert_eq!(sigmoid[1], 0.5);
    assert!((sigmoid[0] - 0.268_941_421_369_995_1).abs() < 1e-15);
    let with = |b, function| ops::binary(x(), b, function).unwrap().as_vec();
    assert_eq!(with(x(), Binary::Subtract), [0.; 4]);
    // One pixel for both pixels of the frame.
    let pixel = || rows([10., 100.], 2);
    assert_eq!(with(pixel(), Binary::Add), [9., 100., 12., 103.]);
    assert_eq!(with(pixel(), Binary::Subtract), [-11., -100., -8., -97.]);
    assert_eq!(with(pixel(), Binary::Multiply), [-10., 0., 20., 300.]);
}

#[test]
fn channels_apart_and_together() {
    let x = || rows([1., 2., 3., 4., 5., 6.], 3);
    let part = |first, count| ops::slice_channels(x(), first, count).unwrap();
    assert_eq!(part(1, 2).as_vec(), [2., 3., 5., 6.]);
    let whole = ops::concat_channels([part(2, 1), x(), part(0, 1)].map(Ok).into_iter()).unwrap();
    assert_eq!(whole.as_vec(), [3., 1., 2., 3., 1., 6., 4., 5., 6., 4.]);
}

#[test]
fn alteration_means_and_classifier() {
    let x = || rows([1., 2., 3., 4.], 2);
    let altered = ops::alter(x(), vector([0.5, -1.])).unwrap();
    assert_eq!(altered.as_vec(), [1.5, 0., 4.5, 0.]);
    assert_eq!(ops::mean(x(), 1, 2).unwrap().as_vec(), [2., 3.]);
    let pixels = rows([1., 2., 3., 4., 5., 6., 7., 8.], 1);
    let mean = ops::frame_mean(pixels, 2, 2).unwrap();
    assert_eq!(mean.as_vec(), [2., 3., 6., 7.]);
    let weight = vector([1., 0., 0., 1., 1., 1.]);
    let logits = ops::linear(x(), weight, vector([0., 0., 10.])).unwrap();
    assert_eq!(logits.as_vec(), [1., 2., 13., 3., 4., 17.]);
}

/// Groups of two rows: each has mean and variance of its own, and the first alone is remembered.
#[test]
fn norm_in_groups() {
    let affine = norm::Affine {
        weight: vector([2.]),
        bias: vector([1.]),
        eps: 1e-5,
    };
    let (mut mean, mut var, mut batches) = ([1.0], [4.0], 7);
    let running = norm::Running {
        mean: &mut mean,
        var: &mut var,
        batches: &mut batches,
    };
    let x = rows([3., 5., 10., 10.], 1);
    let y: Rows<f64> = norm::by_batch(&x, &affine, running, 2).unwrap();
    let normal = 2.0 / (1.0_f64 + 1e-5).sqrt();
    assert_eq!(y.as_vec(), [1.0 - normal, 1.0 + normal, 1.0, 1.0]);
    // Mean 4; variance 1, unbiased 2.
    assert_eq!((mean, var, batches), ([1.3], [3.8], 8));
}

/// The streams are those of the compiled engines: of step and branch, and of the layer behind the first one.
#[test]
fn dropout_by_the_stream_of_step_branch_and_layer() {
    let graph = between(|_, x| Ok(x));
    let segment = Segment {
        branch: 0,
        frames: FRAMES,
        clips: 2,
    };
    let batch = Batch::eval(&graph, &[segment]).unwrap();
    let extent = Extent {
        rate: Rate::FRAME,
        shape: Shape::vector(4),
    };
    for (index, first_clip) in [(0, 0), (1, 0), (1, 2)] {
        let key = DropoutKey {
            seed: 3,
            step: 5,
            first_clip,
        };
        let drops = ops::Drawn {
            probability: 0.5,
            key,
            branch: FRAMES,
            index,
            parts: 2 * FRAMES * 4,
            clips: 2,
        };
        let y = ops::dropout(rows([1.0; 2 * FRAMES * 4], 4), &drops).unwrap();
        let mut expected = vec![0.0; 2 * FRAMES * 4];
        let dropout = Dropout {
            drops: Drops::Values,
            probability: 0.5,
            index,
        };
        draw(dropout, key, &batch, extent, |at, kept| {
            expected[at] = f64::from(kept);
        });
        assert_eq!(y.as_vec(), expected, "layer {index}");
        assert!(expected.contains(&0.0) && expected.contains(&2.0));
    }
}

/// A pass over a part of a step has that part of the step's mask.
#[test]
fn masks_are_drawn_for_the_whole_step() {
    let graph = between(|_, x| Ok(x));
    let mask = |drops, first_clip, clips| {
        let segment = Segment {
            branch: 0,
            frames: FRAMES,
            clips,
        };
        let batch = Batch::eval(&graph, &[segment]).unwrap();
        let key = DropoutKey {
            seed: 3,
            step: 5,
            first_clip,
        };
        let extent = Extent {
            rate: Rate::FRAME,
            shape: Shape::vector(3),
        };
        let dropout = Dropout {
            drops,
            probability: 0.5,
            index: 1,
        };
        let mut mask = vec![f32::NAN; clips * FRAMES * 3];
        draw(dropout, key, &batch, extent, |at, kept| mask[at] = kept);
        mask
    };
    for drops in [Drops::Values, Drops::Clips { share: 1.0 }] {
        let parts = [mask(drops, 0, 3), mask(drops, 3, 1), mask(drops, 4, 2)];
        assert_eq!(parts.concat(), mask(drops, 0, 6));
    }
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let graph = tsm(&Tsm {
        backbone: &Backbone::ResNet18,
        shift: &Shift {
            div: 8,
            place: ShiftPlace::ResidualInput,
        },
        classes: 2,
        frames: 1,
        input: (32, 32),
    });
    let graph = graph.unwrap();
    let params: Vec<Vec<f32>> = graph.params.iter().map(|p| vec![0.0; p.count()]).collect();
    let refused = |params: &[Vec<f32>], pixels: usize, clips: usize| {
        let pass = Pass {
            graph: &graph,
            segment: Segment {
                branch: 0,
                frames: 1,
                clips,
            },
            training: None,
            observed: &[],
        };
        let mut statistics = Statistics::initial(&graph);
        let leaves = leaves::<f32>(params).unwrap();
        let output = pass.forward::<f32, NoneTape>(&leaves, &mut statistics, &vec![0.0; pixels]);
        output.err().map(|error| error.message).unwrap_or_default()
    };
    let frame = 3 * 32 * 32;
    assert_eq!(refused(&params, frame, 1), "");
    assert_eq!(
        refused(&params, frame, 2),
        "the pixels are not as many as the network has"
    );
    assert_eq!(
        refused(&params[1..], frame, 1),
        "the parameters are not as many as the network has"
    );
    assert_eq!(
        refused(&params, 0, 0),
        "0 clips of 1 frames for branch 0 make no batch"
    );
}
