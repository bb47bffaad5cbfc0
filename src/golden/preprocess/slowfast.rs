//! `preprocess_slowfast`: frame indices, and pictures from decoded bytes to what the network sees.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::{
    CASES, Pairs, Stored, TENSORS, flat, frames_and_length, numbers, scaled, seen, square,
};
use crate::base::Result;
use crate::data::crop::evaluation_crops;
use crate::data::sampling::{segment_bounds, segment_inclusive_view};
use crate::data::transform::{Crop, exchange_channels};
use crate::data::video::Image;
use crate::golden::tensors::{self, damaged, read_json};
use crate::ops::slow_frames;
use crate::spec::Crops;

pub const INDICES: &str = "indices.json";

/// Fast frames for each slow one.
const ALPHA: usize = 4;

pub struct Bundle {
    pub(super) pairs: Pairs,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    test: Vec<Test>,
    train: Vec<Train>,
    #[serde(rename = "note")]
    _note: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Test {
    name: String,
    height: usize,
    width: usize,
    size: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Train {
    name: String,
    height: usize,
    width: usize,
    inverse_size: f64,
    size: usize,
    crop: usize,
    y: usize,
    x: usize,
    draw_ranges_half_open: [(usize, usize); 2],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Indices {
    evaluation: BTreeMap<String, Vec<usize>>,
    evaluation_two_views: BTreeMap<String, Vec<Vec<usize>>>,
    /// By what is trained, by the length of the video.
    training_intervals: BTreeMap<String, BTreeMap<String, Vec<(usize, usize)>>>,
    slow_of_fast: BTreeMap<String, Vec<usize>>,
    slow_of_fast_training_ffn: BTreeMap<String, Vec<usize>>,
    #[serde(rename = "note")]
    _note: String,
}

impl Bundle {
    pub fn open(folder: &Path) -> Result<Self> {
        let mut pairs = Pairs::default();
        let path = folder.join(CASES);
        let cases: Cases = read_json(&path)?;
        let mut stored = Stored(tensors::read(&folder.join(TENSORS))?);
        let images = images(&cases, &mut stored, &mut pairs);
        images.map_err(|what| damaged(&path, &what))?;
        let path = folder.join(INDICES);
        let indices: Indices = read_json(&path)?;
        frames(&indices, &mut pairs).map_err(|what| damaged(&path, &what))?;
        Ok(Self { pairs })
    }
}

fn images(cases: &Cases, stored: &mut Stored, pairs: &mut Pairs) -> Result<(), String> {
    for case in &cases.test {
        let image = rgb(stored, &case.name, (case.width, case.height))?;
        let scaled = scaled(&image, case.size)?;
        let whole = (image.width, image.height);
        let crops = evaluation_crops(scaled, case.size, Crops::LeftCentreRight);
        for (number, (keep, _)) in crops.into_iter().enumerate() {
            let name = match number {
                0 => format!("{}.expected", case.name),
                number => format!("{}.expected_{number}", case.name),
            };
            // Of most images there is the first alone.
            if let Ok(expected) = stored.take(&name) {
                let computed = seen(&image, &Crop::of_whole(whole, scaled, keep));
                pairs.near(format!("test crop/{name}"), expected, computed);
            }
        }
    }
    for case in &cases.train {
        let image = rgb(stored, &case.name, (case.width, case.height))?;
        let side = (1.0 / case.inverse_size).round_ties_even() as usize;
        let name = |what: &str| format!("{what}/{}", case.name);
        pairs.exact(
            name("jittered side"),
            numbers(&[case.size]),
            numbers(&[side]),
        );
        let scaled = scaled(&image, case.size)?;
        let keep = square(case.x, case.y, case.crop, scaled)?;
        let ends = [scaled.1, scaled.0].map(|length| (0, length - case.crop));
        pairs.exact(
            name("places"),
            flat(&case.draw_ranges_half_open),
            flat(&ends),
        );
        let whole = (image.width, image.height);
        let computed = seen(&image, &Crop::of_whole(whole, scaled, keep));
        let expected = stored.take(&format!("{}.expected", case.name))?;
        pairs.near(name("training crop"), expected, computed);
    }
    Ok(())
}

/// The network sees red, green, blue; the bytes are as OpenCV decodes them.
fn rgb(stored: &Stored, name: &str, size: (usize, usize)) -> Result<Image, String> {
    let mut image = stored.image(&format!("{name}.image"))?;
    if (image.width, image.height) != size {
        return Err(format!("{name}: the image has another size"));
    }
    exchange_channels(&mut image.rgb);
    Ok(image)
}

fn frames(indices: &Indices, pairs: &mut Pairs) -> Result<(), String> {
    for (key, expected) in &indices.evaluation {
        let (frames, length, _) = frames_and_length(key)?;
        let found = segment_inclusive_view(length, frames, (0, 1));
        let name = format!("evaluation frames/{frames} of {length}");
        pairs.exact(name, numbers(expected), numbers(&found));
    }
    for (key, views) in &indices.evaluation_two_views {
        let (frames, length, _) = frames_and_length(key)?;
        for (view, expected) in views.iter().enumerate() {
            let found = segment_inclusive_view(length, frames, (view, views.len()));
            let name = format!("evaluation frames of views/{frames} of {length}, {view}");
            pairs.exact(name, numbers(expected), numbers(&found));
        }
    }
    for (what, intervals) in &indices.training_intervals {
        // In the order of the draws.
        let branches: &[usize] = match what.as_str() {
            "vanilla_16" => &[16],
            "vanilla_64" => &[64],
            "ffn" => &[64, 16, 32],
            _ => return Err(format!("unknown intervals `{what}`")),
        };
        for (length, expected) in intervals {
            let length = length
                .parse()
                .map_err(|_| format!("`{length}` is no length"))?;
            let found: Vec<_> = branches
                .iter()
                .flat_map(|&frames| segment_bounds(length, frames))
                .collect();
            let name = format!("training intervals/{what}, {length}");
            pairs.exact(name, flat(expected), flat(&found));
        }
    }
    slow(&indices.slow_of_fast, "slow frames", None, pairs)?;
    let joined = &[16, 32, 64];
    slow(
        &indices.slow_of_fast_training_ffn,
        "slow frames of the joined clip",
        Some(joined),
        pairs,
    )
}

fn slow(
    expected: &BTreeMap<String, Vec<usize>>,
    group: &str,
    joined: Option<&[usize]>,
    pairs: &mut Pairs,
) -> Result<(), String> {
    for (key, expected) in expected {
        let (frames, ..) = frames_and_length(&format!("{key}/1"))?;
        if joined.is_some_and(|branches| !branches.contains(&frames)) {
            return Err(format!("no branch has {frames} frames"));
        }
        let found = slow_frames(frames, ALPHA, joined);
        pairs.exact(
            format!("{group}/{frames}"),
            numbers(expected),
            numbers(&found),
        );
    }
    Ok(())
}
