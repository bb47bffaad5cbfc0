//! What a reference kernel is given.

use super::{Batch, DropoutKey, Extent};

/// float32 or float64.
pub trait Real: num_traits::Float + std::iter::Sum + Send + Sync + 'static {
    /// The nearest of this type.
    fn of(value: f64) -> Self;

    /// Exactly the same number.
    fn exact(self) -> f64;

    /// e to the power of it, by a library of our own choice: no bit depends on the system's.
    fn exponential(self) -> Self;

    /// erf, by the same library.
    fn error_function(self) -> Self;
}

impl Real for f32 {
    fn of(value: f64) -> Self {
        value as f32
    }

    fn exact(self) -> f64 {
        f64::from(self)
    }

    fn exponential(self) -> Self {
        libm::expf(self)
    }

    fn error_function(self) -> Self {
        libm::erff(self)
    }
}

impl Real for f64 {
    fn of(value: f64) -> Self {
        value
    }

    fn exact(self) -> f64 {
        self
    }

    fn exponential(self) -> Self {
        libm::exp(self)
    }

    fn error_function(self) -> Self {
        libm::erf(self)
    }
}

/// Running statistics, in the order of the graph's.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Statistics {
    pub mean: Vec<Vec<f32>>,
    pub var: Vec<Vec<f32>>,
    pub batches: Vec<u64>,
}

/// A buffer that a step reads.
#[derive(Clone, Copy)]
pub struct Array<'a, R> {
    pub extent: Extent,
    pub values: &'a [R],
}

/// A buffer that a step writes; every value is zero before.
pub struct ArrayMut<'a, R> {
    pub extent: Extent,
    pub values: &'a mut [R],
}

/// What one step works on.
pub struct Site<'s, 'g, R> {
    pub batch: &'s Batch,
    /// As [`super::Step::reads`] names them.
    pub reads: Vec<Array<'s, R>>,
    /// As [`super::Step::writes`] names them.
    pub writes: Vec<ArrayMut<'s, R>>,
    pub params: &'s [&'s [R]],
    /// Of every parameter; zero before the step. Empty in a forward pass.
    pub grads: &'s mut [&'g mut [R]],
    pub stats: &'s mut Statistics,
    pub dropout: DropoutKey,
}

impl<'s, R: Copy> Array<'s, R> {
    /// Values of one row.
    pub fn row(&self, row: usize) -> &'s [R] {
        let count = self.extent.shape.count();
        &self.values[row * count..][..count]
    }

    pub fn rows(&self) -> usize {
        self.values.len() / self.extent.shape.count().max(1)
    }

    /// Rows of channels: every pixel of every row.
    pub fn pixels(&self) -> std::slice::ChunksExact<'s, R> {
        self.values.chunks_exact(self.extent.shape.channels)
    }
}

impl<R: Copy> ArrayMut<'_, R> {
    pub fn row(&mut self, row: usize) -> &mut [R] {
        let count = self.extent.shape.count();
        &mut self.values[row * count..][..count]
    }

    pub fn rows(&self) -> usize {
        self.values.len() / self.extent.shape.count().max(1)
    }

    pub fn pixels(&mut self) -> std::slice::ChunksExactMut<'_, R> {
        self.values.chunks_exact_mut(self.extent.shape.channels)
    }
}
