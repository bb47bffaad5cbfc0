//! A tensor that is a view of a storage → its values in row-major order.

use super::{Result, fault};
use crate::base::limits;

/// A view: the value at `index` stands at `offset + Σ index · stride`, counted in values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

impl View {
    /// How many values it shows; `None` if that is more than memory can have.
    pub fn count(&self) -> Option<usize> {
        let mut dimensions = self.shape.iter();
        dimensions.try_fold(1usize, |n, &d| n.checked_mul(d))
    }

    /// The bytes that it shows of a storage whose values have `size` bytes, or an error where it would leave it.
    pub fn of(&self, storage: &[u8], size: usize) -> Result<Vec<u8>> {
        let count = self.count().ok_or_else(|| fault("its shape overflows"))?;
        if count == 0 {
            return Ok(Vec::new());
        }
        let held = storage.len() / size;
        let end = self.end().filter(|&end| end <= held).ok_or_else(|| {
            let Self { offset, shape, strides } = self;
            fault(format!(
                "shape {shape:?} with strides {strides:?} from {offset} leaves its storage of {held} values"
            ))
        })?;
        let values = |start: usize, count: usize| &storage[start * size..(start + count) * size];
        if end - self.offset == count && self.is_contiguous() {
            return limits::collected(values(self.offset, count).iter().copied(), "its values");
        }
        let mut bytes = limits::reserved(count.saturating_mul(size), "its values")?;
        let mut index = vec![0; self.shape.len()];
        for _ in 0..count {
            let steps = index
                .iter()
                .zip(&self.strides)
                .map(|(i, stride)| i * stride);
            bytes.extend_from_slice(values(self.offset + steps.sum::<usize>(), 1));
            advance(&mut index, &self.shape);
        }
        Ok(bytes)
    }

    /// One behind the last value that it reaches; `None` where that overflows. For views that are not empty.
    fn end(&self) -> Option<usize> {
        let both = self.shape.iter().zip(&self.strides);
        let mut last = self.offset;
        for (dimension, stride) in both {
            last = last.checked_add(dimension.checked_sub(1)?.checked_mul(*stride)?)?;
        }
        last.checked_add(1)
    }

    fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        let both = self.shape.iter().zip(&self.strides).rev();
        for (&dimension, &stride) in both {
            if dimension != 1 && stride != expected {
                return false;
            }
            expected *= dimension;
        }
        true
    }
}

/// The next index in row-major order.
fn advance(index: &mut [usize], shape: &[usize]) {
    for (i, &dimension) in index.iter_mut().zip(shape).rev() {
        *i += 1;
        if *i < dimension {
            return;
        }
        *i = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(offset: usize, shape: &[usize], strides: &[usize]) -> View {
        let (shape, strides) = (shape.to_vec(), strides.to_vec());
        View {
            offset,
            shape,
            strides,
        }
    }

    #[test]
    fn views_in_row_major_order() {
        let storage: Vec<u8> = (0..24).collect();
        for (view, expected) in [
            (view(1, &[2, 3], &[3, 1]), vec![1, 2, 3, 4, 5, 6]),
            (view(0, &[3, 2], &[1, 3]), vec![0, 3, 1, 4, 2, 5]),
            (view(5, &[2, 2], &[0, 1]), vec![5, 6, 5, 6]),
            (view(23, &[], &[]), vec![23]),
            (view(23, &[1, 1], &[900, 7]), vec![23]),
            (view(usize::MAX, &[3, 0], &[1, 1]), vec![]),
        ] {
            assert_eq!(view.of(&storage, 1).unwrap(), expected, "{view:?}");
        }
        let wide = view(1, &[2, 2], &[1, 4]).of(&storage, 2).unwrap();
        assert_eq!(wide, [2, 3, 10, 11, 4, 5, 12, 13]);
    }

    #[test]
    fn no_view_leaves_its_storage() {
        for view in [
            view(0, &[25], &[1]),
            view(24, &[], &[]),
            view(0, &[2], &[24]),
            view(usize::MAX, &[2], &[1]),
            view(0, &[2, 3], &[usize::MAX, 1]),
            view(0, &[usize::MAX, 2], &[0, 0]),
            view(1, &[2], &[usize::MAX]),
        ] {
            assert!(view.of(&[0; 24], 1).is_err(), "{view:?}");
        }
    }
}
