//! `preprocess_uniformer`: frames, crops, RandAugment, erasing and mixing, given the random numbers.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::{
    CASES, MAX_SIDE, NORMALIZE, Pairs, Stored, TENSORS, flat, frames_and_length, numbers, planes,
    rates, scaled, seen, side, square, view_of,
};
use crate::base::Result;
use crate::data::augment::{Applied, Operation, erased_box, fill_box};
use crate::data::crop::{evaluation_crops, jittered_place, jittered_side, random_resized};
use crate::data::mixing::{Mixed, soft};
use crate::data::resize::Region;
use crate::data::sampling::{segment_bounds, segment_inclusive_view};
use crate::data::transform::Crop;
use crate::data::video::Image;
use crate::golden::tensors::{self, Tensor, damaged, read_json};
use crate::spec::{Crops, Erasing};

pub const INDICES: &str = "frame_indices.json";

/// The official box: parts of the image, width for a height of 1.
const AREA: [f64; 2] = [0.08, 1.0];
const ASPECT: [f64; 2] = [0.75, 1.3333];
/// `rand-m7-n4-mstd0.5`
const MAGNITUDE: f64 = 7.0;
const MAGNITUDE_STD: f64 = 0.5;
const ERASING: Erasing = Erasing {
    probability: 0.25,
    area: [0.02, 1.0 / 3.0],
    aspect: [0.3, 1.0 / 0.3],
};

