//! Confidence intervals of accuracies and their differences, from right and wrong answers clip by clip.
//!
//! The quantity is a sum of means: θ = Σ_a x̄_a, where arm a holds a value x_{a,s,i} for each of its seeds s and each
//! clip i. One arm of 0 and 1 is an accuracy. A difference between frame counts of one run is one arm of differences,
//! so that both counts keep their seed; a difference of two members is two arms, the second with its sign turned.
//!
//! **Bootstrap.** A resample draws the n clips anew, with replacement and the same for all arms (paired: Efron and
//! Tibshirani, *An Introduction to the Bootstrap*, 1993), and for each arm its S seeds anew, independently of the clips
//! (both ways of a crossed design: Owen, *The pigeonhole bootstrap*, 2007). With m_a the mean over all seeds and r_a
//! that over the drawn ones, both on the drawn clips, the resample's value is
//!
//! > θ* = Σ_a m_a + c(S_a)·(r_a − m_a),  c(S) = √(S / (S − 1)) · t_{S−1} / z
//!
//! The interval holds all but the outer 2.5 % of the sorted θ* on either side (percentile).
//!
//! **Few seeds.** Plainly resampled, three seeds give far too narrow an interval: the variance comes out too small by
//! (S − 1)/S, and the quantiles are those of a known variance. c(S) repairs both: the root makes the variance that of
//! a sample, and t_{S−1}/z, the ratio of Student's and the normal 97.5 % quantile, allows for not knowing it (as in
//! Hesterberg, *What Teachers Should Know About the Bootstrap*, 2015, section 4.2). c is 9.2 for two seeds, 2.7 for
//! three, 1.6 for five. One seed cannot be resampled: the interval then speaks of other clips alone, and says nothing
//! about another training. Variation of seeds and clips together is counted twice, which errs on the wide side.
//!
//! **When it fails.** Below some 30 clips; where all answers are equal, the interval is a point; seeds that are far
//! from normally distributed (one of three diverges). Clips count as independent: videos cut from one recording are
//! not.

use crate::base::rng::{Purpose, Stream};

/// Confidence level of every interval.
pub const LEVEL: f64 = 0.95;

/// Resamples: the ends of an interval are then off by about a hundredth of its width.
pub const RESAMPLES: usize = 10_000;

/// One value for each clip (in the same order in every list) of each seed.
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    pub seeds: Vec<Vec<i8>>,
}

/// A value and its confidence interval, in the unit of the arms' values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// One of several sums whose mean is taken: of arms over clips of their own, which may be clips of other sums too.
#[derive(Debug, Clone)]
pub struct Sum {
    /// The number of each clip among all clips of all sums.
    pub clips: Vec<usize>,
    pub arms: Vec<Arm>,
}

/// The sum of the arms' means. Arms without seeds or clips count nothing; lists are as long as the shortest.
pub fn interval(arms: &[Arm], resamples: usize) -> Interval {
    let lists = arms.iter().flat_map(|arm| &arm.seeds);
    let clips = lists.map(Vec::len).min().unwrap_or(0);
    let sum = Sum {
        clips: (0..clips).collect(),
        arms: arms.to_vec(),
    };
    mean(&[sum], resamples)
}

/// The mean of several sums. A resample draws from all clips that any of them has, so that a clip that two have in common comes as
/// often in both; seeds are drawn for each sum anew. What splits of a data set have in common besides, videos that train in two
/// of them, makes the truth wider than the interval.
pub fn mean(sums: &[Sum], resamples: usize) -> Interval {
    let patterns = Patterns::of(sums);
    let all = patterns.means(&patterns.all);
    let value = average(sums, &all, |_, seeds| seeds.collect());
    let mut drawn = resample(sums, &patterns, resamples);
    drawn.sort_by(f64::total_cmp);
    let outside = (drawn.len() as f64 * (1.0 - LEVEL) / 2.0) as usize;
    let end = |rank: usize| drawn.get(rank).copied().unwrap_or(value);
    Interval {
        value,
        low: end(outside),
        high: end(drawn.len().saturating_sub(1 + outside)),
    }
}

