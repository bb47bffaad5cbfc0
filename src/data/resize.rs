//! Pillow's bilinear resize, byte for byte.
//!
//! Each output value is a weighted mean of the input values under a triangle of half-width max(1, scale) around its
//! centre (scale = input / output length), so shrinking averages and enlarging interpolates. The weights are
//! fixed-point numbers with 22 fractional bits; two passes, each rounded to bytes. Equal bytes need the same rounding
//! at every place, which is why this is not a library's resize: `fast_image_resize` 6 has weights of 16 bits and another
//! order of passes, and differs from Pillow in 9 and 1607 of the 9408 values of the two crops in `golden/preprocess`.
//!
//! Source: `ImagingResample` of Pillow 13 (`libImaging/Resample.c`), by behaviour. Up to Pillow 12 the horizontal pass
//! was always the first; single values differ by one between the two where `vertical_first` holds.

use pulp::Arch;

use super::video::Image;

/// A rectangle of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    pub x: usize,
    pub y: usize,
    pub width: usize,
    pub height: usize,
}

impl Region {
    /// The whole of an image of this size.
    pub fn whole(width: usize, height: usize) -> Self {
        Self {
            x: 0,
            y: 0,
            width,
            height,
        }
    }

    /// Whether it lies inside an image of this size.
    pub fn fits(&self, width: usize, height: usize) -> bool {
        self.x + self.width <= width && self.y + self.height <= height
    }
}

const CHANNELS: usize = 3;
/// Fractional bits of a weight: 32 less 8 for the value and 2 for overshoot.
const PRECISION: u32 = 32 - 8 - 2;
const HALF: i32 = 1 << (PRECISION - 1);

/// Cuts `from` out of an image, resizes it to `to` (width, height), and returns the part `keep` of the result.
/// Only what `keep` depends on is computed.
///
/// # Panics
/// If `from` is empty or not inside the image, or `keep` is not inside `to`.
pub fn resize(image: &Image, from: Region, to: (usize, usize), keep: Region) -> Image {
    assert!(from.fits(image.width, image.height) && from.width > 0 && from.height > 0);
    assert!(keep.fits(to.0, to.1));
    let columns = Filter::new(from.width, to.0, keep.x..keep.x + keep.width);
    let rows = Filter::new(from.height, to.1, keep.y..keep.y + keep.height);
    let needed = Region {
        x: from.x + columns.first,
        y: from.y + rows.first,
        width: columns.span,
        height: rows.span,
    };
    let source = cut(image, needed);
    match vertical_first((from.width, from.height), to) {
        true => columns.across(&rows.down(&source)),
        false => rows.down(&columns.across(&source)),
    }
}

/// Whether the rows are combined before the columns: where the height shrinks by more than twice what the width does.
fn vertical_first(from: (usize, usize), to: (usize, usize)) -> bool {
    from.1.saturating_sub(to.1) > 2 * from.0.saturating_sub(to.0)
}

fn cut(image: &Image, region: Region) -> Image {
    let mut rgb = Vec::with_capacity(region.width * region.height * CHANNELS);
    for y in region.y..region.y + region.height {
        let start = (y * image.width + region.x) * CHANNELS;
        rgb.extend_from_slice(&image.rgb[start..start + region.width * CHANNELS]);
    }
    Image {
        width: region.width,
        height: region.height,
        rgb,
    }
}

/// The weights of one direction, over the inputs `first .. first + span` that they reach.
struct Filter {
    first: usize,
    span: usize,
    taps: Vec<Tap>,
}

/// One output value: the sum of `weights[k] · input[start + k]`.
struct Tap {
    start: usize,
    weights: Vec<i32>,
}

impl Filter {
    /// For the positions `keep` of `output` values made from `input` values.
    fn new(input: usize, output: usize, keep: std::ops::Range<usize>) -> Self {
        let scale = input as f64 / output as f64;
        let support = scale.max(1.0);
        let mut taps: Vec<Tap> = keep
            .map(|position| Tap::new(input, (position as f64 + 0.5) * scale, support))
            .collect();
        let first = taps.first().map_or(0, |tap| tap.start);
        for tap in &mut taps {
            tap.start -= first;
        }
        let span = taps.last().map_or(0, |tap| tap.start + tap.weights.len());
        Self { first, span, taps }
    }