pub struct Bundle {
    pub(super) pairs: Pairs,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    mean: [f64; 3],
    std: [f64; 3],
    test_crop: Vec<TestCrop>,
    validation_crop: Vec<ValidationCrop>,
    train_crop: Vec<TrainCrop>,
    crop_parameters: Vec<Parameters>,
    rand_augment: Randomly,
    random_erasing: Vec<Erased>,
    mix: Vec<Mix>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TestCrop {
    image: String,
    size: usize,
    /// Left, centre, right.
    expected: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ValidationCrop {
    image: String,
    scales: [usize; 2],
    size: usize,
    uniforms: Vec<f64>,
    expected: String,
    #[serde(rename = "note")]
    _note: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TrainCrop {
    image: String,
    top_left_height_width: [usize; 4],
    size: usize,
    expected: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    height: usize,
    width: usize,
    uniforms: Vec<f64>,
    top_left_height_width: [usize; 4],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Randomly {
    operations: Vec<One>,
    sequences: Vec<Sequence>,
    kinds: Vec<String>,
    #[serde(rename = "pillow")]
    _pillow: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    operation: String,
    magnitude: Option<f64>,
    negated: Option<bool>,
    argument: Vec<f64>,
    image: String,
    expected: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sequence {
    images: Vec<String>,
    steps: Vec<Step>,
    expected: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    operation: String,
    applied: bool,
    gauss: Option<f64>,
    magnitude: Option<f64>,
    negated: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Erased {
    clip: String,
    uniforms: Vec<f64>,
    erased: bool,
    expected: String,
    noise: Option<String>,
    height_width: Option<[usize; 2]>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mix {
    kind: Kind,
    batch: String,
    labels: Vec<usize>,
    classes: usize,
    smoothing: f64,
    beta: f64,
    expected: String,
    targets: String,
    centre_y_x: Option<(usize, usize)>,
    box_y0_y1_x0_x1: Option<[usize; 4]>,
    lam_corrected: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Mixup,
    Cutmix,
}

/// File numbers, from 1.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Indices {
    train: BTreeMap<String, Vec<(usize, usize)>>,
    test: BTreeMap<String, Vec<usize>>,
    #[serde(rename = "note")]
    _note: String,
}

impl Bundle {
    pub fn open(folder: &Path) -> Result<Self> {
        let mut pairs = Pairs::default();
        let path = folder.join(CASES);
        let cases: Cases = read_json(&path)?;
        let stored = Stored(tensors::read(&folder.join(TENSORS))?);
        let all = [
            crops(&cases, &stored, &mut pairs),
            rand_augment(&cases.rand_augment, &stored, &mut pairs),
            erasing(&cases.random_erasing, &stored, &mut pairs),
            mixing(&cases.mix, &stored, &mut pairs),
        ];
        let all: Result<Vec<()>, String> = all.into_iter().collect();
        all.map_err(|what| damaged(&path, &what))?;
        let path = folder.join(INDICES);
        frames(&read_json(&path)?, &mut pairs).map_err(|what| damaged(&path, &what))?;
        rates::read(folder, &mut pairs)?;
        Ok(Self { pairs })
    }
}

/// The numbers in turn; 0 behind the last.
fn given(uniforms: &[f64]) -> impl FnMut() -> f64 {
    let mut uniforms = uniforms.iter();
    move || uniforms.next().copied().unwrap_or(0.0).clamp(0.0, 1.0)
}

fn crops(cases: &Cases, stored: &Stored, pairs: &mut Pairs) -> Result<(), String> {
    if (cases.mean, cases.std) != (NORMALIZE.mean, NORMALIZE.std) {
        return Err("another mean or standard deviation than of UniFormer's code".into());
    }
    for case in &cases.test_crop {
        let image = stored.image(&case.image)?;
        let scaled = scaled(&image, case.size)?;
        let crops = evaluation_crops(scaled, case.size, Crops::LeftCentreRight);
        for (name, (keep, _)) in case.expected.iter().zip(crops) {
            let crop = Crop::of_whole((image.width, image.height), scaled, keep);
            let expected = stored.get(name)?.clone();
            pairs.near(format!("test crop/{name}"), expected, seen(&image, &crop));
        }
    }
    for case in &cases.validation_crop {
        let image = stored.image(&case.image)?;
        let mut uniform = given(&case.uniforms);
        if !case.scales.into_iter().all(side) || case.scales[1] < case.scales[0] {
            return Err(format!("{}: no range of sides", case.expected));
        }
        let short_side = jittered_side(case.scales, false, &mut uniform);
        let scaled = scaled(&image, short_side)?;
        let (x, y) = jittered_place(scaled, case.size, &mut uniform);
        let keep = square(x, y, case.size, scaled)?;
        let crop = Crop::of_whole((image.width, image.height), scaled, keep);
        let expected = stored.get(&case.expected)?.clone();
        pairs.near(
            format!("validation crop/{}", case.expected),
            expected,
            seen(&image, &crop),
        );
    }
    for case in &cases.train_crop {
        let image = stored.image(&case.image)?;
        let [y, x, height, width] = case.top_left_height_width;
        let region = inside(
            Region {
                x,
                y,
                width,
                height,
            },
            &image,
        )?;
        if !side(case.size) {
            return Err(format!("{}: size must be in 1..={MAX_SIDE}", case.expected));
        }
        let expected = stored.get(&case.expected)?.clone();
        let computed = seen(&image, &Crop::of_region(region, case.size));
        pairs.near(
            format!("training crop/{}", case.expected),
            expected,
            computed,
        );
    }
    for (number, case) in cases.crop_parameters.iter().enumerate() {
        if !side(case.width) || !side(case.height) {
            return Err(format!("a side must be in 1..={MAX_SIDE}"));
        }
        let size = (case.width, case.height);
        let found = random_resized(size, AREA, ASPECT, &mut given(&case.uniforms));
        let found = [found.y, found.x, found.height, found.width];
        let name = format!("training boxes/{number}: {}×{}", case.width, case.height);
        pairs.exact(name, numbers(&case.top_left_height_width), numbers(&found));
    }
    Ok(())
}

fn inside(region: Region, image: &Image) -> Result<Region, String> {
    let Region {
        x,
        y,
        width,
        height,
    } = region;
    let small = [x, y, width, height].into_iter().all(|n| n <= MAX_SIDE);
    let fits = small && width > 0 && height > 0 && region.fits(image.width, image.height);
    fits.then_some(region)
        .ok_or_else(|| "the box must lie inside the image".into())
}

fn operation(name: &str) -> Result<Operation, String> {
    let known = Operation::ALL.iter().find(|(known, _)| *known == name);
    known
        .map(|(_, operation)| *operation)
        .ok_or_else(|| format!("unknown operation `{name}`"))
}

fn rand_augment(cases: &Randomly, stored: &Stored, pairs: &mut Pairs) -> Result<(), String> {
    let known = Operation::ALL.map(|(name, _)| name);
    if cases.kinds != known {
        return Err(format!("other operations than {}", known.join(", ")));
    }
    for case in &cases.operations {
        let mut image = stored.image(&case.image)?;
        let magnitude = case.magnitude.unwrap_or(0.0).clamp(0.0, 10.0);
        let applied = Applied::new(
            operation(&case.operation)?,
            magnitude,
            case.negated.unwrap_or(false),
        );
        applied.apply(&mut image);
        let name = &case.expected;
        pairs.exact(
            format!("operations/{name}"),
            stored.get(name)?.clone(),
            bytes(&image),
        );
        if let [argument] = case.argument[..] {
            let name = format!("arguments/{name}");
            pairs.near(
                name,
                Tensor::scalar(argument),
                Tensor::scalar(applied.argument),
            );
        }
    }
    for case in &cases.sequences {
        let mut all = Vec::new();
        for step in case.steps.iter().filter(|step| step.applied) {
            let drawn = MAGNITUDE + MAGNITUDE_STD * step.gauss.unwrap_or(0.0);
            let magnitude = drawn.clamp(0.0, 10.0);
            if step
                .magnitude
                .is_some_and(|given| (given - magnitude).abs() > 1e-9)
            {
                return Err(format!("`{}` is of another magnitude", step.operation));
            }
            let negated = step.negated.unwrap_or(false);
            all.push(Applied::new(
                operation(&step.operation)?,
                magnitude,
                negated,
            ));
        }
        for (image, expected) in case.images.iter().zip(&case.expected) {
            let mut image = stored.image(image)?;
            all.iter().for_each(|applied| applied.apply(&mut image));
            let name = format!("sequences/{expected}");
            pairs.exact(name, stored.get(expected)?.clone(), bytes(&image));
        }
    }
    Ok(())
}

fn bytes(image: &Image) -> Tensor {
    Tensor {
        shape: vec![image.height, image.width, 3],
        values: image.rgb.iter().map(|&b| f64::from(b)).collect(),
    }
}

/// Planes (…, 3, height, width) → rows of pixels, and (width, height).
fn rows(tensor: &Tensor, planes_at: usize) -> Result<(Vec<f32>, (usize, usize)), String> {
    let shape = &tensor.shape;
    let wrong = || format!("expected planes of three channels, found {shape:?}");
    let (&[height, width], channels) = (
        shape.last_chunk::<2>().ok_or_else(wrong)?,
        shape.get(planes_at).ok_or_else(wrong)?,
    );
    let between: usize = shape
        .get(planes_at + 1..)
        .map_or(0, |rest| rest.iter().product());
    if *channels != 3 || between == 0 {
        return Err(wrong());
    }
    let clips = tensor.values.chunks(3 * between);
    let pixels = clips.flat_map(|clip| {
        (0..between)
            .flat_map(move |at| (0..3).map(move |channel| clip[channel * between + at] as f32))
    });
    Ok((pixels.collect(), (width, height)))
}

fn erasing(cases: &[Erased], stored: &Stored, pairs: &mut Pairs) -> Result<(), String> {
    for case in cases {
        let clip = stored.get(&case.clip)?;
        let (mut values, size) = rows(clip, 1)?;
        let found = erased_box(&ERASING, size, &mut given(&case.uniforms));
        let name = &case.expected;
        let is_erased = |erased: bool| numbers(&[usize::from(erased)]);
        pairs.exact(
            format!("erased or not/{name}"),
            is_erased(case.erased),
            is_erased(found.is_some()),
        );
        if let (Some(region), Some(noise), Some([height, width])) =
            (found, &case.noise, case.height_width)
        {
            let box_size = numbers(&[region.height, region.width]);
            pairs.exact(
                format!("erased boxes/{name}"),
                numbers(&[height, width]),
                box_size,
            );
            let (noise, _) = rows(stored.get(noise)?, 1)?;
            let mut noise = noise.into_iter();
            for frame in values.chunks_exact_mut(size.0 * size.1 * 3) {
                fill_box(frame, size.0, region, &mut || noise.next().unwrap_or(0.0));
            }
        }
        let frames: Vec<f64> = values
            .chunks_exact(size.0 * size.1 * 3)
            .flat_map(|frame| planes(frame, size).values)
            .collect();
        let computed = Tensor {
            shape: clip.shape.clone(),
            values: frames,
        };
        pairs.exact(
            format!("erased clips/{name}"),
            stored.get(name)?.clone(),
            computed,
        );
    }
    Ok(())
}

fn mixing(cases: &[Mix], stored: &Stored, pairs: &mut Pairs) -> Result<(), String> {
    for case in cases {
        let batch = stored.get(&case.batch)?;
        let (mut values, size) = rows(batch, 1)?;
        let name = &case.expected;
        let clips = case.labels.len();
        let legal = (0.0..=1.0).contains(&case.beta) && (0.0..1.0).contains(&case.smoothing);
        if clips == 0
            || batch.shape[0] != clips
            || !(1..=MAX_SIDE).contains(&case.classes)
            || !legal
        {
            return Err(format!("{name}: the case does not fit its batch"));
        }
        let mixed = match (&case.kind, case.centre_y_x) {
            (Kind::Mixup, _) => Mixed::blended(case.beta),
            (Kind::Cutmix, Some((y, x))) if x < size.0 && y < size.1 => {
                Mixed::pasted(size, case.beta, (x, y))
            }
            (Kind::Cutmix, _) => return Err(format!("{name}: the centre is not in the image")),
        };
        if let (Some(expected), Some(region)) = (case.box_y0_y1_x0_x1, mixed.region()) {
            let Region {
                x,
                y,
                width,
                height,
            } = region;
            let found = [y, y + height, x, x + width];
            pairs.exact(
                format!("mixed boxes/{name}"),
                numbers(&expected),
                numbers(&found),
            );
        }
        if let Some(expected) = case.lam_corrected {
            let (expected, found) = (Tensor::scalar(expected), Tensor::scalar(mixed.proportion()));
            pairs.near(format!("proportions/{name}"), expected, found);
        }
        let clip = values.len() / clips;
        mixed.apply(&mut values, clip, size);
        let planes: Vec<f64> = values
            .chunks(clip)
            .flat_map(|clip| (0..3).flat_map(|c| clip.iter().skip(c).step_by(3)))
            .map(|&value| f64::from(value))
            .collect();
        let computed = Tensor {
            shape: batch.shape.clone(),
            values: planes,
        };
        pairs.near(
            format!("mixed clips/{name}"),
            stored.get(name)?.clone(),
            computed,
        );
        let expected = stored.get(&case.targets)?.clone();
        if expected.shape != [clips, case.classes] {
            return Err(format!("{name}: the targets have another shape"));
        }
        let targets = soft(&case.labels, case.classes, case.smoothing, Some(&mixed));
        let targets = Tensor::new(vec![clips, case.classes], &targets);
        pairs.near(format!("targets/{}", case.targets), expected, targets);
    }
    Ok(())
}

fn frames(indices: &Indices, pairs: &mut Pairs) -> Result<(), String> {
    for (key, expected) in &indices.train {
        let (frames, length, _) = frames_and_length(key)?;
        let found = segment_bounds(length, frames).into_iter();
        let found: Vec<_> = found.map(|(first, last)| (first + 1, last + 1)).collect();
        pairs.exact(
            format!("training intervals/{key}"),
            flat(expected),
            flat(&found),
        );
    }
    for (key, expected) in &indices.test {
        let (frames, length, rest) = frames_and_length(key)?;
        let view = rest.and_then(view_of);
        let view = view.ok_or_else(|| format!("`{key}` is not frames/length/view of views"))?;
        let found = segment_inclusive_view(length, frames, view).into_iter();
        let found: Vec<_> = found.map(|index| index + 1).collect();
        pairs.exact(
            format!("test frames/{key}"),
            numbers(expected),
            numbers(&found),
        );
    }
    Ok(())
}
