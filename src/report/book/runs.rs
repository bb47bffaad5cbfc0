//! References to runs. Each links to the run's page, and its title says which file holds the number.

use super::arguments::{argument, frames};
use super::context::Context;
use crate::base::Result;
use crate::base::statistics::percentage;
use crate::report::numbers::{giga, percent, points, thousands};
use crate::report::source::{Run, evaluation, frame_counts};
use crate::report::{escape, table};
use crate::run::folder::EVAL;
use crate::run::results::Summary;

/// Where a run's page is, below the book's source folder.
pub fn page(run: &str) -> String {
    format!("runs/{}.md", escape::file_name(run))
}

impl<'a> Context<'a> {
    /// A run that a page refers to: it gets a page of its own.
    pub fn run(&mut self, name: &str) -> Result<&'a Run> {
        let run = self.catalogue.run(name)?;
        self.runs.insert(run.name());
        Ok(run)
    }

    /// Markdown that links to the page of its run.
    pub fn cite(&self, run: &str, text: &str, file: &str) -> String {
        let path = format!("{}{}", self.up, page(run));
        escape::link(text, &path, &format!("{file} of {run}"))
    }
}

pub fn top1(context: &mut Context<'_>, args: &[&str]) -> Result<String> {
    share(context, args, |summary| summary.top1_percent())
}

pub fn top5(context: &mut Context<'_>, args: &[&str]) -> Result<String> {
    share(context, args, |summary| summary.top5_percent())
}

fn share(context: &mut Context<'_>, args: &[&str], of: impl Fn(&Summary) -> f64) -> Result<String> {
    let (run, frames) = (context.run(argument(args, 0))?, frames(args, 1)?);
    let text = percent(of(run.result(frames)?));
    Ok(context.cite(&run.name(), &text, &evaluation(frames)))
}

pub fn deviation(context: &mut Context<'_>, args: &[&str]) -> Result<String> {
    let (from, to) = (frames(args, 1)?, frames(args, 2)?);
    let run = context.run(argument(args, 0))?;
    let text = points(run.deviation(from, to)?);
    let files = format!("{} and {}", evaluation(from), evaluation(to));
    Ok(context.cite(&run.name(), &text, &files))
}

pub fn gain(context: &mut Context<'_>, args: &[&str]) -> Result<String> {
    let frames = frames(args, 2)?;
    let (run, other) = (
        context.run(argument(args, 0))?,
        context.run(argument(args, 1))?,
    );
    let gain = run.result(frames)?.top1_percent() - other.result(frames)?.top1_percent();
    let files = format!("{} minus that of {}", evaluation(frames), other.name());
    Ok(context.cite(&run.name(), &points(gain), &files))
}

pub fn clips(context: &mut Context<'_>, args: &[&str]) -> Result<String> {
    let (run, frames) = (context.run(argument(args, 0))?, frames(args, 1)?);
    let clips = run.result(frames)?.clips.to_string();
    Ok(context.cite(&run.name(), &clips, &evaluation(frames)))
}

pub fn parameters(context: &mut Context<'_>, args: &[&str]) -> Result<String> {
    let run = context.run(argument(args, 0))?;
    let text = thousands(run.graph.parameter_count() as u64);
    Ok(context.cite(&run.name(), &text, "experiment.ron"))
}

pub fn gflops(context: &mut Context<'_>, args: &[&str]) -> Result<String> {
    let (run, frames) = (context.run(argument(args, 0))?, frames(args, 1)?);
    run.graph.check_size(frames)?;
    let text = giga(run.gflops(frames));
    Ok(context.cite(&run.name(), &text, "experiment.ron"))
}

pub fn steps(context: &mut Context<'_>, args: &[&str]) -> Result<String> {
    let run = context.run(argument(args, 0))?;
    let text = thousands(run.manifest.steps);
    Ok(context.cite(&run.name(), &text, "manifest.json"))
}

pub fn minutes(context: &mut Context<'_>, args: &[&str]) -> Result<String> {
    let run = context.run(argument(args, 0))?;
    let text = format!("{:.1}", run.seconds()? / 60.0);
    Ok(context.cite(&run.name(), &text, "history.json"))
}

pub fn name(context: &mut Context<'_>, args: &[&str]) -> Result<String> {
    let run = context.run(argument(args, 0))?;
    Ok(context.cite(&run.name(), &escape::code(&run.name()), "manifest.json"))
}

/// Top-1 by frame count, parameters and the deviation between the most and the fewest frames.
pub fn results(context: &mut Context<'_>, args: &[&str]) -> Result<String> {
    let runs = args.iter().map(|name| context.run(name));
    let runs: Vec<&Run> = runs.collect::<Result<_>>()?;
    let counts = frame_counts(runs.iter().copied());
    let mut header = vec!["run".to_owned()];
    header.extend(counts.iter().map(|frames| format!("{frames} frames")));
    header.push("deviation".to_owned());
    let row = |run: &&Run| {
        let name = run.name();
        let mut row = vec![context.cite(&name, &escape::code(&name), "manifest.json")];
        row.extend(counts.iter().map(|&frames| match run.result(frames) {
            Ok(summary) => {
                let text = percent(summary.top1_percent());
                context.cite(&name, &text, &evaluation(frames))
            }
            Err(_) => "–".to_owned(),
        }));
        row.push(match run.widest_deviation() {
            Some(deviation) => context.cite(&name, &points(deviation), EVAL),
            None => "–".to_owned(),
        });
        row
    };
    let rows: Vec<Vec<String>> = runs.iter().map(row).collect();
    Ok(table::markdown(&header, &rows))
}

/// Top-1 of each class by frame count.
pub fn classes(context: &mut Context<'_>, args: &[&str]) -> Result<String> {
    let run = context.run(argument(args, 0))?;
    let mut header = vec!["class".to_owned(), "clips".to_owned()];
    header.extend(run.results.iter().map(|s| format!("{} frames", s.frames)));
    let count = |summary: &Summary, class: &String| {
        let count = summary.classes.get(class);
        count.copied().unwrap_or_default()
    };
    let row = |class: &String| {
        let clips = run.results.first().map_or(0, |s| count(s, class).clips);
        let mut row = vec![escape::markdown(class), clips.to_string()];
        row.extend(run.results.iter().map(|summary| {
            let count = count(summary, class);
            let share = percentage(count.top1, count.clips);
            context.cite(&run.name(), &percent(share), &evaluation(summary.frames))
        }));
        row
    };
    let names = run.folder.classes()?;
    let rows: Vec<Vec<String>> = names.iter().map(row).collect();
    Ok(table::markdown(&header, &rows))
}