fn resample(sums: &[Sum], patterns: &Patterns, resamples: usize) -> Vec<f64> {
    let mut random = Stream::new(0, Purpose::Bootstrap, &[]);
    let mut counts = vec![0u32; patterns.values.len()];
    (0..resamples)
        .map(|_| {
            counts.fill(0);
            for _ in 0..patterns.clips.len() {
                let clip = random.below(patterns.clips.len() as u64) as usize;
                counts[patterns.clips[clip]] += 1;
            }
            let means = patterns.means(&counts);
            average(sums, &means, |count, seeds| {
                let start = seeds.start;
                let draw = |_| start + random.below(count as u64) as usize;
                seeds.map(draw).collect()
            })
        })
        .collect()
}

/// The mean over the sums of what [`combine`] makes of the means of their seeds, one after another. `draw` chooses as many of
/// `count` seeds.
fn average(
    sums: &[Sum],
    means: &[f64],
    mut draw: impl FnMut(usize, std::ops::Range<usize>) -> Vec<usize>,
) -> f64 {
    let mut start = 0;
    let mut total = 0.0;
    for sum in sums {
        let seeds: usize = sum.arms.iter().map(|arm| arm.seeds.len()).sum();
        let own = means.get(start..start + seeds).unwrap_or_default();
        total += combine(&sum.arms, own, |seeds| draw(seeds.len(), seeds));
        start += seeds;
    }
    total / sums.len().max(1) as f64
}

/// Σ_a m_a + c(S_a)·(r_a − m_a) of the means of all arms' seeds, one after another; `draw` chooses the seeds of r_a.
fn combine<I: IntoIterator<Item = usize>>(
    arms: &[Arm],
    means: &[f64],
    mut draw: impl FnMut(std::ops::Range<usize>) -> I,
) -> f64 {
    let mut start = 0;
    let mut total = 0.0;
    for arm in arms {
        let seeds = start..start + arm.seeds.len();
        start = seeds.end;
        let mean = |chosen: &mut dyn Iterator<Item = usize>| {
            let sum: f64 = chosen.map(|seed| means[seed]).sum();
            sum / arm.seeds.len().max(1) as f64
        };
        let all = mean(&mut seeds.clone());
        let drawn = mean(&mut draw(seeds).into_iter());
        total += all + stretch(arm.seeds.len()) * (drawn - all);
    }
    total
}

/// Clips with the same values in all arms and seeds are one pattern: resampling counts patterns.
struct Patterns {
    /// Values of each pattern, one for each seed of each arm of each sum; `None` where the sum has no such clip.
    values: Vec<Vec<Option<i8>>>,
    /// Pattern of each clip.
    clips: Vec<usize>,
    /// Clips of each pattern.
    all: Vec<u32>,
}

impl Patterns {
    fn of(sums: &[Sum]) -> Self {
        let clips = sums.iter().flat_map(|sum| &sum.clips).max();
        let clips = clips.map_or(0, |last| last + 1);
        let lists: usize = sums
            .iter()
            .flat_map(|sum| &sum.arms)
            .map(|arm| arm.seeds.len())
            .sum();
        let mut by_clip = vec![vec![None; lists]; clips];
        let mut list = 0;
        for sum in sums {
            for values in sum.arms.iter().flat_map(|arm| &arm.seeds) {
                for (&clip, &value) in sum.clips.iter().zip(values) {
                    by_clip[clip][list] = Some(value);
                }
                list += 1;
            }
        }
        let mut known = std::collections::BTreeMap::new();
        let mut patterns = Self {
            values: Vec::new(),
            clips: Vec::with_capacity(clips),
            all: Vec::new(),
        };
        for values in by_clip {
            let pattern = *known.entry(values.clone()).or_insert(patterns.values.len());
            if pattern == patterns.values.len() {
                patterns.values.push(values);
                patterns.all.push(0);
            }
            patterns.clips.push(pattern);
            patterns.all[pattern] += 1;
        }
        patterns
    }

