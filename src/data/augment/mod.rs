//! What is drawn for a training clip besides its frames: colours, crop, flip and erased box, the same for every frame of every
//! branch.

mod erasing;
mod flip;
mod pillow;
mod rand_augment;

use std::fmt;

pub use erasing::{Erased, erased_box, fill_box};
pub use flip::{check_crops, flipped_labels};
pub use rand_augment::{Applied, Operation};

use super::crop::{self, candidate_offsets, candidate_sizes};
use super::pixels::Pixels;
use super::resize::Region;
use super::sampling::Draw;
use super::transform::{self, Crop, Look};
use super::video::Image;
use crate::base::rng::{Purpose, Stream};
use crate::spec::{ColorJitter, Flip, TrainClips, TrainCrop};

/// How the images of one training clip become the network's input.
#[derive(Debug, Clone, PartialEq)]
pub struct Augmentation {
    /// Operations on whole images, in order.
    colours: Vec<Applied>,
    crop: Crop,
    /// Left and right are exchanged.
    pub flip: bool,
    /// What is erased after all that.
    pub erased: Option<Erased>,
}

impl Augmentation {
    /// For images of `image` (width, height), for clip `copy` of those made of one video.
    pub fn draw(clips: &TrainClips, image: (usize, usize), draw: Draw, copy: u64) -> Self {
        let mut stream = draw.of_copy(Purpose::Augment, copy);
        // Drawn in this order: crop size, crop place, flip.
        let crop = draw_crop(clips, image, &mut stream);
        let flip = match clips.flip {
            Flip::Off => false,
            Flip::Random | Flip::Mapped { .. } => stream.below(2) == 1,
        };
        let mut colours = Vec::new();
        if let Some(rule) = &clips.rand_augment {
            let mut stream = draw.of_copy(Purpose::RandAugment, copy);
            colours.extend(rand_augment::draw(rule, &mut stream));
        }
        if let Some(rule) = &clips.color_jitter {
            let mut stream = draw.of_copy(Purpose::ColorJitter, copy);
            colours.extend(jitter(rule, &mut stream));
        }
        let erased = clips
            .erasing
            .and_then(|rule| Erased::draw(&rule, clips.size, draw, copy));
        Self {
            colours,
            crop,
            flip,
            erased,
        }
    }

    /// All but what is erased.
    pub fn see(&self, image: &Image, look: &Look) -> Pixels {
        if self.colours.is_empty() {
            return look.see(image, &self.crop, self.flip);
        }
        let mut image = image.clone();
        for colour in &self.colours {
            colour.apply(&mut image);
        }
        look.see(&image, &self.crop, self.flip)
    }
}

fn draw_crop(clips: &TrainClips, image: (usize, usize), stream: &mut Stream) -> Crop {
    let size = clips.size;
    match clips.crop {
        TrainCrop::Centre { short_side } => Crop::centre(image, short_side, size, clips.resize),
        TrainCrop::MultiScale {
            ref scales,
            max_distortion,
            more_fixed,
        } => {
            let sizes = candidate_sizes(image, size, scales, max_distortion);
            let (width, height) = one_of(&sizes, stream).unwrap_or(image);
            let offsets = candidate_offsets(image, (width, height), more_fixed);
            let (x, y) = one_of(&offsets, stream).unwrap_or_default();
            let region = Region {
                x,
                y,
                width,
                height,
            };
            Crop::of_region(region, size)
        }
        TrainCrop::ScaleJitter {
            short_side,
            inverse,
        } => {
            let mut uniform = || stream.uniform();
            let side = crop::jittered_side(short_side, inverse, &mut uniform);
            let scaled = transform::scaled_size(image, side, clips.resize);
            let (x, y) = crop::jittered_place(scaled, size, &mut uniform);
            let keep = Region {
                x,
                y,
                width: size,
                height: size,
            };
            Crop::of_whole(image, scaled, keep)
        }
        TrainCrop::RandomResized { area, aspect } => {
            let region = crop::random_resized(image, area, aspect, &mut || stream.uniform());
            Crop::of_region(region, size)
        }
    }
}

