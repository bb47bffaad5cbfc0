//! What a training step sees: which clips, which of their frames, cut out how, and the bytes that come of it.

use super::report::{Difference, Outcome, Stage};
use super::{Halt, Pair, Walk};
use crate::base::Result;
use crate::data::clip::TrainClip;
use crate::data::loader::Prepared;
use crate::data::mixing::soft;
use crate::data::{Pixels, TrainBatch, TrainPlan};
use crate::spec::Normalize;

/// The stages of this page.
pub const STAGES: [Stage; 5] = [
    Stage::SampleOrder,
    Stage::FrameIndices,
    Stage::Augmentation,
    Stage::Pixels,
    Stage::Mixing,
];

/// A clip that was prepared: (id, label, clip).
type Clip<'a> = (&'a str, usize, &'a TrainClip);

/// Prepares and compares a step's clips; the shards of both, or `None` where a video of one side cannot be read.
pub fn walk(
    plans: &Pair<TrainPlan>,
    step: u64,
    walk: &mut Walk,
) -> Result<Option<Pair<Vec<TrainBatch>>>, Halt> {
    let prepared = match plans.as_ref().map(|plan| plan.step(step)).both() {
        Ok(prepared) => prepared,
        Err(error) => {
            walk.skip(&STAGES, &error.message);
            return Ok(None);
        }
    };
    walk.note_step(Some(step), Stage::SampleOrder, order(&prepared))?;
    let clips = prepared.as_ref().map(|shards| clips(shards));
    walk.note_step(Some(step), Stage::FrameIndices, indices(&clips))?;
    walk.note_step(Some(step), Stage::Augmentation, augmentation(&clips))?;
    let normalize = || plans.as_ref().map(TrainPlan::normalize);
    walk.note_step(Some(step), Stage::Pixels, pixels(&clips, normalize()))?;
    let batches = plans.as_ref().zip(prepared).map(|(plan, shards)| {
        let shards = shards.into_iter().enumerate();
        let batch = |(shard, clips)| plan.gather((step, shard), clips);
        shards.map(batch).collect::<Vec<_>>()
    });
    walk.note_step(Some(step), Stage::Mixing, mixing(&batches, normalize()))?;
    Ok(Some(batches))
}

/// Clips that cannot be read take part in the order.
fn order(prepared: &Pair<Vec<Vec<Prepared>>>) -> Outcome {
    let id = |clip: &Prepared| match clip {
        Prepared::Clip { id, .. } => format!("`{id}`"),
        Prepared::Skipped { id, reason } => format!("`{id}`, left out: {reason}"),
    };
    let ids = prepared
        .as_ref()
        .map(|shards| shards.iter().flatten().map(id).collect());
    Outcome::of(first_apart(&ids, "clip"), || {
        let read = clips(&prepared.a).len();
        match ids.a.len() - read {
            0 => format!("{read} clips"),
            left_out => format!("{read} clips; {left_out} more are left out because of damage"),
        }
    })
}

fn clips(shards: &[Vec<Prepared>]) -> Vec<Clip<'_>> {
    let read = shards.iter().flatten().filter_map(|clip| match clip {
        Prepared::Clip { id, label, clip } => Some((id.as_str(), *label, &**clip)),
        Prepared::Skipped { .. } => None,
    });
    read.collect()
}

fn indices(clips: &Pair<Vec<Clip<'_>>>) -> Outcome {
    let mut compared = 0;
    let pairs = clips.a.iter().zip(&clips.b);
    let mut differences = pairs.filter_map(|(a, b)| {
        compared += a.2.indices.len();
        clip_indices(a.0, &a.2.indices, &b.2.indices)
    });
    let first = differences.next();
    Outcome::of(first, || {
        format!("{compared} draws of {} clips", clips.a.len())
    })
}

