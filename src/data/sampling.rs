//! Which frames of a video a clip consists of.
//!
//! Every function is pure: (number of frames in the video, frames of the clip, rule, random stream) → indices from 0.
//! Indices are in range and ascending, except that [`dense`] starts again at the first frame when the video ends.
//! The rules are those of the official loaders of TSM, FFN, SlowFast and UniFormer, by behaviour.

use crate::base::rng::{Purpose, Stream};
use crate::spec::{BranchFrames, EvalSampling, ShortVideos, TrainClips, TrainSampling};

/// The centre of each of `frames` equal segments: ⌊tick/2 + tick·i⌋ with tick = `frame_count / frames`.
///
/// Under [`ShortVideos::FirstFrame`] a video with at most `frames` frames gives its first frame throughout.
pub fn segment_centres(frame_count: usize, frames: usize, rule: ShortVideos) -> Vec<usize> {
    if frame_count <= frames && rule == ShortVideos::FirstFrame {
        return vec![0; frames];
    }
    let tick = frame_count as f64 / frames as f64;
    (0..frames)
        .map(|i| within(tick / 2.0 + tick * i as f64, frame_count))
        .collect()
}

/// The start of each of `frames` equal segments: ⌊tick·i⌋, the second clip of [`EvalSampling::Twice`].
pub fn segment_starts(frame_count: usize, frames: usize) -> Vec<usize> {
    let tick = frame_count as f64 / frames as f64;
    (0..frames)
        .map(|i| within(tick * i as f64, frame_count))
        .collect()
}

/// One frame at a random offset in each of `frames` segments.
///
/// With d = ⌊frame_count / frames⌋ > 0 the index is d·i + below(d), so the last `frame_count mod frames` frames are
/// never drawn. A shorter video follows `rule`: its first frame throughout, or an offset within each fraction of a frame.
pub fn segment_random(
    frame_count: usize,
    frames: usize,
    rule: ShortVideos,
    stream: &mut Stream,
) -> Vec<usize> {
    let length = frame_count / frames.max(1);
    let mut below = |bound: usize| stream.below(bound as u64) as usize;
    if length > 0 {
        return (0..frames).map(|i| length * i + below(length)).collect();
    }
    match rule {
        ShortVideos::FirstFrame => vec![0; frames],
        ShortVideos::Repeat => (0..frames)
            .map(|i| (frame_count * i + below(frame_count)) / frames)
            .collect(),
    }
}

/// The first and the last frame that may be drawn from each of `frames` segments of q = (frame_count − 1) / frames: those
/// nearest to q·i and q·(i + 1), halves to even. Neighbours share an end.
pub fn segment_bounds(frame_count: usize, frames: usize) -> Vec<(usize, usize)> {
    let length = frame_count.saturating_sub(1) as f64 / frames as f64;
    let end = |i: usize| within((length * i as f64).round_ties_even(), frame_count);
    (0..frames).map(|i| (end(i), end(i + 1))).collect()
}

/// One frame from each of [`segment_bounds`], both ends included.
pub fn segment_inclusive(frame_count: usize, frames: usize, stream: &mut Stream) -> Vec<usize> {
    segment_bounds(frame_count, frames)
        .into_iter()
        .map(|(first, last)| first + stream.below((last - first) as u64 + 1) as usize)
        .collect()
}

/// Of each of [`segment_bounds`] the first frame and ⌊q·(clip + 1)/(clips + 1)⌋ more.
pub fn segment_inclusive_view(
    frame_count: usize,
    frames: usize,
    (clip, clips): (usize, usize),
) -> Vec<usize> {
    let length = frame_count.saturating_sub(1) as f64 / frames as f64;
    let more = (length * (clip + 1) as f64 / (clips + 1) as f64) as usize;
    segment_bounds(frame_count, frames)
        .into_iter()
        .map(|(first, _)| (first + more).min(frame_count.saturating_sub(1)))
        .collect()
}

/// `frames` frames, the first at `start` and the last at `start + rate·frames − 1`, evenly between and truncated; behind the
/// video's end its last one.
pub fn at_rate(frame_count: usize, frames: usize, rate: usize, start: f64) -> Vec<usize> {
    let last = (rate * frames).saturating_sub(1) as f64;
    let step = last / frames.saturating_sub(1).max(1) as f64;
    (0..frames)
        .map(|i| within(start + step * i as f64, frame_count))
        .collect()
}

/// `frames` frames at stride ⌊window / frames⌋ from `start`, modulo the number of frames.
pub fn dense(frame_count: usize, frames: usize, window: usize, start: usize) -> Vec<usize> {
    let stride = window / frames.max(1);
    (0..frames)
        .map(|i| (start + stride * i) % frame_count.max(1))
        .collect()
}

/// What a training clip's frames are drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    pub seed: u64,
    pub epoch: u64,
    /// Position of the sample in the training list.
    pub sample: u64,
}

impl Draw {
    /// What is drawn for one of the clips that are made of the video. The first has the stream that it has alone.
    pub fn of_copy(self, purpose: Purpose, copy: u64) -> Stream {
        let parts = [self.epoch, self.sample, copy];
        let parts = if copy == 0 { &parts[..2] } else { &parts[..] };
        Stream::new(self.seed, purpose, parts)
    }

