//! Convolution, max pooling, shift, alteration, means, the classifier and dropout. Rows: see the parent module.

use dfdx::prelude::*;

use super::gather::{Windows, gather};
use super::{Real, Rows, Vector, in_every_row};
use crate::base::rng::{Purpose, Stream};
use crate::exec::DropoutKey;
use crate::graph::Shape as FrameShape;

/// y[p, o] = Σ_{tap, c} x[row(p, tap), c] · w[o, c, tap], zero outside the picture.
pub fn convolution<E: Real, T: Tape<E, E::On>>(
    x: Rows<E, T>,
    weight: Vector<E, T>,
    windows: &Windows,
) -> Result<Rows<E, T>, CpuError> {
    let (input, output) = (windows.from.channels, windows.to.channels);
    let taps = windows.kernel * windows.kernel;
    let rows = windows.frames * windows.to.pixels();
    let x = match windows.is_pointwise() {
        true => x,
        false => gather(x, E::default(), windows.rows())?,
    };
    let x = x.try_reshape_like(&(rows, taps * input))?;
    let weight = weight.try_reshape_like(&(output, input, taps))?;
    let weight = weight.try_permute::<(usize, usize, usize), Axes3<2, 1, 0>>()?;
    x.try_matmul(weight.try_reshape_like(&(taps * input, output))?)
}

/// The largest value of each 3 × 3 window, stride 2, padding 1. Where several are the largest, dfdx gives the gradient to
/// each of them and PyTorch to the first; behind a ReLU that can be zeros alone, where the ReLU passes no gradient.
pub fn max_pool<E: Real, T: Tape<E, E::On>>(
    x: Rows<E, T>,
    frames: usize,
    from: FrameShape,
    to: FrameShape,
) -> Result<Rows<E, T>, CpuError> {
    let windows = Windows {
        frames,
        from,
        to,
        kernel: 3,
        stride: 2,
        padding: 1,
    };
    let taken = gather(x, E::nearest(f64::NEG_INFINITY), windows.rows())?;
    let taken = taken.try_reshape_like(&(frames * to.pixels(), 9, to.channels))?;
    taken.try_max::<_, Axis<1>>()
}

/// The temporal shift (TSM, section 3.2) in groups of `period` frames, f = channels / div:
/// y[t, c] = x[t + 1, c] for c < f, x[t − 1, c] for f ≤ c < 2f, x[t, c] for the others; zero outside the group.
pub fn shift<E: Real, T: Tape<E, E::On>>(
    x: Rows<E, T>,
    shape: FrameShape,
    div: usize,
    period: usize,
) -> Result<Rows<E, T>, CpuError> {
    let (rows, channels) = *x.shape();
    let (frame, fold) = (shape.count(), channels / div);
    let source = move |value: usize| {
        let (time, channel) = (value / frame % period, value % channels);
        match channel / fold.max(1) {
            0 if fold > 0 => (time + 1 < period).then_some(value + frame),
            1 if fold > 0 => (time > 0).then(|| value - frame),
            _ => Some(value),
        }
    };
    let values = x.try_reshape_like(&(rows * channels, 1))?;
    let shifted = gather(values, E::default(), (0..rows * channels).map(source))?;
    shifted.try_reshape_like(&(rows, channels))
}

/// Weight alteration (FFN, section 3.4): a depthwise 1×1 convolution with a residual, y = x + w·x for each channel.
pub fn alter<E: Real, T: Tape<E, E::On>>(
    x: Rows<E, T>,
    weight: Vector<E, T>,
) -> Result<Rows<E, T>, CpuError> {
    let weight = in_every_row(weight, x.shape())?;
    x.with_empty_tape().try_mul(weight)?.try_add(x)
}

/// The mean of each group of `count` rows.
pub fn mean<E: Real, T: Tape<E, E::On>>(
    x: Rows<E, T>,
    groups: usize,
    count: usize,
) -> Result<Rows<E, T>, CpuError> {
    let (_, columns) = *x.shape();
    let grouped = x.try_reshape_like(&(groups, count, columns))?;
    grouped.try_mean::<_, Axis<1>>()
}

/// y = x·Wᵀ + b, W: classes × features.
pub fn linear<E: Real, T: Tape<E, E::On>>(
    x: Rows<E, T>,
    weight: Vector<E, T>,
    bias: Vector<E, T>,
) -> Result<Rows<E, T>, CpuError> {
    let ((_, features), (classes,)) = (*x.shape(), *bias.shape());
    let weight = weight.try_reshape_like(&(classes, features))?;
    let y = x.try_matmul(weight.try_permute::<(usize, usize), Axes2<1, 0>>()?)?;
    let bias = in_every_row(bias, y.shape())?;
    y.try_add(bias)
}

/// Inverted dropout: a value is dropped with `probability`, else divided by 1 − probability. The stream is that of the
/// step and of the branch's frame count, a number for each value in row-major order.
pub fn dropout<E: Real, T: Tape<E, E::On>>(
    x: Rows<E, T>,
    probability: f32,
    key: DropoutKey,
    branch: usize,
) -> Result<Rows<E, T>, CpuError> {
    let probability = f64::from(probability);
    let mut stream = Stream::new(key.seed, Purpose::Dropout, &[key.step, branch as u64]);
    let mut factor = || match stream.uniform() < probability {
        true => E::default(),
        false => E::nearest(1.0 / (1.0 - probability)),
    };
    let (rows, columns) = *x.shape();
    let mask: Vec<E> = (0..rows * columns).map(|_| factor()).collect();
    let mask: Rows<E> = E::On::default().try_tensor_from_vec(mask, (rows, columns))?;
    x.try_mul(mask)
}
