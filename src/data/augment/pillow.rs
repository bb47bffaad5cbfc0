//! Pillow's image operations that augmentations are made of, byte for byte.
//!
//! | operation | each byte v of a channel becomes |
//! |---|---|
//! | [`autocontrast`] | ⌊255·(v − least)/(most − least)⌋ of its channel |
//! | [`equalize`] | ⌊(s/2 + pixels below v)/s⌋, s = ⌊(pixels − those of the largest value)/255⌋ |
//! | [`blend`] | d + f·(v − d), cut to \[0, 255\] and truncated, in float32; d another image |
//! | [`affine`] | the bicubic mean of 4×4 pixels around a·(x + ½) + b·(y + ½) + c, truncated, in float64 |
//!
//! Sums are taken in Pillow's order, since a byte is the truncation of one.
//!
//! Source: Pillow 13 (`ImageOps`, `ImageEnhance`, `libImaging/{Blend,Filter,Geometry}.c`), by behaviour; the cases of
//! `golden/preprocess_uniformer` hold every operation to it.

use crate::data::video::Image;

const CHANNELS: usize = 3;
const GREY: [u8; CHANNELS] = [128; CHANNELS];

/// What a byte becomes.
type Table = [u8; 256];

/// Stretches each channel so that its least value becomes 0 and its largest 255; a channel of one value stays.
pub fn autocontrast(image: &mut Image) {
    let tables = histograms(image).map(|histogram| {
        let least = histogram.iter().position(|&n| n > 0).unwrap_or(0);
        let most = histogram.iter().rposition(|&n| n > 0).unwrap_or(0);
        if most <= least {
            return std::array::from_fn(|v| v as u8);
        }
        let scale = 255.0 / (most - least) as f64;
        let offset = -(least as f64) * scale;
        std::array::from_fn(|v| ((v as f64 * scale + offset) as i64).clamp(0, 255) as u8)
    });
    look_up(image, &tables);
}

/// Gives each channel a histogram as flat as one table can.
pub fn equalize(image: &mut Image) {
    let tables = histograms(image).map(|histogram| {
        let identity: Table = std::array::from_fn(|v| v as u8);
        let last = histogram.iter().rev().find(|&&n| n > 0).copied();
        let several = histogram.iter().filter(|&&n| n > 0).count() > 1;
        let step = (histogram.iter().sum::<usize>() - last.unwrap_or(0)) / 255;
        if !several || step == 0 {
            return identity;
        }
        let mut below = step / 2;
        std::array::from_fn(|v| {
            let value = (below / step).min(255) as u8;
            below += histogram[v];
            value
        })
    });
    look_up(image, &tables);
}

/// The same table for every channel.
pub fn map(image: &mut Image, value: impl Fn(u8) -> u8) {
    let table: Table = std::array::from_fn(|v| value(v as u8));
    look_up(image, &[table; CHANNELS]);
}

/// Towards its grey version for factors below 1, away from it above.
pub fn color(image: &mut Image, factor: f64) {
    let mut grey = image.clone();
    for pixel in grey.rgb.as_chunks_mut::<CHANNELS>().0 {
        *pixel = [luma(*pixel); CHANNELS];
    }
    blend(&grey, image, factor);
}

/// Towards one grey, its mean brightness, for factors below 1, away from it above.
pub fn contrast(image: &mut Image, factor: f64) {
    let pixels = image.rgb.as_chunks::<CHANNELS>().0;
    let sum: u64 = pixels.iter().map(|pixel| u64::from(luma(*pixel))).sum();
    let mean = (sum as f64 / pixels.len().max(1) as f64 + 0.5) as u8;
    let degenerate = filled(image, mean);
    blend(&degenerate, image, factor);
}

/// Towards black for factors below 1, away from it above.
pub fn brightness(image: &mut Image, factor: f64) {
    let black = filled(image, 0);
    blend(&black, image, factor);
}

/// Towards its smoothed version for factors below 1, away from it above.
pub fn sharpness(image: &mut Image, factor: f64) {
    let smooth = smoothed(image);
    blend(&smooth, image, factor);
}