    /// Combines columns: the width becomes the number of taps.
    fn across(&self, image: &Image) -> Image {
        let width = self.taps.len();
        let mut rgb = Vec::with_capacity(width * image.height * CHANNELS);
        for row in image.rgb.chunks_exact((image.width * CHANNELS).max(1)) {
            for tap in &self.taps {
                let mut sums = [HALF; CHANNELS];
                let inputs = row[tap.start * CHANNELS..].chunks_exact(CHANNELS);
                for (&weight, input) in tap.weights.iter().zip(inputs) {
                    for (sum, &value) in sums.iter_mut().zip(input) {
                        *sum += weight * i32::from(value);
                    }
                }
                rgb.extend(sums.map(to_byte));
            }
        }
        Image {
            width,
            height: image.height,
            rgb,
        }
    }

    /// Combines rows: the height becomes the number of taps.
    fn down(&self, image: &Image) -> Image {
        let stride = image.width * CHANNELS;
        let mut rgb = Vec::with_capacity(self.taps.len() * stride);
        let mut sums = vec![0; stride];
        for tap in &self.taps {
            sums.fill(HALF);
            let inputs = image.rgb[tap.start * stride..].chunks_exact(stride.max(1));
            Arch::new().dispatch(
                #[inline(always)]
                || {
                    for (&weight, values) in tap.weights.iter().zip(inputs) {
                        for (sum, &value) in sums.iter_mut().zip(values) {
                            *sum += weight * i32::from(value);
                        }
                    }
                },
            );
            rgb.extend(sums.iter().copied().map(to_byte));
        }
        Image {
            width: image.width,
            height: self.taps.len(),
            rgb,
        }
    }
}

impl Tap {
    fn new(input: usize, centre: f64, support: f64) -> Self {
        let start = (centre - support + 0.5).max(0.0) as usize;
        let end = ((centre + support + 0.5) as usize).min(input);
        let inverse = 1.0 / support;
        let triangle: Vec<f64> = (start..end)
            .map(|x| (1.0 - ((x as f64 - centre + 0.5) * inverse).abs()).max(0.0))
            .collect();
        let total: f64 = triangle.iter().sum();
        let weights = triangle
            .iter()
            .map(|weight| (0.5 + weight / total * f64::from(1 << PRECISION)) as i32)
            .collect();
        Self { start, weights }
    }
}

fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_image() -> impl Strategy<Value = Image> {
        (1usize..40, 1usize..40).prop_flat_map(|(width, height)| {
            proptest::collection::vec(any::<u8>(), width * height * CHANNELS)
                .prop_map(move |rgb| Image { width, height, rgb })
        })
    }

    fn whole(image: &Image) -> Region {
        Region::whole(image.width, image.height)
    }

    proptest! {
        #[test]
        fn the_same_size_changes_nothing(image in any_image()) {
            let region = whole(&image);
            let same = resize(&image, region, (image.width, image.height), region);
            prop_assert_eq!(same, image);
        }

        #[test]
        fn a_kept_part_is_that_part_of_the_whole(
            image in any_image(), width in 2usize..50, height in 2usize..50,
        ) {
            let all = resize(&image, whole(&image), (width, height), Region::whole(width, height));
            let keep = Region { x: width / 3, y: height / 4, width: width / 2, height: height / 2 };
            let part = resize(&image, whole(&image), (width, height), keep);
            let cut = resize(&all, keep, (keep.width, keep.height), Region::whole(keep.width, keep.height));
            prop_assert_eq!(part, cut);
        }

        #[test]
        fn one_colour_stays_that_colour(
            value: u8, from in (1usize..60, 1usize..60), to in (1usize..60, 1usize..60),
        ) {
            let rgb = vec![value; from.0 * from.1 * CHANNELS];
            let image = Image { width: from.0, height: from.1, rgb };
            let resized = resize(&image, whole(&image), to, Region::whole(to.0, to.1));
            prop_assert!(resized.rgb.iter().all(|&v| v == value));
        }
    }
}
