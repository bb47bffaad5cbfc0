//! The first page: all suites and runs.

use std::path::Path;

use super::html::{self, Page};
use super::{Look, suite};
use crate::base::count;
use crate::report::listing;
use crate::run::overview::{Overview, State};

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
        body += &html::section("Runs", &html::table(&listing::HEADER, &rows));
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
    let cells = listing::row(overview, &look.members);
    let mut cells: Vec<String> = cells.iter().map(|cell| html::text(cell)).collect();
    for (column, cell) in cells.iter_mut().enumerate() {
        // What it is may be long, and so may be the videos that were left out.
        if !listing::LONG.contains(&column) {
            *cell = html::unbroken(cell);
        }
    }
    if let Some(top1) = cells.last_mut() {
        *top1 = html::top1(overview);
    }
    if let Some(run) = cells.first_mut() {
        *run = html::run_link("", &overview.folder.name());
    }
    if let Some(state) = cells.get_mut(listing::STATE) {
        *state = html::state(overview.state);
    }
    cells
}
