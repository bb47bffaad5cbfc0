//! Pooling over square windows of single images: the largest value, or the mean.
//!
//! [`Pooled::Max`] takes the largest value inside the image, and NaN where there is one; its gradient goes to the first of the
//! largest, in the window's row-major order. [`Pooled::Mean`] divides by the whole window, padding counted as zeros, at the
//! borders too (PyTorch's `count_include_pad`).
//!
//! [`Pool`] reads x and writes y; [`PoolBack`] reads dy, of a maximum x too, and writes dx.

use super::extent::after_window;
use super::{Compute, Extent, Layer, Lowering, NoRule, Real, Reverse, Shape, Site, Surroundings};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooled {
    Max,
    Mean,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    pub pooled: Pooled,
    pub window: usize,
    pub stride: usize,
    pub padding: usize,
}

/// The gradient of a pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolBack(pub Pool);

impl Pool {
    /// 3 × 3, padding 1.
    pub const fn of_three(pooled: Pooled, stride: usize) -> Self {
        Self {
            pooled,
            window: 3,
            stride,
            padding: 1,
        }
    }

    /// The pixels inside the image that the window at pixel (y, x) of the output sees, in row-major order.
    fn window(&self, from: Shape, y: usize, x: usize) -> impl Iterator<Item = usize> + use<> {
        let along = |at: usize, side: usize| {
            let first = at * self.stride;
            let end = (first + self.window).saturating_sub(self.padding).min(side);
            first.saturating_sub(self.padding)..end
        };
        let (rows, columns) = (along(y, from.height), along(x, from.width));
        rows.flat_map(move |row| columns.clone().map(move |column| row * from.width + column))
    }

    /// Calls `each` with every output pixel and its window: indices of pixels in a row.
    fn windows(&self, from: Shape, to: Shape, mut each: impl FnMut(usize, &[usize])) {
        for y in 0..to.height {
            for x in 0..to.width {
                let window: Vec<usize> = self.window(from, y, x).collect();
                each(y * to.width + x, &window);
            }
        }
    }
}

impl Layer for Pool {
    fn name(&self) -> &'static str {
        match self.pooled {
            Pooled::Max => "max pool",
            Pooled::Mean => "mean pool",
        }
    }

    fn extent(&self, inputs: &[Extent], _: Surroundings<'_>) -> Result<Extent, String> {
        let square = |side| [1, side, side];
        if self.padding >= self.window {
            return Err(format!("padding {} lies outside the window", self.padding));
        }
        let padding = [0, self.padding, self.padding];
        after_window(inputs[0], square(self.window), square(self.stride), padding)
    }

    fn lower(&self, at: &mut Lowering<'_>) {
        at.single(*self);
    }
}

/// The first of the largest pixels of a window, or of those that are NaN.
fn largest<R: Real>(window: &[usize], value: impl Fn(usize) -> R) -> usize {
    let mut best = window[0];
    for &pixel in &window[1..] {
        let (so_far, v) = (value(best), value(pixel));
        if v > so_far || (v.is_nan() && !so_far.is_nan()) {
            best = pixel;
        }
    }
    best
}

impl Compute for Pool {
    fn kind(&self) -> &'static str {
        "pooling"
    }

    fn differentiate(&self, at: &mut Reverse<'_>) -> Result<(), NoRule> {
        let (x, dy) = (at.x(0), at.dy());
        let reads = match self.pooled {
            Pooled::Max => vec![dy, x],
            Pooled::Mean => vec![dy],
        };
        at.emit(0, PoolBack(*self), reads);
        Ok(())
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let x = site.reads[0];
        let to = &mut site.writes[0];
        let (from, shape) = (x.extent.shape, to.extent.shape);
        let area = R::of((self.window * self.window) as f64);
        for row in 0..to.rows() {
            let (x, y) = (x.row(row), to.row(row));
            self.windows(from, shape, |pixel, window| {
                for c in 0..shape.channels {
                    let value = |pixel: usize| x[pixel * shape.channels + c];
                    y[pixel * shape.channels + c] = match self.pooled {
                        Pooled::Max => value(largest(window, value)),
                        Pooled::Mean => window.iter().map(|&p| value(p)).sum::<R>() / area,
                    };
                }
            });
        }
    }
}

impl Compute for PoolBack {
    fn kind(&self) -> &'static str {
        "pooling, gradient"
    }

    fn differentiate(&self, _: &mut Reverse<'_>) -> Result<(), NoRule> {
        Err(NoRule)
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let (dy, x) = (site.reads[0], site.reads.get(1).copied());
        let to = &mut site.writes[0];
        let (from, shape) = (to.extent.shape, dy.extent.shape);
        let area = R::of((self.0.window * self.0.window) as f64);
        for row in 0..to.rows() {
            let (dy, dx) = (dy.row(row), to.row(row));
            self.0.windows(from, shape, |pixel, window| {
                for c in 0..shape.channels {
                    let gradient = dy[pixel * shape.channels + c];
                    let mut add = |pixel: usize, value: R| {
                        let at = pixel * shape.channels + c;
                        dx[at] = dx[at] + value;
                    };
                    match x.map(|x| x.row(row)) {
                        Some(x) => {
                            let value = |pixel: usize| x[pixel * shape.channels + c];
                            add(largest(window, value), gradient);
                        }
                        None => window.iter().for_each(|&p| add(p, gradient / area)),
                    }
                }
            });
        }
    }
}
