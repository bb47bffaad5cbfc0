//! Convolution along time, height and width, zero padded, with groups and with or without a bias.
//!
//! y[t, h, w, o] = b[o] + Σ_{k, i} x[s·(t, h, w) + k − p, i] · w[o, i, k], where i runs over the in/groups channels of o's group,
//! and what lies outside the image or outside the clip is zero.
//!
//! weight `[out, in/groups, time, height, width]`, written without the axes along which the kernel is 1, as PyTorch's 1-d,
//! 2-d and 3-d convolutions and its linear layers have it. TSM's are `[1, k, k]`, TEA's temporal ones `[3, 1, 1]` with a group for
//! each channel.
//!
//! | step | reads | writes |
//! |---|---|---|
//! | [`Conv`] | x | y |
//! | [`ConvBackInput`] | dy | dx[q, i] = Σ_{o, k: s·t + k − p = q} dy[t, o] · w[o, i, k] |
//! | [`ConvBackWeight`] | x, dy | the weight's gradient: Σ_t x[s·t + k − p, i] · dy[t, o] |
//! | [`ConvBackBias`] | dy | the bias's: the sum of dy's rows |

use super::extent::after_window;
use super::reference::{Array, ArrayMut};
use super::{
    Batch, Buffer, Compute, Extent, Layer, Layout, Lowering, NoRule, ParamId, Real, Reverse, Shape,
    Site, Step, Surroundings,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv {
    pub weight: ParamId,
    pub bias: Option<ParamId>,
    /// Along time, height and width, as all that follows.
    pub kernel: [usize; 3],
    pub stride: [usize; 3],
    pub padding: [usize; 3],
    pub groups: usize,
}

/// The gradient of a convolution's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvBackInput(pub Conv);

/// The gradient of a convolution's weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvBackWeight(pub Conv);

/// The gradient of a convolution's bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvBackBias {
    pub bias: ParamId,
}

impl Conv {
    /// A convolution of single images whose padding keeps the size at stride 1.
    pub fn of_images(weight: ParamId, kernel: usize, stride: usize) -> Self {
        let padding = kernel / 2;
        Self {
            weight,
            bias: None,
            kernel: [1, kernel, kernel],
            stride: [1, stride, stride],
            padding: [0, padding, padding],
            groups: 1,
        }
    }

    /// A convolution along time with a kernel for each of `channels` channels, whose padding keeps the number of rows.
    pub fn along_time(weight: ParamId, kernel: usize, channels: usize) -> Self {
        Self {
            weight,
            bias: None,
            kernel: [kernel, 1, 1],
            stride: [1, 1, 1],
            padding: [kernel / 2, 0, 0],
            groups: channels,
        }
    }

    /// Values of a kernel.
    pub fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    /// Whether the sizes after a weight's first two are the kernel's, those of 1 left out or not.
    fn is_kernel(&self, sizes: &[usize]) -> bool {
        let long = |sizes: &[usize]| -> Vec<usize> {
            sizes.iter().copied().filter(|&size| size != 1).collect()
        };
        long(sizes) == long(&self.kernel)
    }

    /// Multiply-adds of one row of the output.
    fn of_row(&self, channels: usize, output: Shape) -> u64 {
        (channels / self.groups.max(1) * self.taps()) as u64 * output.count() as u64
    }

    /// Calls `each` with every product's indices: of the output, of the input, and of the weight.
    fn products(
        &self,
        batch: &Batch,
        from: Extent,
        to: Extent,
        mut each: impl FnMut(usize, usize, usize),
    ) {
        let (inputs, outputs) = (from.shape.channels, to.shape.channels);
        let (group_in, group_out) = (inputs / self.groups, outputs / self.groups);
        for (row, tap, at) in self.taps_of(batch, from, to) {
            let (to_pixel, from_pixel) = (row * outputs, at * inputs);
            for output in 0..outputs {
                let first = output / group_out * group_in;
                for input in 0..group_in {
                    let weight = (output * group_in + input) * self.taps() + tap;
                    each(to_pixel + output, from_pixel + first + input, weight);
                }
            }
        }
    }

