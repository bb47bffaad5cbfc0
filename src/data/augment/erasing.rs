//! Random erasing (Zhong et al., AAAI 2020): a box of every frame of a clip becomes noise.

use std::fmt;

use super::super::crop::{Uniform, between, up_to};
use super::super::resize::Region;
use super::super::sampling::Draw;
use crate::base::rng::{Purpose, Stream};
use crate::spec::Erasing;

/// Times that a box is looked for before nothing is erased.
const TRIES: usize = 100;

/// The box that is erased of a clip, and where its noise comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Erased {
    region: Region,
    draw: Draw,
    copy: u64,
}

impl Erased {
    /// Of square images of `size`; `None` where nothing is erased.
    pub fn draw(rule: &Erasing, size: usize, draw: Draw, copy: u64) -> Option<Self> {
        let mut stream = draw.of_copy(Purpose::Erase, copy);
        let region = erased_box(rule, (size, size), &mut || stream.uniform())?;
        Some(Self { region, draw, copy })
    }

    /// Erases frames of `size × size × 3` normalised values, each with noise of its own; `branch`: how many frames there are.
    pub fn fill(&self, values: &mut [f32], size: usize, branch: usize) {
        let frames = values.chunks_exact_mut((size * size * 3).max(1));
        for (frame, values) in frames.enumerate() {
            let Draw {
                seed,
                epoch,
                sample,
            } = self.draw;
            let parts = [epoch, sample, self.copy, branch as u64, frame as u64];
            let mut noise = Stream::new(seed, Purpose::EraseNoise, &parts);
            fill_box(values, size, self.region, &mut || noise.normal() as f32);
        }
    }
}

/// Fills a box of a frame of rows of `width` pixels, in the order of the rows.
pub fn fill_box(frame: &mut [f32], width: usize, region: Region, noise: &mut dyn FnMut() -> f32) {
    let Region {
        x,
        y,
        width: columns,
        height,
    } = region;
    for row in frame.chunks_exact_mut(width * 3).skip(y).take(height) {
        row[x * 3..(x + columns) * 3].fill_with(&mut *noise);
    }
}

impl fmt::Display for Erased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Region {
            x,
            y,
            width,
            height,
        } = self.region;
        write!(f, "{width}×{height} pixels from ({x}, {y}) erased")
    }
}

/// The box of an image of (width, height), drawn in this order: whether there is one (u ≤ probability); then up to a hundred times
/// its part of the area and the logarithm of its aspect and, where it is smaller than the image in both directions, its
/// top and left.
pub fn erased_box(
    rule: &Erasing,
    (width, height): (usize, usize),
    uniform: Uniform<'_>,
) -> Option<Region> {
    if uniform() > rule.probability {
        return None;
    }
    let round = |length: f64| length.round_ties_even() as usize;
    for _ in 0..TRIES {
        let area = between(rule.area, uniform()) * (width * height) as f64;
        let aspect = libm::exp(between(rule.aspect.map(libm::log), uniform()));
        let h = round(libm::sqrt(area * aspect));
        let w = round(libm::sqrt(area / aspect));
        if w < width && h < height {
            let y = up_to(height - h, uniform);
            let x = up_to(width - w, uniform);
            return Some(Region {
                x,
                y,
                width: w,
                height: h,
            });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULE: Erasing = Erasing {
        probability: 1.0,
        area: [0.02, 1.0 / 3.0],
        aspect: [0.3, 1.0 / 0.3],
    };

    fn draw(sample: u64) -> Draw {
        Draw {
            seed: 7,
            epoch: 1,
            sample,
        }
    }

    proptest! {
        /// The box is inside, every frame has noise of its own, and nothing else changes.
        #[test]
        fn only_the_box_changes(sample: u64, size in 8usize..40) {
            let erased = Erased::draw(&RULE, size, draw(sample), 0).unwrap();
            prop_assert!(erased.region.fits(size, size));
            let mut values = vec![9.0; 2 * size * size * 3];
            erased.fill(&mut values, size, 2);
            let changed = values.iter().filter(|v| **v != 9.0).count();
            prop_assert_eq!(changed, 2 * erased.region.width * erased.region.height * 3);
            if changed > 0 {
                let (one, other) = values.split_at(size * size * 3);
                prop_assert_ne!(one, other);
            }
            let mut again = vec![9.0; values.len()];
            erased.fill(&mut again, size, 2);
            prop_assert_eq!(again, values);
        }
    }

    #[test]
    fn clips_are_erased_as_often_as_said() {
        let rule = Erasing {
            probability: 0.25,
            ..RULE
        };
        let erased = (0..4000).filter(|&n| Erased::draw(&rule, 32, draw(n), 0).is_some());
        let share = erased.count() as f64 / 4000.0;
        assert!((share - 0.25).abs() < 0.03, "{share}");
    }
}