/// Brightness, contrast and saturation by random factors, in a random order.
fn jitter(rule: &ColorJitter, stream: &mut Stream) -> Vec<Applied> {
    let ranges = [
        (Operation::Brightness, rule.brightness),
        (Operation::Contrast, rule.contrast),
        (Operation::Color, rule.saturation),
    ];
    let mut applied = ranges.map(|(operation, most)| Applied {
        operation,
        argument: crop::between([1.0 - most, 1.0 + most], stream.uniform()),
    });
    stream.shuffle(&mut applied);
    applied.into_iter().filter(|a| a.argument != 1.0).collect()
}

impl fmt::Display for Augmentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for colour in &self.colours {
            write!(f, "{colour}, ")?;
        }
        let Crop { from, to, keep } = self.crop;
        if keep == Region::whole(to.0, to.1) {
            let Region {
                x,
                y,
                width,
                height,
            } = from;
            write!(f, "{width}×{height} pixels from ({x}, {y})")?;
            write!(f, " to {}×{}", to.0, to.1)?;
        } else {
            let Region {
                x,
                y,
                width,
                height,
            } = keep;
            write!(
                f,
                "{width}×{height} pixels from ({x}, {y}) of {}×{}",
                to.0, to.1
            )?;
        }
        if self.flip {
            f.write_str(", flipped")?;
        }
        match &self.erased {
            Some(erased) => write!(f, ", {erased}"),
            None => Ok(()),
        }
    }
}

fn one_of<T: Copy>(choices: &[T], stream: &mut Stream) -> Option<T> {
    let choice = stream.below(choices.len() as u64) as usize;
    choices.get(choice).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::network::{Network, experiment, tsm};
    use crate::spec::{Backbone, Method};

    fn clips(crop: TrainCrop) -> TrainClips {
        let network = Network {
            method: Method::Vanilla { frames: 8 },
            model: tsm(Backbone::ResNet18),
            classes: 2,
            size: 56,
            training: None,
        };
        TrainClips {
            crop,
            flip: Flip::Random,
            ..experiment(&network).train.clips
        }
    }

    fn draw(clips: &TrainClips, sample: u64) -> Augmentation {
        let draw = Draw {
            seed: 1,
            epoch: 0,
            sample,
        };
        Augmentation::draw(clips, (120, 90), draw, 0)
    }

    #[test]
    fn every_candidate_and_both_flips_are_drawn() {
        let clips = clips(TrainCrop::MultiScale {
            scales: vec![1.0, 0.875, 0.75, 0.66],
            max_distortion: 1,
            more_fixed: true,
        });
        let mut drawn = Vec::new();
        for sample in 0..2000 {
            let augmentation = draw(&clips, sample);
            if !drawn.contains(&augmentation) {
                drawn.push(augmentation);
            }
        }
        // 10 sizes with 13 places each, of which those of full height share three rows; two flips.
        assert!(drawn.len() > 180, "{}", drawn.len());
        assert_eq!(drawn.iter().filter(|a| a.flip).count() * 2, drawn.len());
    }

    /// All crops lie inside the image, whatever is drawn.
    #[test]
    fn drawn_crops_can_be_cut() {
        for crop in [
            TrainCrop::ScaleJitter {
                short_side: [56, 80],
                inverse: true,
            },
            TrainCrop::RandomResized {
                area: [0.08, 1.0],
                aspect: [0.75, 1.3333],
            },
            TrainCrop::Centre { short_side: 64 },
        ] {
            let clips = clips(crop);
            for sample in 0..500 {
                let Crop { from, to, keep } = draw(&clips, sample).crop;
                assert!(from.fits(120, 90) && from.width * from.height > 0);
                assert!(keep.fits(to.0, to.1));
                assert_eq!((keep.width, keep.height), (56, 56));
            }
        }
    }

    #[test]
    fn clips_of_one_video_are_augmented_anew() {
        let mut clips = clips(TrainCrop::RandomResized {
            area: [0.08, 1.0],
            aspect: [0.75, 1.3333],
        });
        clips.rand_augment = Some(crate::spec::RandAugment {
            operations: 4,
            magnitude: 7.0,
            std: 0.5,
            probability: 1.0,
        });
        let one = Draw {
            seed: 1,
            epoch: 0,
            sample: 5,
        };
        let copy = |copy| Augmentation::draw(&clips, (120, 90), one, copy);
        assert_eq!(copy(1), copy(1));
        assert_ne!(copy(0), copy(1));
        assert_eq!(copy(0).colours.len(), 4);
    }
}
