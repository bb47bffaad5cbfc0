//! What is in a data set: clips of each class, lengths, sizes, and what cannot be read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::Serialize;

use super::dataset::{Dataset, Sample, Split};
use super::listing::clips_of_classes;
use super::look::{self, Surplus};
use super::video::{self, Place, Source, Video, VideoError};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// In label order.
    pub classes: Vec<ClassStats>,
    pub train: SplitStats,
    pub validation: SplitStats,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClassStats {
    pub name: String,
    pub train: usize,
    pub validation: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SplitStats {
    pub clips: usize,
    /// Frames of the shortest, the median and the longest clip that can be read; `None` where there is none.
    pub frames: Option<FrameStats>,
    /// Clips of each size, the most frequent first.
    pub sizes: Vec<SizeStats>,
    /// For each frame count that the experiment uses: clips with fewer frames.
    pub shorter: Vec<ShorterStats>,
    pub unreadable: Vec<Unreadable>,
    /// Frame folders that hold more images than their list says.
    pub surplus: Vec<Surplus>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FrameStats {
    pub min: usize,
    pub median: usize,
    pub max: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SizeStats {
    pub width: usize,
    pub height: usize,
    pub clips: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ShorterStats {
    pub frames: usize,
    pub clips: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    pub id: String,
    pub reason: String,
}

/// Opens every video and decodes its first frame. `frames`: the frame counts of interest; `progress(done, total)`.
pub fn of_dataset(
    dataset: &Dataset,
    frames: &[usize],
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Stats {
    let total = dataset.train.len() + dataset.validation.len();
    let done = AtomicUsize::new(0);
    let look = |source: Place<'_>| {
        let found = measure(source);
        progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
        found
    };
    let split = |split| {
        let samples = dataset.split(split);
        let groups = samples.par_chunks(dataset.together());
        let found = groups.flat_map_iter(|samples| {
            let sources: Vec<&Source> = samples.iter().map(|sample| &sample.source).collect();
            video::together(&sources, |_, source| look(source))
        });
        let found: Vec<_> = found.collect();
        SplitStats {
            surplus: look::surplus_of(split, samples),
            ..SplitStats::of(samples, found, frames)
        }
    };
    let [train, validation] = [&dataset.train, &dataset.validation].map(|s| clips_of_classes(s));
    let clips_of = |clips: &BTreeMap<usize, usize>, label| clips.get(&label).copied().unwrap_or(0);
    let class = |(label, name): (usize, &String)| ClassStats {
        name: name.clone(),
        train: clips_of(&train, label),
        validation: clips_of(&validation, label),
    };
    Stats {
        classes: dataset.classes.iter().enumerate().map(class).collect(),
        train: split(Split::Train),
        validation: split(Split::Validation),
    }
}

/// Frames, and width and height of the first.
type Measured = (usize, (usize, usize));

fn measure(source: Place<'_>) -> Result<Measured, VideoError> {
    let video = Video::open(source)?;
    let first = video.frames(&[0])?;
    let image = first.first().ok_or(VideoError::NoFrames)?;
    Ok((video.frame_count(), (image.width, image.height)))
}

impl SplitStats {
    fn of(samples: &[Sample], found: Vec<Result<Measured, VideoError>>, frames: &[usize]) -> Self {
        let (mut lengths, mut sizes) = (Vec::new(), BTreeMap::<(usize, usize), usize>::new());
        let mut unreadable = Vec::new();
        for (sample, found) in samples.iter().zip(found) {
            match found {
                Ok((length, size)) => {
                    lengths.push(length);
                    *sizes.entry(size).or_default() += 1;
                }
                Err(error) => unreadable.push(Unreadable {
                    id: sample.id.clone(),
                    reason: error.to_string(),
                }),
            }
        }
        lengths.sort_unstable();
        let mut sizes: Vec<SizeStats> = sizes
            .into_iter()
            .map(|((width, height), clips)| SizeStats {
                width,
                height,
                clips,
            })
            .collect();
        sizes.sort_by_key(|size| std::cmp::Reverse(size.clips));
        let shorter = |&frames: &usize| ShorterStats {
            frames,
            clips: lengths.partition_point(|length| *length < frames),
        };
        Self {
            clips: samples.len(),
            frames: frame_stats(&lengths),
            sizes,
            shorter: frames.iter().map(shorter).collect(),
            unreadable,
            surplus: Vec::new(),
        }
    }
}

/// Of ascending lengths; the median of an even number is the lower of the two in the middle.
pub fn frame_stats(lengths: &[usize]) -> Option<FrameStats> {
    Some(FrameStats {
        min: *lengths.first()?,
        median: *lengths.get((lengths.len() - 1) / 2)?,
        max: *lengths.last()?,
    })
}
