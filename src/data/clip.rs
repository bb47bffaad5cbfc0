//! One video → what each branch, or each view of an evaluation, sees of it. One decode serves all.

use std::collections::BTreeMap;

use super::augment::Augmentation;
use super::sampling::{self, Draw};
use super::video::{ClipMemory, Image, Source, Video, VideoError};
use super::{crop, transform};
use crate::base::limits;
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
    let mut drawn = None;
    let mut views = Views::of_size(1, clips.size);
    views.decode(&video, indices.iter().flatten(), |image| {
        let size = (image.width, image.height);
        let augmentation = drawn.get_or_insert_with(|| {
            let mut stream = Stream::new(draw.seed, Purpose::Augment, &[draw.epoch, draw.sample]);
            Augmentation::draw(clips, size, &mut stream)
        });
        vec![augmentation.apply(image)]
    })?;
    let pixels: Result<_, _> = indices.chunks(1).map(|clip| views.gather(clip)).collect();
    Ok(TrainClip {
        pixels: pixels?,
        indices,
        augmentation: drawn.ok_or(VideoError::NoFrames)?,
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
    let size = evaluation_size(eval);
    let mut views = Views::of_size(crop::evaluation_crop_count(eval.crops), size);
    views.decode(&video, clips.iter().flatten().flatten(), |image| {
        let scaled = transform::scaled_size((image.width, image.height), eval.short_side);
        let crops = crop::evaluation_crops(scaled, size, eval.crops);
        let view = |(keep, flip)| transform::view(image, scaled, keep, flip);
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

fn open(source: &Source) -> Result<(Video, usize), VideoError> {
    let video = Video::open(source)?;
    match video.frame_count() {
        0 => Err(VideoError::NoFrames),
        count => Ok((video, count)),
    }
}

/// What is seen of a video's frames: only that is kept, and not the decoded frames, which are larger.
struct Views {
    /// Of one image's views.
    bytes: usize,
    /// For each frame the place of its image's views: frames that show the same image share them.
    places: BTreeMap<usize, usize>,
    /// For each image its views, the same number of each.
    views: Vec<Vec<Image>>,
    held: ClipMemory,
}

impl Views {
    /// `count` squares of `size` pixels of each image.
    fn of_size(count: usize, size: usize) -> Self {
        Self {
            bytes: [size, size, 3]
                .into_iter()
                .fold(count, usize::saturating_mul),
            places: BTreeMap::new(),
            views: Vec::new(),
            held: ClipMemory::default(),
        }
    }

    fn decode<'a>(
        &mut self,
        video: &Video,
        indices: impl Iterator<Item = &'a usize>,
        mut look: impl FnMut(&Image) -> Vec<Image>,
    ) -> Result<(), VideoError> {
        let asked: Vec<usize> = indices.copied().collect();
        // What will be gathered in the end.
        self.held.add(self.bytes.saturating_mul(asked.len()))?;
        video.visit(&asked, &mut |shown, image| {
            self.held.add(self.bytes)?;
            // Resizing copies what it needs of the image, twice at most.
            let needed = self.bytes.saturating_add(2 * image.rgb.len());
            limits::reserved::<u8>(needed, "the views of a frame").map_err(VideoError::memory)?;
            let views = look(&image);
            let place = self.views.len();
            self.places
                .extend(shown.iter().map(|index| (*index, place)));
            self.views.push(views);
            Ok(())
        })
    }

    /// The bytes of each clip of frames: view by view, in each its frames one after another.
    fn gather(&self, clips: &[Vec<usize>]) -> Result<Vec<u8>, VideoError> {
        let bytes = self.of(clips).map(<[u8]>::len).sum();
        let mut gathered =
            limits::reserved(bytes, "the frames of a clip").map_err(VideoError::memory)?;
        self.of(clips)
            .for_each(|view| gathered.extend_from_slice(view));
        Ok(gathered)
    }

    fn of<'a>(&'a self, clips: &'a [Vec<usize>]) -> impl Iterator<Item = &'a [u8]> {
        let count = self.views.first().map_or(0, Vec::len);
        let views = clips
            .iter()
            .flat_map(move |clip| (0..count).map(move |view| (clip, view)));
        views.flat_map(move |(clip, view)| {
            clip.iter().filter_map(move |index| {
                let views = self.views.get(*self.places.get(index)?)?;
                views.get(view).map(|view| view.rgb.as_slice())
            })
        })
    }
}
