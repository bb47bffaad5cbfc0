//! The page of one suite, and its row on the first page.

use std::path::Path;

use super::html::{self, Page};
use crate::base::Result;
use crate::report::source::seconds_of;
use crate::report::{listing, verdicts};
use crate::run::Folder;
use crate::run::overview::{Overview, State};
use crate::suite::{Judged, Record, folder};
use crate::train::progress;

pub(super) const SUITES: [&str; 3] = ["suite", "runs", "claims"];
const MEMBERS: [&str; 9] = [
    "run",
    "member",
    "seed",
    "state",
    "epoch",
    "loss",
    "clips/s",
    "left",
    "top-1 by frames",
];

/// A suite's documents as they are now.
#[derive(Debug)]
pub struct Look {
    /// Of its folder.
    pub name: String,
    record: Result<Record>,
    /// Empty before claims were judged.
    verdicts: Result<Vec<Judged>>,
}

/// The suites in a folder of runs, by name.
pub(super) fn list(runs: &Path) -> Vec<Look> {
    let entries = std::fs::read_dir(runs).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let look = |path| {
        let folder = Folder::at(path);
        let verdicts = match folder.join(folder::VERDICTS).exists() {
            true => folder::read_verdicts(&folder),
            false => Ok(Vec::new()),
        };
        Look {
            name: folder.name(),
            record: folder::read_record(&folder),
            verdicts,
        }
    };
    let suites = paths.filter(|path| folder::is_at(path)).map(look);
    let mut suites: Vec<Look> = suites.collect();
    suites.sort_by(|a, b| a.name.cmp(&b.name));
    suites
}

/// Runs of the suite that are in a state, and all of them.
fn count(record: &Record, overviews: &[Overview], state: State) -> (usize, usize) {
    let is_in = |run: &str| {
        let mut found = overviews
            .iter()
            .filter(|overview| overview.folder.name() == run);
        found.any(|overview| overview.state == state)
    };
    let members = &record.members;
    let some = members.iter().filter(|member| is_in(&member.run)).count();
    (some, members.len())
}

/// `7 of 12 runs finished, 2 working, about 4 min left`, as a bar.
fn progress(record: &Record, overviews: &[Overview]) -> String {
    let (finished, all) = count(record, overviews, State::Finished);
    let (working, _) = count(record, overviews, State::Working);
    let mut words = format!("{finished} of {all} runs finished");
    if working > 0 {
        words += &format!(", {working} working");
    }
    if let Some(seconds) = left(record, overviews, working) {
        words += &format!(", about {} left", progress::left(seconds));
    }
    html::bar(finished as f64 / all.max(1) as f64, &words)
}

/// Seconds until the last run ends, if as many go on working as do now: each takes as long as those of its member that are finished
/// or at work, else as all of these. `None` where none works.
fn left(record: &Record, overviews: &[Overview], working: usize) -> Option<f64> {
    let of = |run: &str| {
        overviews
            .iter()
            .find(|overview| overview.folder.name() == run)
    };
    let mut taken: Vec<(&str, f64)> = Vec::new();
    let mut open: Vec<(&str, f64)> = Vec::new();
    for member in &record.members {
        let overview = of(&member.run);
        taken.extend(overview.and_then(whole).map(|s| (&*member.name, s)));
        if !overview.is_some_and(|overview| overview.manifest.finished) {
            open.push((&member.name, 1.0 - overview.map_or(0.0, Overview::part)));
        }
    }
    let usual = |name: &str| {
        let own = taken.iter().filter(|(member, _)| *member == name);
        mean(own.map(|(_, s)| *s)).or_else(|| mean(taken.iter().map(|(_, s)| *s)))
    };
    let work: Option<f64> = open
        .iter()
        .map(|(name, part)| Some(part * usual(name)?))
        .sum();
    work.filter(|_| working > 0)
        .map(|work| work / working as f64)
}

/// What a run takes as a whole: of a finished one what its processes took by the clock, of one at work what its training will.
fn whole(overview: &Overview) -> Option<f64> {
    if overview.manifest.finished {
        return seconds_of(&overview.folder.history().ok()?).ok();
    }
    let step = overview.latest?.seconds_per_step?;
    Some(overview.manifest.steps as f64 * step)
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

impl Look {
    /// Whether a run is one of the suite's.
    pub(super) fn has(&self, run: &str) -> bool {
        let record = self.record.as_ref();
        record.is_ok_and(|record| record.members.iter().any(|member| member.run == run))
    }
}

/// For the table of suites.
pub(super) fn row(suite: &Look, overviews: &[Overview]) -> Vec<String> {
    let runs = match &suite.record {
        Ok(record) => progress(record, overviews),
        Err(error) => html::warning(&error.message),
    };
    let claim = |judged: &Judged| {
        let (verdict, id) = (html::verdict(judged.verdict), html::text(&judged.id));
        format!("{verdict} {id}")
    };
    let claims = match suite.verdicts.as_deref() {
        Ok([]) => "not judged yet".to_owned(),
        Ok(judged) => judged.iter().map(claim).collect::<Vec<_>>().join("<br>"),
        Err(error) => html::warning(&error.message),
    };
    vec![html::suite_link("", &suite.name), runs, claims]
}

pub(super) fn page(suite: &Look, overviews: &[Overview]) -> Page {
    let mut body = format!("<h1>{}</h1>\n", html::text(&suite.name));
    match &suite.record {
        Ok(record) => {
            body += &progress(record, overviews);
            body += &match &suite.verdicts {
                Ok(judged) => claims(judged),
                Err(error) => html::section("Claims", &html::warning(&error.to_string())),
            };
            body += &members(record, overviews);
        }
        Err(error) => body += &html::warning(&error.to_string()),
    }
    Page {
        title: format!("{} · ffn", suite.name),
        up: "../",
        body,
    }
}

/// The verdicts as they were written last.
fn claims(judged: &[Judged]) -> String {
    if judged.is_empty() {
        let sentence = "<p>The claims are judged when all runs are finished.</p>\n";
        return html::section("Claims", sentence);
    }
    let row = |judged: &Judged| {
        let cells = verdicts::row(judged);
        let mut cells: Vec<String> = cells.iter().map(|cell| html::text(cell)).collect();
        if let Some(cell) = cells.get_mut(verdicts::VERDICT) {
            *cell = html::verdict(judged.verdict);
        }
        cells.insert(0, html::text(&judged.id));
        cells
    };
    let rows: Vec<_> = judged.iter().map(row).collect();
    let header = [&["id"][..], &verdicts::HEADER].concat();
    html::section("Claims", &html::table(&header, &rows))
}

fn members(record: &Record, overviews: &[Overview]) -> String {
    let rows = record.members.iter().map(|member| {
        let seed = member.variant.get("seed").cloned().unwrap_or_default();
        let mut found = overviews.iter();
        let overview = found.find(|overview| overview.folder.name() == member.run);
        let mut row = match overview {
            Some(_) => vec![html::run_link("../", &member.run)],
            None => vec![html::text(&member.run)],
        };
        row.extend([html::text(&member.name), html::text(&seed)]);
        row.extend(match overview {
            None => vec!["not begun".to_owned()],
            Some(overview) => {
                let (speed, left) = listing::pace(overview);
                vec![
                    html::state(overview.state),
                    listing::epochs(overview),
                    listing::loss(overview),
                    speed,
                    html::unbroken(&left),
                    html::top1(overview),
                ]
            }
        });
        row.resize(MEMBERS.len(), String::new());
        row
    });
    let rows: Vec<_> = rows.collect();
    html::section("Runs", &html::table(&MEMBERS, &rows))
}
