//! The ragged batch: clips of all branches as one row of frames, and what of them belongs together.

use std::ops::Range;

use crate::base::{Error, Kind, Result};
use crate::graph::Graph;
use crate::spec::{Experiment, FrozenNorms, Method, ShiftSegments};

/// Clips of one branch within the ragged batch; segments follow one another in the batch's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Segment {
    /// Index into [`crate::graph::Graph::branches`].
    pub branch: usize,
    pub frames: usize,
    pub clips: usize,
}

/// What a training program needs to know besides the graph.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainOptions {
    pub shift_segments: ShiftSegments,
    pub norm_clips: Option<usize>,
    pub frozen_norms: FrozenNorms,
    pub dropout: f32,
}

impl TrainOptions {
    /// A pass that differs from evaluation in its norms alone, which take the statistics of the batch.
    pub const BATCH_STATISTICS: Self = Self {
        shift_segments: ShiftSegments::PerBranch,
        norm_clips: None,
        frozen_norms: FrozenNorms::Off,
        dropout: 0.0,
    };

    /// Those of an experiment.
    pub fn of(experiment: &Experiment) -> Self {
        Self {
            shift_segments: match &experiment.method {
                Method::Vanilla { .. } => ShiftSegments::PerBranch,
                Method::Ffn(ffn) => ffn.shift_segments,
            },
            norm_clips: experiment.train.norm_clips,
            frozen_norms: experiment.train.frozen_norms,
            dropout: experiment.model.dropout() as f32,
        }
    }
}

/// A training batch: `clips` clips for every branch.
pub fn every_branch(graph: &Graph, clips: usize) -> Vec<Segment> {
    let branches = graph.branches.iter().enumerate();
    let segment = |(branch, &frames): (usize, &usize)| Segment {
        branch,
        frames,
        clips,
    };
    branches.map(segment).collect()
}

/// An evaluation batch: `clips` clips of `frames` frames, by the branch that serves them.
pub fn served(graph: &Graph, frames: usize, clips: usize) -> Segment {
    Segment {
        branch: graph.branch_for(frames),
        frames,
        clips,
    }
}

/// Frames that share their batch statistics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NormGroup {
    pub branch: usize,
    pub frames: Range<usize>,
    /// Whether the running statistics follow this group: the first of its segment, as DataParallel's first replica.
    pub updates: bool,
}

/// The segments of a batch and everything that follows from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub segments: Vec<Segment>,
    /// Frames of all segments.
    pub frames: usize,
    pub clips: usize,
    pub norm_groups: Vec<NormGroup>,
    /// For each frame: its norm group.
    pub group_of: Vec<usize>,
    /// For each frame: its branch.
    pub branch_of: Vec<usize>,
    /// For each frame: whether the shift finds a previous and a next frame in its clip.
    pub neighbours: Vec<(bool, bool)>,
}

impl Batch {
    pub fn train(graph: &Graph, segments: &[Segment], options: &TrainOptions) -> Result<Self> {
        if options.norm_clips == Some(0) {
            return Err(Error::new(
                Kind::Experiment,
                "norm_clips must be at least 1, found 0",
            ));
        }
        let period = |segment: &Segment| match options.shift_segments {
            ShiftSegments::PerBranch => segment.frames,
            ShiftSegments::Shared(period) => period,
        };
        Self::new(graph, segments, options.norm_clips, period)
    }

    /// Refuses segments that are more than any program can have.
    pub fn check(graph: &Graph, segments: &[Segment]) -> Result<()> {
        let frames = segments.iter().map(|s| s.clips.saturating_mul(s.frames));
        graph.check_size(frames.fold(0, usize::saturating_add))
    }

    pub fn eval(graph: &Graph, segments: &[Segment]) -> Result<Self> {
        Self::new(graph, segments, None, |segment| segment.frames)
    }

    fn new(
        graph: &Graph,
        segments: &[Segment],
        norm_clips: Option<usize>,
        period: impl Fn(&Segment) -> usize,
    ) -> Result<Self> {
        Self::check(graph, segments)?;
        let mut batch = Self {
            segments: segments.to_vec(),
            frames: 0,
            clips: 0,
            norm_groups: Vec::new(),
            group_of: Vec::new(),
            branch_of: Vec::new(),
            neighbours: Vec::new(),
        };
        for segment in segments {
            check(graph, segment, period(segment))?;
            batch.push(segment, norm_clips, period(segment));
        }
        if batch.frames == 0 {
            return Err(Error::new(Kind::Usage, "a batch without frames"));
        }
        Ok(batch)
    }

    fn push(&mut self, segment: &Segment, norm_clips: Option<usize>, period: usize) {
        let Segment {
            branch,
            frames,
            clips,
        } = *segment;
        let start = self.frames;
        let end = start + clips * frames;
        let per_group = norm_clips.unwrap_or(clips) * frames;
        for first in (start..end).step_by(per_group) {
            let group = first..end.min(first + per_group);
            let index = self.norm_groups.len();
            self.group_of.extend(group.clone().map(|_| index));
            self.norm_groups.push(NormGroup {
                branch,
                frames: group,
                updates: first == start,
            });
        }
        let place = |frame: usize| (frame - start) % period;
        let neighbours = |frame| (place(frame) > 0, place(frame) + 1 < period);
        self.neighbours.extend((start..end).map(neighbours));
        self.branch_of.extend((start..end).map(|_| branch));
        self.frames = end;
        self.clips += clips;
    }

    /// The frames that take one of several matrices, and which: those of each segment that of its branch. `branches`: whose
    /// matrices there are; empty: all frames take the only one.
    pub fn runs(&self, branches: &[usize]) -> Vec<(Range<usize>, usize)> {
        if branches.is_empty() {
            return vec![(0..self.frames, 0)];
        }
        let matrix = |branch| branches.iter().position(|&b| b == branch).unwrap_or(0);
        let segments = self.segment_frames();
        segments
            .map(|(frames, segment)| (frames, matrix(segment.branch)))
            .collect()
    }

    /// Frames of each segment and its branch.
    pub fn segment_frames(&self) -> impl Iterator<Item = (Range<usize>, &Segment)> {
        self.segments.iter().scan(0, |start, segment| {
            let first = *start;
            *start += segment.clips * segment.frames;
            Some((first..*start, segment))
        })
    }
}

fn check(graph: &Graph, segment: &Segment, period: usize) -> Result<()> {
    let Segment {
        branch,
        frames,
        clips,
    } = *segment;
    if branch >= graph.branches.len() || frames == 0 || clips == 0 {
        let message = format!("{clips} clips of {frames} frames for branch {branch} make no batch");
        return Err(Error::new(Kind::Usage, message));
    }
    if period == 0 || !(clips * frames).is_multiple_of(period) {
        let message = format!(
            "the shift takes groups of {period} frames, but {clips} clips of {frames} frames do not fill whole groups"
        );
        return Err(Error::new(Kind::Experiment, message)
            .hint("choose a batch so that every branch has a multiple of that many frames"));
    }
    Ok(())
}