/// The first branch of a clip whose frames differ.
fn clip_indices(id: &str, a: &[Vec<usize>], b: &[Vec<usize>]) -> Option<Difference> {
    let branches = |all: &[Vec<usize>]| -> Vec<usize> { all.iter().map(Vec::len).collect() };
    if branches(a) != branches(b) {
        let (a, b) = (format!("{:?}", branches(a)), format!("{:?}", branches(b)));
        return Some(Difference::new("frame counts of the branches", a, b));
    }
    let (a, b) = a.iter().zip(b).find(|(a, b)| a != b)?;
    let place = format!("clip `{id}`, branch of {} frames", a.len());
    Some(Difference::new(
        place,
        format!("frames {a:?}"),
        format!("frames {b:?}"),
    ))
}

fn augmentation(clips: &Pair<Vec<Clip<'_>>>) -> Outcome {
    let drawn = |all: &Vec<Clip<'_>>| -> Vec<String> {
        let drawn = all.iter();
        drawn
            .map(|(id, label, clip)| format!("`{id}`: {}, label {label}", clip.augmentation))
            .collect()
    };
    let drawn = clips.as_ref().map(drawn);
    Outcome::of(first_apart(&drawn, "clip"), || {
        format!("crop, flip and label of {} clips", drawn.a.len())
    })
}

fn pixels(clips: &Pair<Vec<Clip<'_>>>, normalize: Pair<&Normalize>) -> Outcome {
    let mut compared = 0;
    let pairs = clips.a.iter().zip(&clips.b);
    let mut differences = pairs.filter_map(|(a, b)| {
        compared += a.2.pixels.iter().map(Pixels::len).sum::<usize>();
        let branches = a.2.pixels.iter().zip(&b.2.pixels).zip(&a.2.indices);
        let mut parted = branches.filter_map(|((one, other), frames)| match (one, other) {
            (Pixels::Bytes(_), Pixels::Bytes(_)) | (Pixels::Values(_), Pixels::Values(_)) => {
                pixels_apart(a.0, one, other, frames)
            }
            // One side needs values where the other has bytes: what the network reads of both.
            _ => {
                let [one, other] = [one.values(normalize.a), other.values(normalize.b)];
                apart(a.0, (&one, &other), "values", frames)
            }
        });
        parted.next()
    });
    let first = differences.next();
    Outcome::of(first, || {
        let all = clips.a.iter().flat_map(|clip| &clip.2.pixels);
        format!("{compared} {}", kind(all))
    })
}

/// What pixels are, in the plural.
pub fn kind<'a>(mut pixels: impl Iterator<Item = &'a Pixels>) -> &'static str {
    match pixels.next() {
        Some(Pixels::Values(_)) => "values",
        Some(Pixels::Bytes(_)) | None => "bytes",
    }
}

/// What the clips of the step are taken for once they are mixed with one another.
fn mixing(shards: &Pair<Vec<TrainBatch>>, normalize: Pair<&Normalize>) -> Outcome {
    // A label is a target of its class alone, where the other side has targets.
    let classes = shards.a.iter().chain(&shards.b).find_map(|batch| {
        let targets = batch.targets.as_ref()?;
        Some((targets.len() / batch.labels.len().max(1)).max(1))
    });
    let of_shard = |batch: &TrainBatch| -> Vec<String> {
        match (&batch.targets, classes) {
            (Some(targets), Some(classes)) => {
                let rows = targets.chunks(classes);
                rows.map(|row| format!("{row:?}")).collect()
            }
            (None, Some(classes)) => {
                let rows = soft(&batch.labels, classes, 0.0, None);
                let rows = rows.chunks(classes);
                rows.map(|row| format!("{row:?}")).collect()
            }
            (_, None) => batch
                .labels
                .iter()
                .map(|label| format!("label {label}"))
                .collect(),
        }
    };
    let shown = |shards: &Vec<TrainBatch>| shards.iter().flat_map(of_shard).collect();
    let targets = shards.as_ref().map(shown);
    let of_shards = |(shards, normalize): (&Vec<TrainBatch>, &Normalize)| -> Vec<Vec<f32>> {
        let values = shards.iter().map(|batch| batch.pixels.values(normalize));
        values.collect()
    };
    // Passes of other sizes have their clips in another order.
    let alike = shards.a.len() == shards.b.len();
    let mixed = || shards.as_ref().zip(normalize).map(of_shards);
    let first = first_apart(&targets, "clip").or_else(|| {
        let mixed = alike.then(mixed)?;
        let apart = mixed.a != mixed.b;
        apart.then(|| Difference::new("pixels after mixing", "those of a", "others"))
    });
    Outcome::of(first, || format!("targets of {} clips", targets.a.len()))
}

