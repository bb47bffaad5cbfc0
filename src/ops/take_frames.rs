//! Rows of a clip, taken by a rule.
//!
//! | rule | rows that come out of a clip of n | row i is of |
//! |---|---|---|
//! | [`TakeFrames::Moved`] | n | x[i + offset], zero outside the clip |
//! | [`TakeFrames::Spread`] | m = n / every | x[⌊i·(n − 1)/(m − 1)⌋]: the first and the last among them; x\[0\] if m = 1 |
//!
//! A spread that is [`joined`](TakeFrames::Spread) takes its rows, in training alone, from the clips of all branches laid end to
//! end: the largest branch's first, then the others ascending; what falls into a branch's clip is that branch's.
//!
//! [`TakeFrames`] reads x and writes y. What moved is moved back; [`TakeFramesBack`] of what was spread reads dy and writes dx: each
//! row's gradient where the row came from, else zero.

use super::{
    Batch, Compute, Extent, Layer, Lowering, NoRule, Rate, Real, Reverse, Site, Surroundings,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakeFrames {
    Moved {
        offset: isize,
    },
    /// Every how many frames one is taken: the slow frames of SlowFast (Feichtenhofer et al., 2019).
    Spread {
        every: usize,
        /// As the official code of FFN does in training.
        joined: bool,
    },
}

/// The gradient of spread rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakeFramesBack(pub TakeFrames);

impl TakeFrames {
    /// For each row that comes out the row that it is of.
    pub fn sources(self, batch: &Batch, from: Rate, to: Rate) -> Vec<Option<usize>> {
        let (inputs, outputs) = (batch.at(from), batch.at(to));
        let source = |row: usize| match self {
            Self::Moved { offset } => inputs.shifted(row, offset),
            Self::Spread { every, joined } => {
                let (clip, index) = outputs.clip_of(row);
                let clip = inputs.clips[clip].clone();
                let others = batch.branches.iter().map(|&frames| from.rows(frames));
                let others: Vec<usize> = others.collect();
                let at = match joined {
                    true => joined_index(index, clip.len(), every, &others),
                    false => spread(index, clip.len(), clip.len() / every.max(1)),
                };
                (at < clip.len()).then(|| clip.start + at)
            }
        };
        (0..outputs.rows).map(source).collect()
    }
}

/// The frames of a clip of `frames` that the slow pathway sees, one for each `every`; those of the joined clips of some branches,
/// ascending, where they are given.
pub fn slow_frames(frames: usize, every: usize, joined: Option<&[usize]>) -> Vec<usize> {
    let taken = frames / every.max(1);
    let at = |index| match joined {
        Some(branches) => joined_index(index, frames, every, branches),
        None => spread(index, frames, taken),
    };
    (0..taken).map(at).collect()
}

/// ⌊i·(n − 1)/(m − 1)⌋
fn spread(index: usize, rows: usize, taken: usize) -> usize {
    match taken {
        0 | 1 => 0,
        _ => index * (rows - 1) / (taken - 1),
    }
}

/// The same in the joined clips of `branches`, ascending, of which the clip at hand has `rows`.
fn joined_index(index: usize, rows: usize, every: usize, branches: &[usize]) -> usize {
    let every = every.max(1);
    let all: usize = branches.iter().sum();
    let (largest, others) = branches.split_last().unwrap_or((&rows, &[]));
    let before = match rows == *largest {
        true => 0,
        false => {
            *largest
                + others
                    .iter()
                    .take_while(|&&other| other < rows)
                    .sum::<usize>()
        }
    };
    spread(before / every + index, all, all / every) - before
}

impl Layer for TakeFrames {
    fn name(&self) -> &'static str {
        "take frames"
    }

    fn extent(&self, inputs: &[Extent], _: Surroundings<'_>) -> Result<Extent, String> {
        let x = inputs[0];
        match (self, x.rate) {
            (Self::Moved { .. }, _) => Ok(x),
            (&Self::Spread { every, .. }, Rate::Every(step)) if every > 0 => Ok(Extent {
                rate: Rate::Every(step * every),
                ..x
            }),
            (Self::Spread { .. }, _) => Err(format!("{x} has no frames to spread")),
        }
    }

    fn lower(&self, at: &mut Lowering<'_>) {
        at.single(match (*self, at.training) {
            (Self::Spread { every, .. }, None) => Self::Spread {
                every,
                joined: false,
            },
            (rule, _) => rule,
        });
    }
}

impl Compute for TakeFrames {
    fn kind(&self) -> &'static str {
        "frames"
    }

    fn differentiate(&self, at: &mut Reverse<'_>) -> Result<(), NoRule> {
        let dy = at.dy();
        match *self {
            Self::Moved { offset } => at.emit(0, Self::Moved { offset: -offset }, vec![dy]),
            Self::Spread { .. } => at.emit(0, TakeFramesBack(*self), vec![dy]),
        }
        Ok(())
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let (x, to) = (site.reads[0], &mut site.writes[0]);
        let sources = self.sources(site.batch, x.extent.rate, to.extent.rate);
        for (row, source) in sources.into_iter().enumerate() {
            if let Some(source) = source {
                to.row(row).copy_from_slice(x.row(source));
            }
        }
    }
}

impl Compute for TakeFramesBack {
    fn kind(&self) -> &'static str {
        "frames, gradient"
    }

    fn differentiate(&self, _: &mut Reverse<'_>) -> Result<(), NoRule> {
        Err(NoRule)
    }

    fn reference<R: Real>(&self, mut site: Site<'_, '_, R>) {
        let (dy, to) = (site.reads[0], &mut site.writes[0]);
        let sources = self.0.sources(site.batch, to.extent.rate, dy.extent.rate);
        for (row, source) in sources.into_iter().enumerate() {
            if let Some(source) = source {
                let pairs = to.row(source).iter_mut().zip(dy.row(row));
                pairs.for_each(|(dx, &dy)| *dx = *dx + dy);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `slowfast.md`, section 1.
    #[test]
    fn slow_frames_of_one_clip() {
        let taken = |rows: usize| slow_frames(rows, 4, None);
        assert_eq!(taken(4), [0]);
        assert_eq!(taken(8), [0, 7]);
        assert_eq!(taken(12), [0, 5, 11]);
        assert_eq!(taken(16), [0, 5, 10, 15]);
        assert_eq!(taken(32), [0, 4, 8, 13, 17, 22, 26, 31]);
        assert_eq!(
            taken(64),
            [0, 4, 8, 12, 16, 21, 25, 29, 33, 37, 42, 46, 50, 54, 58, 63]
        );
    }

    /// Section 6: the largest misses its last two frames.
    #[test]
    fn slow_frames_of_joined_clips() {
        let taken = |rows: usize| slow_frames(rows, 4, Some(&[16, 32, 64]));
        assert_eq!(taken(16), [1, 5, 10, 14]);
        assert_eq!(taken(32), [2, 6, 10, 14, 18, 22, 26, 31]);
        assert_eq!(
            taken(64),
            [0, 4, 8, 12, 16, 20, 24, 28, 32, 37, 41, 45, 49, 53, 57, 61]
        );
    }
}