    /// The stream of a branch of `frames` frames; 0 where the branches share their draw.
    fn stream(self, frames: usize) -> Stream {
        let parts = [self.epoch, self.sample, frames as u64];
        Stream::new(self.seed, Purpose::Frames, &parts)
    }
}

/// The frames of a training clip for each of the ascending frame counts `branches`.
pub fn training(
    frame_count: usize,
    branches: &[usize],
    clips: &TrainClips,
    draw: Draw,
) -> Vec<Vec<usize>> {
    match (clips.branches, branches.last()) {
        (BranchFrames::Synchronized, Some(&largest)) => {
            let all = draw_training(frame_count, largest, clips, &mut draw.stream(0));
            branches.iter().map(|&frames| thin(&all, frames)).collect()
        }
        _ => branches
            .iter()
            .map(|&frames| draw_training(frame_count, frames, clips, &mut draw.stream(frames)))
            .collect(),
    }
}

fn draw_training(
    frame_count: usize,
    frames: usize,
    clips: &TrainClips,
    stream: &mut Stream,
) -> Vec<usize> {
    match clips.sampling {
        TrainSampling::SegmentRandom => {
            segment_random(frame_count, frames, clips.short_videos, stream)
        }
        TrainSampling::SegmentCentre => segment_centres(frame_count, frames, clips.short_videos),
        TrainSampling::Dense { window } => {
            let starts = frame_count.saturating_sub(window) as u64 + 1;
            dense(frame_count, frames, window, stream.below(starts) as usize)
        }
        TrainSampling::SegmentInclusive => segment_inclusive(frame_count, frames, stream),
        TrainSampling::DenseAtRate { rate } => {
            let last = frame_count.saturating_sub(rate * frames) as f64;
            at_rate(frame_count, frames, rate, last * stream.uniform())
        }
    }
}

/// Of a larger clip's frames those at the centres of `frames` segments.
fn thin(all: &[usize], frames: usize) -> Vec<usize> {
    segment_centres(all.len(), frames, ShortVideos::Repeat)
        .into_iter()
        .map(|position| all[position])
        .collect()
}

/// The clips of an evaluation at `frames` frames.
///
/// `Twice` takes the segment formulas as they are for short videos too, as the official code does.
pub fn evaluation(
    frame_count: usize,
    frames: usize,
    sampling: EvalSampling,
    rule: ShortVideos,
) -> Vec<Vec<usize>> {
    match sampling {
        EvalSampling::Centre => vec![segment_centres(frame_count, frames, rule)],
        EvalSampling::Twice => vec![
            segment_centres(frame_count, frames, ShortVideos::Repeat),
            segment_starts(frame_count, frames),
        ],
        EvalSampling::Dense { window, clips } => {
            let last = frame_count.saturating_sub(window) as f64;
            let step = last / clips.saturating_sub(1).max(1) as f64;
            (0..clips)
                .map(|i| dense(frame_count, frames, window, (step * i as f64) as usize))
                .collect()
        }
        EvalSampling::SegmentInclusive { clips } => (0..clips)
            .map(|clip| segment_inclusive_view(frame_count, frames, (clip, clips)))
            .collect(),
        EvalSampling::DenseAtRate { rate, clips } => {
            let last = frame_count.saturating_sub(rate * frames) as f64;
            let start = |clip: usize| last * clip as f64 / clips as f64;
            (0..clips)
                .map(|clip| at_rate(frame_count, frames, rate, start(clip)))
                .collect()
        }
    }
}

/// Clips of [`evaluation`].
pub fn evaluation_clips(sampling: EvalSampling) -> usize {
    match sampling {
        EvalSampling::Centre => 1,
        EvalSampling::Twice => 2,
        EvalSampling::Dense { clips, .. }
        | EvalSampling::SegmentInclusive { clips }
        | EvalSampling::DenseAtRate { clips, .. } => clips,
    }
}

