//! The page of one run.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::follow::Followed;
use super::html::{self, Page};
use crate::analysis::interval::wilson;
use crate::base::{Shown, count};
use crate::report::listing::{self, Members};
use crate::report::numbers::percent;
use crate::report::plot::{
    Training, optimisation_curves, speed_curves, training_curves, validation_curves,
};
use crate::run::folder::TIMING;
use crate::run::history::{Outcome, Process};
use crate::run::latest;
use crate::run::overview::{Overview, State};
use crate::run::results::{self, Summary};
use crate::train::progress;

const RESULTS: [&str; 6] = [
    "at",
    "branch",
    "top-1",
    "95 % of one run (Wilson)",
    "top-5",
    "clips",
];
const PROCESSES: [&str; 5] = ["started (UTC)", "ended", "how", "steps", "machine"];

/// Lines of the log that are shown.
const LOG_LINES: usize = 100;

/// A run that works and has made no step for so many times what a step takes is told of.
const SLOW: f64 = 20.0;

pub(super) fn page(
    overview: &Overview,
    members: &Members,
    suites: &[&str],
    steps: &mut Followed,
) -> Page {
    let name = overview.folder.name();
    let mut body = format!(
        "<h1>{} {}</h1>\n",
        html::text(&name),
        html::state(overview.state)
    );
    let what = listing::what(overview, members.get(&name));
    let links: Vec<String> = suites
        .iter()
        .map(|suite| html::suite_link("../", suite))
        .collect();
    let links = match links.is_empty() {
        true => String::new(),
        false => format!(" · of {}", links.join(", ")),
    };
    body += &format!("<p>{}{links}</p>\n", html::text(&what));
    body += &progress(overview);
    body += &reason(overview);
    body += &warnings(overview);
    if let Err(error) = steps.read(&overview.folder) {
        body += &html::warning(&format!("the curves end here: {}", error.message));
    }
    let evaluations = results::over_training(&overview.folder.eval());
    let evaluations = evaluations.unwrap_or_else(|error| {
        body += &html::warning(&error.message);
        Vec::new()
    });
    body += &results(overview, &evaluations);
    body += &figures(overview, steps, &evaluations);
    body += &processes(overview);
    body += &log(overview);
    body += &experiment(overview);
    let part = 100.0 * overview.part();
    Page {
        title: match overview.state {
            State::Working => format!("{part:.0} % {name} · ffn"),
            state => format!("{} {name} · ffn", state.name()),
        },
        up: "../",
        body,
    }
}

/// A bar with steps, epochs, speed and time left.
fn progress(overview: &Overview) -> String {
    let manifest = &overview.manifest;
    let steps = overview.steps();
    let epochs = manifest.steps / manifest.steps_per_epoch.max(1);
    let mut words = vec![
        format!("step {steps} of {}", manifest.steps),
        format!("epoch {:.1} of {epochs}", overview.epoch()),
    ];
    if overview.state == State::Working {
        let (speed, left) = listing::pace(overview);
        match steps < manifest.steps {
            _ if steps == 0 => words.push("preparing the first step".to_owned()),
            true => words.extend([format!("{speed} clips/s"), format!("{left} left")]),
            false => words.push("evaluating".to_owned()),
        }
        words.extend(waiting(overview));
    }
    html::bar(overview.part(), &words.join(" · "))
}

/// Why a run failed: what its log ends with.
fn reason(overview: &Overview) -> String {
    let log = latest::log_end(&overview.folder);
    match (overview.state, log.lines().last()) {
        (State::Failed | State::Diverged, Some(last)) => html::warning(last),
        _ => String::new(),
    }
}

/// That nothing happened for long.
fn waiting(overview: &Overview) -> Option<String> {
    let usual = overview.latest?.seconds_per_step?;
    let written = overview
        .folder
        .join(TIMING)
        .metadata()
        .ok()?
        .modified()
        .ok()?;
    let since = SystemTime::now()
        .duration_since(written)
        .ok()?
        .as_secs_f64();
    let is_long = since > 60.0_f64.max(SLOW * usual);
    is_long.then(|| format!("the last step ended {} ago", progress::left(since)))
}

fn warnings(overview: &Overview) -> String {
    let manifest = &overview.manifest;
    let mut text = String::new();
    if manifest.unpinned() {
        text += &html::warning("unpinned: nobody checked the data of this run");
    }
    if let Some(left_out) = crate::run::left_out::describe(manifest.left_out) {
        text += &html::warning(&left_out);
    }
    text
}