    /// Every output pixel, tap, and input pixel that it sees.
    fn taps_of<'a>(
        &'a self,
        batch: &'a Batch,
        from: Extent,
        to: Extent,
    ) -> impl Iterator<Item = (usize, usize, usize)> + 'a {
        let (height, width) = (to.shape.height, to.shape.width);
        let (rows, outputs) = (batch.at(from.rate), batch.at(to.rate));
        let pixels = (0..outputs.rows).flat_map(move |row| {
            (0..height).flat_map(move |y| (0..width).map(move |x| (row, y, x)))
        });
        pixels.flat_map(move |(row, y, x)| {
            let to_pixel = (row * height + y) * width + x;
            (0..self.taps()).filter_map(move |tap| {
                let [_, kh, kw] = self.kernel;
                let (t, ky, kx) = (tap / (kh * kw), tap / kw % kh, tap % kw);
                let y = (y * self.stride[1] + ky).checked_sub(self.padding[1])?;
                let x = (x * self.stride[2] + kx).checked_sub(self.padding[2])?;
                if y >= from.shape.height || x >= from.shape.width {
                    return None;
                }
                let row = self.source_row(rows, outputs, row, t)?;
                Some((
                    to_pixel,
                    tap,
                    (row * from.shape.height + y) * from.shape.width + x,
                ))
            })
        })
    }

    /// What remains of a convolution along time where all rows that a window sees lie side by side, as channels of one image: one of
    /// images. `None` of what is one already, and of one in groups.
    pub fn unfolded(&self) -> Option<Self> {
        let looks_along_time = [self.kernel[0], self.stride[0], self.padding[0] + 1] != [1; 3];
        (looks_along_time && self.groups == 1).then_some(Self {
            kernel: [1, self.kernel[1], self.kernel[2]],
            stride: [1, self.stride[1], self.stride[2]],
            padding: [0, self.padding[1], self.padding[2]],
            ..*self
        })
    }

    /// For each row that comes out the input's rows that it sees: one for each of the kernel's in time.
    pub fn source_rows(&self, inputs: &Layout, outputs: &Layout) -> Vec<Option<usize>> {
        let seen = |row| (0..self.kernel[0]).map(move |t| self.source_row(inputs, outputs, row, t));
        (0..outputs.rows).flat_map(seen).collect()
    }

    /// The input's row that tap `t` of the output's row sees, inside the clip.
    fn source_row(&self, inputs: &Layout, outputs: &Layout, row: usize, t: usize) -> Option<usize> {
        let (clip, index) = outputs.clip_of(row);
        let at = (index * self.stride[0] + t).checked_sub(self.padding[0])?;
        let clip = inputs.clips.get(clip)?.clone();
        (at < clip.len()).then(|| clip.start + at)
    }
}

impl Layer for Conv {
    fn name(&self) -> &'static str {
        "conv"
    }

    fn params(&self) -> Vec<ParamId> {
        [self.weight].into_iter().chain(self.bias).collect()
    }

    fn extent(&self, inputs: &[Extent], around: Surroundings<'_>) -> Result<Extent, String> {
        let from = inputs[0];
        let weight = around.params.shape(self.weight);
        let &[out, of_group, ref kernel @ ..] = weight else {
            return Err(format!("a weight of {weight:?} is none of a convolution"));
        };
        let divides = |count: usize| self.groups > 0 && count.is_multiple_of(self.groups);
        let fits = divides(out)
            && divides(from.shape.channels)
            && of_group == from.shape.channels / self.groups
            && self.is_kernel(kernel);
        if !fits {
            return Err(format!("a weight of {weight:?} does not fit {from}"));
        }
        let to = after_window(from, self.kernel, self.stride, self.padding)?;
        around.all_channels(self.bias.into_iter(), to.with_channels(out))
    }

    fn clip_multiply_adds(&self, around: Surroundings<'_>, output: Extent, frames: usize) -> u64 {
        let of_group = around.params.shape(self.weight)[1];
        self.of_row(of_group * self.groups, output.shape) * output.rate.rows(frames) as u64
    }

    fn lower(&self, at: &mut Lowering<'_>) {
        at.single(*self);
    }
}

