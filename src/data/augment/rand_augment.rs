//! RandAugment (Cubuk et al., NeurIPS 2020): some of fifteen operations, drawn for each clip, all of one magnitude.
//!
//! The set and the arguments are those of the variant with increasing strength that UniFormer's code takes from timm
//! (`rand-m7-n4-mstd0.5-inc1`). At magnitude m in \[0, 10\], ± with a sign of probability one half:
//!
//! | operation | argument |
//! |---|---|
//! | `AutoContrast`, `Equalize`, `Invert` | none |
//! | `Rotate` | ± 30·m/10 degrees |
//! | `PosterizeIncreasing` | keeps 4 − ⌊4·m/10⌋ bits |
//! | `SolarizeIncreasing` | inverts values from 256 − ⌊256·m/10⌋ |
//! | `SolarizeAdd` | adds ⌊110·m/10⌋ to values below 128 |
//! | `ColorIncreasing`, `ContrastIncreasing`, `BrightnessIncreasing`, `SharpnessIncreasing` | factor 1 ± 0.9·m/10 |
//! | `ShearX`, `ShearY` | ± 0.3·m/10 |
//! | `TranslateXRel`, `TranslateYRel` | ± 0.45·m/10 of the width, the height |

use std::fmt;

use super::pillow;
use crate::base::rng::Stream;
use crate::data::video::Image;
use crate::spec::RandAugment;

/// The largest magnitude.
const MOST: f64 = 10.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    AutoContrast,
    Equalize,
    Invert,
    Rotate,
    Posterize,
    Solarize,
    SolarizeAdd,
    Color,
    Contrast,
    Brightness,
    Sharpness,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
}

impl Operation {
    /// In timm's order, with its names.
    pub const ALL: [(&'static str, Self); 15] = [
        ("AutoContrast", Self::AutoContrast),
        ("Equalize", Self::Equalize),
        ("Invert", Self::Invert),
        ("Rotate", Self::Rotate),
        ("PosterizeIncreasing", Self::Posterize),
        ("SolarizeIncreasing", Self::Solarize),
        ("SolarizeAdd", Self::SolarizeAdd),
        ("ColorIncreasing", Self::Color),
        ("ContrastIncreasing", Self::Contrast),
        ("BrightnessIncreasing", Self::Brightness),
        ("SharpnessIncreasing", Self::Sharpness),
        ("ShearX", Self::ShearX),
        ("ShearY", Self::ShearY),
        ("TranslateXRel", Self::TranslateX),
        ("TranslateYRel", Self::TranslateY),
    ];

    /// What it is given at a magnitude; 0 where it is given nothing.
    fn argument(self, magnitude: f64, negated: bool) -> f64 {
        let part = magnitude / MOST;
        let signed = |value: f64| if negated { -value } else { value };
        match self {
            Self::AutoContrast | Self::Equalize | Self::Invert => 0.0,
            Self::Rotate => signed(part * 30.0),
            Self::Posterize => 4.0 - (part * 4.0).trunc(),
            Self::Solarize => 256.0 - (part * 256.0).trunc(),
            Self::SolarizeAdd => (part * 110.0).trunc(),
            Self::Color | Self::Contrast | Self::Brightness | Self::Sharpness => {
                1.0 + signed(part * 0.9)
            }
            Self::ShearX | Self::ShearY => signed(part * 0.3),
            Self::TranslateX | Self::TranslateY => signed(part * 0.45),
        }
    }
}

/// An operation with its argument, the same for every frame of a clip.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Applied {
    pub operation: Operation,
    pub argument: f64,
}

impl Applied {
    /// At `magnitude` in \[0, 10\].
    pub fn new(operation: Operation, magnitude: f64, negated: bool) -> Self {
        Self {
            operation,
            argument: operation.argument(magnitude, negated),
        }
    }

    pub fn apply(&self, image: &mut Image) {
        let argument = self.argument;
        match self.operation {
            Operation::AutoContrast => pillow::autocontrast(image),
            Operation::Equalize => pillow::equalize(image),
            Operation::Invert => pillow::map(image, |v| 255 - v),
            Operation::Rotate => pillow::rotate(image, argument),
            Operation::Posterize => {
                let lost = 8 - argument as u32;
                pillow::map(image, |v| (u16::from(v) >> lost << lost) as u8);
            }
            Operation::Solarize => pillow::map(image, |v| match f64::from(v) < argument {
                true => v,
                false => 255 - v,
            }),
            Operation::SolarizeAdd => pillow::map(image, |v| match v < 128 {
                true => v.saturating_add(argument as u8),
                false => v,
            }),
            Operation::Color => pillow::color(image, argument),
            Operation::Contrast => pillow::contrast(image, argument),
            Operation::Brightness => pillow::brightness(image, argument),
            Operation::Sharpness => pillow::sharpness(image, argument),
            Operation::ShearX => pillow::affine(image, [1.0, argument, 0.0, 0.0, 1.0, 0.0]),
            Operation::ShearY => pillow::affine(image, [1.0, 0.0, 0.0, argument, 1.0, 0.0]),
            Operation::TranslateX => {
                let pixels = argument * image.width as f64;
                pillow::affine(image, [1.0, 0.0, pixels, 0.0, 1.0, 0.0]);
            }
            Operation::TranslateY => {
                let pixels = argument * image.height as f64;
                pillow::affine(image, [1.0, 0.0, 0.0, 0.0, 1.0, pixels]);
            }
        }
    }
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Operation::ALL.iter().find(|(_, o)| *o == self.operation);
        let name = known.map_or("", |(name, _)| *name);
        match self.operation {
            Operation::AutoContrast | Operation::Equalize | Operation::Invert => f.write_str(name),
            _ => write!(f, "{name} {:.3}", self.argument),
        }
    }
}

/// What becomes of a clip. Drawn in this order: all operations; then for each whether it is applied and, if it is, its
/// magnitude and its sign.
pub fn draw(rule: &RandAugment, stream: &mut Stream) -> Vec<Applied> {
    let kinds = Operation::ALL.len() as u64;
    let mut one = || Operation::ALL[stream.below(kinds) as usize].1;
    let operations: Vec<Operation> = (0..rule.operations).map(|_| one()).collect();
    let mut applied = Vec::new();
    for operation in operations {
        if stream.uniform() >= rule.probability {
            continue;
        }
        let magnitude = (rule.magnitude + rule.std * stream.normal()).clamp(0.0, MOST);
        let negated = stream.below(2) == 1;
        applied.push(Applied::new(operation, magnitude, negated));
    }
    applied
}
