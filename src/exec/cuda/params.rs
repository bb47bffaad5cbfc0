//! Vectors of fixed lengths, such as all parameters, one after another in one piece of the device's memory: all of them are one
//! copy.

use std::cell::RefCell;

use cudarc::driver::CudaSlice;

use super::gpu::{Arg, Gpu, failed};
use super::memory::base;
use crate::base::{Error, Kind, Result};

/// Vectors begin at multiples of this many values: what cuDNN and wide loads like.
pub const ALIGNMENT: usize = 64;

/// What the device holds is nobody's on the host: whoever has the buffer may write to it.
pub struct ParamBuffer {
    what: &'static str,
    values: RefCell<CudaSlice<f32>>,
    layout: Layout,
}

/// Where the vectors lie.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    starts: Vec<usize>,
    lens: Vec<usize>,
    end: usize,
}

impl Layout {
    pub fn new(lens: impl IntoIterator<Item = usize>) -> Self {
        let lens: Vec<usize> = lens.into_iter().collect();
        let mut end = 0;
        let starts = lens.iter().map(|len| {
            let start = end;
            end = (start + len).next_multiple_of(ALIGNMENT);
            start
        });
        Self {
            starts: starts.collect(),
            end,
            lens,
        }
    }

    pub fn lens(&self) -> &[usize] {
        &self.lens
    }

    /// Of a buffer with these vectors.
    pub fn bytes(&self) -> usize {
        self.end * size_of::<f32>()
    }

    /// First value and length of each vector.
    pub fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        self.starts.iter().copied().zip(self.lens.iter().copied())
    }

    /// An image of a buffer with these vectors, zero between them.
    pub fn image<'a>(&self, all: impl Iterator<Item = &'a [f32]>) -> Vec<f32> {
        let mut image = vec![0.0; self.end];
        for ((start, len), values) in self.places().zip(all) {
            image[start..start + len].copy_from_slice(values);
        }
        image
    }

    /// The vectors of an image.
    pub fn vectors<'a>(&self, image: &'a [f32]) -> impl Iterator<Item = &'a [f32]> {
        self.places().map(|(start, len)| &image[start..start + len])
    }
}

impl ParamBuffer {
    /// `what`: for messages.
    pub fn new(gpu: &Gpu, what: &'static str, layout: Layout) -> Result<Self> {
        let values = RefCell::new(gpu.allocate(what, layout.end)?);
        Ok(Self {
            what,
            values,
            layout,
        })
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    pub fn bytes(&self) -> usize {
        self.layout.bytes()
    }

    /// Where vector `index` begins.
    pub fn address(&self, gpu: &Gpu, index: usize) -> Arg {
        let first = (self.layout.starts[index] * size_of::<f32>()) as u64;
        Arg::Address(self.start(gpu) + first)
    }

    /// Where the first vector begins.
    pub fn start(&self, gpu: &Gpu) -> u64 {
        base(gpu, &self.values.borrow())
    }

    pub fn all(&self, gpu: &Gpu) -> Arg {
        Arg::Address(self.start(gpu))
    }

    /// Queues zeros.
    pub fn clear(&self, gpu: &Gpu) -> Result<()> {
        let cleared = gpu.stream.memset_zeros(&mut *self.values.borrow_mut());
        cleared.map_err(|e| failed(&format!("clear {}", self.what), e))
    }

    /// Puts as many vectors, as long, in the place of all.
    pub fn write<'a>(
        &self,
        gpu: &Gpu,
        all: impl ExactSizeIterator<Item = &'a [f32]> + Clone,
    ) -> Result<()> {
        if !all
            .clone()
            .map(<[f32]>::len)
            .eq(self.layout.lens.iter().copied())
        {
            let message = format!("{} of another network", self.what);
            return Err(Error::new(Kind::Usage, message));
        }
        self.write_image(gpu, &self.layout.image(all))
    }

    /// Every vector.
    pub fn read(&self, gpu: &Gpu) -> Result<Vec<Vec<f32>>> {
        let mut image = Vec::new();
        self.queue_read(gpu, &mut image)?;
        gpu.synchronize()?;
        Ok(self.layout.vectors(&image).map(<[f32]>::to_vec).collect())
    }

    /// Copies an image to the device.
    pub fn write_image(&self, gpu: &Gpu, image: &[f32]) -> Result<()> {
        let copied = gpu
            .stream
            .memcpy_htod(image, &mut *self.values.borrow_mut());
        // The image may go before the copy is done otherwise.
        let done = gpu.synchronize();
        copied.map_err(|e| failed(&format!("copy {} to the GPU", self.what), e))?;
        done
    }

    /// Queues a copy into an image, which is made as long as it must be. It must stay until the copy is done.
    pub fn queue_read(&self, gpu: &Gpu, image: &mut Vec<f32>) -> Result<()> {
        // A buffer of nothing has a place, too.
        image.resize(self.values.borrow().len(), 0.0);
        let copied = gpu
            .stream
            .memcpy_dtoh(&*self.values.borrow(), image.as_mut_slice());
        copied.map_err(|e| failed(&format!("copy {} from the GPU", self.what), e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_begin_where_wide_loads_may() {
        let layout = Layout::new([3, 64, 65, 1]);
        let places: Vec<_> = layout.places().collect();
        assert_eq!(places, [(0, 3), (64, 64), (128, 65), (256, 1)]);
        let all = [vec![1.0; 3], vec![2.0; 64], vec![3.0; 65], vec![4.0; 1]];
        let image = layout.image(all.iter().map(Vec::as_slice));
        assert_eq!((image.len(), image[3], image[192]), (320, 0.0, 3.0));
        assert!(layout.vectors(&image).eq(all.iter().map(Vec::as_slice)));
    }
}
