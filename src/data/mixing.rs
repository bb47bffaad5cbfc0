//! Clips of a step mixed with one another, and the targets of a step.
//!
//! In a group of n clips clip i is mixed with clip n − 1 − i, in the proportion p : 1 − p, all frames of all branches alike:
//!
//! | | pixels | p |
//! |---|---|---|
//! | mixup (Zhang et al., ICLR 2018) | p·x + (1 − p)·x' | drawn from Beta(mixup, mixup) |
//! | CutMix (Yun et al., ICCV 2019) | x, in a box x' | 1 − box / image; the box's sides are the image's times √(1 − q), q from Beta(cutmix, cutmix) |
//!
//! The target of a clip of class c among K is 1 − s + s/K for c and s/K for every other class, s the smoothing; targets are mixed as
//! blended pixels are.
//!
//! Source: timm's `Mixup` in batch mode, as UniFormer's official code has it, by behaviour.

use rayon::prelude::*;

use super::crop::up_to;
use super::dataset::Dataset;
use super::listing::{clips_of_classes, label_of};
use super::resize::Region;
use crate::base::rng::{Purpose, Stream};
use crate::base::{Error, Kind, Result};
use crate::spec::{ClassWeights, Experiment, Mixing};

/// How a group of clips is mixed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mixed {
    /// What a clip keeps of itself, in [0, 1].
    proportion: f64,
    /// What comes from the partner; `None`: everything is blended.
    pasted: Option<Region>,
}

impl Mixed {
    /// Both blended, a clip with so much of itself.
    pub fn blended(proportion: f64) -> Self {
        Self {
            proportion,
            pasted: None,
        }
    }

    /// A box around `centre` (x, y) of images of (width, height), whose sides are theirs times √(1 − `drawn`) before it is cut off at
    /// the image's border. An odd side loses one.
    pub fn pasted((width, height): (usize, usize), drawn: f64, centre: (usize, usize)) -> Self {
        let part = libm::sqrt(1.0 - drawn);
        let along = |length: usize, centre: usize| {
            let half = (length as f64 * part) as usize / 2;
            (centre.saturating_sub(half), (centre + half).min(length))
        };
        let ((left, right), (top, bottom)) = (along(width, centre.0), along(height, centre.1));
        let region = Region {
            x: left,
            y: top,
            width: right - left,
            height: bottom - top,
        };
        Self {
            proportion: 1.0 - (region.width * region.height) as f64 / (width * height) as f64,
            pasted: Some(region),
        }
    }

    /// For square images of `size`; `None`: the clips stay as they are. Drawn in this order: whether they are mixed; whether by
    /// a box; the proportion; the box's centre, y and then x.
    fn draw(rule: &Mixing, size: usize, stream: &mut Stream) -> Option<Self> {
        if stream.uniform() >= rule.probability {
            return None;
        }
        if stream.uniform() >= rule.cutmix_probability {
            return Some(Self::blended(stream.beta(rule.mixup)));
        }
        let drawn = stream.beta(rule.cutmix);
        let mut place = || up_to(size.saturating_sub(1), &mut || stream.uniform());
        let y = place();
        Some(Self::pasted((size, size), drawn, (place(), y)))
    }

    pub fn proportion(&self) -> f64 {
        self.proportion
    }

    pub fn region(&self) -> Option<Region> {
        self.pasted
    }

    /// Mixes a branch of a group: clips of `clip` normalised values each, frames of rows of `width` pixels.
    pub fn apply(&self, group: &mut [f32], clip: usize, (width, height): (usize, usize)) {
        let pairs = group.len() / clip.max(1) / 2;
        let (front, rest) = group.split_at_mut(pairs * clip);
        let (middle, back) = rest.split_at_mut(rest.len() - pairs * clip);
        if self.pasted.is_none() {
            let partner = middle.to_vec();
            middle
                .iter_mut()
                .zip(partner)
                .for_each(|(own, other)| *own = self.blend(*own, other));
        }
        let frame = (width * height * 3).max(1);
        let back = back.par_chunks_exact_mut(clip.max(1)).rev();
        front
            .par_chunks_exact_mut(clip.max(1))
            .zip(back)
            .for_each(|(one, other)| {
                let frames = one
                    .chunks_exact_mut(frame)
                    .zip(other.chunks_exact_mut(frame));
                frames.for_each(|(one, other)| self.exchange(one, other, width));
            });
    }

