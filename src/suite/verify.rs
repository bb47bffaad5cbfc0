//! Recomputes what a suite's folder says: its identity, the runs of its members, and every verdict.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::folder;
use super::judge::judge;
use super::record::{Judged, MemberRun, Record};
use crate::base::{Error, Kind, Result, Shown};
use crate::run::Folder;
use crate::run::verify::{self, Report};
use crate::spec::Suite;

/// Judges the claims again from the runs beside the suite's folder. What is wrong is in the report.
pub fn verify(suite_folder: &Folder) -> Result<Report> {
    let mut report = Report::default();
    let runs = &folder::runs_of(suite_folder);
    let suite = report.value(folder::read(suite_folder));
    let record = report.value(folder::read_record(suite_folder));
    if let (Some(suite), Some(record)) = (&suite, &record) {
        report.note(check_record(record, suite, runs));
    }
    for member in record.iter().flat_map(runs_once) {
        check_run(&Folder::at(runs.join(&member.run)), member, &mut report)?;
    }
    let verdicts = report.value(folder::read_verdicts(suite_folder));
    // From damaged runs follows nothing.
    if report.problems.is_empty()
        && let (Some(suite), Some(verdicts)) = (&suite, verdicts)
        && let Some(judged) = report.value(judge(suite, runs))
    {
        check_verdicts(&verdicts, &judged, &mut report);
    }
    report.unlisted = suite_folder.files()?;
    report.unlisted.retain(|name| !folder::is_of_suite(name));
    Ok(report)
}

/// The members without those whose run another has too.
fn runs_once(record: &Record) -> impl Iterator<Item = &MemberRun> {
    let mut known = BTreeSet::new();
    let members = record.members.iter();
    members.filter(move |member| known.insert(&member.run))
}

fn check_run(run: &Folder, member: &MemberRun, report: &mut Report) -> Result<()> {
    if !run.exists() {
        let (path, name) = (run.path().shown(), &member.name);
        let message = format!("the run `{path}` of `{name}` is missing");
        let hint = "`ffn run` with the suite's file makes what is missing of it";
        report.note(Err(Error::new(Kind::Run, message).hint(hint)));
        return Ok(());
    }
    report.add(verify::verify(run)?);
    report.note(run.manifest().and_then(|manifest| member.check(&manifest)));
    Ok(())
}

/// All but the variants follows from the suite; of those, which it no longer tells, the seal speaks.
fn check_record(record: &Record, suite: &Suite, runs: &Path) -> Result<()> {
    let without_variants = |mut record: Record| {
        let members = record.members.iter_mut();
        members.for_each(|member| member.variant.clear());
        record
    };
    if without_variants(record.clone()) == without_variants(folder::record(suite, runs)) {
        return Ok(());
    }
    let (record, suite) = (folder::RECORD, folder::SUITE);
    let message = format!("`{record}` does not have the members of `{suite}`");
    Err(Error::new(Kind::Run, message).hint("`ffn run` with the suite's file writes it again"))
}

/// One check for each claim.
fn check_verdicts(stored: &[Judged], judged: &[Judged], report: &mut Report) {
    let ids = |all: &[Judged]| all.iter().map(|j| j.id.clone()).collect::<Vec<_>>();
    if ids(stored) != ids(judged) {
        let (verdicts, suite) = (folder::VERDICTS, folder::SUITE);
        let message = format!("`{verdicts}` does not have the claims of `{suite}`");
        report.note(Err(Error::new(Kind::Run, message).hint(AGAIN)));
        return;
    }
    for (stored, judged) in stored.iter().zip(judged) {
        report.note(check_verdict(stored, judged));
    }
}

const AGAIN: &str = "`ffn run` with the suite's file judges its claims again";

fn check_verdict(stored: &Judged, judged: &Judged) -> Result<()> {
    if stored == judged {
        return Ok(());
    }
    let differing = differences(stored, judged);
    let message = format!(
        "the verdict on `{}` in `{}` does not follow from the runs:{differing}",
        stored.id,
        folder::VERDICTS
    );
    Err(Error::new(Kind::Run, message).hint(AGAIN))
}

/// Each field that differs, with both values.
fn differences(stored: &Judged, judged: &Judged) -> String {
    let fields = |judged: &Judged| match serde_json::to_value(judged) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (stored, judged) = (fields(stored), fields(judged));
    let differing = judged
        .iter()
        .filter(|(name, value)| stored.get(*name) != Some(value));
    let line = |(name, value): (&String, &Value)| {
        let found = stored.get(name).unwrap_or(&Value::Null);
        format!("\n  {name}: {found} is written, {value} is computed")
    };
    differing.map(line).collect()
}
