//! `ffn runs --watch`

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use crate::base::{Error, Result, Shown, count, terminal};
use crate::cli::table;
use crate::cluster::queue::{self, Entry};
use crate::report::listing::{self, Members};
use crate::run::history;
use crate::run::overview::{self, Overview, State};

const HEADER: [&str; 8] = [
    "run", "what", "state", "where", "step", "loss", "clips/s", "left",
];

/// Clears the screen and goes to its beginning.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Shows the runs, on a terminal always in the same place, until all are finished and none waits.
pub fn watch(runs: &Path, every: Duration) -> Result<()> {
    let place = std::path::absolute(runs).map_err(|e| Error::io("find", runs, &e))?;
    let on_terminal = std::io::stdout().is_terminal();
    loop {
        let (overviews, errors) = overview::list(runs)?;
        let queued = queue::of(&place).unwrap_or_default();
        let text = render(runs, &overviews, &queued, &errors);
        match on_terminal {
            true => terminal::print_exactly(&format!("{CLEAR}{}", terminal::in_lines(&text)))?,
            false => terminal::print(text + "\n")?,
        }
        let finished = |overview: &Overview| overview.state == State::Finished;
        if !overviews.is_empty() && overviews.iter().all(finished) && queued.is_empty() {
            return Ok(());
        }
        sleep(every);
    }
}

fn render(runs: &Path, overviews: &[Overview], queued: &[Entry], errors: &[Error]) -> String {
    let members = listing::members(runs);
    let mut elements: BTreeMap<&str, &Entry> = queued
        .iter()
        .filter_map(|entry| Some((entry.run.as_deref()?, entry)))
        .collect();
    let mut rows = Vec::new();
    for overview in overviews {
        let entry = elements.remove(overview.folder.name().as_str());
        rows.push(row(overview, entry, &members));
    }
    rows.extend(elements.values().map(|entry| new_row(entry, &members)));
    let of = |state: State| overviews.iter().filter(|run| run.state == state).count();
    let waiting = queued.iter().filter(|entry| entry.is_waiting()).count();
    let mut text = format!(
        "{}  {}: {} finished, {} working, {waiting} waiting in the queue\n",
        history::now(),
        count(rows.len(), "run"),
        of(State::Finished),
        of(State::Working),
    );
    if !rows.is_empty() {
        text += &table::render_words(&HEADER, &rows);
    }
    for job in queued.iter().filter(|entry| entry.run.is_none()) {
        text += &format!("{}, job {}: {}\n", job.name, job.job, state(job));
    }
    for error in errors {
        text += &format!("not readable: {}\n", error.message);
    }
    text
}

/// A run that has a folder.
fn row(overview: &Overview, entry: Option<&Entry>, members: &Members) -> Vec<String> {
    let name = overview.folder.name();
    let (speed, left) = listing::pace(overview);
    let steps = overview.steps();
    let own = overview.state.name();
    let state = match entry.filter(|_| overview.state != State::Working) {
        Some(entry) => format!("{own}, {}", self::state(entry)),
        None => own.to_owned(),
    };
    vec![
        name.clone(),
        listing::what(overview, members.get(&name)),
        state,
        place(overview, entry),
        format!("{steps}/{}", overview.manifest.steps),
        listing::loss(overview),
        speed,
        left,
    ]
}

/// A run that waits, or begins, and has no folder yet.
fn new_row(entry: &Entry, members: &Members) -> Vec<String> {
    let run = entry.run.clone().unwrap_or_default();
    let member = members.get(&run).into_iter().flatten();
    let member: Vec<&str> = member.map(String::as_str).collect();
    let mut row = vec![run, member.join(", "), state(entry), job(entry)];
    row.resize(HEADER.len(), String::new());
    row
}

/// In what state a job is in the queue.
fn state(entry: &Entry) -> String {
    match entry.is_waiting() {
        true => format!("{} ({})", entry.state, entry.reason.shown()),
        false => entry.state.clone(),
    }
}

fn job(entry: &Entry) -> String {
    match entry.is_waiting() {
        true => format!("job {}", entry.job),
        false => format!("{}, job {}", entry.node, entry.job),
    }
}

/// Machine and job; of a run under work that no queue knows, the machine that has its lock.
fn place(overview: &Overview, entry: Option<&Entry>) -> String {
    match entry {
        Some(entry) => job(entry),
        None if overview.state == State::Working => overview.folder.host().unwrap_or_default(),
        None => String::new(),
    }
}