/// The output pixel (x, y) is read at (a·x + b·y + c, d·x + e·y + f), in pixels' centres; grey where that is outside.
pub fn affine(image: &mut Image, [a, b, c, d, e, f]: [f64; 6]) {
    let (width, height) = (image.width, image.height);
    let mut rgb = Vec::with_capacity(image.rgb.len());
    for y in 0..height {
        for x in 0..width {
            let (x, y) = (x as f64 + 0.5, y as f64 + 0.5);
            let from = (a * x + b * y + c, d * x + e * y + f);
            rgb.extend(bicubic(image, from).unwrap_or(GREY));
        }
    }
    image.rgb = rgb;
}

/// Against the clock about the centre, by an angle in degrees.
pub fn rotate(image: &mut Image, degrees: f64) {
    let degrees = degrees.rem_euclid(360.0);
    if degrees == 0.0 {
        return;
    }
    let angle = -degrees.to_radians();
    // Pillow rounds to 15 decimals; `libm` for the same bits on every machine.
    let (cos, sin) = (rounded(libm::cos(angle)), rounded(libm::sin(angle)));
    let (x, y) = (image.width as f64 / 2.0, image.height as f64 / 2.0);
    let c = (cos * -x + sin * -y) + x;
    let f = (rounded(-libm::sin(angle)) * -x + cos * -y) + y;
    affine(image, [cos, sin, c, rounded(-libm::sin(angle)), cos, f]);
}

fn rounded(value: f64) -> f64 {
    format!("{value:.15}").parse().unwrap_or(value)
}

/// Brightness of a pixel by ITU-R 601, in 16 fractional bits.
fn luma([r, g, b]: [u8; CHANNELS]) -> u8 {
    let weighted = u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471;
    ((weighted + 0x8000) >> 16) as u8
}

fn histograms(image: &Image) -> [[usize; 256]; CHANNELS] {
    let mut histograms = [[0; 256]; CHANNELS];
    for pixel in image.rgb.as_chunks::<CHANNELS>().0 {
        for (histogram, &value) in histograms.iter_mut().zip(pixel) {
            histogram[usize::from(value)] += 1;
        }
    }
    histograms
}

fn look_up(image: &mut Image, tables: &[Table; CHANNELS]) {
    for pixel in image.rgb.as_chunks_mut::<CHANNELS>().0 {
        for (value, table) in pixel.iter_mut().zip(tables) {
            *value = table[usize::from(*value)];
        }
    }
}

fn filled(image: &Image, value: u8) -> Image {
    Image {
        rgb: vec![value; image.rgb.len()],
        ..*image
    }
}

/// `image` becomes degenerate + factor·(image − degenerate).
fn blend(degenerate: &Image, image: &mut Image, factor: f64) {
    let factor = factor as f32;
    if factor == 1.0 {
        return;
    }
    for (value, &from) in image.rgb.iter_mut().zip(&degenerate.rgb) {
        let difference = f32::from(*value) - f32::from(from);
        // The cast truncates and cuts to 0 to 255.
        *value = (f32::from(from) + factor * difference) as u8;
    }
}

/// Each pixel with its eight neighbours, weights 1 and in the middle 5, of 13; the border stays.
fn smoothed(image: &Image) -> Image {
    let mut smooth = image.clone();
    let (width, height) = (image.width, image.height);
    if width < 3 || height < 3 {
        return smooth;
    }
    let [side, middle] = [1.0f32 / 13.0, 5.0f32 / 13.0];
    let stride = width * CHANNELS;
    for y in 1..height - 1 {
        for i in CHANNELS..stride - CHANNELS {
            let three = |row: usize, weight: f32| {
                let at = |i: usize| f32::from(image.rgb[row * stride + i]);
                at(i - CHANNELS) * side + at(i) * weight + at(i + CHANNELS) * side
            };
            let sum = 0.5 + three(y + 1, side) + three(y, middle) + three(y - 1, side);
            smooth.rgb[y * stride + i] = sum as u8;
        }
    }
    smooth
}

