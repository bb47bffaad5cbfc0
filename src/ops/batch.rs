//! The ragged batch: clips of all branches as one row of frames, and what of them belongs together, at every rate.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Rate;
use crate::base::{Error, Kind, Result};

/// Clips of one branch within the ragged batch; segments follow one another in the batch's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Segment {
    /// Index into the graph's branches.
    pub branch: usize,
    pub frames: usize,
    pub clips: usize,
}

/// Rows that share their batch statistics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NormGroup {
    pub branch: usize,
    pub rows: Range<usize>,
    /// Whether the running statistics follow this group: the first of its segment, as DataParallel's first replica.
    pub updates: bool,
}

/// The rows of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentRows {
    pub branch: usize,
    pub rows: Range<usize>,
    /// Rows of each clip.
    pub clip: usize,
}

/// The rows of a batch at one rate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layout {
    /// Of all segments.
    pub rows: usize,
    pub segments: Vec<SegmentRows>,
    pub norm_groups: Vec<NormGroup>,
    /// For each row: its norm group.
    pub group_of: Vec<usize>,
    /// For each row: its branch.
    pub branch_of: Vec<usize>,
    /// For each row: its index in the rows that operations along time take as one clip, and how many those are.
    pub along_time: Vec<(usize, usize)>,
    /// The rows that operations along time take as one clip. At every rate there are as many.
    pub clips: Vec<Range<usize>>,
    /// For each row: whether there is a previous and a next one among those.
    pub neighbours: Vec<(bool, bool)>,
}

/// The segments of a batch and everything that follows from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub segments: Vec<Segment>,
    /// Frames of all segments.
    pub frames: usize,
    pub clips: usize,
    /// The frame count of each branch of the graph.
    pub branches: Vec<usize>,
    layouts: BTreeMap<Rate, Layout>,
}

/// What a batch is made of.
pub struct BatchRules<'a> {
    /// The frame count of each branch of the graph.
    pub branches: &'a [usize],
    /// The rates of its activations.
    pub rates: &'a [Rate],
    /// Clips of a norm group; all of a segment if there is no number.
    pub norm_clips: Option<usize>,
    /// Frames that operations along time take as one clip; those of each clip if there is no number.
    pub period: Option<usize>,
}

impl Batch {
    pub fn new(segments: &[Segment], rules: &BatchRules<'_>) -> Result<Self> {
        for segment in segments {
            check(rules, segment)?;
        }
        let sum = |of: fn(&Segment) -> usize| segments.iter().map(of).sum();
        let mut batch = Self {
            segments: segments.to_vec(),
            frames: sum(|segment| segment.clips * segment.frames),
            clips: sum(|segment| segment.clips),
            branches: rules.branches.to_vec(),
            layouts: BTreeMap::new(),
        };
        if batch.frames == 0 {
            return Err(Error::new(Kind::Usage, "a batch without frames"));
        }
        for &rate in [Rate::FRAME, Rate::Clip].iter().chain(rules.rates) {
            let layout = Layout::new(segments, rules, rate);
            batch.layouts.insert(rate, layout);
        }
        let groups = Layout {
            rows: batch.at(Rate::FRAME).norm_groups.len(),
            ..Layout::default()
        };
        batch.layouts.insert(Rate::Group, groups);
        Ok(batch)
    }

    /// The rows of an activation. Every rate of the graph that the batch was made for has some; of another there are none.
    pub fn at(&self, rate: Rate) -> &Layout {
        static NONE: Layout = Layout {
            rows: 0,
            segments: Vec::new(),
            norm_groups: Vec::new(),
            group_of: Vec::new(),
            branch_of: Vec::new(),
            along_time: Vec::new(),
            clips: Vec::new(),
            neighbours: Vec::new(),
        };
        self.layouts.get(&rate).unwrap_or(&NONE)
    }

    /// The branches of its segments, ascending, each once.
    pub fn present(&self) -> Vec<usize> {
        let mut present: Vec<usize> = self.segments.iter().map(|s| s.branch).collect();
        present.sort_unstable();
        present.dedup();
        present
    }
}

