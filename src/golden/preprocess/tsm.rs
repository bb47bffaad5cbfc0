//! `preprocess`: TSM's and TEA's loader. Everything is exact.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::{CASES, MAX_FRAMES, MAX_SIDE, TENSORS, flat as pairs, numbers};
use crate::base::Result;
use crate::data::normalize::normalize_into;
use crate::data::resize::{Region, resize};
use crate::data::transform::Crop;
use crate::data::video::Image;
use crate::data::{crop, sampling};
use crate::golden::compare::{Comparison, Rule};
use crate::golden::tensors::{self, Tensor, Tensors, damaged, read_json};
use crate::spec::network::NORMALIZE;
use crate::spec::{Resize, ShortVideos};

const BOXES: &str = "multi_scale_crop_boxes.json";
const INDICES: &str = "val_indices.json";

/// The official multi-scale crop.
const SCALES: [f64; 4] = [1.0, 0.875, 0.75, 0.66];
const MAX_DISTORTION: usize = 1;
const MORE_FIXED: bool = true;

pub struct Bundle {
    cases: Cases,
    boxes: Vec<Boxes>,
    frames: Vec<FrameCase>,
    images: BTreeMap<String, Image>,
    expected: Tensors,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    eval: Vec<EvalCase>,
    multi_scale_crop: Vec<CropCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EvalCase {
    name: String,
    height: usize,
    width: usize,
    scale: usize,
    crop: usize,
    #[serde(rename = "note")]
    _note: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CropCase {
    name: String,
    height: usize,
    width: usize,
    box_xywh: [usize; 4],
    size: usize,
    #[serde(rename = "note")]
    _note: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Boxes {
    width: usize,
    height: usize,
    size: usize,
    pairs_wh: Vec<(usize, usize)>,
    offsets_for_first_pair: Vec<(usize, usize)>,
    offsets_for_last_pair: Vec<(usize, usize)>,
}

/// The frames that validation takes from a video.
struct FrameCase {
    frames: usize,
    /// Frames of the video.
    count: usize,
    indices: Vec<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Indices {
    #[serde(rename = "note")]
    _note: String,
    indices: BTreeMap<String, Vec<usize>>,
}

impl Bundle {
    pub fn open(folder: &Path) -> Result<Self> {
        let cases: Cases = read_json(&folder.join(CASES))?;
        let boxes: Vec<Boxes> = read_json(&folder.join(BOXES))?;
        let path = folder.join(TENSORS);
        let mut stored = tensors::read(&path)?;
        let sizes = cases.eval.iter().map(|c| (&c.name, (c.width, c.height)));
        let sizes = sizes.chain(
            cases
                .multi_scale_crop
                .iter()
                .map(|c| (&c.name, (c.width, c.height))),
        );
        let mut images = BTreeMap::new();
        for (name, size) in sizes {
            let image = take_image(&mut stored, name, size).map_err(|e| damaged(&path, &e))?;
            images.insert(name.clone(), image);
        }
        check_geometry(&cases).map_err(|what| damaged(&folder.join(CASES), &what))?;
        check_boxes(&boxes).map_err(|what| damaged(&folder.join(BOXES), &what))?;
        let mut bundle = Self {
            frames: read_indices(&folder.join(INDICES))?,
            expected: Tensors::new(),
            cases,
            boxes,
            images,
        };
        bundle.expected = bundle.expected(stored);
        Ok(bundle)
    }

    pub fn verify(&self) -> Result<Comparison> {
        let computed = self.computed();
        Ok(Comparison::new(
            "preprocess",
            &self.expected,
            &computed,
            Rule::Exact,
        ))
    }

    /// The bundle's values under the names of [`Bundle::computed`].
    fn expected(&self, stored: Tensors) -> Tensors {
        let stored = stored.into_iter().map(|(name, tensor)| {
            let case = name.strip_suffix(".expected").unwrap_or(&name);
            let is_eval = self.cases.eval.iter().any(|c| c.name == case);
            let group = if is_eval { EVALUATION } else { CROP };
            (format!("{group}/{case}"), tensor)
        });
        let mut expected: Tensors = stored.collect();
        for boxes in &self.boxes {
            let [sizes, first, last] = boxes.names();
            expected.insert(sizes, pairs(&boxes.pairs_wh));
            expected.insert(first, pairs(&boxes.offsets_for_first_pair));
            expected.insert(last, pairs(&boxes.offsets_for_last_pair));
        }
        for case in &self.frames {
            expected.insert(case.name(), numbers(&case.indices));
        }
        expected
    }

    fn computed(&self) -> Tensors {
        let mut computed = Tensors::new();
        for case in &self.cases.eval {
            let image = &self.images[&case.name];
            let size = (image.width, image.height);
            let crop = Crop::centre(size, case.scale, case.crop, Resize::Pillow);
            let view = resized(image, &crop);
            computed.insert(
                format!("{EVALUATION}/{}", case.name),
                normalised_planes(&view),
            );
        }
        for case in &self.cases.multi_scale_crop {
            let image = &self.images[&case.name];
            let view = resized(image, &Crop::of_region(case.region(), case.size));
            let tensor = Tensor {
                shape: vec![view.height, view.width, 3],
                values: view.rgb.iter().map(|&b| f64::from(b)).collect(),
            };
            computed.insert(format!("{CROP}/{}", case.name), tensor);
        }
        for boxes in &self.boxes {
            let image = (boxes.width, boxes.height);
            let sizes = crop::candidate_sizes(image, boxes.size, &SCALES, MAX_DISTORTION);
            let offsets = |size: Option<&(usize, usize)>| {
                let size = size.copied().unwrap_or(image);
                pairs(&crop::candidate_offsets(image, size, MORE_FIXED))
            };
            let [names, first, last] = boxes.names();
            computed.insert(first, offsets(sizes.first()));
            computed.insert(last, offsets(sizes.last()));
            computed.insert(names, pairs(&sizes));
        }
        for case in &self.frames {
            let rule = ShortVideos::FirstFrame;
            let found = sampling::segment_centres(case.count, case.frames, rule);
            computed.insert(case.name(), numbers(&found));
        }
        computed
    }
}

const EVALUATION: &str = "evaluation transform";
const CROP: &str = "crop and resize";
const BOX: &str = "candidate boxes";
const FRAMES: &str = "validation frames";

impl FrameCase {
    fn name(&self) -> String {
        format!("{FRAMES}/{} of {}", self.frames, self.count)
    }
}

impl CropCase {
    fn region(&self) -> Region {
        let [x, y, width, height] = self.box_xywh;
        Region {
            x,
            y,
            width,
            height,
        }
    }
}

impl Boxes {
    /// Names of the sizes, the first size's offsets, and the last one's.
    fn names(&self) -> [String; 3] {
        let of = |what: &str| format!("{BOX}/{}x{} {what}", self.width, self.height);
        [of("sizes"), of("first offsets"), of("last offsets")]
    }
}

/// What would make the transforms panic, or take more memory than any image needs.
fn check_geometry(cases: &Cases) -> Result<(), String> {
    for case in &cases.eval {
        if case.crop == 0 || case.crop > case.scale {
            return Err(format!("{}: crop must be in 1..={}", case.name, case.scale));
        }
        let (short, long) = (
            case.width.min(case.height).max(1),
            case.width.max(case.height),
        );
        if case.scale.saturating_mul(long) / short > MAX_SIDE {
            return Err(format!(
                "{}: no side may have more than {MAX_SIDE} pixels after resizing",
                case.name
            ));
        }
    }
    for case in &cases.multi_scale_crop {
        let region = case.region();
        let [x, y, width, height] = case.box_xywh;
        let ends = (x.checked_add(width), y.checked_add(height));
        let inside = matches!(ends, (Some(_), Some(_))) && region.fits(case.width, case.height);
        if !inside || width == 0 || height == 0 {
            return Err(format!("{}: the box must lie inside the image", case.name));
        }
        if !(1..=MAX_SIDE).contains(&case.size) {
            return Err(format!("{}: size must be in 1..={MAX_SIDE}", case.name));
        }
    }
    Ok(())
}

fn check_boxes(boxes: &[Boxes]) -> Result<(), String> {
    let sides = boxes.iter().flat_map(|b| [b.width, b.height, b.size]);
    match sides
        .into_iter()
        .find(|side| !(1..=MAX_SIDE).contains(side))
    {
        None => Ok(()),
        Some(side) => Err(format!("a side must be in 1..={MAX_SIDE}, found {side}")),
    }
}

/// Moves `NAME.image` out: (height, width, 3) bytes.
fn take_image(
    stored: &mut Tensors,
    name: &str,
    (width, height): (usize, usize),
) -> Result<Image, String> {
    let key = format!("{name}.image");
    let image = stored
        .remove(&key)
        .ok_or_else(|| format!("missing tensor {key}"))?;
    if image.shape != [height, width, 3] || image.values.is_empty() {
        let expected = [height, width, 3];
        return Err(format!(
            "{key}: expected {expected:?}, found {:?}",
            image.shape
        ));
    }
    Ok(Image {
        width,
        height,
        rgb: image.values.iter().map(|&v| v as u8).collect(),
    })
}

fn read_indices(path: &Path) -> Result<Vec<FrameCase>> {
    let file: Indices = read_json(path)?;
    let parsed = file.indices.into_iter().map(|(key, indices)| {
        let numbers = key
            .split_once('/')
            .and_then(|(frames, count)| Some((frames.parse().ok()?, count.parse().ok()?)));
        match numbers {
            Some((frames, count)) if (1..=MAX_FRAMES).contains(&frames) && count > 0 => {
                Ok(FrameCase {
                    frames,
                    count,
                    indices,
                })
            }
            _ => Err(damaged(path, &format!("`{key}` is not segments/frames"))),
        }
    });
    parsed.collect()
}

fn resized(image: &Image, crop: &Crop) -> Image {
    resize(image, crop.from, crop.to, crop.keep)
}

/// (3, height, width), normalised as for ImageNet.
fn normalised_planes(image: &Image) -> Tensor {
    let mut pixels = vec![0.0; image.rgb.len()];
    normalize_into(&image.rgb, &NORMALIZE, &mut pixels);
    let planes = (0..3).flat_map(|channel| pixels.iter().skip(channel).step_by(3));
    let planes: Vec<f32> = planes.copied().collect();
    Tensor::new(vec![3, image.height, image.width], &planes)
}