/// The image at a point in pixels from its corner; `None` outside.
fn bicubic(image: &Image, (x, y): (f64, f64)) -> Option<[u8; CHANNELS]> {
    let inside = |at: f64, length: usize| at >= 0.0 && at < length as f64;
    if !inside(x, image.width) || !inside(y, image.height) {
        return None;
    }
    let (x, y) = (x - 0.5, y - 0.5);
    let (left, top) = (x.floor(), y.floor());
    let (dx, dy) = (x - left, y - top);
    // Rows and columns outside repeat the border.
    let clamped = |first: f64, length: usize| -> [usize; 4] {
        let last = length as i64 - 1;
        std::array::from_fn(|i| (first as i64 - 1 + i as i64).clamp(0, last) as usize)
    };
    let columns = clamped(left, image.width).map(|column| column * CHANNELS);
    let rows = clamped(top, image.height).map(|row| {
        let start = row * image.width * CHANNELS;
        let pixels = columns.map(|column| &image.rgb[start + column..][..CHANNELS]);
        std::array::from_fn::<f64, CHANNELS, _>(|channel| {
            cubic(pixels.map(|pixel| f64::from(pixel[channel])), dx)
        })
    });
    Some(std::array::from_fn(|channel| {
        cubic(rows.map(|row| row[channel]), dy) as u8
    }))
}

/// Between the second and the third of four values, `d` from the second; the kernel's parameter is −1.
fn cubic([v1, v2, v3, v4]: [f64; 4], d: f64) -> f64 {
    let p2 = -v1 + v3;
    let p3 = 2.0 * (v1 - v2) + v3 - v4;
    let p4 = -v1 + v2 - v3 + v4;
    v2 + d * (p2 + d * (p3 + d * p4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_image() -> impl Strategy<Value = Image> {
        (1usize..12, 1usize..12).prop_flat_map(|(width, height)| {
            proptest::collection::vec(any::<u8>(), width * height * CHANNELS)
                .prop_map(move |rgb| Image { width, height, rgb })
        })
    }

    proptest! {
        #[test]
        fn a_factor_of_one_changes_nothing(image in any_image()) {
            for enhance in [color, contrast, brightness, sharpness] {
                let mut enhanced = image.clone();
                enhance(&mut enhanced, 1.0);
                prop_assert_eq!(&enhanced, &image);
            }
        }

        #[test]
        fn the_identity_moves_no_pixel(image in any_image()) {
            let mut moved = image.clone();
            affine(&mut moved, [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
            prop_assert_eq!(moved, image);
        }

        #[test]
        fn whole_pixels_are_moved_and_grey_comes_in(image in any_image(), by in 0usize..14) {
            let mut moved = image.clone();
            affine(&mut moved, [1.0, 0.0, by as f64, 0.0, 1.0, 0.0]);
            for y in 0..image.height {
                for x in 0..image.width {
                    let at = |x: usize| &image.rgb[(y * image.width + x) * CHANNELS..][..CHANNELS];
                    let expected = if x + by < image.width { at(x + by) } else { &GREY };
                    prop_assert_eq!(&moved.rgb[(y * image.width + x) * CHANNELS..][..CHANNELS], expected);
                }
            }
        }

        #[test]
        fn stretched_channels_reach_both_ends(image in any_image()) {
            // The largest may lose one in truncation, as in Pillow.
            let mut stretched = image.clone();
            autocontrast(&mut stretched);
            for channel in 0..CHANNELS {
                let of = |image: &Image| image.rgb.iter().skip(channel).step_by(CHANNELS).copied().collect::<Vec<_>>();
                let (before, after) = (of(&image), of(&stretched));
                if before.iter().any(|v| *v != before[0]) {
                    prop_assert_eq!(after.iter().min(), Some(&0));
                    prop_assert!(after.iter().max() >= Some(&254));
                } else {
                    prop_assert_eq!(before, after);
                }
            }
        }
    }
}
