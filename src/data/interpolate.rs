//! PyTorch's bilinear interpolation, on normalised values.
//!
//! The output position i lies at s = max((i + ½)·n/m − ½, 0) of n input values, m the output's length, and becomes
//! (1 − d)·x\[⌊s⌋\] + d·x\[⌊s⌋ + 1\], d = s − ⌊s⌋, in both directions; the last value repeats. No antialiasing: where an image
//! shrinks by more than two, some of its pixels are never read. In float32 throughout.
//!
//! Source: `torch.nn.functional.interpolate(mode="bilinear", align_corners=False)`, by behaviour; within 4e-6 of the crops in
//! `golden/preprocess_slowfast` and `golden/preprocess_uniformer`.

use super::normalize::Normalized;
use super::resize::Region;
use super::video::Image;

const CHANNELS: usize = 3;

/// Cuts `from` out of an image, normalises it, resizes it to `to` (width, height), and returns the part `keep` of the result:
/// `keep.height × keep.width × 3` values. Only what `keep` depends on is computed.
///
/// # Panics
/// If `from` is empty or not inside the image, or `keep` is not inside `to`.
pub fn interpolate(
    image: &Image,
    from: Region,
    to: (usize, usize),
    keep: Region,
    normalized: &Normalized,
) -> Vec<f32> {
    assert!(from.fits(image.width, image.height) && from.width > 0 && from.height > 0);
    assert!(keep.fits(to.0, to.1));
    let columns = taps(from.width, to.0, keep.x..keep.x + keep.width);
    let rows = taps(from.height, to.1, keep.y..keep.y + keep.height);
    let mut values = Vec::with_capacity(keep.width * keep.height * CHANNELS);
    for row in &rows {
        let line = |y: usize| {
            let start = ((from.y + y) * image.width + from.x) * CHANNELS;
            &image.rgb[start..start + from.width * CHANNELS]
        };
        let (upper, lower) = (line(row.low), line(row.high));
        for column in &columns {
            for channel in 0..CHANNELS {
                let at =
                    |line: &[u8], x: usize| normalized.value(channel, line[x * CHANNELS + channel]);
                let across =
                    |line| column.rest * at(line, column.low) + column.part * at(line, column.high);
                values.push(row.rest * across(upper) + row.part * across(lower));
            }
        }
    }
    values
}

/// The two values that a position reads, and their weights.
struct Tap {
    low: usize,
    high: usize,
    /// Of `low`.
    rest: f32,
    /// Of `high`.
    part: f32,
}

fn taps(input: usize, output: usize, keep: std::ops::Range<usize>) -> Vec<Tap> {
    let scale = input as f32 / output as f32;
    keep.map(|position| {
        let place = (scale * (position as f32 + 0.5) - 0.5).max(0.0);
        let low = (place as usize).min(input - 1);
        let part = place - low as f32;
        Tap {
            low,
            high: (low + 1).min(input - 1),
            rest: 1.0 - part,
            part,
        }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Normalize;
    use proptest::prelude::*;

    const HALF: Normalize = Normalize {
        mean: [0.5; 3],
        std: [0.25; 3],
    };

    fn any_image() -> impl Strategy<Value = Image> {
        (1usize..30, 1usize..30).prop_flat_map(|(width, height)| {
            proptest::collection::vec(any::<u8>(), width * height * CHANNELS)
                .prop_map(move |rgb| Image { width, height, rgb })
        })
    }

    proptest! {
        #[test]
        fn the_same_size_is_normalising_alone(image in any_image()) {
            let (size, whole) = ((image.width, image.height), Region::whole(image.width, image.height));
            let normalized = Normalized::new(&HALF);
            let mut expected = vec![0.0; image.rgb.len()];
            normalized.write(&image.rgb, &mut expected);
            prop_assert_eq!(interpolate(&image, whole, size, whole, &normalized), expected);
        }

        #[test]
        fn a_kept_part_is_that_part_of_the_whole(image in any_image(), width in 2usize..40, height in 2usize..40) {
            let from = Region::whole(image.width, image.height);
            let normalized = Normalized::new(&HALF);
            let of = |keep| interpolate(&image, from, (width, height), keep, &normalized);
            let keep = Region { x: width / 3, y: height / 4, width: width / 2, height: height / 2 };
            let all = of(Region::whole(width, height));
            let rows = (keep.y..keep.y + keep.height).flat_map(|y| {
                let start = (y * width + keep.x) * CHANNELS;
                all[start..start + keep.width * CHANNELS].to_vec()
            });
            prop_assert_eq!(of(keep), rows.collect::<Vec<_>>());
        }

        #[test]
        fn no_value_leaves_the_range_of_the_image(image in any_image(), side in 1usize..50) {
            let (from, keep) = (Region::whole(image.width, image.height), Region::whole(side, side));
            let found = interpolate(&image, from, (side, side), keep, &Normalized::new(&HALF));
            prop_assert!(found.iter().all(|v| (-2.00001..=2.00001).contains(v)));
        }
    }
}