/// The final results, else those of the last evaluation so far.
fn results(overview: &Overview, evaluations: &[Summary]) -> String {
    if !overview.results.is_empty() && overview.manifest.finished {
        return html::section("Results", &results_table(&overview.results));
    }
    let counts = overview.experiment.eval.frames.len();
    let last = results::last_whole(evaluations, counts);
    let Some(step) = last.first().map(|summary| summary.step) else {
        return String::new();
    };
    let heading = format!("Results so far, after step {step}");
    html::section(&heading, &results_table(&last))
}

fn results_table(summaries: &[Summary]) -> String {
    let row = |summary: &Summary| {
        let (low, high) = wilson(summary.top1, summary.clips);
        vec![
            format!("{} frames", summary.frames),
            summary.branch.to_string(),
            percent(summary.top1_percent()),
            format!("[{:.2}, {:.2}]", 100.0 * low, 100.0 * high),
            percent(summary.top5_percent()),
            summary.clips.to_string(),
        ]
    };
    let rows: Vec<_> = summaries.iter().map(row).collect();
    html::table(&RESULTS, &rows)
}

/// What there is to draw.
fn figures(overview: &Overview, steps: &Followed, evaluations: &[Summary]) -> String {
    let per_epoch = overview.manifest.steps_per_epoch;
    let points = steps.training(per_epoch);
    if points.is_empty() {
        return String::new();
    }
    let means_over = match steps.steps_of_point() {
        1 => "one step each".to_owned(),
        many => format!("{many} steps each"),
    };
    let mut figures = vec![training_curves(&Training {
        id: "training",
        label: &overview.manifest.name,
        seeds: &[points],
        steps: steps.steps(),
        means_over: &means_over,
        batch: overview.experiment.train.batch,
    })];
    let validation = validation(evaluations, per_epoch);
    // One point is in the table.
    if validation.values().any(|points| points.len() > 1) {
        figures.push(validation_curves("validation", &validation));
    }
    figures.push(optimisation_curves(
        "optimisation",
        &steps.optimisation(per_epoch),
    ));
    let speed = steps.speed(overview.experiment.train.batch);
    if !speed.is_empty() {
        figures.push(speed_curves("speed", &speed));
    }
    let figures: String = figures
        .iter()
        .map(|svg| format!("<div>{svg}</div>\n"))
        .collect();
    html::section(
        "Curves",
        &format!("<div class=\"figures\">\n{figures}</div>\n"),
    )
}

fn validation(evaluations: &[Summary], per_epoch: u64) -> BTreeMap<usize, Vec<(f64, f64)>> {
    let mut curves: BTreeMap<usize, Vec<(f64, f64)>> = BTreeMap::new();
    for summary in evaluations {
        let epoch = summary.step as f64 / per_epoch.max(1) as f64;
        let curve = curves.entry(summary.frames).or_default();
        curve.push((epoch, summary.top1_percent()));
    }
    curves
}

/// The processes that worked on it, the last one first.
fn processes(overview: &Overview) -> String {
    let Ok(history) = overview.folder.history() else {
        return String::new();
    };
    let rows = history.processes.iter().rev();
    let rows: Vec<_> = rows.map(|process| process_row(overview, process)).collect();
    html::section("Processes", &html::table(&PROCESSES, &rows))
}

fn process_row(overview: &Overview, process: &Process) -> Vec<String> {
    let how = match process.outcome {
        Outcome::Working if process.ended.is_none() && overview.state == State::Working => "works",
        Outcome::Working => "killed",
        Outcome::Stopped => "stopped",
        Outcome::Diverged => "diverged",
        Outcome::Failed => "failed",
        Outcome::Finished => "finished",
    };
    let machine = overview.manifest.machines.get(process.machine);
    let machine = machine.map_or(String::new(), |machine| machine.cpu.clone());
    vec![
        html::text(&process.started),
        html::text(process.ended.as_deref().unwrap_or_default()),
        how.to_owned(),
        format!("{} to {}", process.from_step, process.to_step),
        html::text(&format!(
            "{machine}, {}, {}",
            count(process.threads, "thread"),
            count(process.workers, "worker")
        )),
    ]
}

/// The end of the log.
fn log(overview: &Overview) -> String {
    let text = latest::log_end(&overview.folder);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LOG_LINES);
    let shown = lines.get(from..).unwrap_or_default();
    html::section("Log", &html::lines("log", shown))
}

/// The resolved experiment, folded.
fn experiment(overview: &Overview) -> String {
    let text = overview.experiment.canonical();
    let lines: Vec<&str> = text.lines().collect();
    let identity = overview.manifest.identity.shown();
    let inside = html::lines("", &lines);
    format!(
        "<details>\n<summary>The experiment, with SHA-256 {}</summary>\n{inside}</details>\n",
        html::text(&identity)
    )
}