    /// Mixes two frames with each other.
    fn exchange(&self, one: &mut [f32], other: &mut [f32], width: usize) {
        let Some(Region {
            x,
            y,
            width: columns,
            height,
        }) = self.pasted
        else {
            for (a, b) in one.iter_mut().zip(other) {
                (*a, *b) = (self.blend(*a, *b), self.blend(*b, *a));
            }
            return;
        };
        let rows = one
            .chunks_exact_mut(width * 3)
            .zip(other.chunks_exact_mut(width * 3));
        for (one, other) in rows.skip(y).take(height) {
            let inside = x * 3..(x + columns) * 3;
            one[inside.clone()].swap_with_slice(&mut other[inside]);
        }
    }

    fn blend(&self, own: f32, other: f32) -> f32 {
        own * self.proportion as f32 + other * (1.0 - self.proportion) as f32
    }
}

/// What is made of the clips of a step beyond each clip alone.
pub struct Mixer {
    mixing: Option<Mixing>,
    smoothing: f64,
    /// Of each class, where they are not all the same.
    weights: Option<Vec<f64>>,
    classes: usize,
    size: usize,
    seed: u64,
    branches: Vec<usize>,
    /// Clips of a shard.
    shard_clips: usize,
}

/// The weight of each class of a data set in the loss; `None`: all the same.
///
/// # Errors
/// A weight of what is no class; weights that are all 0.
pub fn class_weights(weights: &ClassWeights, dataset: &Dataset) -> Result<Option<Vec<f64>>> {
    let count = dataset.classes.len();
    match weights {
        ClassWeights::Equal => Ok(None),
        ClassWeights::Balanced => {
            let clips = clips_of_classes(&dataset.train);
            let inverse = |label| clips.get(&label).map_or(0.0, |&clips| 1.0 / clips as f64);
            let inverse: Vec<f64> = (0..count).map(inverse).collect();
            let mean = inverse.iter().sum::<f64>() / clips.len().max(1) as f64;
            Ok(Some(
                inverse.into_iter().map(|weight| weight / mean).collect(),
            ))
        }
        ClassWeights::Listed(listed) => {
            let mut weights = vec![1.0; count];
            for (name, weight) in listed {
                let label = label_of("`class_weights` names", name, &dataset.classes)?;
                weights[label] = *weight;
            }
            match weights.iter().any(|weight| *weight > 0.0) {
                true => Ok(Some(weights)),
                false => Err(Error::new(Kind::Experiment, "no class weighs anything")),
            }
        }
    }
}

impl Mixer {
    pub fn new(experiment: &Experiment, dataset: &Dataset) -> Self {
        let train = &experiment.train;
        Self {
            // `Dataset::open` refused names that are no classes.
            weights: class_weights(&train.class_weights, dataset).unwrap_or_default(),
            mixing: train.mixing,
            smoothing: train.smoothing,
            classes: experiment.data.class_count(),
            size: train.clips.size,
            seed: experiment.seed,
            branches: experiment.method.frames().to_vec(),
            shard_clips: train.shard_clips(),
        }
    }

    /// Mixes the clips of a step's shard, branch by branch one after another in `values`, and gives the target of each:
    /// `clips × classes`. `None` where the labels say it all.
    pub fn targets(
        &self,
        (step, shard): (u64, usize),
        labels: &[usize],
        values: Option<&mut [f32]>,
    ) -> Option<Vec<f32>> {
        if self.mixing.is_none() && self.smoothing == 0.0 && self.weights.is_none() {
            return None;
        }
        let group = self.mixing.and_then(|mixing| mixing.group);
        let group = group.unwrap_or(labels.len()).max(1);
        let first = shard * self.shard_clips / group;
        let draws: Vec<Option<Mixed>> = (first..first + labels.len().div_ceil(group))
            .map(|number| {
                let rule = self.mixing?;
                let mut stream = Stream::new(self.seed, Purpose::Mix, &[step, number as u64]);
                Mixed::draw(&rule, self.size, &mut stream)
            })
            .collect();
        if let Some(values) = values {
            self.mix(&draws, group, labels.len(), values);
        }
        let targets = labels.chunks(group).zip(&draws);
        let of_group = |(labels, mixed): (&[usize], &Option<Mixed>)| {
            soft(labels, self.classes, self.smoothing, mixed.as_ref())
        };
        let mut targets: Vec<f32> = targets.flat_map(of_group).collect();
        if let Some(weights) = &self.weights {
            weigh(&mut targets, weights);
        }
        Some(targets)
    }

    fn mix(&self, draws: &[Option<Mixed>], group: usize, clips: usize, values: &mut [f32]) {
        let frame = self.size * self.size * 3;
        let mut rest = values;
        for frames in &self.branches {
            let clip = frames * frame;
            let (branch, others) = rest.split_at_mut((clips * clip).min(rest.len()));
            rest = others;
            for (values, mixed) in branch.chunks_mut(group * clip).zip(draws) {
                if let Some(mixed) = mixed {
                    mixed.apply(values, clip, (self.size, self.size));
                }
            }
        }
    }
}