impl Compute for Conv {
    fn kind(&self) -> &'static str {
        match self.groups {
            0 | 1 => "convolution",
            2.. => "grouped convolution",
        }
    }

    fn trained(&self) -> Vec<ParamId> {
        self.params()
    }

    fn multiply_adds(&self, step: &Step, buffers: &[Buffer], _: &Batch) -> u64 {
        let [x, y] = [step.reads[0], step.writes[0]].map(|id| &buffers[id]);
        let channels = x.extent.shape.channels;
        self.of_row(channels, y.extent.shape) * y.rows as u64
    }

    fn differentiate(&self, at: &mut Reverse<'_>) -> Result<(), NoRule> {
        let (x, dy) = (at.x(0), at.dy());
        if let Some(bias) = self.bias {
            at.emit_gradients(ConvBackBias { bias }, vec![dy]);
        }
        at.emit_gradients(ConvBackWeight(*self), vec![x, dy]);
        at.emit(0, ConvBackInput(*self), vec![dy]);
        Ok(())
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let (x, y) = (site.reads[0], &mut site.writes[0]);
        if let Some(bias) = self.bias {
            let bias = site.params[bias];
            y.pixels().for_each(|pixel| pixel.copy_from_slice(bias));
        }
        forward(self, site.batch, site.params[self.weight], x, y);
    }
}

/// y += x ∗ w.
pub(super) fn forward<R: Real>(
    conv: &Conv,
    batch: &Batch,
    weight: &[R],
    x: Array<'_, R>,
    y: &mut ArrayMut<'_, R>,
) {
    let (from, to) = (x.extent, y.extent);
    let (input, output) = (x.values, &mut *y.values);
    conv.products(batch, from, to, |o, i, w| {
        output[o] = output[o] + input[i] * weight[w];
    });
}

impl Compute for ConvBackInput {
    fn kind(&self) -> &'static str {
        match self.0.groups {
            0 | 1 => "convolution, input gradient",
            2.. => "grouped convolution, input gradient",
        }
    }

    fn multiply_adds(&self, step: &Step, buffers: &[Buffer], _: &Batch) -> u64 {
        let [dy, dx] = [step.reads[0], step.writes[0]].map(|id| &buffers[id]);
        let channels = dx.extent.shape.channels;
        self.0.of_row(channels, dy.extent.shape) * dy.rows as u64
    }

    fn differentiate(&self, _: &mut Reverse<'_>) -> Result<(), NoRule> {
        Err(NoRule)
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let (dy, dx) = (site.reads[0], &mut site.writes[0]);
        let weight = site.params[self.0.weight];
        let batch = site.batch;
        let (gradient, input) = (dy.values, &mut *dx.values);
        self.0.products(batch, dx.extent, dy.extent, |o, i, w| {
            input[i] = input[i] + gradient[o] * weight[w];
        });
    }
}

impl Compute for ConvBackWeight {
    fn kind(&self) -> &'static str {
        match self.0.groups {
            0 | 1 => "convolution, weight gradient",
            2.. => "grouped convolution, weight gradient",
        }
    }

    fn gradients(&self) -> Vec<ParamId> {
        vec![self.0.weight]
    }

    fn multiply_adds(&self, step: &Step, buffers: &[Buffer], _: &Batch) -> u64 {
        let [x, dy] = [step.reads[0], step.reads[1]].map(|id| &buffers[id]);
        let channels = x.extent.shape.channels;
        self.0.of_row(channels, dy.extent.shape) * dy.rows as u64
    }

    fn differentiate(&self, _: &mut Reverse<'_>) -> Result<(), NoRule> {
        Err(NoRule)
    }

    fn reference<R: Real>(&self, site: Site<'_, '_, R>) {
        let (x, dy) = (site.reads[0], site.reads[1]);
        let batch = site.batch;
        let gradient = &mut *site.grads[self.0.weight];
        self.0.products(batch, x.extent, dy.extent, |o, i, w| {
            gradient[w] = gradient[w] + x.values[i] * dy.values[o];
        });
    }
}

impl Compute for ConvBackBias {
    fn kind(&self) -> &'static str {
        "head, gradient"
    }

    fn gradients(&self) -> Vec<ParamId> {
        vec![self.bias]
    }

    fn differentiate(&self, _: &mut Reverse<'_>) -> Result<(), NoRule> {
        Err(NoRule)
    }

    fn reference<R: Real>(&self, site: Site<'_, '_, R>) {
        let gradient = &mut *site.grads[self.bias];
        for pixel in site.reads[0].pixels() {
            gradient
                .iter_mut()
                .zip(pixel)
                .for_each(|(sum, dy)| *sum = *sum + *dy);
        }
    }
}
