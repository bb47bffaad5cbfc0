//! What is legal in a resolved experiment, beyond the types: what its fields declare, and rules across fields.
//!
//! The rules see only the [`Experiment`]. They name fields by path; who has the file knows their places.

mod data;
mod eval;
mod model;
mod text;
mod train;

use std::ops::{Bound, RangeBounds, RangeInclusive};

pub use text::{FILE, NAME, PLACE, ROOT, SHA256, TEMPLATE};

use super::decode::Decode;
use super::experiment::Experiment;
use super::legal::interval;
use super::report::MOST_KEPT;

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub message: String,
    /// Path of every field that the rule read with what is there, the one to mend first.
    pub fields: Vec<(String, String)>,
    pub hint: Option<String>,
}

impl Finding {
    pub fn at(&mut self, path: impl Into<String>, what: impl Into<String>) -> &mut Self {
        self.fields.push((path.into(), what.into()));
        self
    }

    pub fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Broken rules, and what is legal but deserves a look.
#[derive(Debug, Default)]
pub struct Findings {
    pub mistakes: Vec<Finding>,
    pub warnings: Vec<Finding>,
}

/// Everything that is wrong with an experiment or deserves a look.
pub fn verify(experiment: &Experiment) -> Findings {
    let mut findings = Findings::default();
    experiment.check("", None, &mut findings);
    model::verify(experiment, &mut findings);
    data::verify(experiment, &mut findings);
    train::verify(experiment, &mut findings);
    eval::verify(experiment, &mut findings);
    findings
}

impl Findings {
    /// Whether there are so many mistakes that no more need be looked for.
    pub fn full(&self) -> bool {
        self.mistakes.len() >= MOST_KEPT
    }

    pub fn mistake(&mut self, message: impl Into<String>) -> &mut Finding {
        add(&mut self.mistakes, message.into())
    }

    fn warning(&mut self, message: impl Into<String>) -> &mut Finding {
        add(&mut self.warnings, message.into())
    }

    /// A whole number outside its range.
    pub fn whole(&mut self, path: &str, value: usize, legal: &RangeInclusive<usize>) {
        if !legal.contains(&value) {
            let (least, most) = (legal.start(), legal.end());
            let name = last(path);
            self.mistake(format!(
                "`{name}` must be from {least} to {most}, found {value}"
            ))
            .at(path, format!("from {least} to {most}"));
        }
    }

    /// A number outside its interval.
    pub fn number(&mut self, path: &str, value: f64, legal: (Bound<f64>, Bound<f64>)) {
        if !legal.contains(&value) {
            let (interval, name) = (interval(legal.0, legal.1), last(path));
            self.mistake(format!("`{name}` must be in {interval}, found {value}"))
                .at(path, format!("outside {interval}"));
        }
    }

    /// Numbers that do not ascend, or come twice. False when something was wrong.
    fn ascending<T: PartialOrd + std::fmt::Debug>(&mut self, path: &str, values: &[T]) {
        for (i, pair) in values.windows(2).enumerate() {
            let (before, after) = (&pair[0], &pair[1]);
            if after > before {
                continue;
            }
            let (name, at) = (last(path), format!("{path}[{}]", i + 1));
            match after == before {
                true => self
                    .mistake(format!("`{name}` has {after:?} twice"))
                    .at(at, "once is enough"),
                false => self
                    .mistake(format!(
                        "`{name}` must ascend, found {after:?} after {before:?}"
                    ))
                    .at(at, format!("smaller than {before:?}"))
                    .hint("from the smallest to the largest"),
            };
        }
    }
}

/// A new finding. When there are as many as anybody reads, it takes the place of the last.
fn add(findings: &mut Vec<Finding>, message: String) -> &mut Finding {
    if findings.len() >= MOST_KEPT {
        findings.pop();
    }
    let last = findings.len();
    findings.push(Finding {
        message,
        fields: Vec::new(),
        hint: None,
    });
    &mut findings[last]
}

/// The name of a field by its path.
fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}
