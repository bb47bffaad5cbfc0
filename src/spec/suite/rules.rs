//! What is legal in a suite beyond its members' experiments: names, and what claims refer to.

use std::collections::{BTreeMap, BTreeSet};

use super::{Bound, Claim, Member, Quantity, Suite};
use crate::spec::decode::{Decode, nearest};
use crate::spec::rules::{self, Findings};

/// Everything that is wrong with a suite. `origins`: index in the file of each member; `broken`: names of members
/// that have mistakes of their own, about which claims may say anything.
pub fn verify(suite: &Suite, origins: &[usize], broken: &BTreeSet<String>) -> Findings {
    let mut findings = Findings::default();
    (rules::NAME.check)(&mut findings, "name", &suite.name);
    members(suite, origins, broken, &mut findings);
    let mut ids = BTreeMap::new();
    for (index, claim) in suite.claims.iter().enumerate() {
        let path = format!("claims[{index}]");
        unique(
            "claim",
            &claim.id,
            format!("{path}.id"),
            &mut ids,
            &mut findings,
        );
        let checked = Checked {
            suite,
            broken,
            path,
        };
        checked.claim(claim, &mut findings);
        if findings.full() {
            break;
        }
    }
    findings
}

fn members(suite: &Suite, origins: &[usize], broken: &BTreeSet<String>, findings: &mut Findings) {
    if suite.members.is_empty() && broken.is_empty() {
        findings
            .mistake("a suite has one member or more")
            .at("members", "no experiment");
    }
    let mut names = BTreeMap::new();
    for (member, origin) in suite.members.iter().zip(origins) {
        let path = format!("members[{origin}]");
        unique(
            "member",
            &member.name,
            format!("{path}.name"),
            &mut names,
            findings,
        );
    }
}

/// A name that is given, that can be read, and that is given once.
fn unique<'s>(
    what: &str,
    name: &'s str,
    path: String,
    known: &mut BTreeMap<&'s str, String>,
    findings: &mut Findings,
) {
    if name.is_empty() {
        findings
            .mistake(format!("the name of a {what} is empty"))
            .at(path, "no name");
        return;
    }
    match known.get(name) {
        Some(first) => {
            findings
                .mistake(format!("two {what}s are called `{name}`"))
                .at(path, "the second")
                .at(first.clone(), "the first");
        }
        None => {
            known.insert(name, path);
        }
    }
}

/// A claim with what it may refer to.
struct Checked<'a> {
    suite: &'a Suite,
    broken: &'a BTreeSet<String>,
    /// Of the claim.
    path: String,
}

