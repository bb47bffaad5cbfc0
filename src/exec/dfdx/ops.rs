//! Convolution, pooling, shift, alteration, functions of one and two values, channels, means, the classifier and dropout.
//! Rows: see the parent module.

use std::f64::consts::{FRAC_1_SQRT_2, TAU};

use dfdx::prelude::*;

use super::gather::{Frames, Windows, gather};
use super::{Real, Rows, Vector, in_every_row, renamed};
use crate::base::rng::{Purpose, Stream};
use crate::exec::DropoutKey;
use crate::ops::{Binary, Each, Pooled};

/// y[p, o] = Σ_{tap, c} x[row(p, tap), c] · w[o, c, tap], zero outside image and clip; c runs over the channels of o's group.
/// Groups side by side are convolutions of their own; groups of one channel a sum of products.
pub fn convolution<E: Real, T: Tape<E, E::On>>(
    x: Rows<E, T>,
    weight: Vector<E, T>,
    windows: &Windows,
    groups: usize,
) -> Result<Rows<E, T>, CpuError> {
    let (input, output) = (windows.from.shape.channels, windows.to.shape.channels);
    if groups == 1 {
        return dense(x, weight, windows, (input, output));
    }
    if (input, output) == (groups, groups) {
        return depthwise(x, weight, windows);
    }
    let (of_input, of_output) = (input / groups, output / groups);
    let weights = of_output * of_input * windows.area();
    let (x, of_x) = renamed(x)?.split_tape();
    let (weight, of_weight) = renamed(weight)?.split_tape();
    let part = |group: usize| {
        let x = x.retaped::<T>();
        let x = x.try_slice((.., group * of_input..(group + 1) * of_input))?;
        let weight = weight.retaped::<T>();
        let weight = weight.try_slice((group * weights..(group + 1) * weights,))?;
        dense(x, weight, windows, (of_input, of_output))
    };
    let (whole, tape) = concat_channels((0..groups).map(part))?.split_tape();
    Ok(whole.put_tape(of_x.merge(of_weight).merge(tape)))
}

/// A product of matrices: the pixels that each window sees × the weights of each output.
fn dense<E: Real, T: Tape<E, E::On>>(
    x: Rows<E, T>,
    weight: Vector<E, T>,
    windows: &Windows,
    (input, output): (usize, usize),
) -> Result<Rows<E, T>, CpuError> {
    let taps = windows.area();
    let rows = windows.to.count * windows.to.shape.pixels();
    let x = match windows.is_pointwise() {
        true => x,
        false => gather(x, E::default(), windows.rows())?,
    };
    let x = x.try_reshape_like(&(rows, taps * input))?;
    let weight = weight.try_reshape_like(&(output, input, taps))?;
    let weight = weight.try_permute::<(usize, usize, usize), Axes3<2, 1, 0>>()?;
    x.try_matmul(weight.try_reshape_like(&(taps * input, output))?)
}

/// y[p, c] = Σ_tap x[row(p, tap), c] · w[c, tap].
fn depthwise<E: Real, T: Tape<E, E::On>>(
    x: Rows<E, T>,
    weight: Vector<E, T>,
    windows: &Windows,
) -> Result<Rows<E, T>, CpuError> {
    let (channels, taps) = (windows.to.shape.channels, windows.area());
    let shape = (windows.to.count * windows.to.shape.pixels(), taps, channels);
    let x = gather(x, E::default(), windows.rows())?.try_reshape_like(&shape)?;
    let weight = weight.try_reshape_like(&(channels, taps))?;
    let weight = weight.try_permute::<(usize, usize), Axes2<1, 0>>()?;
    let weight = weight.try_broadcast_like::<_, Axis<0>>(&shape)?;
    x.try_mul(weight)?.try_sum::<_, Axis<1>>()
}

/// The largest value of each window, or its mean, to which padding counts as zeros. Where several are the largest, dfdx gives
/// the gradient to each of them and PyTorch to the first; behind a ReLU that can be zeros alone, where the ReLU passes no
/// gradient.
pub fn pool<E: Real, T: Tape<E, E::On>>(
    x: Rows<E, T>,
    pooled: Pooled,
    windows: &Windows,
) -> Result<Rows<E, T>, CpuError> {
    let outside = match pooled {
        Pooled::Max => E::nearest(f64::NEG_INFINITY),
        Pooled::Mean => E::default(),
    };
    let taken = gather(x, outside, windows.rows())?;
    let to = windows.to;
    let shape = (
        to.count * to.shape.pixels(),
        windows.area(),
        to.shape.channels,
    );
    let taken = taken.try_reshape_like(&shape)?;
    match pooled {
        Pooled::Max => taken.try_max::<_, Axis<1>>(),
        Pooled::Mean => taken.try_mean::<_, Axis<1>>(),
    }
}