    /// The mean of each seed's values where each pattern comes so often.
    fn means(&self, counts: &[u32]) -> Vec<f64> {
        let width = self.values.first().map_or(0, Vec::len);
        let mean = |seed: usize| {
            let (mut sum, mut clips) = (0i64, 0i64);
            for (values, &count) in self.values.iter().zip(counts) {
                if let Some(value) = values[seed] {
                    sum += i64::from(value) * i64::from(count);
                    clips += i64::from(count);
                }
            }
            sum as f64 / clips.max(1) as f64
        };
        (0..width).map(mean).collect()
    }
}

/// c(S): how much further than resampled the mean over S seeds may be from the truth.
fn stretch(seeds: usize) -> f64 {
    if seeds < 2 {
        return 1.0;
    }
    let s = seeds as f64;
    (s / (s - 1.0)).sqrt() * student(seeds - 1) / NORMAL
}

/// The 97.5 % quantile of the standard normal distribution.
const NORMAL: f64 = 1.959_963_985;

/// The 97.5 % quantile of Student's distribution.
fn student(degrees: usize) -> f64 {
    const TABLE: [f64; 10] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    ];
    let tabulated = degrees.checked_sub(1).and_then(|row| TABLE.get(row));
    tabulated.copied().unwrap_or_else(|| {
        // Cornish and Fisher's expansion, three terms: exact to 2e-4 from 11 degrees on.
        let (z, n) = (NORMAL, degrees.max(1) as f64);
        let first = (z.powi(3) + z) / 4.0;
        let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
        let third = (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0;
        z + first / n + second / n.powi(2) + third / n.powi(3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn arm(seeds: &[&[i8]]) -> Arm {
        let seeds = seeds.iter().map(|seed| seed.to_vec()).collect();
        Arm { seeds }
    }

    #[test]
    fn two_clips_have_three_resamples() {
        // Right and wrong: 0, 1/2 and 1 with probability 1/4, 1/2, 1/4.
        let found = interval(&[arm(&[&[1, 0]])], 1000);
        assert_eq!((found.value, found.low, found.high), (0.5, 0.0, 1.0));
    }

    #[test]
    fn equal_answers_are_a_point() {
        let found = interval(&[arm(&[&[1; 50], &[1; 50]])], 100);
        assert_eq!((found.value, found.low, found.high), (1.0, 1.0, 1.0));
        assert_eq!(interval(&[], 100).value, 0.0);
    }

    /// One clip, three seeds: only seeds can be resampled, and the interval reaches c(3) times as far as the farthest.
    #[test]
    fn seeds_alone_reach_as_far_as_the_factor_says() {
        let found = interval(&[arm(&[&[1], &[1], &[0]])], 2000);
        let c = stretch(3);
        assert!((c - 1.5f64.sqrt() * 4.303 / 1.96).abs() < 1e-3);
        assert!((found.low - (2.0 / 3.0 - c * 2.0 / 3.0)).abs() < 1e-12);
        assert!((found.high - (2.0 / 3.0 + c / 3.0)).abs() < 1e-12);
    }

    #[test]
    fn the_mean_of_three_splits_is_as_wide_as_their_clips_allow() {
        let clips: Vec<i8> = (0..200).map(|clip| i8::from(clip % 4 != 0)).collect();
        let one = interval(&[arm(&[&clips])], RESAMPLES);
        let split = |start: usize| Sum {
            clips: (start..start + 200).collect(),
            arms: vec![arm(&[&clips])],
        };
        let width = |interval: Interval| interval.high - interval.low;
        let apart = mean(&[split(0), split(200), split(400)], RESAMPLES);
        assert!((apart.value - one.value).abs() < 1e-12);
        let ratio = width(one) / width(apart);
        assert!((ratio - 3f64.sqrt()).abs() < 0.1, "{ratio}");
        // Three times the same clips tell no more than once.
        let same = mean(&[split(0), split(0), split(0)], RESAMPLES);
        assert!((width(same) / width(one) - 1.0).abs() < 0.05, "{same:?}");
    }

    /// The binomial standard error of an accuracy, which a bootstrap must find.
    #[test]
    fn an_accuracy_has_its_binomial_interval() {
        let clips: Vec<i8> = (0..1000).map(|clip| i8::from(clip % 10 < 3)).collect();
        let found = interval(&[arm(&[&clips])], RESAMPLES);
        let reach = NORMAL * (0.3f64 * 0.7 / 1000.0).sqrt();
        assert!((found.low - (0.3 - reach)).abs() < 0.002, "{found:?}");
        assert!((found.high - (0.3 + reach)).abs() < 0.002, "{found:?}");
    }

    /// Pairing is what makes a small gain visible: two members that err on the same clips.
    #[test]
    fn shared_clips_cancel() {
        let hard: Vec<i8> = (0..400).map(|clip| i8::from(clip % 2 == 0)).collect();
        let mut better = hard.clone();
        (0..12).for_each(|clip| better[2 * clip + 1] = 1);
        let minus = hard.iter().map(|value| -value).collect();
        let gain = interval(&[arm(&[&better]), Arm { seeds: vec![minus] }], 2000);
        assert!((gain.value - 0.03).abs() < 1e-12);
        assert!(gain.low > 0.0 && gain.high < 0.05, "{gain:?}");
    }

    #[test]
    fn student_is_as_tabulated() {
        for (degrees, tabulated) in [(2, 4.303), (11, 2.201), (20, 2.086), (120, 1.980)] {
            assert!((student(degrees) - tabulated).abs() < 1e-3, "{degrees}");
        }
    }

    /// Answers of a world in which clips and trainings differ: P(right) = base + clip + training.
    fn world(random: &mut Stream, base: f64, seeds: usize, clips: usize, spread: f64) -> Arm {
        let hardness: Vec<f64> = (0..clips).map(|_| 0.5 * random.uniform() - 0.25).collect();
        let training = |random: &mut Stream| {
            let shift = spread * random.normal();
            let right = |clip: &f64| i8::from(random.uniform() < base + clip + shift);
            hardness.iter().map(right).collect()
        };
        let seeds = (0..seeds).map(|_| training(random)).collect();
        Arm { seeds }
    }

    /// How often the interval holds the truth, in worlds of one seed count.
    fn coverage(seeds: usize, spread: f64) -> f64 {
        const WORLDS: usize = 300;
        let mut random = Stream::new(7, Purpose::Bootstrap, &[seeds as u64]);
        let holds = |_: &usize| {
            let first = world(&mut random, 0.6, seeds, 150, spread);
            let mut second = world(&mut random, 0.5, seeds, 150, spread);
            let values = second.seeds.iter_mut().flatten();
            values.for_each(|value| *value = -*value);
            let found = interval(&[first, second], 200);
            found.low <= 0.1 && 0.1 <= found.high
        };
        (0..WORLDS).filter(holds).count() as f64 / WORLDS as f64
    }

    /// 95 % are promised; with 300 worlds the estimate itself is good to about 2.5 %.
    #[test]
    fn intervals_hold_the_truth_as_often_as_they_say() {
        for (seeds, spread, least) in [
            (1, 0.0, 0.92),
            (3, 0.0, 0.92),
            (3, 0.05, 0.92),
            (5, 0.05, 0.92),
        ] {
            let found = coverage(seeds, spread);
            assert!(found >= least, "{seeds} seeds of spread {spread}: {found}");
        }
    }

    /// The limit that the documentation names: from one seed nothing follows about another.
    #[test]
    fn one_seed_says_nothing_about_another_training() {
        assert!(coverage(1, 0.1) < 0.8);
    }

    proptest! {
        #[test]
        fn the_value_is_inside_and_bounded(
            seeds in prop::collection::vec(prop::collection::vec(0i8..=1, 20), 1..4),
        ) {
            let found = interval(&[Arm { seeds }], 50);
            prop_assert!(found.low <= found.value && found.value <= found.high, "{found:?}");
            prop_assert!((0.0..=1.0).contains(&found.value));
        }
    }
}
