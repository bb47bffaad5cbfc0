//! Which batch a program is for: segments of clips, and the rules of training.

use crate::base::Result;
use crate::graph::Graph;
use crate::ops::Batch;
pub use crate::ops::Segment;
use crate::ops::batch::BatchRules;
use crate::spec::{Experiment, FrozenNorms, Method, ShiftSegments};

/// What a training program needs to know besides the graph.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainOptions {
    pub shift_segments: ShiftSegments,
    pub norm_clips: Option<usize>,
    pub frozen_norms: FrozenNorms,
    pub dropout: f32,
    pub drop_path: f32,
}

impl TrainOptions {
    /// A pass that differs from evaluation in its norms alone, which take the statistics of the batch.
    pub const BATCH_STATISTICS: Self = Self {
        shift_segments: ShiftSegments::PerBranch,
        norm_clips: None,
        frozen_norms: FrozenNorms::Off,
        dropout: 0.0,
        drop_path: 0.0,
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
            drop_path: experiment.model.drop_path() as f32,
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

impl Batch {
    pub fn train(graph: &Graph, segments: &[Segment], options: &TrainOptions) -> Result<Self> {
        let period = match options.shift_segments {
            ShiftSegments::PerBranch => None,
            ShiftSegments::Shared(period) => Some(period),
        };
        Self::of(graph, segments, options.norm_clips, period)
    }

    pub fn eval(graph: &Graph, segments: &[Segment]) -> Result<Self> {
        Self::of(graph, segments, None, None)
    }

    /// Refuses segments that are more than any program can have.
    pub fn check(graph: &Graph, segments: &[Segment]) -> Result<()> {
        let frames = segments.iter().map(|s| s.clips.saturating_mul(s.frames));
        graph.check_size(frames.fold(0, usize::saturating_add))
    }

    fn of(
        graph: &Graph,
        segments: &[Segment],
        norm_clips: Option<usize>,
        period: Option<usize>,
    ) -> Result<Self> {
        Self::check(graph, segments)?;
        let rules = BatchRules {
            branches: &graph.branches,
            rates: &graph.rates(),
            norm_clips,
            period,
        };
        Self::new(segments, &rules)
    }
}
