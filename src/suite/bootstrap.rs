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

/// The sum of the arms' means. Arms without seeds or clips count nothing; lists are as long as the shortest.
pub fn interval(arms: &[Arm], resamples: usize) -> Interval {
    mean(&[arms.to_vec()], resamples)
}

/// The mean of several such sums, each over clips of its own, as of the splits of a data set: clips and seeds of each are drawn
/// independently of the others. What splits have in common (videos that train in two of them) makes the truth wider than that.
pub fn mean(sums: &[Vec<Arm>], resamples: usize) -> Interval {
    let count = sums.len().max(1) as f64;
    let mut value = 0.0;
    let mut drawn = vec![0.0; resamples];
    for (index, arms) in sums.iter().enumerate() {
        let patterns = Patterns::of(arms);
        let own = combine(arms, &patterns.means(&patterns.all), |seeds| seeds.clone());
        value += own / count;
        let all = resample(arms, &patterns, (index as u64, resamples));
        for (sum, one) in drawn.iter_mut().zip(all) {
            *sum += one / count;
        }
    }
    drawn.sort_by(f64::total_cmp);
    let outside = (drawn.len() as f64 * (1.0 - LEVEL) / 2.0) as usize;
    let end = |rank: usize| drawn.get(rank).copied().unwrap_or(value);
    Interval {
        value,
        low: end(outside),
        high: end(drawn.len().saturating_sub(1 + outside)),
    }
}

/// Resamples of sum number `index`.
fn resample(arms: &[Arm], patterns: &Patterns, (index, resamples): (u64, usize)) -> Vec<f64> {
    let key: &[u64] = if index == 0 { &[] } else { &[index] };
    let mut random = Stream::new(0, Purpose::Bootstrap, key);
    let mut counts = vec![0u32; patterns.values.len()];
    (0..resamples)
        .map(|_| {
            counts.fill(0);
            for _ in 0..patterns.clips.len() {
                let clip = random.below(patterns.clips.len() as u64) as usize;
                counts[patterns.clips[clip]] += 1;
            }
            let means = patterns.means(&counts);
            combine(arms, &means, |seeds| {
                let count = (seeds.end - seeds.start) as u64;
                let draw = |_| seeds.start + random.below(count) as usize;
                seeds.clone().map(draw).collect::<Vec<_>>()
            })
        })
        .collect()
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
    /// Values of each pattern, one for each seed of each arm.
    values: Vec<Vec<i8>>,
    /// Pattern of each clip.
    clips: Vec<usize>,
    /// Clips of each pattern.
    all: Vec<u32>,
}

impl Patterns {
    fn of(arms: &[Arm]) -> Self {
        let lists: Vec<&Vec<i8>> = arms.iter().flat_map(|arm| &arm.seeds).collect();
        let clips = lists.iter().map(|list| list.len()).min().unwrap_or(0);
        let mut known = std::collections::BTreeMap::new();
        let mut patterns = Self {
            values: Vec::new(),
            clips: Vec::with_capacity(clips),
            all: Vec::new(),
        };
        for clip in 0..clips {
            let values: Vec<i8> = lists.iter().map(|list| list[clip]).collect();
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
        let clips = self.clips.len().max(1) as f64;
        let sum = |seed: usize| {
            let parts = self.values.iter().zip(counts);
            parts
                .map(|(values, &count)| i64::from(values[seed]) * i64::from(count))
                .sum::<i64>()
        };
        (0..width).map(|seed| sum(seed) as f64 / clips).collect()
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

    /// The binomial standard error of an accuracy, which a bootstrap must find.
    #[test]
    fn the_mean_of_three_splits_is_narrower_than_one_by_the_root_of_three() {
        let clips: Vec<i8> = (0..200).map(|clip| i8::from(clip % 4 != 0)).collect();
        let one = interval(&[arm(&[&clips])], RESAMPLES);
        let three = mean(&vec![vec![arm(&[&clips])]; 3], RESAMPLES);
        assert!((three.value - one.value).abs() < 1e-12);
        let ratio = (one.high - one.low) / (three.high - three.low);
        assert!((ratio - 3f64.sqrt()).abs() < 0.1, "{ratio}");
    }

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
