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

/// Crops of [`evaluation_crops`].
pub fn evaluation_crop_count(crops: Crops) -> usize {
    match crops {
        Crops::One => 1,
        Crops::Three => 3,
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
