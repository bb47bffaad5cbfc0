//! Every number that a run recorded over its steps, with the time at which it was there.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::base::{Error, Kind, Result, Shown, files, limits};
use crate::report::source::unix_seconds;
use crate::run::folder::{EVAL, METRICS, TIMING};
use crate::run::history::{History, Process};
use crate::run::results::{self, Summary};
use crate::run::{Folder, metrics, overview};
use crate::spec;

/// The scalars of a run, and what a tracker wants to know beside them.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The folder's name.
    pub run: String,
    /// The experiment's name.
    pub experiment: String,
    pub identity: String,
    /// Fields of the experiment by path, in the order of the canonical form.
    pub parameters: Vec<(String, String)>,
    /// What the run is, by name.
    pub tags: BTreeMap<String, String>,
    /// By tag, then step.
    pub points: Vec<Point>,
    /// Seconds since 1970.
    pub started: f64,
    /// Seconds since 1970; `None` where no process ended by itself.
    pub ended: Option<f64>,
    pub finished: bool,
    /// Small files of the run that a tracker keeps: experiment, manifest, evaluations.
    pub documents: BTreeMap<String, Vec<u8>>,
}

/// One value of one scalar.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// `train/loss`, `train/terms/kl.4`, `train/accuracy/16`, `eval/top1/4`, …
    pub tag: String,
    /// Of training: the step, from 0. Of an evaluation: the steps that the model has had.
    pub step: u64,
    /// Seconds since 1970.
    pub wall_time: f64,
    pub value: f64,
}

impl Series {
    /// Reads a run folder; the run need not be finished.
    pub fn read(folder: &Folder) -> Result<Self> {
        let (manifest, history) = (folder.manifest()?, folder.history()?);
        let experiment = folder.experiment()?;
        let clock = Clock::read(folder, &history)?;
        let mut points = training(folder, &clock)?;
        points.extend(evaluations(folder, &clock)?);
        points.sort_by(|a, b| a.tag.cmp(&b.tag).then(a.step.cmp(&b.step)));
        let last = history.processes.last();
        let ended = last.and_then(|process| process.ended.as_deref());
        let state = overview::Overview::of(folder.clone())?.state.name();
        let build = manifest.builds.last().map(|build| build.describe());
        let tags = [
            ("ffn.identity", Some(manifest.identity.clone())),
            ("ffn.state", Some(state.to_owned())),
            ("ffn.build", build),
            (
                "ffn.unpinned",
                manifest.unpinned().then(|| "true".to_owned()),
            ),
            (
                "ffn.left_out",
                (manifest.left_out > 0).then(|| manifest.left_out.to_string()),
            ),
        ];
        let tags = tags.into_iter();
        Ok(Self {
            run: folder.name(),
            experiment: manifest.name.clone(),
            identity: manifest.identity.clone(),
            parameters: spec::values(&experiment),
            tags: tags
                .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                .collect(),
            points,
            started: clock.started(),
            ended: ended.map(unix_seconds).transpose()?,
            finished: manifest.finished,
            documents: documents(folder)?,
        })
    }
}

fn training(folder: &Folder, clock: &Clock) -> Result<Vec<Point>> {
    let mut points = Vec::new();
    let path = folder.join(METRICS);
    let records = match path.exists() {
        true => metrics::read_so_far(&path)?,
        // Before the first step.
        false => Vec::new(),
    };
    for record in records {
        let wall_time = clock.after(record.step);
        let mut push = |tag: String, value: f64| {
            points.push(Point {
                tag: format!("train/{tag}"),
                step: record.step,
                wall_time,
                value,
            });
        };
        push("loss".to_owned(), record.loss);
        push("lr".to_owned(), record.lr);
        push("grad_norm".to_owned(), record.grad_norm);
        for (name, value) in &record.terms {
            push(format!("terms/{name}"), *value);
        }
        for (frames, value) in &record.accuracy {
            push(format!("accuracy/{frames}"), *value);
        }
    }
    Ok(points)
}