/// Truncated to a frame of the video.
fn within(position: f64, frame_count: usize) -> usize {
    (position as usize).min(frame_count.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::network::{Network, experiment, tsm};
    use crate::spec::{Backbone, Method};
    use proptest::prelude::*;

    const REFERENCE: &str = include_str!("../../golden/preprocess/val_indices.json");

    fn clips(
        sampling: TrainSampling,
        branches: BranchFrames,
        short_videos: ShortVideos,
    ) -> TrainClips {
        TrainClips {
            sampling,
            branches,
            short_videos,
            ..experiment(&Network {
                method: Method::Vanilla { frames: 8 },
                model: tsm(Backbone::ResNet18),
                classes: 2,
                size: 48,
                training: None,
            })
            .train
            .clips
        }
    }

    fn any_rule() -> impl Strategy<Value = ShortVideos> {
        prop_oneof![Just(ShortVideos::FirstFrame), Just(ShortVideos::Repeat)]
    }

    fn any_segments() -> impl Strategy<Value = TrainSampling> {
        prop_oneof![
            Just(TrainSampling::SegmentRandom),
            Just(TrainSampling::SegmentCentre),
            Just(TrainSampling::SegmentInclusive),
            (1usize..9).prop_map(|rate| TrainSampling::DenseAtRate { rate }),
        ]
    }

    fn any_branches() -> impl Strategy<Value = Vec<usize>> {
        proptest::collection::btree_set(1usize..40, 1..5).prop_map(|set| set.into_iter().collect())
    }

    fn assert_clip(indices: &[usize], frames: usize, frame_count: usize) {
        assert_eq!(indices.len(), frames);
        assert!(indices.is_sorted(), "{indices:?}");
        assert!(indices.iter().all(|&i| i < frame_count), "{indices:?}");
    }

    #[test]
    fn evaluation_indices_are_the_reference_codes() {
        let reference: serde_json::Value = serde_json::from_str(REFERENCE).unwrap();
        let cases = reference["indices"].as_object().unwrap();
        assert!(cases.len() > 50);
        for (key, expected) in cases {
            let (frames, count) = key.split_once('/').unwrap();
            let found = segment_centres(
                count.parse().unwrap(),
                frames.parse().unwrap(),
                ShortVideos::FirstFrame,
            );
            assert_eq!(serde_json::json!(found), *expected, "{key}");
        }
    }

    #[test]
    fn short_videos_repeat_their_frames_in_order() {
        assert_eq!(
            segment_centres(3, 8, ShortVideos::Repeat),
            [0, 0, 0, 1, 1, 2, 2, 2]
        );
        assert_eq!(segment_centres(3, 8, ShortVideos::FirstFrame), [0; 8]);
    }

    #[test]
    fn dense_clips_wrap_around_and_start_evenly() {
        assert_eq!(dense(20, 4, 64, 0), [0, 16, 12, 8]);
        let sampling = EvalSampling::Dense {
            window: 64,
            clips: 10,
        };
        let found = evaluation(100, 8, sampling, ShortVideos::FirstFrame);
        let starts: Vec<_> = found.iter().map(|clip| clip[0]).collect();
        assert_eq!(starts, [0, 4, 8, 12, 16, 20, 24, 28, 32, 36]);
        assert_eq!(found[9], [36, 44, 52, 60, 68, 76, 84, 92]);
    }

    #[test]
    fn twice_is_centre_and_start() {
        let found = evaluation(16, 4, EvalSampling::Twice, ShortVideos::FirstFrame);
        assert_eq!(found, [[2, 6, 10, 14], [0, 4, 8, 12]]);
    }

    proptest! {
        #[test]
        fn training_indices_are_in_range_and_ascending(
            count in 1usize..300, branches in any_branches(), rule in any_rule(),
            sampling in any_segments(), synchronized: bool, sample: u64,
        ) {
            let relation = if synchronized { BranchFrames::Synchronized } else { BranchFrames::Independent };
            let draw = Draw { seed: 1, epoch: 3, sample };
            let clips = clips(sampling, relation, rule);
            let found = training(count, &branches, &clips, draw);
            prop_assert_eq!(found.len(), branches.len());
            for (indices, &frames) in found.iter().zip(&branches) {
                assert_clip(indices, frames, count);
            }
            prop_assert_eq!(&found, &training(count, &branches, &clips, draw));
        }

        #[test]
        fn synchronized_branches_are_subsets_of_the_largest(
            count in 1usize..300, branches in any_branches(), rule in any_rule(), sample: u64,
        ) {
            let clips = clips(TrainSampling::SegmentRandom, BranchFrames::Synchronized, rule);
            let found = training(count, &branches, &clips, Draw { seed: 1, epoch: 0, sample });
            let largest = found.last().unwrap();
            for indices in &found {
                prop_assert!(indices.iter().all(|i| largest.contains(i)));
            }
        }

        #[test]
        fn random_offsets_stay_in_their_segment(count in 1usize..300, frames in 1usize..40, sample: u64) {
            prop_assume!(count >= frames);
            let mut stream = Stream::new(1, Purpose::Frames, &[sample]);
            let found = segment_random(count, frames, ShortVideos::FirstFrame, &mut stream);
            for (i, index) in found.into_iter().enumerate() {
                prop_assert_eq!(index / (count / frames), i);
            }
        }

        #[test]
        fn evaluation_indices_are_in_range_and_ascending(
            count in 1usize..300, frames in 1usize..40, rule in any_rule(), twice: bool,
        ) {
            let sampling = if twice { EvalSampling::Twice } else { EvalSampling::Centre };
            for indices in evaluation(count, frames, sampling, rule) {
                assert_clip(&indices, frames, count);
            }
        }

        #[test]
        fn dense_indices_are_in_range(
            count in 1usize..300, frames in 1usize..40, window in 1usize..100, clips in 1usize..12,
        ) {
            let sampling = EvalSampling::Dense { window, clips };
            let found = evaluation(count, frames, sampling, ShortVideos::FirstFrame);
            prop_assert_eq!(found.len(), evaluation_clips(sampling));
            prop_assert!(found.iter().flatten().all(|&i| i < count));
        }
    }
}
