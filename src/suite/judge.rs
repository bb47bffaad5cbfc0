//! Claims held against runs.
//!
//! A claim passes where its whole confidence interval is as expected, fails where none of it is, and is inconclusive
//! otherwise. So at most one claim in forty passes or fails wrongly by chance of clips and seeds; several claims are
//! not corrected for being several. An order passes where each of its steps does (an intersection of tests, which
//! needs no correction: Berger 1982), so that its interval reaches from the lowest of the steps' low ends to the lowest
//! of their high ends.

use std::collections::BTreeMap;
use std::path::Path;

use super::bootstrap::{self, Arm, Interval, LEVEL, RESAMPLES, Sum};
use super::evidence::{self, Answers, Evidence, Lack};
use super::record::{Expected, Judged, Unit, Verdict};
use super::sentence::sentence;
use crate::base::{Error, Kind, Result};
use crate::data::clip::evaluation_size;
use crate::graph::Graph;
use crate::spec::Suite;
use crate::spec::suite::{Bound, Claim, Member, Quantity};

/// A verdict on each claim of a suite whose runs are in `runs`. Fails where something in them is damaged.
pub fn judge(suite: &Suite, runs: &Path) -> Result<Vec<Judged>> {
    let claims = suite.claims.iter();
    claims
        .map(|claim| judge_claim(suite, claim, runs))
        .collect()
}

/// A measured quantity, in the claim's unit.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    pub interval: Interval,
    pub clips: usize,
}

/// Top-1 accuracy of a member in percent, over its seeds; `None` where a run is missing.
pub fn top1(
    member: &Member,
    frames: usize,
    evidence: &mut Evidence<'_>,
) -> Result<Option<Measured>> {
    match evidence.answers(member, frames) {
        Ok(answers) => Ok(Some(percentage(&[answers.arm()], &answers, 0.0))),
        Err(Lack::Missing(_)) => Ok(None),
        Err(Lack::Damaged(error)) => Err(error),
    }
}

fn judge_claim(suite: &Suite, claim: &Claim, runs: &Path) -> Result<Judged> {
    let members = members(suite, &claim.quantity)?;
    let mut evidence = Evidence::new(runs);
    let (measured, reason) = match measure(&claim.quantity, &members, &mut evidence) {
        Ok(measured) => (Some(measured), None),
        Err(Lack::Missing(reason)) => (None, Some(reason)),
        Err(Lack::Damaged(error)) => return Err(error),
    };
    let interval = measured.as_ref().map(|measured| measured.interval);
    let folders = members.iter().flat_map(|m| evidence::folders(runs, m));
    Ok(Judged {
        id: claim.id.clone(),
        sentence: sentence(claim),
        source: claim.source.clone(),
        verdict: interval.map_or(Verdict::Inconclusive, |found| verdict(claim.is, found)),
        reason,
        value: interval.map(|found| found.value),
        interval: interval.map(|found| [found.low, found.high]),
        level: LEVEL,
        expected: expected(claim.is),
        unit: unit(&claim.quantity),
        clips: measured.map_or(0, |measured| measured.clips),
        seeds: members.iter().map(|m| m.seeds.len()).min().unwrap_or(0),
        runs: folders.map(|folder| folder.name()).collect(),
        evidence: evidence.read,
    })
}

fn members<'s>(suite: &'s Suite, quantity: &Quantity) -> Result<Vec<&'s Member>> {
    let find = |name: &str| {
        suite.member(name).ok_or_else(|| {
            let message = format!("the suite has no member `{name}`");
            Error::new(Kind::Experiment, message)
        })
    };
    quantity.runs().into_iter().map(find).collect()
}