/// The first byte or value that differs of a clip.
pub fn pixels_apart(id: &str, a: &Pixels, b: &Pixels, frames: &[usize]) -> Option<Difference> {
    match (a, b) {
        (Pixels::Bytes(a), Pixels::Bytes(b)) => apart(id, (a, b), "bytes", frames),
        (Pixels::Values(a), Pixels::Values(b)) => apart(id, (a, b), "values", frames),
        _ => {
            let place = format!("clip `{id}`, {} frames", frames.len());
            let what = |pixels: &Pixels| format!("{} {}", pixels.len(), kind([pixels].into_iter()));
            Some(Difference::new(place, what(a), what(b)))
        }
    }
}

/// The first that differs of a clip: `frames` equally many, rows of red, green, blue.
fn apart<T: PartialEq + Copy + Default + std::fmt::Display>(
    id: &str,
    (a, b): (&[T], &[T]),
    what: &str,
    frames: &[usize],
) -> Option<Difference> {
    if a.len() != b.len() {
        let place = format!("clip `{id}`, {} frames", frames.len());
        let (a, b) = (format!("{} {what}", a.len()), format!("{} {what}", b.len()));
        return Some(Difference::new(place, a, b));
    }
    let first = a.iter().zip(b).position(|(a, b)| a != b)?;
    let differing = a.iter().zip(b).filter(|(a, b)| a != b).count();
    let of_frame = (a.len() / frames.len().max(1)).max(1);
    let frame = frames.get(first / of_frame).copied().unwrap_or_default();
    let channel = ["red", "green", "blue"][first % 3];
    let pixel = first % of_frame / 3;
    let place = format!(
        "clip `{id}` at {} frames: frame {frame} of the video, {channel} of pixel {pixel}",
        frames.len()
    );
    let value = |all: &[T]| all.get(first).copied().unwrap_or_default().to_string();
    let difference = Difference::new(place, value(a), value(b));
    Some(difference.note(format!("{differing} of {} {what} differ", a.len())))
}

/// The first place where two lists part.
pub fn first_apart(lists: &Pair<Vec<String>>, what: &str) -> Option<Difference> {
    let place = (0..lists.a.len().max(lists.b.len()))
        .find(|&place| lists.a.get(place) != lists.b.get(place))?;
    let shown = |list: &Vec<String>| match list.get(place) {
        Some(item) => item.clone(),
        None => format!("none: there are {}", list.len()),
    };
    let Pair { a, b } = lists.as_ref().map(shown);
    Some(Difference::new(format!("{what} {place}"), a, b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_part_at_the_first_item_or_at_the_end_of_the_shorter() {
        let list = |items: &[&str]| items.iter().map(|i| i.to_string()).collect::<Vec<_>>();
        let apart = |a: &[&str], b: &[&str]| {
            let lists = Pair::new(list(a), list(b));
            first_apart(&lists, "clip").map(|d| (d.place, d.a, d.b))
        };
        let three = |place: &str, a: &str, b: &str| Some((place.into(), a.into(), b.into()));
        assert_eq!(apart(&["x", "y"], &["x", "y"]), None);
        assert_eq!(apart(&["x", "y"], &["x", "z"]), three("clip 1", "y", "z"));
        assert_eq!(
            apart(&["x"], &["x", "z"]),
            three("clip 1", "none: there are 1", "z")
        );
    }

    #[test]
    fn a_byte_is_told_by_frame_and_pixel() {
        // Two frames of 2×2 pixels.
        let a = [0; 24];
        let mut b = a;
        b[12 + 4] = 9;
        let found = apart("7", (&a, &b), "bytes", &[3, 8]).unwrap();
        assert_eq!(
            found.place,
            "clip `7` at 2 frames: frame 8 of the video, green of pixel 1"
        );
        assert_eq!((found.a.as_str(), found.b.as_str()), ("0", "9"));
        assert_eq!(apart("7", (&a, &a), "bytes", &[3, 8]), None);
    }
}
