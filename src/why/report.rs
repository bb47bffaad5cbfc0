//! What a comparison found: one outcome for each stage, from cause to effect.

use std::fmt;

use serde::Serialize;

use super::fields::{self, Named};
pub use crate::spec::Stage;

/// Where two values part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The field, clip, tensor or line, with the place in it.
    pub place: String,
    pub a: String,
    pub b: String,
    /// Of a field the difference between paper and official code that it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub named: Option<Named>,
    /// More about it in sentences: how far apart, what could explain it.
    pub notes: Vec<String>,
}

impl Difference {
    pub fn new(place: impl Into<String>, a: impl ToString, b: impl ToString) -> Self {
        Self {
            place: place.into(),
            a: a.to_string(),
            b: b.to_string(),
            named: None,
            notes: Vec::new(),
        }
    }

    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

/// What became of a stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Equal; what was compared, and how much of it.
    Same(String),
    /// Of the experiments all fields that differ, of any other stage the first place.
    Differs(Vec<Difference>),
    /// Nothing was looked at, and why.
    NotCompared(String),
}

impl Outcome {
    /// `Same(compared)` where there is no difference.
    pub fn of(difference: Option<Difference>, compared: impl FnOnce() -> String) -> Self {
        match difference {
            Some(difference) => Outcome::Differs(vec![difference]),
            None => Outcome::Same(compared()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    pub stage: Stage,
    /// The training step, where the stage is one of a step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    pub outcome: Outcome,
}

impl Finding {
    pub fn differences(&self) -> &[Difference] {
        match &self.outcome {
            Outcome::Differs(differences) => differences,
            _ => &[],
        }
    }

    pub fn differs(&self) -> bool {
        !self.differences().is_empty()
    }

    /// `step 3, loss`.
    pub fn title(&self) -> String {
        match self.step {
            Some(step) => format!("step {step}, {}", self.stage.name()),
            None => self.stage.name().to_owned(),
        }
    }
}

/// The stages up to the first effect.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub a: String,
    pub b: String,
    pub findings: Vec<Finding>,
    /// What could explain the first effect, or the lack of one.
    pub explanation: Vec<String>,
}

impl Report {
    pub fn new(a: String, b: String) -> Self {
        Self {
            a,
            b,
            findings: Vec::new(),
            explanation: Vec::new(),
        }
    }

    /// The stages that differ and that lead to others.
    pub fn causes(&self) -> impl Iterator<Item = &Finding> {
        let differing = self.findings.iter().filter(|finding| finding.differs());
        differing.filter(|finding| finding.stage.is_cause())
    }

    /// The first stage of what came of the two that differs.
    pub fn effect(&self) -> Option<&Finding> {
        let effects = self.findings.iter().filter(|f| !f.stage.is_cause());
        effects.into_iter().find(|finding| finding.differs())
    }

    /// Whether anything differs but the circumstances.
    pub fn differs(&self) -> bool {
        let counts = |finding: &&Finding| finding.stage != Stage::Circumstances;
        self.causes().any(|finding| counts(&finding)) || self.effect().is_some()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "a  {}\nb  {}\n", self.a, self.b)?;
        for group in self.findings.chunk_by(untold_for_one_reason) {
            write_group(f, group)?;
        }
        writeln!(f)?;
        for cause in self.causes() {
            let places = cause.differences().iter().map(|d| d.place.as_str());
            let places = fields::roots(places).join(", ");
            writeln!(f, "cause   {}: {places}", cause.title())?;
        }
        match self.effect() {
            Some(effect) => {
                let place = effect.differences().first().map_or("", |d| &d.place);
                writeln!(f, "effect  {}: {place}", effect.title())?;
            }
            None => writeln!(f, "effect  none")?,
        }
        for sentence in &self.explanation {
            writeln!(f, "        {sentence}")?;
        }
        Ok(())
    }
}

/// Stages that follow one another and were not compared for the same reason are one line.
fn untold_for_one_reason(one: &Finding, next: &Finding) -> bool {
    matches!(&one.outcome, Outcome::NotCompared(_)) && one.outcome == next.outcome
}

fn write_group(f: &mut fmt::Formatter<'_>, group: &[Finding]) -> fmt::Result {
    let (Some(first), Some(last)) = (group.first(), group.last()) else {
        return Ok(());
    };
    let title = match group.len() {
        1 => first.title(),
        _ => format!("{} to {}", first.title(), last.stage.name()),
    };
    match &first.outcome {
        Outcome::Same(compared) => writeln!(f, "{title:<23} same     {compared}"),
        Outcome::NotCompared(reason) => {
            let reason = reason.replace('\n', "\n  ");
            writeln!(f, "{title:<23} skipped  {reason}")
        }
        Outcome::Differs(differences) => {
            writeln!(f, "{title:<23} DIFFERS")?;
            let mut told = None;
            for difference in differences {
                write_difference(f, difference)?;
                // Fields of one named difference follow one another: it is told behind the first.
                if told != difference.named {
                    told = difference.named;
                    told.map_or(Ok(()), |named| write_named(f, named))?;
                }
            }
            Ok(())
        }
    }
}

fn write_difference(f: &mut fmt::Formatter<'_>, difference: &Difference) -> fmt::Result {
    let Difference { place, a, b, .. } = difference;
    writeln!(f, "  {place}\n    a  {a}\n    b  {b}")?;
    let mut notes = difference.notes.iter();
    notes.try_for_each(|note| writeln!(f, "    {note}"))
}

fn write_named(f: &mut fmt::Formatter<'_>, named: Named) -> fmt::Result {
    let Named {
        subject,
        text,
        code,
    } = named;
    writeln!(f, "    {subject}\n      text  {text}\n      code  {code}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(stage: Stage, outcome: Outcome) -> Finding {
        let step = (stage == Stage::Loss).then_some(0);
        Finding {
            stage,
            step,
            outcome,
        }
    }

    fn differs(place: &str) -> Outcome {
        Outcome::Differs(vec![Difference::new(place, 1, 2).note("twice as much")])
    }

    #[test]
    fn a_report_names_cause_and_effect() {
        let mut report = Report::new("one".into(), "other".into());
        let reason = || Outcome::NotCompared("the data are elsewhere".into());
        report.findings = vec![
            finding(Stage::Experiment, differs("method.lambda")),
            finding(Stage::Data, Outcome::Same("pins 12ab".into())),
            finding(Stage::SampleOrder, reason()),
            finding(Stage::FrameIndices, reason()),
            finding(Stage::Loss, differs("kl.4")),
        ];
        report.explanation = vec!["lambda weighs the divergences".into()];
        insta::assert_snapshot!(report);
        assert!(report.differs());
    }

    #[test]
    fn circumstances_alone_are_no_difference() {
        let mut report = Report::new("one".into(), "other".into());
        report.findings = vec![finding(Stage::Circumstances, differs("build"))];
        assert!(!report.differs());
        assert_eq!(report.causes().count(), 1);
        report
            .findings
            .push(finding(Stage::RecordedMetrics, differs("step 3")));
        assert!(report.differs());
    }
}