fn measure(
    quantity: &Quantity,
    members: &[&Member],
    evidence: &mut Evidence<'_>,
) -> Result<Measured, Lack> {
    let &[first, ref others @ ..] = members else {
        return Err(Lack::Missing("it names no member".into()));
    };
    match *quantity {
        Quantity::Top1 { frames, .. } => {
            let answers = evidence.answers(first, frames)?;
            Ok(percentage(&[answers.arm()], &answers, 0.0))
        }
        Quantity::Gap { from, to, .. } => {
            let (from, to) = (evidence.answers(first, from)?, evidence.answers(first, to)?);
            Ok(percentage(&[from.less(&to)], &to, -100.0))
        }
        Quantity::Gain { frames, .. } | Quantity::Order { frames, .. } => {
            let mut steps = Vec::new();
            let mut better = evidence.answers(first, frames)?;
            for member in others {
                let worse = evidence.answers(member, frames)?;
                steps.push(gain(&better, &worse, member)?);
                better = worse;
            }
            lowest(steps)
        }
        Quantity::MeanTop1 { frames, .. } => {
            let split = |member: &&Member| {
                let answers = evidence.answers(member, frames)?;
                Ok((vec![answers.arm()], named(member, &answers)))
            };
            let splits = members.iter().map(split);
            Ok(mean(splits.collect::<Result<_, Lack>>()?, 0.0))
        }
        Quantity::MeanGain { frames, .. } => {
            // The first half are those that are better, the second those that each is compared with.
            let (better, worse) = members.split_at(members.len() / 2);
            let splits = better.iter().zip(worse).map(|(better, member)| {
                let better = evidence.answers(better, frames)?;
                let worse = evidence.answers(member, frames)?;
                same_clips(&better, &worse, member)?;
                Ok((vec![better.arm(), worse.minus()], named(member, &worse)))
            });
            Ok(mean(splits.collect::<Result<_, Lack>>()?, -100.0))
        }
        Quantity::Parameters { .. } => {
            let size = first.experiment.train.clips.size;
            let graph = Graph::build(&first.experiment, (size, size))?;
            Ok(exactly(graph.parameter_count() as f64))
        }
        Quantity::Flops { frames, .. } => {
            let size = evaluation_size(&first.experiment.eval);
            let graph = Graph::build(&first.experiment, (size, size))?;
            Ok(exactly(graph.clip_multiply_adds(frames) as f64 / 1e9))
        }
    }
}

/// Answers of two members about the same clips.
fn gain(better: &Answers, worse: &Answers, member: &Member) -> Result<Measured, Lack> {
    same_clips(better, worse, member)?;
    Ok(percentage(&[better.arm(), worse.minus()], worse, -100.0))
}

fn same_clips(better: &Answers, worse: &Answers, member: &Member) -> Result<(), Lack> {
    match better.clips == worse.clips {
        true => Ok(()),
        false => Err(evidence::other_clips(&member.name)),
    }
}

/// The smallest of several steps.
fn lowest(steps: Vec<Measured>) -> Result<Measured, Lack> {
    let least = |a: Measured, b: Measured| Measured {
        interval: Interval {
            value: a.interval.value.min(b.interval.value),
            low: a.interval.low.min(b.interval.low),
            high: a.interval.high.min(b.interval.high),
        },
        clips: a.clips,
    };
    let lowest = steps.into_iter().reduce(least);
    lowest.ok_or_else(|| Lack::Missing("it compares with no member".into()))
}

/// The arms' sum times 100; `least`: the least that is possible, 0 for a percentage and -100 for a difference.
fn percentage(arms: &[Arm], answers: &Answers, least: f64) -> Measured {
    measured(
        bootstrap::interval(arms, RESAMPLES),
        answers.clips.len(),
        least,
    )
}

/// The name of its data set's root, and its id.
type Clip = (String, String);

/// The clips of a member's answers.
fn named(member: &Member, answers: &Answers) -> Vec<Clip> {
    let root = member.experiment.data.root_name();
    let ids = answers.clips.iter();
    ids.map(|id| (root.to_owned(), id.clone())).collect()
}

/// The mean of several sums of arms, each about these clips, times 100.
fn mean(splits: Vec<(Vec<Arm>, Vec<Clip>)>, least: f64) -> Measured {
    let mut numbers: BTreeMap<Clip, usize> = BTreeMap::new();
    let mut sums = Vec::new();
    for (arms, clips) in splits {
        let number = |id| {
            let next = numbers.len();
            *numbers.entry(id).or_insert(next)
        };
        let clips = clips.into_iter().map(number).collect();
        sums.push(Sum { clips, arms });
    }
    measured(bootstrap::mean(&sums, RESAMPLES), numbers.len(), least)
}

/// What was found of so many clips, in percent or points.
fn measured(found: Interval, clips: usize, least: f64) -> Measured {
    Measured {
        interval: Interval {
            value: 100.0 * found.value,
            // Nothing outside is possible, however far few seeds stretch an interval.
            low: (100.0 * found.low).clamp(least, 100.0),
            high: (100.0 * found.high).clamp(least, 100.0),
        },
        clips,
    }
}

