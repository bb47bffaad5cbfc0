//! The `preprocess` bundles: what the official loaders do to images and frame numbers before the network. Bytes and numbers are
//! exact; interpolated values within a few roundings.

mod rates;
mod slowfast;
mod tsm;
mod uniformer;

use std::collections::BTreeMap;
use std::path::Path;

use super::compare::{Comparison, FLOOR, Rule};
use super::tensors::{Tensor, Tensors};
use crate::base::Result;
use crate::data::Pixels;
use crate::data::resize::Region;
use crate::data::transform::{Crop, Look};
use crate::data::video::Image;
use crate::spec::{Channels, Normalize, Resize};

pub const CASES: &str = "cases.json";
const TENSORS: &str = "tensors.safetensors";

/// Height and width of images.
const MAX_SIDE: usize = 4096;
/// Frames of a clip.
const MAX_FRAMES: usize = 1024;

/// Of SlowFast and UniFormer.
const NORMALIZE: Normalize = Normalize {
    mean: [0.45; 3],
    std: [0.225; 3],
};

pub enum Bundle {
    Tsm(tsm::Bundle),
    SlowFast(slowfast::Bundle),
    UniFormer(uniformer::Bundle),
}

impl Bundle {
    /// Whose loader it is, its files tell.
    pub fn open(folder: &Path) -> Result<Self> {
        if folder.join(slowfast::INDICES).exists() {
            slowfast::Bundle::open(folder).map(Self::SlowFast)
        } else if folder.join(uniformer::INDICES).exists() {
            uniformer::Bundle::open(folder).map(Self::UniFormer)
        } else {
            tsm::Bundle::open(folder).map(Self::Tsm)
        }
    }

    pub fn verify(&self) -> Result<Comparison> {
        match self {
            Self::Tsm(bundle) => bundle.verify(),
            Self::SlowFast(bundle) => Ok(bundle.pairs.compare("preprocess_slowfast")),
            Self::UniFormer(bundle) => Ok(bundle.pairs.compare("preprocess_uniformer")),
        }
    }
}

/// What a bundle expects beside what is computed.
#[derive(Default)]
struct Pairs {
    exact: [Tensors; 2],
    interpolated: [Tensors; 2],
}

impl Pairs {
    /// Numbers and bytes.
    fn exact(&mut self, name: String, expected: Tensor, computed: Tensor) {
        let [all, found] = &mut self.exact;
        all.insert(name.clone(), expected);
        found.insert(name, computed);
    }

    /// Values that a sum's order touches.
    fn near(&mut self, name: String, expected: Tensor, computed: Tensor) {
        let [all, found] = &mut self.interpolated;
        all.insert(name.clone(), expected);
        found.insert(name, computed);
    }

    fn compare(&self, name: &str) -> Comparison {
        let [expected, computed] = &self.exact;
        let mut exact = Comparison::new(name, expected, computed, Rule::Exact);
        let [expected, computed] = &self.interpolated;
        let rule = Rule::Reference {
            errors: &BTreeMap::new(),
            floor: FLOOR,
            taps: &[],
        };
        let near = Comparison::new(name, expected, computed, rule);
        exact.groups.extend(near.groups);
        exact.mismatches.extend(near.mismatches);
        exact
    }
}

fn numbers(numbers: &[usize]) -> Tensor {
    Tensor {
        shape: vec![numbers.len()],
        values: numbers.iter().map(|&n| n as f64).collect(),
    }
}

fn flat(pairs: &[(usize, usize)]) -> Tensor {
    let flat: Vec<usize> = pairs.iter().flat_map(|&(a, b)| [a, b]).collect();
    numbers(&flat)
}

/// The tensors of a bundle, moved out one by one.
struct Stored(Tensors);

impl Stored {
    fn take(&mut self, name: &str) -> Result<Tensor, String> {
        let missing = || format!("missing tensor {name}");
        self.0.remove(name).ok_or_else(missing)
    }

    fn get(&self, name: &str) -> Result<&Tensor, String> {
        self.0
            .get(name)
            .ok_or_else(|| format!("missing tensor {name}"))
    }

    /// (height, width, 3) bytes.
    fn image(&self, name: &str) -> Result<Image, String> {
        let Tensor { shape, values } = self.get(name)?;
        match shape[..] {
            [height, width, 3] if side(height) && side(width) => Ok(Image {
                width,
                height,
                rgb: values.iter().map(|&v| v as u8).collect(),
            }),
            _ => Err(format!(
                "{name}: expected (height, width, 3), found {shape:?}"
            )),
        }
    }
}

fn side(length: usize) -> bool {
    (1..=MAX_SIDE).contains(&length)
}

/// Key `frames/length`, and what may stand behind it.
fn frames_and_length(key: &str) -> Result<(usize, usize, Option<&str>), String> {
    let mut parts = key.splitn(3, '/');
    let mut number = || parts.next().and_then(|part| part.parse().ok());
    match (number(), number()) {
        (Some(frames), Some(length)) if (1..=MAX_FRAMES).contains(&frames) && length > 0 => {
            Ok((frames, length, parts.next()))
        }
        _ => Err(format!("`{key}` is not frames/length")),
    }
}

/// `v of n`
fn view_of(text: &str) -> Option<(usize, usize)> {
    let (view, views) = text.split_once(" of ")?;
    let (view, views) = (view.parse().ok()?, views.parse().ok()?);
    (view < views && views <= MAX_FRAMES).then_some((view, views))
}

/// The normalised crop as planes: (3, height, width).
fn seen(image: &Image, crop: &Crop) -> Tensor {
    let look = Look::new(Resize::Torch, Channels::Rgb, &NORMALIZE, true);
    let values = match look.see(image, crop, false) {
        Pixels::Values(values) => values,
        Pixels::Bytes(_) => Vec::new(),
    };
    planes(&values, (crop.keep.width, crop.keep.height))
}

/// Rows of pixels → planes.
fn planes(values: &[f32], (width, height): (usize, usize)) -> Tensor {
    let planes = (0..3).flat_map(|channel| values.iter().skip(channel).step_by(3));
    let planes: Vec<f32> = planes.copied().collect();
    Tensor::new(vec![3, height, width], &planes)
}

/// A square that must lie inside a view.
fn square(x: usize, y: usize, size: usize, view: (usize, usize)) -> Result<Region, String> {
    let region = Region {
        x,
        y,
        width: size,
        height: size,
    };
    let fits = x < MAX_SIDE && y < MAX_SIDE && side(size) && region.fits(view.0, view.1);
    fits.then_some(region)
        .ok_or_else(|| format!("a crop of {size} pixels does not fit {}×{}", view.0, view.1))
}

/// The size at a shorter side, within bounds.
fn scaled(image: &Image, short_side: usize) -> Result<(usize, usize), String> {
    let (short, long) = (
        image.width.min(image.height).max(1),
        image.width.max(image.height),
    );
    if !side(short_side) || short_side.saturating_mul(long) / short > MAX_SIDE {
        return Err(format!(
            "no side may have more than {MAX_SIDE} pixels after resizing"
        ));
    }
    let size = (image.width, image.height);
    Ok(crate::data::transform::scaled_size(
        size,
        short_side,
        Resize::Torch,
    ))
}
