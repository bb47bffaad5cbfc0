//! Where two experiments or runs part: a walk from the cause to the effect that ends at the first difference.
//!
//! The stages are those of [`Stage`], in its order. What the two are made from (experiment, circumstances, data) is
//! compared whole; then both are computed again, step by step and stage by stage (`replay`), until two values part.
//! Where they do not, or cannot be computed here, what two runs left behind is compared (`recorded`).
//!
//! Against a golden bundle the experiment computes with the bundle's weights and inputs ([`bundle`]).
//!
//! Two sides that compute with the same engine must agree bit for bit; between engines [`compare::Tolerance`] says how
//! far a tensor may stray.

pub mod bundle;
pub mod compare;
mod computed;
mod declared;
mod evaluated;
pub mod fields;
mod recorded;
mod replay;
mod replayed;
pub mod report;
mod samples;
pub mod side;

use std::path::PathBuf;

pub use report::{Difference, Finding, Outcome, Report, Stage};
pub use side::Side;

use crate::base::{Error, Result};
use crate::exec::Executor;

/// How far and with what the two are computed.
pub struct Options<'a> {
    /// Training steps that are computed again.
    pub steps: u64,
    pub executors: Pair<Executor>,
    /// `--data-root` of each.
    pub roots: Pair<Option<PathBuf>>,
    pub unpinned: bool,
    pub progress: &'a crate::data::dataset::Progress<'a>,
}

/// Something of both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair<T> {
    pub a: T,
    pub b: T,
}

impl<T> Pair<T> {
    pub fn new(a: T, b: T) -> Self {
        Self { a, b }
    }

    pub fn as_ref(&self) -> Pair<&T> {
        Pair::new(&self.a, &self.b)
    }

    pub fn as_mut(&mut self) -> Pair<&mut T> {
        Pair::new(&mut self.a, &mut self.b)
    }

    pub fn map<U>(self, mut change: impl FnMut(T) -> U) -> Pair<U> {
        Pair::new(change(self.a), change(self.b))
    }

    pub fn zip<U>(self, other: Pair<U>) -> Pair<(T, U)> {
        Pair::new((self.a, other.a), (self.b, other.b))
    }
}

impl<T> Pair<Result<T>> {
    /// Both, or the first error with the side's letter.
    pub fn both(self) -> Result<Pair<T>> {
        let named = |side: &str, mut error: Error| {
            error.message = format!("{side}: {}", error.message);
            error
        };
        Ok(Pair {
            a: self.a.map_err(|error| named("a", error))?,
            b: self.b.map_err(|error| named("b", error))?,
        })
    }
}

/// Compares stage by stage, until two values part.
pub fn walk(sides: &Pair<Side>, options: &Options<'_>) -> Result<Report> {
    let mut walk = Walk::new(Report::new(sides.a.describe(), sides.b.describe()));
    match stages(sides, options, &mut walk) {
        Ok(()) | Err(Halt::Parted) => {}
        Err(Halt::Failed(error)) => return Err(error),
    }
    let mut report = walk.report;
    report.explanation = declared::explain(sides, &report);
    Ok(report)
}

fn stages(sides: &Pair<Side>, options: &Options<'_>, walk: &mut Walk) -> Result<(), Halt> {
    declared::walk(sides, options, walk)?;
    let data = side::open_data(sides, options);
    replay::walk(sides, options, &data, walk)?;
    recorded::walk(sides, walk)
}

/// The report while it grows.
struct Walk {
    report: Report,
    /// Of the steps that were computed again.
    losses: Vec<Pair<f64>>,
}

/// Why the walk ends.
enum Halt {
    /// An effect was found.
    Parted,
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Halt::Failed(error)
    }
}

impl Walk {
    fn new(report: Report) -> Self {
        Self {
            report,
            losses: Vec::new(),
        }
    }

    /// Notes a stage; an effect ends the walk.
    fn note(&mut self, stage: Stage, outcome: Outcome) -> Result<(), Halt> {
        self.note_step(None, stage, outcome)
    }

    fn note_step(&mut self, step: Option<u64>, stage: Stage, outcome: Outcome) -> Result<(), Halt> {
        let finding = Finding {
            stage,
            step,
            outcome,
        };
        let ends = finding.differs() && !stage.is_cause();
        self.report.findings.push(finding);
        match ends {
            true => Err(Halt::Parted),
            false => Ok(()),
        }
    }

    /// Notes that stages were not compared.
    fn skip(&mut self, stages: &[Stage], reason: &str) {
        for &stage in stages {
            self.report.findings.push(Finding {
                stage,
                step: None,
                outcome: Outcome::NotCompared(reason.to_owned()),
            });
        }
    }
}
