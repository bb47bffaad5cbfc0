//! What the stored predictions say: flips, confusion, gains.

use serde::{Deserialize, Serialize};

use std::collections::BTreeMap;

use super::document::Content;
use crate::base::{Error, Kind, Result};
use crate::run::results::{Prediction, Summary};

/// Clips whose verdict changes with the frame count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Flips {
    pub clips: usize,
    /// The largest frame count with each smaller one, descending.
    pub pairs: Vec<Pair>,
}

/// Two frame counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    pub from: usize,
    pub to: usize,
    /// Clips that are right at both.
    pub right: usize,
    /// Clips that are wrong at both.
    pub wrong: usize,
    /// Right at `from`, wrong at `to`.
    pub lost: Vec<Flip>,
    /// Wrong at `from`, right at `to`.
    pub won: Vec<Flip>,
}

/// One clip. Classes are numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flip {
    pub id: String,
    pub label: usize,
    /// What was said at `from`.
    pub from: usize,
    /// What was said at `to`.
    pub to: usize,
}

/// Which class is taken for which.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Confusion {
    /// Names in label order.
    pub classes: Vec<String>,
    /// By frame count, ascending.
    pub matrices: Vec<Matrix>,
}

/// One frame count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matrix {
    pub frames: usize,
    /// Frame count of the branch that served it.
    pub branch: usize,
    /// `counts[label][predicted]`, in clips.
    pub counts: Vec<Vec<usize>>,
}

/// A class that is taken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mistake {
    pub label: usize,
    pub predicted: usize,
    pub clips: usize,
}

/// Accuracy of each class in two runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gains {
    /// Name of the folder of the run that is compared with.
    pub against: String,
    /// The frame counts that both have, ascending.
    pub frames: Vec<FrameGains>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrameGains {
    pub frames: usize,
    /// In label order.
    pub classes: Vec<ClassGain>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassGain {
    pub class: String,
    pub clips: usize,
    /// Clips that this run has right.
    pub top1: usize,
    /// Clips that the other run has right.
    pub against: usize,
}

impl ClassGain {
    /// In percentage points.
    pub fn gain(&self) -> f64 {
        100.0 * (self.top1 as f64 - self.against as f64) / self.clips.max(1) as f64
    }
}

impl Content for Flips {
    const NAME: &'static str = "flips";
}

impl Content for Confusion {
    const NAME: &'static str = "confusion";
}

impl Content for Gains {
    const NAME: &'static str = "gains";
}

/// What was said at one frame count.
pub struct Said {
    pub summary: Summary,
    pub predictions: Vec<Prediction>,
}

impl Flips {
    /// `all`: ascending by frame count, of the same clips in the same order.
    pub fn of(all: &[Said]) -> Result<Self> {
        let Some((largest, smaller)) = all.split_last() else {
            return Ok(Self {
                clips: 0,
                pairs: Vec::new(),
            });
        };
        let pairs = smaller.iter().rev().map(|other| pair(largest, other));
        Ok(Self {
            clips: largest.predictions.len(),
            pairs: pairs.collect::<Result<_>>()?,
        })
    }
}

fn pair(from: &Said, to: &Said) -> Result<Pair> {
    let mut pair = Pair {
        from: from.summary.frames,
        to: to.summary.frames,
        right: 0,
        wrong: 0,
        lost: Vec::new(),
        won: Vec::new(),
    };
    check_same_clips(from, to)?;
    for (before, after) in from.predictions.iter().zip(&to.predictions) {
        let flip = || Flip {
            id: before.id.clone(),
            label: before.label,
            from: before.predicted,
            to: after.predicted,
        };
        match (before.rank == 1, after.rank == 1) {
            (true, true) => pair.right += 1,
            (false, false) => pair.wrong += 1,
            (true, false) => pair.lost.push(flip()),
            (false, true) => pair.won.push(flip()),
        }
    }
    Ok(pair)
}

/// Two lists can be compared clip by clip only where they are of the same clips.
fn check_same_clips(a: &Said, b: &Said) -> Result<()> {
    let clips = |said: &Said| -> Vec<(String, usize)> {
        let all = said.predictions.iter();
        all.map(|p| (p.id.clone(), p.label)).collect()
    };
    match clips(a) == clips(b) {
        true => Ok(()),
        false => Err(Error::new(
            Kind::Run,
            format!(
                "the predictions at {} and at {} frames are not of the same clips",
                a.summary.frames, b.summary.frames
            ),
        )),
    }
}

impl Confusion {
    /// `all`: ascending by frame count.
    pub fn of(classes: Vec<String>, all: &[Said]) -> Self {
        let matrix = |said: &Said| {
            let mut counts = vec![vec![0; classes.len()]; classes.len()];
            for prediction in &said.predictions {
                let row = counts.get_mut(prediction.label);
                if let Some(count) = row.and_then(|row| row.get_mut(prediction.predicted)) {
                    *count += 1;
                }
            }
            Matrix {
                frames: said.summary.frames,
                branch: said.summary.branch,
                counts,
            }
        };
        Self {
            matrices: all.iter().map(matrix).collect(),
            classes,
        }
    }
}

impl Matrix {
    /// Every pair of classes that is confused, the most frequent first, else in label order.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mistakes = self.counts.iter().enumerate().flat_map(|(label, row)| {
            let mistake = move |(predicted, &clips)| Mistake {
                label,
                predicted,
                clips,
            };
            row.iter().enumerate().map(mistake)
        });
        let mut mistakes: Vec<Mistake> = mistakes
            .filter(|of| of.label != of.predicted && of.clips > 0)
            .collect();
        mistakes.sort_by_key(|of| std::cmp::Reverse(of.clips));
        mistakes
    }
}

impl Gains {
    /// Of the frame counts that both were evaluated at. `against`: name of the other run.
    pub fn of(classes: &[String], own: &[Summary], against: (&str, &[Summary])) -> Result<Self> {
        let (name, others) = against;
        let others: BTreeMap<usize, &Summary> = others.iter().map(|s| (s.frames, s)).collect();
        let both = own
            .iter()
            .filter_map(|s| Some((s, *others.get(&s.frames)?)));
        let frames = both.map(|(own, other)| FrameGains::of(classes, own, other));
        let frames: Vec<FrameGains> = frames.collect::<Result<_>>()?;
        match frames.is_empty() {
            false => Ok(Self {
                against: name.to_owned(),
                frames,
            }),
            true => Err(Error::new(
                Kind::Run,
                format!("`{name}` was evaluated at none of the same frame counts"),
            )
            .hint("`ffn eval RUN --frames T --save` evaluates a finished run at others")),
        }
    }
}

impl FrameGains {
    fn of(classes: &[String], own: &Summary, other: &Summary) -> Result<Self> {
        let clips = |summary: &Summary, class: &String| {
            summary.classes.get(class).map_or(0, |count| count.clips)
        };
        let different = |class: &&String| clips(own, class) != clips(other, class);
        if let Some(class) = classes.iter().find(different) {
            return Err(Error::new(
                Kind::Run,
                format!(
                    "the runs were evaluated on different data: {} and {} clips of “{class}” at {} frames",
                    clips(own, class),
                    clips(other, class),
                    own.frames
                ),
            ));
        }
        let right = |summary: &Summary, class: &String| {
            summary.classes.get(class).map_or(0, |count| count.top1)
        };
        let gain = |class: &String| ClassGain {
            class: class.clone(),
            clips: clips(own, class),
            top1: right(own, class),
            against: right(other, class),
        };
        Ok(Self {
            frames: own.frames,
            classes: classes.iter().map(gain).collect(),
        })
    }
}