/// The evaluations at the ends of epochs and the final one.
fn evaluations(folder: &Folder, clock: &Clock) -> Result<Vec<Point>> {
    let summaries = results::over_training(&folder.eval())?;
    let points = |summary: &Summary| {
        let values = [
            ("top1", summary.top1_percent()),
            ("top5", summary.top5_percent()),
            ("loss", summary.loss),
        ];
        values.map(|(name, value)| Point {
            tag: format!("eval/{name}/{}", summary.frames),
            step: summary.step,
            wall_time: clock.after(summary.step.saturating_sub(1)),
            value,
        })
    };
    Ok(summaries.iter().flat_map(points).collect())
}

fn documents(folder: &Folder) -> Result<BTreeMap<String, Vec<u8>>> {
    let kept = |name: &String| {
        let final_evaluation = name
            .strip_prefix(EVAL)
            .is_some_and(|rest| rest.matches('/').count() == 1 && rest.ends_with(".json"));
        final_evaluation
            || ["experiment.ron", "manifest.json", "classes.json"].contains(&name.as_str())
    };
    let names = folder.files()?.into_iter().filter(kept);
    names
        .map(|name| {
            let path = folder.join(&name);
            // What it leads to would be handed on with the run.
            if path.is_symlink() {
                let message = format!("`{}` is a link, not a file of the run", path.shown());
                return Err(Error::new(Kind::Run, message));
            }
            let bytes = files::read(&path, limits::DOCUMENT)?;
            Ok((name, bytes))
        })
        .collect()
}

/// When a step was done: the start of the process that did it, and the seconds of its steps up to there.
/// Evaluations and checkpoints between steps are not in it.
struct Clock {
    started: f64,
    /// By step, seconds since 1970.
    after: BTreeMap<u64, f64>,
}

#[derive(Deserialize)]
struct Timing {
    step: u64,
    seconds: f64,
}

impl Clock {
    fn read(folder: &Folder, history: &History) -> Result<Self> {
        let path = folder.join(TIMING);
        let text = match path.exists() {
            true => files::read_text(&path, limits::DOCUMENT)?,
            false => String::new(),
        };
        let starts = history.processes.iter();
        let starts = starts.map(|p: &Process| Ok((p.from_step, unix_seconds(&p.started)?)));
        Ok(Self::new(&text, &starts.collect::<Result<Vec<_>>>()?))
    }

    /// `starts`: first step and time of each process. Of a step that was computed again the last line counts; a line
    /// that a killed process left unfinished is passed over.
    fn new(timings: &str, starts: &[(u64, f64)]) -> Self {
        let lines = timings.lines();
        let timings = lines.filter_map(|line| serde_json::from_str::<Timing>(line).ok());
        let seconds: BTreeMap<u64, f64> = timings.map(|t| (t.step, t.seconds)).collect();
        let mut after = BTreeMap::new();
        for (index, &(from, start)) in starts.iter().enumerate() {
            let until = starts.get(index + 1).map_or(u64::MAX, |&(next, _)| next);
            let mut now = start;
            for (&step, seconds) in seconds.range(from..until.max(from)) {
                now += seconds;
                after.insert(step, now);
            }
        }
        Self {
            started: starts.first().map_or(0.0, |&(_, start)| start),
            after,
        }
    }

    fn started(&self) -> f64 {
        self.started
    }

    /// Of a step without a timing, the time of the last before it that has one.
    fn after(&self, step: u64) -> f64 {
        let last = self.after.range(..=step).next_back();
        last.map_or(self.started, |(_, &time)| time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_computed_again_has_the_time_of_the_last_process() {
        let lines = [(0, 1.0), (1, 1.0), (2, 1.0), (1, 5.0), (2, 5.0), (3, 5.0)];
        let mut text: String = lines
            .map(|(step, seconds)| format!("{{\"step\":{step},\"seconds\":{seconds}}}\n"))
            .concat();
        text.push_str("{\"step\":4,\"sec");
        let clock = Clock::new(&text, &[(0, 100.0), (1, 200.0)]);
        let times: Vec<f64> = (0..5).map(|step| clock.after(step)).collect();
        assert_eq!(times, [101.0, 205.0, 210.0, 215.0, 215.0]);
        assert_eq!(Clock::new("", &[]).after(7), 0.0);
    }
}
