//! Bytes → the values that the network reads.

use crate::spec::Normalize;

/// For each channel the normalised value of each byte: (v / 255 − mean) / std, in float32 and in this order, as PyTorch computes it.
pub struct Normalized([[f32; 256]; 3]);

impl Normalized {
    pub fn new(normalize: &Normalize) -> Self {
        Self(std::array::from_fn(|channel| {
            let mean = normalize.mean[channel] as f32;
            let std = normalize.std[channel] as f32;
            std::array::from_fn(|byte| (byte as f32 / 255.0 - mean) / std)
        }))
    }

    /// `channel` is 0, 1 or 2.
    pub fn value(&self, channel: usize, byte: u8) -> f32 {
        self.0[channel][usize::from(byte)]
    }

    /// `out` is as long as `bytes`.
    pub fn write(&self, bytes: &[u8], out: &mut [f32]) {
        for (pixel, values) in bytes.chunks_exact(3).zip(out.chunks_exact_mut(3)) {
            for ((value, byte), channel) in values.iter_mut().zip(pixel).zip(&self.0) {
                *value = channel[usize::from(*byte)];
            }
        }
    }
}

/// As [`Normalized::write`], for the channels in turn. `out` is as long as `bytes`.
pub fn normalize_into(bytes: &[u8], normalize: &Normalize, out: &mut [f32]) {
    Normalized::new(normalize).write(bytes, out);
}

/// The bytes whose normalised values are nearest to these.
pub fn denormalized(values: &[f32], normalize: &Normalize) -> Vec<u8> {
    let byte = |(i, &value): (usize, &f32)| {
        let channel = i % 3;
        let value = f64::from(value) * normalize.std[channel] + normalize.mean[channel];
        (value * 255.0).round_ties_even() as u8
    };
    values.iter().enumerate().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGENET: Normalize = Normalize {
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
    };

    #[test]
    fn denormalising_gives_the_bytes_back() {
        let bytes: Vec<u8> = (0..=254).collect();
        let mut values = vec![0.0; bytes.len()];
        normalize_into(&bytes, &IMAGENET, &mut values);
        assert_eq!(denormalized(&values, &IMAGENET), bytes);
    }
}
