//! What is drawn for a training clip besides its frames: crop and flip, the same for every frame of every branch.

use std::fmt;

use super::crop::{candidate_offsets, candidate_sizes};
use super::resize::Region;
use super::transform;
use super::video::Image;
use crate::base::rng::Stream;
use crate::base::{Error, Kind, Result};
use crate::spec::{Crops, Flip, TrainClips, TrainCrop};

/// How the images of one training clip become the network's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Augmentation {
    crop: Crop,
    size: usize,
    /// Left and right are exchanged.
    pub flip: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Crop {
    Region(Region),
    Centre { short_side: usize },
}

impl Augmentation {
    /// For images of `image` (width, height). Drawn in this order: crop size, crop place, flip.
    pub fn draw(clips: &TrainClips, image: (usize, usize), stream: &mut Stream) -> Self {
        let crop = match &clips.crop {
            TrainCrop::Centre { short_side } => Crop::Centre {
                short_side: *short_side,
            },
            TrainCrop::MultiScale {
                scales,
                max_distortion,
                more_fixed,
            } => {
                let sizes = candidate_sizes(image, clips.size, scales, *max_distortion);
                let (width, height) = one_of(&sizes, stream).unwrap_or(image);
                let offsets = candidate_offsets(image, (width, height), *more_fixed);
                let (x, y) = one_of(&offsets, stream).unwrap_or_default();
                Crop::Region(Region {
                    x,
                    y,
                    width,
                    height,
                })
            }
        };
        let flip = match clips.flip {
            Flip::Off => false,
            Flip::Random | Flip::Mapped { .. } => stream.below(2) == 1,
        };
        Self {
            crop,
            size: clips.size,
            flip,
        }
    }

    pub fn apply(&self, image: &Image) -> Image {
        let mut view = match self.crop {
            Crop::Region(region) => transform::crop_resize(image, region, self.size),
            Crop::Centre { short_side } => transform::evaluate(image, short_side, self.size),
        };
        if self.flip {
            transform::flip(&mut view);
        }
        view
    }
}

impl fmt::Display for Augmentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.crop {
            Crop::Region(Region {
                x,
                y,
                width,
                height,
            }) => write!(f, "{width}×{height} pixels from ({x}, {y})")?,
            Crop::Centre { short_side } => {
                write!(f, "the centre at a shorter side of {short_side} pixels")?;
            }
        }
        write!(f, " to {0}×{0}", self.size)?;
        match self.flip {
            true => f.write_str(", flipped"),
            false => Ok(()),
        }
    }
}

fn one_of<T: Copy>(choices: &[T], stream: &mut Stream) -> Option<T> {
    let choice = stream.below(choices.len() as u64) as usize;
    choices.get(choice).copied()
}

/// The label that each class has when its clip is flipped.
///
/// # Errors
/// A flip map that names what is no class, or a class twice; a flip without a map where classes tell left from right.
pub fn flipped_labels(flip: &Flip, classes: &[String]) -> Result<Vec<usize>> {
    let mut labels: Vec<usize> = (0..classes.len()).collect();
    match flip {
        Flip::Off => {}
        Flip::Random => refuse_directions(classes)?,
        Flip::Mapped { classes: pairs } => {
            for (a, b) in pairs {
                let (one, other) = (label_of(a, classes)?, label_of(b, classes)?);
                if labels[one] != one || labels[other] != other {
                    return Err(Error::new(
                        Kind::Experiment,
                        format!("the flip map has a class of the pair `{a}`, `{b}` twice"),
                    ));
                }
                labels.swap(one, other);
            }
        }
    }
    Ok(labels)
}

fn label_of(name: &str, classes: &[String]) -> Result<usize> {
    let position = classes.iter().position(|class| class == name);
    position.ok_or_else(|| {
        let nearest = classes
            .iter()
            .max_by(|a, b| strsim::jaro(name, a).total_cmp(&strsim::jaro(name, b)));
        let error = Error::new(
            Kind::Experiment,
            format!("the flip map names `{name}`, which is no class of the data"),
        );
        match nearest {
            Some(nearest) => error.hint(format!("did you mean `{nearest}`?")),
            None => error,
        }
    })
}

