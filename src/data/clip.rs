//! One video → what each branch, or each view of an evaluation, sees of it. One decode serves all.

use std::collections::BTreeMap;

use super::augment::Augmentation;
use super::crop;
use super::pixels::Pixels;
use super::sampling::{self, Draw};
use super::transform::{self, Crop, Look};
use super::video::{ClipMemory, Image, Place, Source, Video, VideoError};
use crate::base::limits;
use crate::spec::{Crops, Eval, Train};

/// A training clip.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainClip {
    /// For each branch, ascending: `T × size × size × 3`.
    pub pixels: Vec<Pixels>,
    /// For each branch the frames that were taken.
    pub indices: Vec<Vec<usize>>,
    /// Where it was flipped, the label may be another.
    pub augmentation: Augmentation,
}

/// Draws the frames of a video for each of the ascending frame counts `branches`, and makes of them as many clips as the
/// experiment says, each with a crop, a flip and more of its own.
pub fn train<'a>(
    place: impl Into<Place<'a>>,
    train: &Train,
    branches: &[usize],
    draw: Draw,
) -> Result<Vec<TrainClip>, VideoError> {
    let clips = &train.clips;
    let (video, count) = open(place)?;
    let indices = sampling::training(count, branches, clips, draw);
    let values = clips.erasing.is_some() || train.mixing.is_some();
    let look = Look::new(clips.resize, clips.channels, &clips.normalize, values);
    let mut drawn: Vec<Augmentation> = Vec::new();
    let mut views = Views::of_size(clips.repeats, clips.size, &look);
    views.decode(&video, indices.iter().flatten(), |mut image| {
        let size = (image.width, image.height);
        if drawn.is_empty() {
            let copies = 0..clips.repeats as u64;
            drawn = copies
                .map(|copy| Augmentation::draw(clips, size, draw, copy))
                .collect();
        }
        look.order(&mut image);
        let see = |augmentation: &Augmentation| augmentation.see(&image, &look);
        drawn.iter().map(see).collect()
    })?;
    let mut copies: Vec<TrainClip> = drawn
        .into_iter()
        .map(|augmentation| TrainClip {
            pixels: Vec::with_capacity(branches.len()),
            indices: indices.clone(),
            augmentation,
        })
        .collect();
    for (clip, &frames) in indices.chunks(1).zip(branches) {
        let gathered = views.gather(clip)?.split(views.values * frames);
        for (copy, mut pixels) in copies.iter_mut().zip(gathered) {
            if let (Some(erased), Pixels::Values(values)) = (&copy.augmentation.erased, &mut pixels)
            {
                erased.fill(values, clips.size, frames);
            }
            copy.pixels.push(pixels);
        }
    }
    match copies.is_empty() {
        true => Err(VideoError::NoFrames),
        false => Ok(copies),
    }
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
        Crops::One | Crops::Left | Crops::LeftCentreRight | Crops::Ten => eval.size,
    }
}

/// For each frame count T of `frames`: `views × T × size × size × 3`; the crops of a temporal clip follow one another.
pub fn evaluate<'a>(
    place: impl Into<Place<'a>>,
    eval: &Eval,
    frames: &[usize],
) -> Result<Vec<Pixels>, VideoError> {
    let (video, count) = open(place)?;
    let clips = indices_of(count, eval, frames);
    let size = evaluation_size(eval);
    let look = Look::new(eval.resize(), eval.channels(), &eval.normalize, false);
    let mut views = Views::of_size(crop::evaluation_crop_count(eval.crops), size, &look);
    views.decode(&video, clips.iter().flatten().flatten(), |mut image| {
        look.order(&mut image);
        let whole = (image.width, image.height);
        let scaled = transform::scaled_size(whole, eval.short_side, eval.resize());
        let crops = crop::evaluation_crops(scaled, size, eval.crops);
        let view = |(keep, flip)| look.see(&image, &Crop::of_whole(whole, scaled, keep), flip);
        crops.into_iter().map(view).collect()
    })?;
    clips.iter().map(|clips| views.gather(clips)).collect()
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

fn open<'a>(place: impl Into<Place<'a>>) -> Result<(Video, usize), VideoError> {
    let video = Video::open(place)?;
    match video.frame_count() {
        0 => Err(VideoError::NoFrames),
        count => Ok((video, count)),
    }
}

/// What is seen of a video's frames: only that is kept, and not the decoded frames, which are larger.
struct Views {
    /// Numbers of one view of one image.
    values: usize,
    /// Bytes of all views of one image.
    bytes: usize,
    /// For each frame the place of its image's views: frames that show the same image share them.
    places: BTreeMap<usize, usize>,
    /// For each image its views, the same number of each.
    views: Vec<Vec<Pixels>>,
    held: ClipMemory,
}

impl Views {
    /// `count` squares of `size` pixels of each image.
    fn of_size(count: usize, size: usize, look: &Look) -> Self {
        let values = size.saturating_mul(size).saturating_mul(3);
        Self {
            values,
            bytes: Pixels::memory(look.makes_values(), values).saturating_mul(count),
            places: BTreeMap::new(),
            views: Vec::new(),
            held: ClipMemory::default(),
        }
    }

    fn decode<'a>(
        &mut self,
        video: &Video,
        indices: impl Iterator<Item = &'a usize>,
        mut look: impl FnMut(Image) -> Vec<Pixels>,
    ) -> Result<(), VideoError> {
        let asked: Vec<usize> = indices.copied().collect();
        // What will be gathered in the end.
        self.held.add(self.bytes.saturating_mul(asked.len()))?;
        video.visit(&asked, &mut |shown, image| {
            self.held.add(self.bytes)?;
            // Augmenting and resizing copy what they need of the image, four times at most.
            let needed = self.bytes.saturating_add(4 * image.rgb.len());
            limits::reserved::<u8>(needed, "the views of a frame").map_err(VideoError::memory)?;
            let views = look(image);
            let place = self.views.len();
            self.places
                .extend(shown.iter().map(|index| (*index, place)));
            self.views.push(views);
            Ok(())
        })
    }

    /// The pixels of each clip of frames: view by view, in each its frames one after another.
    fn gather(&self, clips: &[Vec<usize>]) -> Result<Pixels, VideoError> {
        let frames: usize = clips.iter().map(Vec::len).sum();
        let bytes = self.bytes.saturating_mul(frames);
        limits::reserved::<u8>(bytes, "the frames of a clip").map_err(VideoError::memory)?;
        Ok(Pixels::concat(self.of(clips)))
    }

    fn of<'a>(&'a self, clips: &'a [Vec<usize>]) -> impl Iterator<Item = &'a Pixels> + Clone {
        let count = self.views.first().map_or(0, Vec::len);
        let views = clips
            .iter()
            .flat_map(move |clip| (0..count).map(move |view| (clip, view)));
        views.flat_map(move |(clip, view)| {
            clip.iter().filter_map(move |index| {
                let views = self.views.get(*self.places.get(index)?)?;
                views.get(view)
            })
        })
    }
}