impl Layout {
    fn new(segments: &[Segment], rules: &BatchRules<'_>, rate: Rate) -> Self {
        let mut layout = Self::default();
        for segment in segments {
            layout.push(segment, rules, rate);
        }
        layout
    }

    fn push(&mut self, segment: &Segment, rules: &BatchRules<'_>, rate: Rate) {
        let &Segment {
            branch,
            frames,
            clips,
        } = segment;
        let clip = rate.rows(frames);
        let (start, end) = (self.rows, self.rows + clips * clip);
        for first in (start..end).step_by(rules.norm_clips.unwrap_or(clips) * clip) {
            let rows = first..end.min(first + rules.norm_clips.unwrap_or(clips) * clip);
            let index = self.norm_groups.len();
            self.group_of.extend(rows.clone().map(|_| index));
            let updates = first == start;
            self.norm_groups.push(NormGroup {
                branch,
                rows,
                updates,
            });
        }
        let period = rules.period.map_or(clip, |period| rate.rows(period));
        self.clips.extend(
            (start..end)
                .step_by(period)
                .map(|first| first..first + period),
        );
        let along = |row: usize| ((row - start) % period, period);
        self.along_time.extend((start..end).map(along));
        let neighbours = |row| (along(row).0 > 0, along(row).0 + 1 < period);
        self.neighbours.extend((start..end).map(neighbours));
        self.branch_of.extend((start..end).map(|_| branch));
        self.segments.push(SegmentRows {
            branch,
            rows: start..end,
            clip,
        });
        self.rows = end;
    }

    /// The rows that take one of several matrices, and which: those of each segment that of its branch. `branches`: whose
    /// matrices there are; empty: all rows take the only one.
    pub fn runs(&self, branches: &[usize]) -> Vec<(Range<usize>, usize)> {
        if branches.is_empty() {
            return vec![(0..self.rows, 0)];
        }
        let matrix = |branch| branches.iter().position(|&b| b == branch).unwrap_or(0);
        let segments = self.segments.iter();
        segments
            .map(|segment| (segment.rows.clone(), matrix(segment.branch)))
            .collect()
    }

    /// The row that is `offset` rows later in what operations along time take as one clip.
    pub fn shifted(&self, row: usize, offset: isize) -> Option<usize> {
        let (index, period) = self.along_time[row];
        let other = index.checked_add_signed(offset)?;
        (other < period).then(|| row.wrapping_add_signed(offset))
    }

    /// The clip of a row, as operations along time take it, and the row's index in it.
    pub fn clip_of(&self, row: usize) -> (usize, usize) {
        let clip = self.clips.partition_point(|clip| clip.end <= row);
        (clip, self.along_time[row].0)
    }
}

fn check(rules: &BatchRules<'_>, segment: &Segment) -> Result<()> {
    let &Segment {
        branch,
        frames,
        clips,
    } = segment;
    if rules.norm_clips == Some(0) {
        let message = "norm_clips must be at least 1, found 0";
        return Err(Error::new(Kind::Experiment, message));
    }
    if branch >= rules.branches.len() || frames == 0 || clips == 0 {
        let message = format!("{clips} clips of {frames} frames for branch {branch} make no batch");
        return Err(Error::new(Kind::Usage, message));
    }
    let strides = rules
        .rates
        .iter()
        .any(|rate| matches!(rate, Rate::Every(2..)));
    if strides && rules.period.is_some_and(|period| period != frames) {
        let message = "clips cannot be joined along time in a network that strides along it";
        return Err(Error::new(Kind::Experiment, message));
    }
    let period = rules.period.unwrap_or(frames);
    if period == 0 || !(clips * frames).is_multiple_of(period) {
        let message = format!(
            "the shift takes groups of {period} frames, but {clips} clips of {frames} frames do not fill whole groups"
        );
        return Err(Error::new(Kind::Experiment, message)
            .hint("choose a batch so that every branch has a multiple of that many frames"));
    }
    Ok(())
}
