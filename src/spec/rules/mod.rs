//! What is legal in a resolved experiment, beyond the types: ranges, and rules across fields.
//!
//! The rules see only the [`Experiment`]. They name fields by path; who has the file knows their places.

mod data;
mod eval;
mod model;
mod train;

use std::ops::{Bound, RangeBounds};

use super::experiment::Experiment;
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
    name(&experiment.name, &mut findings);
    model::verify(experiment, &mut findings);
    data::verify(experiment, &mut findings);
    train::verify(experiment, &mut findings);
    eval::verify(experiment, &mut findings);
    findings
}

/// The run folder is called so, on every machine.
pub fn name(name: &str, findings: &mut Findings) {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let legal = name.len() <= 100 && name.chars().all(plain) && !name.starts_with(['.', '-']);
    if name.is_empty() {
        findings.mistake("the name is empty").at("name", "no name");
    } else if !legal {
        findings
            .mistake("the name cannot be a folder's on every machine")
            .at("name", "not a plain name")
            .hint("at most 100 letters, digits, `-`, `_` and `.`, starting with a letter or digit");
    }
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
    fn whole(&mut self, path: &str, value: usize, legal: std::ops::RangeInclusive<usize>) {
        if !legal.contains(&value) {
            let (least, most) = legal.into_inner();
            let name = last(path);
            self.mistake(format!(
                "`{name}` must be from {least} to {most}, found {value}"
            ))
            .at(path, format!("from {least} to {most}"));
        }
    }

    /// A number outside its interval.
    pub fn number(&mut self, path: &str, value: f64, legal: impl RangeBounds<f64>) {
        if !legal.contains(&value) {
            let (interval, name) = (interval(&legal), last(path));
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

    /// A path to a file, which must mean the same on every machine.
    fn relative_path(&mut self, path: &str, value: &str) {
        let name = last(path);
        if value.is_empty() {
            self.mistake(format!("`{name}` is empty"))
                .at(path, "no file");
        } else if value.starts_with('/') || value.contains(['\\', ':', '\0']) {
            self.mistake(format!("`{name}` must be a relative path with `/`"))
                .at(path, "means a file of one machine")
                .hint("paths start at the folder of the experiment; a symbolic link can lead elsewhere");
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

/// `[0, 1)` and the like.
fn interval(range: &impl RangeBounds<f64>) -> String {
    let start = match range.start_bound() {
        Bound::Included(least) => format!("[{least}"),
        Bound::Excluded(least) => format!("({least}"),
        Bound::Unbounded => "(-∞".into(),
    };
    let end = match range.end_bound() {
        Bound::Included(most) => format!("{most}]"),
        Bound::Excluded(most) => format!("{most})"),
        Bound::Unbounded => "∞)".into(),
    };
    format!("{start}, {end}")
}

/// Above zero, at most `most`.
fn above_zero(most: f64) -> (Bound<f64>, Bound<f64>) {
    (Bound::Excluded(0.0), Bound::Included(most))
}