/// Refuses an evaluation that flips crops where classes tell left from right; a flip map without pairs says that none does.
pub fn check_crops(flip: &Flip, crops: Crops, classes: &[String]) -> Result<()> {
    let none_changes = matches!(flip, Flip::Mapped { classes } if classes.is_empty());
    match directed(classes) {
        Some(class) if crops == Crops::Ten && !none_changes => Err(Error::new(
            Kind::Experiment,
            format!("five of ten crops are flipped, and a flip would make clips of `{class}` show another class"),
        )
        .hint("write `crops: Three`, which flips nothing; or `flip: Mapped(classes: [])` for the training, if no class changes")),
        _ => Ok(()),
    }
}

/// A class whose name tells left from right.
fn directed(classes: &[String]) -> Option<&String> {
    classes.iter().find(|class| {
        class.split(|c: char| !c.is_alphanumeric()).any(|word| {
            [
                "left",
                "right",
                "clockwise",
                "anticlockwise",
                "counterclockwise",
            ]
            .contains(&word.to_lowercase().as_str())
        })
    })
}

fn refuse_directions(classes: &[String]) -> Result<()> {
    match directed(classes) {
        None => Ok(()),
        Some(class) => Err(Error::new(
            Kind::Experiment,
            format!("a random flip would make clips of `{class}` show another class"),
        )
        .hint("write `flip: Off`, or `Mapped` with the pairs of classes that a flip exchanges (none, if it is none)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Purpose;
    use crate::spec::{BranchFrames, Normalize, ShortVideos, TrainSampling};

    fn classes() -> Vec<String> {
        ["Moving left", "Moving right", "Falling"]
            .map(str::to_owned)
            .to_vec()
    }

    fn mapped(pairs: &[(&str, &str)]) -> Flip {
        let own = |(a, b): &(&str, &str)| (a.to_string(), b.to_string());
        Flip::Mapped {
            classes: pairs.iter().map(own).collect(),
        }
    }

    #[test]
    fn labels_follow_the_map() {
        let labels = flipped_labels(&mapped(&[("Moving left", "Moving right")]), &classes());
        assert_eq!(labels.unwrap(), [1, 0, 2]);
        assert_eq!(flipped_labels(&Flip::Off, &classes()).unwrap(), [0, 1, 2]);
    }

    #[test]
    fn maps_that_do_not_fit_are_refused() {
        let message = |flip| flipped_labels(&flip, &classes()).unwrap_err().to_string();
        insta::assert_snapshot!("flip_of_directions", message(Flip::Random));
        insta::assert_snapshot!(
            "flip_of_no_class",
            message(mapped(&[("Moving leff", "Falling")]))
        );
        let twice = mapped(&[("Moving left", "Moving right"), ("Moving left", "Falling")]);
        insta::assert_snapshot!("flip_of_a_class_twice", message(twice));
    }

    #[test]
    fn an_empty_map_says_that_no_class_changes() {
        assert_eq!(flipped_labels(&mapped(&[]), &classes()).unwrap(), [0, 1, 2]);
    }

    #[test]
    fn flipped_crops_are_refused_where_classes_have_directions() {
        let check = |flip, crops, classes: &[String]| check_crops(&flip, crops, classes);
        let message = check(Flip::Off, Crops::Ten, &classes()).unwrap_err();
        insta::assert_snapshot!("ten_crops_of_directions", message.to_string());
        check(Flip::Off, Crops::Three, &classes()).unwrap();
        check(Flip::Off, Crops::Ten, &["Falling".to_owned()]).unwrap();
        check(mapped(&[]), Crops::Ten, &classes()).unwrap();
    }

    #[test]
    fn every_candidate_and_both_flips_are_drawn() {
        let clips = TrainClips {
            sampling: TrainSampling::SegmentRandom,
            branches: BranchFrames::Independent,
            short_videos: ShortVideos::Repeat,
            crop: TrainCrop::MultiScale {
                scales: vec![1.0, 0.875, 0.75, 0.66],
                max_distortion: 1,
                more_fixed: true,
            },
            flip: Flip::Random,
            size: 56,
            normalize: Normalize {
                mean: [0.5; 3],
                std: [0.5; 3],
            },
        };
        let mut drawn = Vec::new();
        for clip in 0..2000 {
            let mut stream = Stream::new(1, Purpose::Augment, &[0, clip]);
            let augmentation = Augmentation::draw(&clips, (120, 90), &mut stream);
            if !drawn.contains(&augmentation) {
                drawn.push(augmentation);
            }
        }
        // 10 sizes with 13 places each, of which those of full height share three rows; two flips.
        assert!(drawn.len() > 180, "{}", drawn.len());
        assert_eq!(drawn.iter().filter(|a| a.flip).count() * 2, drawn.len());
    }
}