impl Checked<'_> {
    fn claim(&self, claim: &Claim, findings: &mut Findings) {
        match &claim.quantity {
            Quantity::Top1 { run, frames } | Quantity::Flops { run, frames } => {
                self.member_at(run, "run", *frames, findings);
            }
            Quantity::Gap { run, from, to } => {
                if let Some(member) = self.member(run, "run", findings) {
                    self.evaluated(member, *from, "from", findings);
                    self.evaluated(member, *to, "to", findings);
                }
                self.different(("from", from), ("to", to), findings);
            }
            Quantity::Gain { run, over, frames } => {
                self.member_at(run, "run", *frames, findings);
                self.member_at(over, "over", *frames, findings);
                self.different(
                    ("over", self.plain(over)),
                    ("run", self.plain(run)),
                    findings,
                );
                self.same_clips((run, "run"), (over, "over"), findings);
            }
            Quantity::Order { runs, frames } => self.order(runs, *frames, findings),
            Quantity::MeanTop1 { runs, frames } => {
                self.splits(("runs", runs), *frames, findings);
            }
            Quantity::MeanGain { runs, over, frames } => {
                self.splits(("runs", runs), *frames, findings);
                self.splits(("over", over), *frames, findings);
                self.pairs(runs, over, findings);
                self.one_side(runs, over, findings);
            }
            Quantity::Parameters { run } => drop(self.member(run, "run", findings)),
        }
        self.bound(claim, findings);
    }

    fn order(&self, runs: &[String], frames: usize, findings: &mut Findings) {
        if runs.len() < 2 {
            findings
                .mistake("an order has two members or more")
                .at(self.at("runs"), "too few");
        }
        for (i, run) in runs.iter().enumerate() {
            let field = format!("runs[{i}]");
            self.member_at(run, &field, frames, findings);
            let run = self.plain(run);
            let mut before = runs.iter().take(i);
            if let Some(first) = before.position(|other| self.plain(other) == run) {
                self.different((&field, run), (&format!("runs[{first}]"), run), findings);
            }
            if let Some(first) = runs.first().filter(|_| i > 0) {
                self.same_clips((run, &field), (first, "runs[0]"), findings);
            }
        }
    }

    /// Members whose mean is taken: two or more, none of them twice.
    fn splits(&self, (field, runs): (&str, &[String]), frames: usize, findings: &mut Findings) {
        if runs.len() < 2 {
            findings
                .mistake("a mean is of two members or more")
                .at(self.at(field), "too few");
        }
        for (i, run) in runs.iter().enumerate() {
            let own = format!("{field}[{i}]");
            self.member_at(run, &own, frames, findings);
            let run = self.plain(run);
            let mut before = runs.iter().take(i);
            if let Some(first) = before.position(|other| self.plain(other) == run) {
                findings
                    .mistake("a mean in which a member stands twice")
                    .at(self.at(&own), "the same")
                    .at(self.at(&format!("{field}[{first}]")), "as this");
            }
        }
    }

    /// A member counts for or against, not both: its seeds would be drawn twice.
    fn one_side(&self, runs: &[String], over: &[String], findings: &mut Findings) {
        for (i, other) in over.iter().enumerate() {
            let same = |run: &String| self.plain(run) == self.plain(other);
            // In the same place it is a comparison with itself.
            let at = runs.iter().position(same).filter(|&at| at != i);
            if let Some(at) = at {
                findings
                    .mistake("a mean in which a member stands on both sides")
                    .at(self.at(&format!("over[{i}]")), "the same")
                    .at(self.at(&format!("runs[{at}]")), "as this");
            }
        }
    }

    /// Members that are compared in pairs.
    fn pairs(&self, runs: &[String], over: &[String], findings: &mut Findings) {
        if runs.len() != over.len() {
            findings
                .mistake("each of `runs` is compared with the one of `over` in the same place")
                .at(self.at("over"), format!("{} of {}", over.len(), runs.len()));
        }
        for (i, (run, other)) in runs.iter().zip(over).enumerate() {
            let (field, others) = (format!("runs[{i}]"), format!("over[{i}]"));
            self.different(
                (&others, self.plain(other)),
                (&field, self.plain(run)),
                findings,
            );
            self.same_clips((run, &field), (other, &others), findings);
        }
    }

    /// Path of a field of the quantity.
    fn at(&self, field: &str) -> String {
        format!("{}.quantity.{field}", self.path)
    }

    /// The member of a name, which must be there.
    fn member(&self, name: &str, field: &str, findings: &mut Findings) -> Option<&Member> {
        let member = self.suite.member(name);
        let own = name.split('/').next().unwrap_or(name);
        if member.is_none() && !self.broken.contains(own) {
            let mut known: Vec<&str> = self.suite.members.iter().map(|m| &*m.name).collect();
            known.dedup();
            let label = match nearest(name, &known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "no such member".to_owned(),
            };
            findings
                .mistake(format!("the suite has no member `{name}`"))
                .at(self.at(field), label)
                .hint(format!("members: `{}`", known.join("`, `")));
        }
        member
    }

    /// The member of a name must be there and evaluated at `frames`.
    fn member_at(&self, name: &str, field: &str, frames: usize, findings: &mut Findings) {
        if let Some(member) = self.member(name, field, findings) {
            self.evaluated(member, frames, "frames", findings);
        }
    }

    fn evaluated(&self, member: &Member, frames: usize, field: &str, findings: &mut Findings) {
        let (name, counts) = (&member.name, &member.experiment.eval.frames);
        if !counts.contains(&frames) {
            let counts: Vec<String> = counts.iter().map(usize::to_string).collect();
            findings
                .mistake(format!("`{name}` is not evaluated at {frames} frames"))
                .at(self.at(field), "its `eval.frames` have no such count")
                .hint(format!("it is evaluated at {}", counts.join(", ")));
        }
    }

    /// A member's name as the suite has it.
    fn plain<'n>(&'n self, name: &'n str) -> &'n str {
        let member = self.suite.member(name);
        member.map_or(name, |member| &member.name)
    }

    fn different<T: PartialEq>(
        &self,
        (field, value): (&str, T),
        (other, others): (&str, T),
        findings: &mut Findings,
    ) {
        if value == others {
            findings
                .mistake("a comparison of something with itself")
                .at(self.at(field), "the same")
                .at(self.at(other), "as this");
        }
    }

    /// Clips are compared one by one: both members must have the same.
    fn same_clips(
        &self,
        (a, field): (&str, &str),
        (b, other): (&str, &str),
        findings: &mut Findings,
    ) {
        if let (Some(first), Some(second)) = (self.suite.member(a), self.suite.member(b))
            && first.experiment.data != second.experiment.data
        {
            findings
                .mistake(format!(
                    "`{a}` and `{b}` have other data, so that no clip can be compared"
                ))
                .at(self.at(field), "its `data`")
                .at(self.at(other), "differ from these");
        }
    }

    fn bound(&self, claim: &Claim, findings: &mut Findings) {
        let path = format!("{}.is", self.path);
        claim.is.check(&path, None, findings);
        let (Bound::AtLeast(value) | Bound::AtMost(value) | Bound::About { value, .. }) = claim.is;
        let legal = match claim.quantity {
            Quantity::Top1 { .. } | Quantity::MeanTop1 { .. } => 0.0..=100.0,
            Quantity::Gap { .. }
            | Quantity::Gain { .. }
            | Quantity::Order { .. }
            | Quantity::MeanGain { .. } => -100.0..=100.0,
            Quantity::Parameters { .. } | Quantity::Flops { .. } => 0.0..=f64::MAX,
        };
        if !legal.contains(&value) {
            findings
                .mistake(format!("the quantity is never {value}"))
                .at(path, format!("from {} to {}", legal.start(), legal.end()));
        }
    }
}
