//! Image → what the network sees: crop, resize, flip, and normalise where bytes are not enough.

use super::crop;
use super::interpolate::interpolate;
use super::normalize::Normalized;
use super::pixels::Pixels;
use super::resize::{Region, resize};
use super::video::Image;
use crate::spec::{Channels, Crops, Normalize, Resize};

/// A part of an image, the size (width, height) that it is given, and what is kept of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crop {
    pub from: Region,
    pub to: (usize, usize),
    pub keep: Region,
}

impl Crop {
    /// The region as a square of `size`.
    pub fn of_region(region: Region, size: usize) -> Self {
        Self {
            from: region,
            to: (size, size),
            keep: Region::whole(size, size),
        }
    }

    /// The part `keep` of the whole image of `image` pixels (width, height) at the size `to`.
    pub fn of_whole(image: (usize, usize), to: (usize, usize), keep: Region) -> Self {
        Self {
            from: Region::whole(image.0, image.1),
            to,
            keep,
        }
    }

    /// The square of `size` in the centre at a shorter side of `short_side`, which is no smaller.
    pub fn centre(image: (usize, usize), short_side: usize, size: usize, rule: Resize) -> Self {
        let scaled = scaled_size(image, short_side, rule);
        let (keep, _) = crop::evaluation_crops(scaled, size, Crops::One)[0];
        Self::of_whole(image, scaled, keep)
    }
}

/// The size (width, height) at which the shorter side is `short_side`; the longer one is truncated to whole pixels. For
/// [`Resize::Torch`] by the official code's arithmetic, in float64: ⌊(long / short)·side⌋.
pub fn scaled_size(
    (width, height): (usize, usize),
    short_side: usize,
    rule: Resize,
) -> (usize, usize) {
    // The official code leaves an image whose side is right as it is, whatever the arithmetic says.
    if rule == Resize::Torch && width.min(height) == short_side {
        return (width, height);
    }
    let longer = |long: usize, short: usize| match rule {
        Resize::Pillow => short_side * long / short.max(1),
        Resize::Torch => (long as f64 / short.max(1) as f64 * short_side as f64) as usize,
    };
    match width <= height {
        true => (short_side, longer(height, width)),
        false => (longer(width, height), short_side),
    }
}

/// How parts of images become what the network sees.
pub struct Look {
    rule: Resize,
    channels: Channels,
    /// Present where bytes are not enough.
    normalized: Option<Normalized>,
}

impl Look {
    /// `values`: what is made of the pixels later needs values, whatever the rule.
    pub fn new(rule: Resize, channels: Channels, normalize: &Normalize, values: bool) -> Self {
        let needed = values || rule == Resize::Torch;
        Self {
            rule,
            channels,
            normalized: needed.then(|| Normalized::new(normalize)),
        }
    }

    /// Whether it makes values, no bytes.
    pub fn makes_values(&self) -> bool {
        self.normalized.is_some()
    }

    /// The image with its channels in the network's order.
    pub fn order(&self, image: &mut Image) {
        match self.channels {
            Channels::Rgb => {}
            Channels::Bgr => exchange_channels(&mut image.rgb),
        }
    }

    /// The crop, with left and right exchanged where `flipped`.
    pub fn see(&self, image: &Image, crop: &Crop, flipped: bool) -> Pixels {
        let stride = crop.keep.width * 3;
        match (self.rule, &self.normalized) {
            (Resize::Torch, Some(normalized)) => {
                let Crop { from, to, keep } = *crop;
                let mut values = interpolate(image, from, to, keep, normalized);
                if flipped {
                    flip(&mut values, stride);
                }
                Pixels::Values(values)
            }
            (_, normalized) => {
                let mut bytes = resize(image, crop.from, crop.to, crop.keep).rgb;
                if flipped {
                    flip(&mut bytes, stride);
                }
                match normalized {
                    None => Pixels::Bytes(bytes),
                    Some(normalized) => {
                        let mut values = vec![0.0; bytes.len()];
                        normalized.write(&bytes, &mut values);
                        Pixels::Values(values)
                    }
                }
            }
        }
    }
}

/// Red and blue change places.
pub fn exchange_channels(bytes: &mut [u8]) {
    for pixel in bytes.as_chunks_mut::<3>().0 {
        pixel.swap(0, 2);
    }
}

/// Exchanges left and right of rows of `stride` values.
fn flip<T: Copy>(values: &mut [T], stride: usize) {
    for row in values.chunks_exact_mut(stride.max(1)) {
        row.as_chunks_mut::<3>().0.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::SafeTensors;

    const TENSORS: &[u8] = include_bytes!("../../golden/preprocess/tensors.safetensors");
    const IMAGENET: Normalize = Normalize {
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
    };

    fn read(tensors: &SafeTensors<'_>, name: &str) -> Image {
        let tensor = tensors.tensor(name).unwrap();
        Image {
            width: tensor.shape()[1],
            height: tensor.shape()[0],
            rgb: tensor.data().to_vec(),
        }
    }

    /// Every value is the reference's to the last bit.
    #[test]
    fn evaluation_views_are_the_reference_codes() {
        let tensors = SafeTensors::deserialize(TENSORS).unwrap();
        for (name, short_side, size) in [("e0", 64, 56), ("e1", 64, 64), ("e2", 96, 84)] {
            let image = read(&tensors, &format!("{name}.image"));
            let crop = Crop::centre(
                (image.width, image.height),
                short_side,
                size,
                Resize::Pillow,
            );
            let look = Look::new(Resize::Pillow, Channels::Rgb, &IMAGENET, true);
            let Pixels::Values(found) = look.see(&image, &crop, false) else {
                panic!("values were asked for");
            };

            let expected = tensors.tensor(&format!("{name}.expected")).unwrap();
            let (values, _) = expected.data().as_chunks::<4>();
            for (index, value) in values.iter().enumerate() {
                let (channel, pixel) = (index / (size * size), index % (size * size));
                let expected = f32::from_le_bytes(*value);
                assert_eq!(found[pixel * 3 + channel], expected, "{name} at {index}");
            }
        }
    }

    #[test]
    fn resized_crops_are_the_reference_codes() {
        let tensors = SafeTensors::deserialize(TENSORS).unwrap();
        for (name, [x, y, width, height]) in [("m0", [13, 7, 59, 79]), ("m1", [0, 0, 40, 40])] {
            let image = read(&tensors, &format!("{name}.image"));
            let region = Region {
                x,
                y,
                width,
                height,
            };
            let expected = read(&tensors, &format!("{name}.expected"));
            let look = Look::new(Resize::Pillow, Channels::Rgb, &IMAGENET, false);
            let found = look.see(&image, &Crop::of_region(region, 56), false);
            assert!(found == Pixels::Bytes(expected.rgb), "{name}");
        }
    }

    #[test]
    fn flipping_twice_changes_nothing() {
        let original: Vec<u8> = (0..18).collect();
        let mut flipped = original.clone();
        flip(&mut flipped, 9);
        assert_eq!(flipped[..9], [6, 7, 8, 3, 4, 5, 0, 1, 2]);
        flip(&mut flipped, 9);
        assert_eq!(flipped, original);
    }
}
