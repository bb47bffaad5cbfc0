//! Which part of an image is looked at.

use super::resize::Region;
use crate::spec::Crops;

/// The sizes (width, height) that the multi-scale crop chooses from: for the scales s and t, at most `max_distortion`
/// places apart in the list, ⌊s·m⌋ and ⌊t·m⌋ with m the image's shorter side; a length less than 3 pixels from `size`
/// is `size`. No length exceeds the shorter side. Source: the multi-scale cropping of TSN (ECCV 2016) in the official loader, by behaviour.
pub fn candidate_sizes(
    (width, height): (usize, usize),
    size: usize,
    scales: &[f64],
    max_distortion: usize,
) -> Vec<(usize, usize)> {
    let shorter = width.min(height);
    let lengths: Vec<usize> = scales
        .iter()
        .map(|scale| match (shorter as f64 * scale) as usize {
            length if length.abs_diff(size) < 3 => size.min(shorter),
            length => length.clamp(1, shorter),
        })
        .collect();
    let mut sizes = Vec::new();
    for (i, &high) in lengths.iter().enumerate() {
        for (j, &wide) in lengths.iter().enumerate() {
            if i.abs_diff(j) <= max_distortion {
                sizes.push((wide, high));
            }
        }
    }
    sizes
}

/// The places (x, y) of a crop of `size` in an image: the corners and the centre, and with `more_fixed` the middles of
/// the sides and the centres of the quarters, all on a grid of fourths of what is left.
pub fn candidate_offsets(
    (width, height): (usize, usize),
    size: (usize, usize),
    more_fixed: bool,
) -> Vec<(usize, usize)> {
    const CORNERS_AND_CENTRE: [(usize, usize); 5] = [(0, 0), (4, 0), (0, 4), (4, 4), (2, 2)];
    const MORE: [(usize, usize); 8] = [
        (0, 2),
        (4, 2),
        (2, 4),
        (2, 0),
        (1, 1),
        (3, 1),
        (1, 3),
        (3, 3),
    ];
    let x_step = width.saturating_sub(size.0) / 4;
    let y_step = height.saturating_sub(size.1) / 4;
    let more = if more_fixed { &MORE[..] } else { &[] };
    CORNERS_AND_CENTRE
        .iter()
        .chain(more)
        .map(|&(x, y)| (x * x_step, y * y_step))
        .collect()
}

/// Where a crop of `size` pixels starts along `length` pixels to be in the middle: half of the rest, halves to even.
pub fn centre_offset(length: usize, size: usize) -> usize {
    let rest = length.saturating_sub(size);
    rest / 2 + usize::from(rest % 4 == 3)
}

/// The crops of a view of `width × height` pixels in evaluation: squares of `size`, and whether each is flipped.
pub fn evaluation_crops(
    (width, height): (usize, usize),
    size: usize,
    crops: Crops,
) -> Vec<(Region, bool)> {
    let square = |(x, y)| Region {
        x,
        y,
        width: size,
        height: size,
    };
    let offsets = candidate_offsets((width, height), (size, size), false);
    match crops {
        Crops::One => {
            let centre = (centre_offset(width, size), centre_offset(height, size));
            vec![(square(centre), false)]
        }
        Crops::Left => vec![(square(ordered((width, height), size)[0]), false)],
        Crops::LeftCentreRight => ordered((width, height), size)
            .map(|place| (square(place), false))
            .to_vec(),
        Crops::Three => {
            let (x_step, y_step) = (
                width.saturating_sub(size) / 4,
                height.saturating_sub(size) / 4,
            );
            let along = |i| match width >= height {
                true => (i * x_step, 2 * y_step),
                false => (2 * x_step, i * y_step),
            };
            [0, 4, 2].map(|i| (square(along(i)), false)).to_vec()
        }
        Crops::Ten => offsets
            .into_iter()
            .flat_map(|offset| [false, true].map(|flipped| (square(offset), flipped)))
            .collect(),
    }
}

/// Left, centre and right of a wide view, top, centre and bottom of a high one; in the middle across. An odd rest makes the first
/// half the larger.
fn ordered((width, height): (usize, usize), size: usize) -> [(usize, usize); 3] {
    let (x_rest, y_rest) = (width.saturating_sub(size), height.saturating_sub(size));
    let middle = (x_rest.div_ceil(2), y_rest.div_ceil(2));
    match height > width {
        true => [0, middle.1, y_rest].map(|y| (middle.0, y)),
        false => [0, middle.0, x_rest].map(|x| (x, middle.1)),
    }
}

/// Uniform numbers in [0, 1), in the order in which they are asked for.
pub type Uniform<'a> = &'a mut dyn FnMut() -> f64;

/// A whole number from 0 to `most`, both included: ⌊u·(most + 1)⌋.
pub fn up_to(most: usize, uniform: Uniform<'_>) -> usize {
    ((uniform() * (most + 1) as f64) as usize).min(most)
}

/// The length of the shorter side: round(1/u) with u uniform between the inverses, or uniform itself.
pub fn jittered_side([least, most]: [usize; 2], inverse: bool, uniform: Uniform<'_>) -> usize {
    let (least_side, most_side) = (least as f64, most as f64);
    let side = match inverse {
        true => {
            let [low, high] = [1.0 / most_side, 1.0 / least_side];
            1.0 / (low + (high - low) * uniform())
        }
        false => least_side + (most_side - least_side) * uniform(),
    };
    (side.round_ties_even() as usize).clamp(least, most)
}

