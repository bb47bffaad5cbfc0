//! The definitions on numbers that can be followed by hand.

use dfdx::prelude::*;

use super::gather::Windows;
use super::{Pass, Rows, Vector, leaves, norm, ops};
use crate::base::rng::{Purpose, Stream};
use crate::exec::{DropoutKey, Segment, Statistics};
use crate::graph::{Shape as FrameShape, resnet};
use crate::spec::{Backbone, Shift, ShiftPlace};

fn rows<const N: usize>(values: [f64; N], columns: usize) -> Rows<f64> {
    Cpu::default().tensor_from_vec(values.to_vec(), (N / columns, columns))
}

fn vector<const N: usize>(values: [f64; N]) -> Vector<f64> {
    Cpu::default().tensor_from_vec(values.to_vec(), (N,))
}

fn shape(channels: usize, height: usize, width: usize) -> FrameShape {
    FrameShape {
        channels,
        height,
        width,
    }
}

/// Two frames of 2 × 3 pixels, one channel, stride 2: the kernel's centre is 1, its right neighbour 10, the one below 100.
#[test]
fn convolution_of_two_frames() {
    let x = rows([1., 2., 3., 4., 5., 6., 7., 8., 9., 1., 2., 3.], 1);
    let weight = vector([0., 0., 0., 0., 1., 10., 0., 100., 0.]);
    let windows = Windows {
        frames: 2,
        from: shape(1, 2, 3),
        to: shape(1, 1, 2),
        kernel: 3,
        stride: 2,
        padding: 1,
    };
    let y = ops::convolution(x, weight, &windows).unwrap();
    assert_eq!(y.as_vec(), [421., 603., 187., 309.]);
}

/// PyTorch's order of a weight: out, in, height, width.
#[test]
fn convolution_mixes_channels() {
    let windows = Windows {
        frames: 1,
        from: shape(2, 1, 2),
        to: shape(3, 1, 2),
        kernel: 1,
        stride: 1,
        padding: 0,
    };
    let weight = vector([1., 0., 0., 1., 10., 100.]);
    let y = ops::convolution(rows([1., 2., 3., 4.], 2), weight, &windows).unwrap();
    assert_eq!(y.as_vec(), [1., 2., 210., 3., 4., 430.]);
}

/// Padding is never the largest, not even of negative values.
#[test]
fn max_pool_of_negative_values() {
    let x = rows([-5., -2., -3., -4., -1., -6.], 1);
    let y = ops::max_pool(x, 1, shape(1, 2, 3), shape(1, 1, 2)).unwrap();
    assert_eq!(y.as_vec(), [-1., -1.]);
}

/// Three frames of one pixel and four channels: the first from the next frame, the second from the one before.
#[test]
fn shift_within_a_clip_and_across_clips() {
    let x = || rows([1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12.], 4);
    let shifted = |period| ops::shift(x(), shape(4, 1, 1), 4, period).unwrap().as_vec();
    assert_eq!(
        shifted(3),
        [5., 0., 3., 4., 9., 2., 7., 8., 0., 6., 11., 12.]
    );
    assert_eq!(
        shifted(1),
        [0., 0., 3., 4., 0., 0., 7., 8., 0., 0., 11., 12.]
    );
    let none = ops::shift(x(), shape(4, 1, 1), 8, 3).unwrap();
    assert_eq!(none.as_vec(), x().as_vec(), "an eighth of four is nothing");
}

#[test]
fn alteration_means_and_classifier() {
    let x = || rows([1., 2., 3., 4.], 2);
    let altered = ops::alter(x(), vector([0.5, -1.])).unwrap();
    assert_eq!(altered.as_vec(), [1.5, 0., 4.5, 0.]);
    assert_eq!(ops::mean(x(), 1, 2).unwrap().as_vec(), [2., 3.]);
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

#[test]
fn dropout_by_the_stream_of_step_and_branch() {
    let key = DropoutKey { seed: 3, step: 5 };
    let y = ops::dropout(rows([1.0; 40], 4), 0.5, key, 8).unwrap();
    let mut stream = Stream::new(3, Purpose::Dropout, &[5, 8]);
    let mut expected = || if stream.uniform() < 0.5 { 0.0 } else { 2.0 };
    assert!(y.as_vec().iter().all(|&y| y == expected()));
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let graph = resnet::tsm(&resnet::Tsm {
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