/// The temporal shift (TSM, section 3.2) within each clip, f = channels / div:
/// y[t, c] = x[t + 1, c] for c < f, x[t − 1, c] for f ≤ c < 2f, x[t, c] for the others; zero outside the clip.
pub fn shift<E: Real, T: Tape<E, E::On>>(
    x: Rows<E, T>,
    frames: &Frames,
    div: usize,
) -> Result<Rows<E, T>, CpuError> {
    let (rows, channels) = *x.shape();
    let (frame, fold) = (frames.shape.count(), channels / div);
    let period = frames.period;
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

/// y[t] = x[t + offset], zero outside the clip.
pub fn take_frames<E: Real, T: Tape<E, E::On>>(
    x: Rows<E, T>,
    frames: &Frames,
    offset: isize,
) -> Result<Rows<E, T>, CpuError> {
    gather(x, E::default(), frames.moved(offset))
}

/// The frames of SlowFast's slow pathway.
pub struct Slow<'a> {
    /// Every how many one is taken.
    pub every: usize,
    /// From the clips of all branches laid end to end, the largest first and the others ascending.
    pub joined: bool,
    pub branches: &'a [usize],
}

/// Of T frames T / every, at ⌊i·(T − 1) / (T/every − 1)⌋: the first and the last among them.
pub fn slow_frames<E: Real, T: Tape<E, E::On>>(
    x: Rows<E, T>,
    frames: &Frames,
    slow: &Slow<'_>,
) -> Result<Rows<E, T>, CpuError> {
    let (own, pixels) = (frames.period, frames.shape.pixels());
    let mut order = vec![own];
    if slow.joined {
        order = slow.branches.to_vec();
        order.rotate_right(1);
    }
    let all: usize = order.iter().sum();
    let (positions, last) = (
        all / slow.every,
        (all / slow.every).saturating_sub(1).max(1),
    );
    let before: usize = order.iter().take_while(|&&frames| frames != own).sum();
    let taken = (0..positions).map(|i| i * (all - 1) / last);
    let taken = taken.skip(before / slow.every).take(own / slow.every);
    let taken: Vec<usize> = taken.map(|frame| frame - before).collect();
    let rows = (0..frames.count).step_by(own).flat_map(|first| {
        let of_clip = taken.iter().map(move |frame| first + frame);
        of_clip.flat_map(|frame| (0..pixels).map(move |pixel| Some(frame * pixels + pixel)))
    });
    gather(x, E::default(), rows)
}

/// Weight alteration (FFN, section 3.4): a depthwise 1×1 convolution with a residual, y = x + w·x for each channel.
pub fn alter<E: Real, T: Tape<E, E::On>>(
    x: Rows<E, T>,
    weight: Vector<E, T>,
) -> Result<Rows<E, T>, CpuError> {
    let weight = in_every_row(weight, x.shape())?;
    x.with_empty_tape().try_mul(weight)?.try_add(x)
}

/// A function of each value.
pub fn each<E: Real, T: Tape<E, E::On>>(
    x: Rows<E, T>,
    function: Each,
) -> Result<Rows<E, T>, CpuError> {
    match function {
        Each::Relu => x.try_relu(),
        Each::Sigmoid => x.try_sigmoid(),
        Each::Gelu => gelu(x),
        Each::Add(constant) => x.try_add(E::nearest(constant)),
    }
}

/// x·Φ(x). dfdx 0.13 has this function too, but its derivative lacks a factor of 1/√2 in the second term of Φ(x) + x·φ(x).
///
/// So it is written as s·x + (y − s·x) with the slope s and the value y as constants: the value is y, the gradient s.
fn gelu<E: Real, T: Tape<E, E::On>>(x: Rows<E, T>) -> Result<Rows<E, T>, CpuError> {
    let shape = *x.shape();
    let at: Vec<f64> = x.as_vec().into_iter().map(E::exact).collect();
    let constant = |of: &dyn Fn(f64) -> f64| -> Result<Rows<E>, CpuError> {
        let values = at.iter().map(|&x| E::nearest(of(x)));
        E::On::default().try_tensor_from_vec(values.collect(), shape)
    };
    let normal = |x: f64| 0.5 * (1.0 + libm::erf(x * FRAC_1_SQRT_2));
    let slope = |x: f64| normal(x) + x * libm::exp(-0.5 * x * x) / TAU.sqrt();
    let rest = constant(&|x| x * normal(x) - x * slope(x))?;
    x.try_mul(constant(&slope)?)?.try_add(rest)
}

