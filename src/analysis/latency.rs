//! How long one clip takes. A clock decides it: no other document holds such a value.

use serde::{Deserialize, Serialize};

use std::time::Instant;

use super::document::Content;
use super::subject::{Subject, branch_frames};
use crate::base::Result;
use crate::base::rng::{Purpose, Stream};
use crate::base::statistics::median;
use crate::exec::{EngineKind, Input, Segment};
use crate::run::provenance::{Build, Machine};

/// Time of a pass over one view of a clip that is in memory already: normalised pixels in, logits out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    pub machine: Machine,
    pub build: Build,
    pub engine: EngineKind,
    pub threads: usize,
    /// Passes that were timed at each point, after one that was not.
    pub passes: usize,
    /// By frame count, then branch, ascending.
    pub points: Vec<Timed>,
}

/// Milliseconds of one frame count by one branch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timed {
    pub frames: usize,
    pub branch: usize,
    /// The median pass.
    pub median_ms: f64,
    pub fastest_ms: f64,
    pub slowest_ms: f64,
}

/// Passes that are timed at each point.
const PASSES: usize = 9;

impl Latency {
    /// Times every one of `frames` by every branch, one clip at a time.
    pub fn measure(subject: &mut Subject, frames: &[usize]) -> Result<Self> {
        let executor = subject.model.executor();
        let branches = subject.model.graph().branches.len();
        let mut points = Vec::new();
        for &frames in frames {
            for branch in 0..branches {
                points.push(time(subject, frames, branch)?);
            }
            subject.model.release();
        }
        Ok(Self {
            machine: Machine::with(executor.device),
            build: Build::this(),
            engine: executor.engine,
            threads: executor.threads,
            passes: PASSES,
            points,
        })
    }

    /// The time of a frame count by a branch, if it was measured.
    pub fn of(&self, frames: usize, branch: usize) -> Option<&Timed> {
        let mut points = self.points.iter();
        points.find(|point| (point.frames, point.branch) == (frames, branch))
    }
}

fn time(subject: &mut Subject, frames: usize, branch: usize) -> Result<Timed> {
    let graph = subject.model.evaluation_graph();
    let (height, width) = graph.input;
    let of_branch = branch_frames(graph, branch);
    let mut noise = Stream::new(0, Purpose::Init, &[]);
    let count = frames * height * width * 3;
    let pixels: Vec<f32> = (0..count).map(|_| noise.normal() as f32).collect();
    let clip = Segment {
        branch,
        frames,
        clips: 1,
    };
    let mut pass = || {
        let begun = Instant::now();
        subject.model.evaluate_batch(clip, Input::Values(&pixels))?;
        Ok(begun.elapsed().as_secs_f64() * 1e3)
    };
    pass()?;
    let times: Vec<f64> = (0..PASSES).map(|_| pass()).collect::<Result<_>>()?;
    Ok(Timed {
        frames,
        branch: of_branch,
        median_ms: median(&times),
        fastest_ms: times.iter().copied().fold(f64::INFINITY, f64::min),
        slowest_ms: times.iter().copied().fold(0.0, f64::max),
    })
}

impl Content for Latency {
    const NAME: &'static str = "latency";
}
