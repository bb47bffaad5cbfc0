//! `suite.json` and `verdicts.json`: what a suite consists of, and what became of its claims.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::{Error, Kind, Result};
use crate::run::manifest::Manifest;

/// `suite.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub name: String,
    /// SHA-256 of `suite.ron`.
    pub identity: String,
    /// In the suite's order; those that differ in the seed alone stand together.
    pub members: Vec<MemberRun>,
}

/// One member at one seed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRun {
    /// As claims name it; all seeds of a member have the same.
    pub name: String,
    /// What the grid chose, by path as in `ffn diff`, as written in the suite; always with `seed`.
    pub variant: BTreeMap<String, String>,
    /// Name of the run folder, beside the suite's.
    pub run: String,
    /// Of the experiment.
    pub identity: String,
}

/// One claim and what became of it: an entry of `verdicts.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// The claim's name in its suite.
    pub id: String,
    /// The claim in words.
    pub sentence: String,
    /// Where it was claimed, such as a table of a paper.
    pub source: Option<String>,
    pub verdict: Verdict,
    /// Why nothing could be measured, where nothing was.
    pub reason: Option<String>,
    /// What was measured, in `unit`; `None` with a `reason`.
    pub value: Option<f64>,
    /// The confidence interval of `value`; of a count the value twice.
    pub interval: Option<[f64; 2]>,
    /// Confidence level of the interval, in (0, 1).
    pub level: f64,
    pub expected: Expected,
    pub unit: Unit,
    /// Clips of the validation split that were compared; 0 where no clip is concerned.
    pub clips: usize,
    /// Of each member, the fewest; 1: the interval says nothing about another training.
    pub seeds: usize,
    /// Names of the run folders.
    pub runs: Vec<String>,
    /// SHA-256 of the predictions that were read, by path from the folder that holds the runs.
    pub evidence: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Pass,
    Fail,
    /// The interval lies on both sides of what is expected, or a run is missing.
    Inconclusive,
}

/// What a claim expects of its quantity, in the claim's unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "relation")]
pub enum Expected {
    AtLeast {
        value: f64,
    },
    AtMost {
        value: f64,
    },
    /// From `value - tolerance` to `value + tolerance`.
    About {
        value: f64,
        tolerance: f64,
    },
}

/// What a claim's numbers count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Of the clips.
    Percent,
    /// Differences of percentages.
    Points,
    Parameters,
    /// 10^9 multiply-adds of one clip, which papers call GFLOPs.
    GigaMultiplyAdds,
}

impl MemberRun {
    /// Fails where a run is not of the member's experiment.
    pub fn check(&self, run: &Manifest) -> Result<()> {
        if run.identity == self.identity {
            return Ok(());
        }
        let message = format!(
            "the run `{}` is of another experiment than the suite says\n  expected {}\n  found    {}",
            self.run, self.identity, run.identity
        );
        Err(Error::new(Kind::Run, message)
            .hint("`ffn run` with the suite's file makes the one that it says"))
    }
}

impl Verdict {
    /// For a person: where the claim's interval is, all as claimed, nowhere as claimed, or on both sides.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "shown",
            Self::Fail => "refuted",
            Self::Inconclusive => "open",
        }
    }

    /// As in `verdicts.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_comes_back_from_its_file() {
        let judged = Judged {
            id: "gap".into(),
            sentence: "tsm loses at least 20 points from 16 to 4 frames".into(),
            source: None,
            verdict: Verdict::Pass,
            reason: None,
            value: Some(41.5),
            interval: Some([36.25, 47.0]),
            level: 0.95,
            expected: Expected::AtLeast { value: 20.0 },
            unit: Unit::Points,
            clips: 320,
            seeds: 3,
            runs: vec!["tsm_miniature-c65f89a6".into()],
            evidence: BTreeMap::new(),
        };
        let text = serde_json::to_string(&judged).unwrap();
        assert!(text.contains(r#""verdict":"pass""#), "{text}");
        assert!(text.contains(r#""expected":{"relation":"at-least","value":20.0}"#));
        assert_eq!(serde_json::from_str::<Judged>(&text).unwrap(), judged);
    }
}
