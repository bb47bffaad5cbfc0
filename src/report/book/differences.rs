//! The discrepancy ledger: the named differences, and what each does to a run's numbers.

use std::fmt::Write;

use super::arguments::argument;
use super::context::Context;
use crate::base::Result;
use crate::report::numbers::percent;
use crate::report::source::{Run, evaluation};
use crate::report::{escape, table};
use crate::spec;
use crate::why::fields::{NAMED, named_difference, roots};

/// Each named difference with the runs that differ from `RUN` in nothing else.
pub fn ledger(context: &mut Context<'_>, args: &[&str]) -> Result<String> {
    let base = context.run(argument(args, 0))?;
    let mut others = Vec::new();
    for run in context.catalogue.current() {
        if let Some(subject) = only_difference(base, run) {
            others.push((subject, run));
        }
    }
    let mut text = String::new();
    for named in &NAMED {
        let runs = others
            .iter()
            .filter(|(subject, _)| *subject == named.subject);
        let runs: Vec<&Run> = runs.map(|(_, run)| *run).collect();
        let effect = match runs.is_empty() {
            true => format!(
                "Not measured: no run here differs from {} in this alone.\n",
                context.cite(&base.name(), &escape::code(&base.name()), "experiment.ron")
            ),
            false => effects(context, base, &runs)?,
        };
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "## {}\n\n| paper or text | official code |\n| --- | --- |\n| {} | {} |\n\n{effect}\n",
            capitalised(named.subject),
            escape::markdown(named.text),
            escape::markdown(named.code),
        );
    }
    Ok(text)
}

/// The named difference that all fields belong to in which two runs differ, the name aside.
fn only_difference(base: &Run, other: &Run) -> Option<&'static str> {
    let differences = spec::diff(&base.experiment, &other.experiment);
    let paths = differences.iter().map(|d| d.path.as_str());
    let mut subjects = roots(paths.filter(|path| *path != "name"))
        .into_iter()
        .map(|path| named_difference(path).map(|named| named.subject));
    let first = subjects.next()??;
    subjects
        .all(|subject| subject == Some(first))
        .then_some(first)
}

/// A row for the run as it is, and one for each that differs.
fn effects(context: &mut Context<'_>, base: &Run, others: &[&Run]) -> Result<String> {
    let counts: Vec<usize> = base.results.iter().map(|summary| summary.frames).collect();
    let mut header = vec!["run".to_owned(), "differs in".to_owned()];
    header.extend(counts.iter().map(|frames| format!("{frames} frames")));
    let mut rows = Vec::new();
    for run in std::iter::once(&base).chain(others) {
        let name = run.name();
        context.runs.insert(name.clone());
        let changes = spec::diff(&base.experiment, &run.experiment);
        let changes = changes.iter().filter(|change| change.path != "name");
        let changes: Vec<String> = changes
            .map(|change| escape::code(&change.to_string()))
            .collect();
        let mut row = vec![
            context.cite(&name, &escape::code(&name), "experiment.ron"),
            match changes.is_empty() {
                true => "–".to_owned(),
                false => changes.join("<br>"),
            },
        ];
        for &frames in &counts {
            let top1 = run.result(frames)?.top1_percent();
            let change = top1 - base.result(frames)?.top1_percent();
            let shown = match run.name() == base.name() {
                true => percent(top1),
                false => format!("{} ({change:+.2})", percent(top1)),
            };
            row.push(context.cite(&name, &shown, &evaluation(frames)));
        }
        rows.push(row);
    }
    Ok(table::markdown(&header, &rows))
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().collect::<String>());
    format!("{}{}", first.unwrap_or_default(), chars.as_str())
}
