//! Image → what the network sees: resize, crop, flip, normalise.

use super::crop;
use super::resize::{Region, resize};
use super::video::Image;
use crate::spec::{Crops, Normalize};

/// The size (width, height) at which the shorter side is `short_side`; the longer one is truncated to whole pixels.
pub fn scaled_size((width, height): (usize, usize), short_side: usize) -> (usize, usize) {
    let longer = |long: usize, short: usize| short_side * long / short.max(1);
    match width <= height {
        true => (short_side, longer(height, width)),
        false => (longer(width, height), short_side),
    }
}

/// One evaluation view: resized so that the shorter side is `short_side`, then the square of `size` in the centre.
/// `size` is at most `short_side`.
pub fn evaluate(image: &Image, short_side: usize, size: usize) -> Image {
    let scaled = scaled_size((image.width, image.height), short_side);
    let (keep, flipped) = crop::evaluation_crops(scaled, size, Crops::One)[0];
    view(image, scaled, keep, flipped)
}

/// The part `keep` of the image resized to `scaled` (width, height), with left and right exchanged where `flipped`.
pub fn view(image: &Image, scaled: (usize, usize), keep: Region, flipped: bool) -> Image {
    let whole = Region::whole(image.width, image.height);
    let mut view = resize(image, whole, scaled, keep);
    if flipped {
        flip(&mut view);
    }
    view
}

/// Cuts `region` out and resizes it to a square of `size`.
pub fn crop_resize(image: &Image, region: Region, size: usize) -> Image {
    resize(image, region, (size, size), Region::whole(size, size))
}

/// Exchanges left and right.
pub fn flip(image: &mut Image) {
    for row in image.rgb.chunks_exact_mut(image.width.max(1) * 3) {
        let (pixels, _) = row.as_chunks_mut::<3>();
        pixels.reverse();
    }
}

/// (v / 255 − mean) / std for red, green, blue in turn, in float32 and in this order, as PyTorch computes it.
/// `out` is as long as `bytes`.
pub fn normalize_into(bytes: &[u8], normalize: &Normalize, out: &mut [f32]) {
    let table = normalized_values(normalize);
    for (pixel, values) in bytes.chunks_exact(3).zip(out.chunks_exact_mut(3)) {
        for ((value, byte), channel) in values.iter_mut().zip(pixel).zip(&table) {
            *value = channel[usize::from(*byte)];
        }
    }
}

/// For each channel the normalised value of each byte.
fn normalized_values(normalize: &Normalize) -> [[f32; 256]; 3] {
    std::array::from_fn(|channel| {
        let mean = normalize.mean[channel] as f32;
        let std = normalize.std[channel] as f32;
        std::array::from_fn(|byte| (byte as f32 / 255.0 - mean) / std)
    })
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
            let view = evaluate(&image, short_side, size);
            let mut found = vec![0.0; view.rgb.len()];
            normalize_into(&view.rgb, &IMAGENET, &mut found);

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
            assert!(crop_resize(&image, region, 56) == expected, "{name}");
        }
    }

    #[test]
    fn flipping_twice_changes_nothing() {
        let original = Image {
            width: 3,
            height: 2,
            rgb: (0..18).collect(),
        };
        let mut flipped = original.clone();
        flip(&mut flipped);
        assert_eq!(flipped.rgb[..9], [6, 7, 8, 3, 4, 5, 0, 1, 2]);
        flip(&mut flipped);
        assert_eq!(flipped, original);
    }
}
