//! One video → what each branch, or each view of an evaluation, sees of it. One decode serves all.

use std::sync::Arc;

use super::augment::Augmentation;
use super::sampling::{self, Draw};
use super::video::{Picture, Source, Video, VideoError};
use super::{crop, transform};
use crate::base::rng::{Purpose, Stream};
use crate::spec::{Crops, Eval, TrainClips};

/// A training clip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainClip {
    /// For each branch, ascending: `T × size × size × 3` bytes.
    pub pixels: Vec<Vec<u8>>,
    /// For each branch the frames that were taken.
    pub indices: Vec<Vec<usize>>,
    /// Where it was flipped, the label may be another.
    pub augmentation: Augmentation,
}

/// Draws frames, crop and flip of a video for each of the ascending frame counts `branches`.
pub fn train(
    source: &Source,
    clips: &TrainClips,
    branches: &[usize],
    draw: Draw,
) -> Result<TrainClip, VideoError> {
    let (video, count) = open(source)?;
    let indices = sampling::training(count, branches, clips, draw);
    let frames = Frames::decode(video, indices.iter().flatten())?;
    let mut stream = Stream::new(draw.seed, Purpose::Augment, &[draw.epoch, draw.sample]);
    let augmentation = Augmentation::draw(clips, frames.size(), &mut stream);
    let views = frames.map(|picture| augmentation.apply(picture));
    Ok(TrainClip {
        pixels: indices.iter().map(|clip| views.gather(clip)).collect(),
        indices,
        augmentation,
    })
}

/// Views of a video in evaluation: temporal clips × crops.
pub fn evaluation_views(eval: &Eval) -> usize {
    sampling::evaluation_clips(eval.sampling) * crop::evaluation_crop_count(eval.crops)
}

/// Clips of one forward pass in evaluation: as many as `eval.batch` holds with all their views, and at least one.
pub fn evaluation_batch(eval: &Eval) -> usize {
    (eval.batch / evaluation_views(eval).max(1)).max(1)
}

/// Height and width of a view in evaluation: three crops are of the full shorter side.
pub fn evaluation_size(eval: &Eval) -> usize {
    match eval.crops {
        Crops::Three => eval.short_side,
        Crops::One | Crops::Ten => eval.size,
    }
}

/// For each frame count T of `frames`: `views × T × size × size × 3` bytes; the crops of a temporal clip follow one another.
pub fn evaluate(
    source: &Source,
    eval: &Eval,
    frames: &[usize],
) -> Result<Vec<Vec<u8>>, VideoError> {
    let (video, count) = open(source)?;
    let clips = indices_of(count, eval, frames);
    let frames = Frames::decode(video, clips.iter().flatten().flatten())?;
    let scaled = transform::scaled_size(frames.size(), eval.short_side);
    let crops: Vec<Frames> = crop::evaluation_crops(scaled, evaluation_size(eval), eval.crops)
        .into_iter()
        .map(|(keep, flip)| frames.map(|picture| transform::view(picture, scaled, keep, flip)))
        .collect();
    let views = |clips: &Vec<Vec<usize>>| {
        let pairs = clips
            .iter()
            .flat_map(|clip| crops.iter().map(move |crop| crop.gather(clip)));
        pairs.collect::<Vec<_>>().concat()
    };
    Ok(clips.iter().map(views).collect())
}

/// For each frame count T of `frames` the frames of each temporal clip that [`evaluate`] takes.
pub fn evaluation_indices(
    source: &Source,
    eval: &Eval,
    frames: &[usize],
) -> Result<Vec<Vec<Vec<usize>>>, VideoError> {
    let (_, count) = open(source)?;
    Ok(indices_of(count, eval, frames))
}

fn indices_of(frame_count: usize, eval: &Eval, frames: &[usize]) -> Vec<Vec<Vec<usize>>> {
    let clips =
        |&frames| sampling::evaluation(frame_count, frames, eval.sampling, eval.short_videos);
    frames.iter().map(clips).collect()
}

fn open(source: &Source) -> Result<(Video, usize), VideoError> {
    let video = Video::open(source)?;
    match video.frame_count() {
        0 => Err(VideoError::NoFrames),
        count => Ok((video, count)),
    }
}

/// Pictures by frame index: each index once, ascending, at least one.
struct Frames {
    indices: Vec<usize>,
    pictures: Vec<Arc<Picture>>,
}

impl Frames {
    fn decode<'a>(
        mut video: Video,
        indices: impl Iterator<Item = &'a usize>,
    ) -> Result<Self, VideoError> {
        let mut indices: Vec<usize> = indices.copied().collect();
        indices.sort_unstable();
        indices.dedup();
        let pictures = video.frames(&indices)?;
        match pictures.is_empty() {
            true => Err(VideoError::NoFrames),
            false => Ok(Self { indices, pictures }),
        }
    }

    /// Width and height; a video's pictures are of one size.
    fn size(&self) -> (usize, usize) {
        let picture = &self.pictures[0];
        (picture.width, picture.height)
    }

    fn map(&self, change: impl Fn(&Picture) -> Picture) -> Self {
        Self {
            indices: self.indices.clone(),
            pictures: self.pictures.iter().map(|p| Arc::new(change(p))).collect(),
        }
    }

    /// The bytes of the frames `clip`, one after another.
    fn gather(&self, clip: &[usize]) -> Vec<u8> {
        let picture = |index| {
            let place = self.indices.binary_search(index).ok()?;
            Some(self.pictures[place].rgb.as_slice())
        };
        clip.iter().filter_map(picture).collect::<Vec<_>>().concat()
    }
}