/// Multiplies each class by its weight and divides all by what the clips weigh on the mean, if that is anything.
fn weigh(targets: &mut [f32], weights: &[f64]) {
    let rows = targets.chunks(weights.len().max(1));
    let clips = rows.len() as f64;
    let of_row = |row: &[f32]| {
        row.iter()
            .zip(weights)
            .map(|(t, w)| f64::from(*t) * w)
            .sum::<f64>()
    };
    let mean = rows.map(of_row).sum::<f64>() / clips;
    let mean = if mean > 0.0 { mean } else { 1.0 };
    for row in targets.chunks_mut(weights.len().max(1)) {
        for (target, weight) in row.iter_mut().zip(weights) {
            *target = (f64::from(*target) * weight / mean) as f32;
        }
    }
}

/// The targets of a group of clips: `clips × classes`, in float32 as timm computes them.
pub fn soft(labels: &[usize], classes: usize, smoothing: f64, mixed: Option<&Mixed>) -> Vec<f32> {
    let off = smoothing / classes as f64;
    let (on, off) = ((1.0 - smoothing + off) as f32, off as f32);
    let proportion = mixed.map_or(1.0, Mixed::proportion);
    let (own, other) = (proportion as f32, (1.0 - proportion) as f32);
    let pairs = labels.iter().zip(labels.iter().rev());
    pairs
        .flat_map(|(&label, &partner)| {
            (0..classes).map(move |class| {
                let hot = |label| if class == label { on } else { off };
                hot(label) * own + hot(partner) * other
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Targets are probabilities, and as much of the partner's class as there is of its pixels.
        #[test]
        fn targets_sum_to_one(
            labels in proptest::collection::vec(0usize..5, 1..7), smoothing in 0.0f64..0.9, proportion in 0.0f64..1.0,
        ) {
            let mixed = Mixed::blended(proportion);
            let targets = soft(&labels, 5, smoothing, Some(&mixed));
            for row in targets.chunks(5) {
                prop_assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
                prop_assert!(row.iter().all(|v| *v >= 0.0));
            }
        }

        /// A box gives each of the two what the other loses: together they have the values that they had.
        #[test]
        fn pasting_exchanges_a_box(
            drawn in 0.0f64..1.0, x in 0usize..6, y in 0usize..5, clips in 1usize..6,
        ) {
            let mixed = Mixed::pasted((6, 5), drawn, (x, y));
            let clip = 2 * 6 * 5 * 3;
            let before: Vec<f32> = (0..clips * clip).map(|v| v as f32).collect();
            let mut after = before.clone();
            mixed.apply(&mut after, clip, (6, 5));
            let moved = before.iter().zip(&after).filter(|(a, b)| a != b).count();
            let box_values = mixed.region().map_or(0, |r| r.width * r.height) * 2 * 3;
            prop_assert_eq!(moved, clips / 2 * 2 * box_values);
            prop_assert!((mixed.proportion() - (1.0 - box_values as f64 / clip as f64)).abs() < 1e-12);
            mixed.apply(&mut after, clip, (6, 5));
            prop_assert_eq!(after, before);
        }

        /// Clips weigh 1 on the mean, and a clip of a class as much as its weight says beside others.
        #[test]
        fn weighted_targets_keep_the_sum(labels in proptest::collection::vec(0usize..3, 1..9)) {
            let mut targets = soft(&labels, 3, 0.0, None);
            weigh(&mut targets, &[1.0, 2.0, 0.5]);
            prop_assert!((targets.iter().sum::<f32>() - labels.len() as f32).abs() < 1e-4);
            let weight = |clip: usize| targets[clip * 3 + labels[clip]];
            for clip in 1..labels.len() {
                let expected = [1.0, 2.0, 0.5][labels[clip]] / [1.0, 2.0, 0.5][labels[0]];
                prop_assert!((weight(clip) / weight(0) - expected).abs() < 1e-4);
            }
        }

        #[test]
        fn blending_keeps_the_sum_of_a_pair(proportion in 0.0f64..1.0, a in -2.0f32..2.0, b in -2.0f32..2.0) {
            let mut pair = vec![a; 12];
            pair.extend([b; 12]);
            Mixed::blended(proportion).apply(&mut pair, 12, (2, 2));
            prop_assert!((pair[0] + pair[12] - a - b).abs() < 1e-5);
            prop_assert!((f64::from(pair[0]) - (proportion * f64::from(a) + (1.0 - proportion) * f64::from(b))).abs() < 1e-6);
        }
    }
}
