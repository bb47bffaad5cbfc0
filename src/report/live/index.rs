//! The first page: all suites and runs.

use std::path::Path;

use super::html::{self, Page};
use super::{Look, suite};
use crate::base::count;
use crate::report::listing;
use crate::run::overview::{Overview, State};

const RUNS: [&str; 8] = [
    "run",
    "what",
    "state",
    "epoch",
    "loss",
    "clips/s",
    "left",
    "top-1 by frames",
];

pub(super) fn page(runs: &Path, look: &Look) -> Page {
    let name = std::path::absolute(runs).unwrap_or(runs.to_owned());
    let name = name.file_name().unwrap_or(runs.as_os_str());
    let name = name.to_string_lossy();
    let mut body = format!("<h1>{}</h1>\n", html::text(&name));
    body += &summary(&look.overviews);
    for error in &look.errors {
        body += &html::warning(&format!("not readable: {}", error.message));
    }
    if !look.suites.is_empty() {
        let rows: Vec<_> = look
            .suites
            .iter()
            .map(|s| suite::row(s, &look.overviews))
            .collect();
        body += &html::section("Suites", &html::table(&suite::SUITES, &rows));
    }
    if !look.overviews.is_empty() {
        let rows: Vec<_> = ordered(&look.overviews).map(|run| row(run, look)).collect();
        body += &html::section("Runs", &html::table(&RUNS, &rows));
    }
    Page {
        title: title(&name, &look.overviews),
        up: "",
        body,
    }
}

/// How many are working stands first, so that a tab of a browser shows it.
fn title(name: &str, overviews: &[Overview]) -> String {
    let working = overviews.iter().filter(|run| run.state == State::Working);
    match working.count() {
        0 => format!("{name} · ffn"),
        working => format!("({working}) {name} · ffn"),
    }
}

/// Those under work first, then those that someone may have to look after.
fn ordered(overviews: &[Overview]) -> impl Iterator<Item = &Overview> {
    let rank = |run: &&Overview| match run.state {
        State::Working => 0,
        State::Failed | State::Diverged | State::Killed => 1,
        State::Stopped => 2,
        State::Finished => 3,
    };
    let mut ordered: Vec<&Overview> = overviews.iter().collect();
    ordered.sort_by_key(rank);
    ordered.into_iter()
}

/// `12 runs: 5 finished, 2 working, 1 failed`
fn summary(overviews: &[Overview]) -> String {
    if overviews.is_empty() {
        let sentence =
            "No run has begun here yet. `ffn run FILE` begins one; this page shows it by itself.";
        return format!("<p>{}</p>\n", html::text(sentence));
    }
    let of = |state: State| {
        let count = overviews.iter().filter(|run| run.state == state).count();
        (count > 0).then(|| format!("{count} {}", state.name()))
    };
    let states: Vec<String> = State::ALL.into_iter().filter_map(of).collect();
    let all = count(overviews.len(), "run");
    format!("<p>{all}: {}</p>\n", states.join(", "))
}

fn row(overview: &Overview, look: &Look) -> Vec<String> {
    let name = overview.folder.name();
    let (speed, left) = listing::pace(overview);
    let epochs = overview.manifest.steps / overview.manifest.steps_per_epoch.max(1);
    vec![
        html::run_link("", &name),
        html::text(&listing::what(overview, look.members.get(&name))),
        html::state(overview.state),
        format!("{:.1}/{epochs}", overview.epoch()),
        listing::loss(overview),
        speed,
        left,
        html::text(&listing::top1(overview).join("  ")),
    ]
}
