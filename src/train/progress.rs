//! What a person sees while a run works: a bar on a terminal, a line now and then anywhere else. All on stderr.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::run::metrics::Record;

/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The progress of one run after the other.
pub struct Progress {
    terminal: bool,
    bar: ProgressBar,
    /// Of the current training.
    steps: u64,
    steps_per_epoch: u64,
    clips_per_step: usize,
    /// Steps and time since the last line or the training's start.
    since: (u64, Instant),
    /// Steps and time since the training's start in this process.
    start: (u64, Instant),
    means: Means,
}

/// Means over the steps of an epoch so far.
#[derive(Debug, Default)]
struct Means {
    epoch: u64,
    steps: f64,
    terms: BTreeMap<String, f64>,
    accuracy: BTreeMap<usize, f64>,
}

impl Progress {
    pub fn new() -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
            bar: ProgressBar::hidden(),
            steps: 0,
            steps_per_epoch: 1,
            clips_per_step: 0,
            since: (0, Instant::now()),
            start: (0, Instant::now()),
            means: Means::default(),
        }
    }

    /// Training begins at `step` of `steps`.
    pub fn train(&mut self, steps: u64, step: u64, steps_per_epoch: u64, clips_per_step: usize) {
        self.bar.finish_and_clear();
        self.steps = steps;
        self.steps_per_epoch = steps_per_epoch.max(1);
        self.clips_per_step = clips_per_step;
        self.since = (step, Instant::now());
        self.start = self.since;
        self.means = Means::default();
        if self.terminal {
            self.bar = bar(steps);
            self.bar.set_position(step);
            self.bar.reset_eta();
        }
    }

    /// A step is done; `queue` batches are ready for the next ones.
    pub fn step(&mut self, record: &Record, queue: usize) {
        self.means.add(record);
        let done = record.step + 1;
        let speed = self.speed(done);
        let state = format!(
            "{} · {speed:.1} clips/s · queue {queue}",
            self.means.describe()
        );
        if self.terminal {
            self.bar.set_position(done);
            self.bar
                .set_message(format!("epoch {} · {state}", record.epoch + 1));
        } else if self.since.1.elapsed() >= LINE_EVERY || done == self.steps {
            let seconds = self.start.1.elapsed().as_secs_f64();
            let rate = (done - self.start.0) as f64 / seconds.max(1e-9);
            let left = Duration::from_secs(((self.steps - done) as f64 / rate) as u64);
            eprintln!(
                "epoch {}/{} step {done}/{} · {state} · {} left",
                record.epoch + 1,
                self.steps.div_ceil(self.steps_per_epoch),
                self.steps,
                humantime::format_duration(left)
            );
            self.since = (done, Instant::now());
        }
    }

    /// Clips a second, over the process's training so far.
    fn speed(&self, done: u64) -> f64 {
        let clips = (done - self.start.0) as f64 * self.clips_per_step as f64;
        clips / self.start.1.elapsed().as_secs_f64().max(1e-9)
    }

    /// An evaluation of so many clips begins.
    pub fn evaluate(&mut self, clips: usize, frames: &[usize]) {
        let counts: Vec<String> = frames.iter().map(usize::to_string).collect();
        let counts = counts.join(", ");
        if self.terminal {
            self.bar.finish_and_clear();
            self.bar = bar(clips as u64);
            self.bar
                .set_message(format!("clips evaluated at {counts} frames"));
        } else {
            eprintln!("evaluating {clips} clips at {counts} frames");
        }
    }

    pub fn evaluated(&mut self, clips: usize) {
        self.bar.set_position(clips as u64);
    }

    /// A line of its own, above the bar.
    pub fn say(&self, line: &str) {
        match self.terminal {
            true => self.bar.suspend(|| eprintln!("{line}")),
            false => eprintln!("{line}"),
        }
    }

    pub fn clear(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Means {
    fn add(&mut self, record: &Record) {
        if record.epoch != self.epoch {
            *self = Self {
                epoch: record.epoch,
                ..Self::default()
            };
        }
        self.steps += 1.0;
        for (name, value) in &record.terms {
            *self.terms.entry(name.clone()).or_default() += value;
        }
        for (&frames, value) in &record.accuracy {
            *self.accuracy.entry(frames).or_default() += value;
        }
    }

    /// `ce 1.234 kl.4 0.056 · accuracy 4: 12 % 16: 31 %`
    fn describe(&self) -> String {
        let terms = self.terms.iter();
        let terms = terms.map(|(name, sum)| format!("{name} {:.3}", sum / self.steps));
        let accuracy = self.accuracy.iter();
        let accuracy =
            accuracy.map(|(frames, sum)| format!("{frames}: {:.0} %", 100.0 * sum / self.steps));
        let (terms, accuracy): (Vec<_>, Vec<_>) = (terms.collect(), accuracy.collect());
        format!("{} · accuracy {}", terms.join(" "), accuracy.join(" "))
    }
}

/// The progress of preparing data: several tasks, one after the other, told from several threads.
pub struct Preparation {
    terminal: bool,
    state: Mutex<Task>,
}

struct Task {
    name: String,
    bar: ProgressBar,
    told: Instant,
}

impl Preparation {
    pub fn new() -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
            state: Mutex::new(Task {
                name: String::new(),
                bar: ProgressBar::hidden(),
                told: Instant::now(),
            }),
        }
    }

    /// `done` of `total` of the task `name`.
    pub fn tell(&self, name: &str, done: usize, total: usize) {
        let Ok(mut task) = self.state.lock() else {
            return;
        };
        let new = task.name != name;
        if new {
            task.bar.finish_and_clear();
            task.name = name.to_owned();
            // What is done in a moment, because it was done before, is not worth a line.
            task.told = Instant::now();
        }
        if self.terminal {
            if new {
                task.bar = bar(total as u64);
                task.bar.set_message(name.to_owned());
            }
            task.bar.set_position(done as u64);
        } else if task.told.elapsed() >= LINE_EVERY {
            eprintln!("{name}: {done}/{total}");
            task.told = Instant::now();
        }
        if done >= total {
            task.bar.finish_and_clear();
        }
    }
}

impl Default for Preparation {
    fn default() -> Self {
        Self::new()
    }
}

fn bar(total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {msg} · {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(epoch: u64, loss: f64) -> Record {
        Record {
            step: 0,
            epoch,
            lr: 0.1,
            loss,
            terms: BTreeMap::from([("ce".to_owned(), loss)]),
            grad_norm: 1.0,
            accuracy: BTreeMap::from([(4, 0.25), (16, 0.5)]),
            skipped: Vec::new(),
        }
    }

    #[test]
    fn means_begin_anew_with_each_epoch() {
        let mut means = Means::default();
        means.add(&record(0, 1.0));
        means.add(&record(0, 3.0));
        assert_eq!(means.describe(), "ce 2.000 · accuracy 4: 25 % 16: 50 %");
        means.add(&record(1, 5.0));
        assert_eq!(means.describe(), "ce 5.000 · accuracy 4: 25 % 16: 50 %");
    }
}