/// Where a crop of `size` begins in a view of (width, height): y and then x as ⌊u·(length − size)⌋, so that the last place is never
/// drawn, as in the official code of SlowFast.
pub fn jittered_place(
    (width, height): (usize, usize),
    size: usize,
    uniform: Uniform<'_>,
) -> (usize, usize) {
    let mut along = |length: usize| match length.saturating_sub(size) {
        0 => 0,
        rest => ((uniform() * rest as f64) as usize).min(rest - 1),
    };
    let y = along(height);
    (along(width), y)
}

/// Times that [`random_resized`] looks for a box before it takes the central one.
const TRIES: usize = 10;

/// A box of an image of (width, height): a part of its area between the two of `area`, a width for each of its height between
/// the two of `aspect`, uniform in the logarithm. In each of ten tries area and aspect are drawn and, where the box fits, y and
/// x; else it is the largest central one of an allowed aspect. Source: Szegedy et al., CVPR 2015, in the official code of UniFormer.
pub fn random_resized(
    (width, height): (usize, usize),
    area: [f64; 2],
    aspect: [f64; 2],
    uniform: Uniform<'_>,
) -> Region {
    let round = |length: f64| length.round_ties_even() as usize;
    let whole = (width * height) as f64;
    for _ in 0..TRIES {
        let target = between(area, uniform()) * whole;
        let ratio = libm::exp(between(aspect.map(libm::log), uniform()));
        let (w, h) = (
            round(libm::sqrt(target * ratio)),
            round(libm::sqrt(target / ratio)),
        );
        if (1..=width).contains(&w) && (1..=height).contains(&h) {
            let y = up_to(height - h, uniform);
            let x = up_to(width - w, uniform);
            return Region {
                x,
                y,
                width: w,
                height: h,
            };
        }
    }
    let ratio = width as f64 / height.max(1) as f64;
    let (w, h) = match ratio {
        _ if ratio < aspect[0] => (width, round(width as f64 / aspect[0]).clamp(1, height)),
        _ if ratio > aspect[1] => (round(height as f64 * aspect[1]).clamp(1, width), height),
        _ => (width, height),
    };
    Region {
        x: (width - w) / 2,
        y: (height - h) / 2,
        width: w,
        height: h,
    }
}

/// `u` of the way from the first to the second.
pub fn between([low, high]: [f64; 2], u: f64) -> f64 {
    low + (high - low) * u
}

/// Crops of [`evaluation_crops`].
pub fn evaluation_crop_count(crops: Crops) -> usize {
    match crops {
        Crops::One | Crops::Left => 1,
        Crops::Three | Crops::LeftCentreRight => 3,
        Crops::Ten => 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const REFERENCE: &str = include_str!("../../golden/preprocess/multi_scale_crop_boxes.json");
    const SCALES: [f64; 4] = [1.0, 0.875, 0.75, 0.66];

    #[test]
    fn candidate_boxes_are_the_reference_codes() {
        let reference: serde_json::Value = serde_json::from_str(REFERENCE).unwrap();
        for case in reference.as_array().unwrap() {
            let number = |name: &str| case[name].as_u64().unwrap() as usize;
            let image = (number("width"), number("height"));
            let sizes = candidate_sizes(image, number("size"), &SCALES, 1);
            assert_eq!(json!(sizes), case["pairs_wh"]);
            let offsets = |size| json!(candidate_offsets(image, size, true));
            assert_eq!(offsets(sizes[0]), case["offsets_for_first_pair"]);
            assert_eq!(
                offsets(sizes[sizes.len() - 1]),
                case["offsets_for_last_pair"]
            );
        }
    }

    #[test]
    fn lengths_near_the_size_become_the_size() {
        let sizes = candidate_sizes((300, 226), 224, &[1.0], 0);
        assert_eq!(sizes, [(224, 224)]);
    }

    #[test]
    fn centre_rounds_halves_to_even() {
        let offsets = [5, 6, 7, 8, 9, 11].map(|length| centre_offset(length, 4));
        assert_eq!(offsets, [0, 1, 2, 2, 2, 4]);
    }

    #[test]
    fn three_crops_lie_along_the_longer_side() {
        let offsets = |image| {
            evaluation_crops(image, 256, Crops::Three)
                .iter()
                .map(|(region, _)| (region.x, region.y))
                .collect::<Vec<_>>()
        };
        assert_eq!(offsets((456, 256)), [(0, 0), (200, 0), (100, 0)]);
        assert_eq!(offsets((256, 456)), [(0, 0), (0, 200), (0, 100)]);
    }

    proptest! {
        #[test]
        fn every_box_is_inside_the_image(
            width in 1usize..600, height in 1usize..600, size in 1usize..300,
            scales in proptest::collection::vec(0.01f64..=1.0, 1..5), distortion in 0usize..4, more: bool,
        ) {
            for (w, h) in candidate_sizes((width, height), size, &scales, distortion) {
                for (x, y) in candidate_offsets((width, height), (w, h), more) {
                    let region = Region { x, y, width: w, height: h };
                    prop_assert!(w > 0 && h > 0 && region.fits(width, height), "{region:?}");
                }
            }
        }

        #[test]
        fn evaluation_crops_are_inside_the_image(width in 32usize..600, height in 32usize..600) {
            for crops in [Crops::One, Crops::Three, Crops::Ten] {
                let found = evaluation_crops((width, height), 32, crops);
                prop_assert_eq!(found.len(), evaluation_crop_count(crops));
                prop_assert!(found.iter().all(|(region, _)| region.fits(width, height)));
            }
        }
    }
}