fn exactly(value: f64) -> Measured {
    let (low, high) = (value, value);
    Measured {
        interval: Interval { value, low, high },
        clips: 0,
    }
}

fn verdict(bound: Bound, found: Interval) -> Verdict {
    let (least, most) = match bound {
        Bound::AtLeast(value) => (value, f64::INFINITY),
        Bound::AtMost(value) => (f64::NEG_INFINITY, value),
        Bound::About { value, tolerance } => (value - tolerance, value + tolerance),
    };
    if least <= found.low && found.high <= most {
        Verdict::Pass
    } else if found.high < least || most < found.low {
        Verdict::Fail
    } else {
        Verdict::Inconclusive
    }
}

fn expected(bound: Bound) -> Expected {
    match bound {
        Bound::AtLeast(value) => Expected::AtLeast { value },
        Bound::AtMost(value) => Expected::AtMost { value },
        Bound::About { value, tolerance } => Expected::About { value, tolerance },
    }
}

fn unit(quantity: &Quantity) -> Unit {
    match quantity {
        Quantity::Top1 { .. } | Quantity::MeanTop1 { .. } => Unit::Percent,
        Quantity::Gap { .. }
        | Quantity::Gain { .. }
        | Quantity::Order { .. }
        | Quantity::MeanGain { .. } => Unit::Points,
        Quantity::Parameters { .. } => Unit::Parameters,
        Quantity::Flops { .. } => Unit::GigaMultiplyAdds,
    }
}

/// What a suite's verdicts mean for the process: an error where a claim is refuted, or, if `strict`, open.
pub fn conclude(suite: &str, verdicts: &[Judged], strict: bool) -> Result<()> {
    let ids = |wanted: Verdict| -> Vec<&str> {
        let found = verdicts.iter().filter(|judged| judged.verdict == wanted);
        found.map(|judged| judged.id.as_str()).collect()
    };
    let (failed, open) = (ids(Verdict::Fail), ids(Verdict::Inconclusive));
    let told = |what: &str, ids: &[&str]| {
        let (count, all, ids) = (ids.len(), verdicts.len(), ids.join(", "));
        format!("{suite}: {count} of {all} claims {what}: {ids}")
    };
    match (failed.as_slice(), open.as_slice()) {
        ([], []) => Ok(()),
        ([], open) if strict => Err(Error::new(Kind::Unsettled, told("open", open))),
        ([], _) => Ok(()),
        (failed, _) => Err(Error::new(Kind::Refuted, told("refuted", failed))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(low: f64, high: f64) -> Interval {
        let value = (low + high) / 2.0;
        Interval { value, low, high }
    }

    #[test]
    fn an_interval_passes_inside_fails_outside_and_is_inconclusive_across() {
        use Verdict::{Fail, Inconclusive, Pass};
        let about = Bound::About {
            value: 50.0,
            tolerance: 2.0,
        };
        let cases = [
            (Bound::AtLeast(20.0), 20.0, 30.0, Pass),
            (Bound::AtLeast(20.0), 19.0, 30.0, Inconclusive),
            (Bound::AtLeast(20.0), 10.0, 19.9, Fail),
            (Bound::AtMost(20.0), 10.0, 20.0, Pass),
            (Bound::AtMost(20.0), 20.1, 21.0, Fail),
            (about, 48.0, 52.0, Pass),
            (about, 47.0, 51.0, Inconclusive),
            (about, 40.0, 60.0, Inconclusive),
            (about, 52.5, 53.0, Fail),
        ];
        for (bound, low, high, wanted) in cases {
            let found = verdict(bound, interval(low, high));
            assert_eq!(found, wanted, "{bound:?} [{low}, {high}]");
        }
    }

    #[test]
    fn an_order_is_as_good_as_its_worst_step() {
        let steps = [interval(1.0, 9.0), interval(-3.0, 5.0)];
        let clips = 10;
        let steps = steps.map(|interval| Measured { interval, clips });
        let Ok(found) = lowest(steps.into()) else {
            panic!("two steps");
        };
        assert_eq!((found.interval.low, found.interval.high), (-3.0, 5.0));
    }
}