/// A function of two values: b has a row for each of a's, or one for all pixels of a frame.
pub fn binary<E: Real, T: Tape<E, E::On>>(
    a: Rows<E, T>,
    b: Rows<E, T>,
    function: Binary,
) -> Result<Rows<E, T>, CpuError> {
    let ((rows, columns), (frames, _)) = (*a.shape(), *b.shape());
    let b = match rows == frames {
        true => b,
        false => b
            .try_broadcast_like::<_, Axis<1>>(&(frames, rows / frames, columns))?
            .try_reshape_like(&(rows, columns))?,
    };
    match function {
        Binary::Add => a.try_add(b),
        Binary::Subtract => a.try_sub(b),
        Binary::Multiply => a.try_mul(b),
    }
}

/// `count` channels from `first` on.
pub fn slice_channels<E: Real, T: Tape<E, E::On>>(
    x: Rows<E, T>,
    first: usize,
    count: usize,
) -> Result<Rows<E, T>, CpuError> {
    renamed(x)?.try_slice((.., first..first + count))
}

/// The channels of all, in order.
pub fn concat_channels<E: Real, T: Tape<E, E::On>>(
    inputs: impl Iterator<Item = Result<Rows<E, T>, CpuError>>,
) -> Result<Rows<E, T>, CpuError> {
    let whole = inputs.reduce(|whole, part| (whole?, part?).try_concat_along(Axis::<1>));
    whole.unwrap_or(Err(CpuError::WrongNumElements))
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

/// ln of the mean over each group of `count` rows of their softmax.
pub fn mean_probabilities<E: Real, T: Tape<E, E::On>>(
    x: Rows<E, T>,
    groups: usize,
    count: usize,
) -> Result<Rows<E, T>, CpuError> {
    mean(x.try_softmax::<Axis<1>>()?, groups, count)?.try_ln()
}

/// The mean of the frames of each of `clips` clips, pixel by pixel.
pub fn frame_mean<E: Real, T: Tape<E, E::On>>(
    x: Rows<E, T>,
    clips: usize,
    frames: usize,
) -> Result<Rows<E, T>, CpuError> {
    let (rows, columns) = *x.shape();
    let pixels = rows / (clips * frames);
    let x = x.try_reshape_like(&(clips * frames, pixels * columns))?;
    mean(x, clips, frames)?.try_reshape_like(&(clips * pixels, columns))
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
    add_bias(y, bias)
}

pub fn add_bias<E: Real, T: Tape<E, E::On>>(
    y: Rows<E, T>,
    bias: Vector<E, T>,
) -> Result<Rows<E, T>, CpuError> {
    let bias = in_every_row(bias, y.shape())?;
    y.try_add(bias)
}

/// What the numbers of a dropout layer follow from.
pub struct Drawn {
    pub probability: f32,
    pub key: DropoutKey,
    /// Frame count of the branch.
    pub branch: usize,
    /// Which of the network's dropout layers it is, in the graph's order.
    pub index: usize,
    /// How many numbers are drawn: one for each value, or for each clip.
    pub parts: usize,
    pub clips: usize,
}

/// Inverted dropout: a value is dropped with the probability, else divided by 1 − probability. The stream is that of the
/// step, of the branch's frame count and, behind the first dropout layer, of the layer; a number for each value in row-major
/// order, or one for all values of a clip.
pub fn dropout<E: Real, T: Tape<E, E::On>>(
    x: Rows<E, T>,
    drawn: &Drawn,
) -> Result<Rows<E, T>, CpuError> {
    let probability = f64::from(drawn.probability);
    let mut parts = vec![drawn.key.step, drawn.branch as u64];
    if drawn.index > 0 {
        parts.push(drawn.index as u64);
    }
    let mut stream = Stream::new(drawn.key.seed, Purpose::Dropout, &parts);
    stream.skip((drawn.key.first_clip * drawn.parts / drawn.clips) as u64);
    let mut factor = || match stream.uniform() < probability {
        true => E::default(),
        false => E::nearest(1.0 / (1.0 - probability)),
    };
    let (rows, columns) = *x.shape();
    let together = rows * columns / drawn.parts;
    let mask = (0..drawn.parts).flat_map(|_| std::iter::repeat_n(factor(), together));
    let mask: Vec<E> = mask.collect();
    let mask: Rows<E> = E::On::default().try_tensor_from_vec(mask, (rows, columns))?;
    x.try_mul(mask)
}
