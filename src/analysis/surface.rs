//! The any-frame surface: every frame count by every branch.

use serde::{Deserialize, Serialize};

use super::document::Content;
use super::subject::Subject;
use crate::base::Result;
use crate::base::statistics::percentage;
use crate::graph::Graph;
use crate::run::results::Summary;
use crate::train::evaluate::{Branches, Evaluated, Evaluation};
use crate::train::sharing::Sharing;

/// Accuracy and operations of every frame count × branch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Surface {
    /// Views of a clip; their logits are averaged.
    pub views: usize,
    /// By frame count, then branch, ascending.
    pub points: Vec<Point>,
}

/// One frame count by one branch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Frames of a clip in evaluation.
    pub frames: usize,
    /// Frame count of the branch.
    pub branch: usize,
    /// Whether this branch serves the frame count: its own, else the nearest, ties to the larger.
    pub chosen: bool,
    pub clips: usize,
    /// Clips whose class is the first.
    pub top1: usize,
    /// Clips whose class is among the first five.
    pub top5: usize,
    /// Mean cross entropy.
    pub loss: f64,
    /// Of one view of a clip, in convolutions and classifier.
    pub multiply_adds: u64,
}

impl Content for Surface {
    const NAME: &'static str = "surface";
}

impl Surface {
    /// Evaluates every one of the ascending `frames` by every branch; one decode of a clip serves all.
    pub fn compute(
        subject: &mut Subject,
        frames: &[usize],
        sharing: &mut Sharing<'_>,
        observe: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<Self> {
        let experiment = subject.batched(frames);
        let evaluation = Evaluation {
            experiment: &experiment,
            dataset: &subject.dataset,
            frames,
            branches: Branches::All,
            workers: subject.workers,
            step: subject.step,
        };
        let evaluated = evaluation.run(&mut subject.model, sharing, observe)?;
        let graph = subject.model.evaluation_graph();
        let point = |of: &Evaluated| Point::new(graph, &of.summary);
        Ok(Self {
            views: subject.views(),
            points: evaluated.iter().map(point).collect(),
        })
    }

    /// The points that an evaluation takes: one for each frame count, ascending.
    pub fn chosen(&self) -> impl Iterator<Item = &Point> {
        self.points.iter().filter(|point| point.chosen)
    }
}

impl Point {
    fn new(graph: &Graph, summary: &Summary) -> Self {
        let serving = graph.branches.get(graph.branch_for(summary.frames));
        Self {
            frames: summary.frames,
            branch: summary.branch,
            chosen: serving == Some(&summary.branch),
            clips: summary.clips,
            top1: summary.top1,
            top5: summary.top5,
            loss: summary.loss,
            multiply_adds: graph.clip_multiply_adds(summary.frames),
        }
    }

    /// In percent.
    pub fn top1_percent(&self) -> f64 {
        percentage(self.top1, self.clips)
    }

    /// In percent.
    pub fn top5_percent(&self) -> f64 {
        percentage(self.top5, self.clips)
    }

    /// 10⁹ multiply-adds of one view: what the papers of the field call GFLOPs.
    pub fn gflops(&self) -> f64 {
        self.multiply_adds as f64 / 1e9
    }
}
