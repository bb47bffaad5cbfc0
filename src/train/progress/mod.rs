//! What a person sees while a run works: a bar on a terminal, a line now and then anywhere else. All on stderr.
//!
//! A run alone tells everything. Of several in one process ([`Screen::several`]) each tells one line when it is
//! finished, and one more line says now and then how far all of them are and when the last ends.

mod preparation;
mod screen;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

pub use preparation::Preparation;
pub use screen::Screen;

use crate::run::history;
use crate::run::metrics::Record;
use crate::run::results::Summary;

/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The progress of a run.
pub struct Progress {
    screen: Screen,
    /// Which it is of several runs.
    index: usize,
    /// What it is called among several; empty where a run works alone.
    label: String,
    training: ProgressBar,
    evaluation: ProgressBar,
    extent: Extent,
    means: Means,
    /// Steps done when this process began to train, and when that was; evaluations move it forward.
    start: (u64, Instant),
    /// When a line was last printed.
    told: Instant,
    evaluation_began: Instant,
    /// When this process took the run up.
    begun: Instant,
}

/// The size of a training.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extent {
    pub steps: u64,
    pub steps_per_epoch: u64,
    pub clips_per_step: usize,
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
    /// Of work that is alone in its process.
    pub fn new() -> Self {
        Self::on(&Screen::new(), 0, "")
    }

    /// Of run `index` of a screen's; `label` tells it from the others.
    pub fn on(screen: &Screen, index: usize, label: &str) -> Self {
        let now = Instant::now();
        Self {
            screen: screen.clone(),
            index,
            label: match screen.is_of_several() {
                true => format!("{label}: "),
                false => String::new(),
            },
            begun: now,
            training: ProgressBar::hidden(),
            evaluation: ProgressBar::hidden(),
            extent: Extent::default(),
            means: Means::default(),
            start: (0, now),
            told: now,
            evaluation_began: now,
        }
    }

    /// Training begins at `step`.
    pub fn train(&mut self, extent: Extent, step: u64) {
        self.extent = extent;
        self.start = (step, Instant::now());
        self.screen.takes_up(self.index, extent.share(step));
        if self.screen.terminal {
            self.training = self.screen.add(extent.steps);
            self.training.set_position(step);
            self.training.reset_eta();
        }
    }

    /// A step is done; `queue` batches are ready for the next ones.
    pub fn step(&mut self, record: &Record, queue: usize) {
        self.means.add(record);
        let done = record.step + 1;
        let rate = self.rate(done);
        let state = format!(
            "{} · {:.1} clips/s · queue {queue}",
            self.means.describe(),
            rate * self.extent.clips_per_step as f64
        );
        let epoch = record.epoch + 1;
        self.training.set_position(done);
        self.training
            .set_message(format!("{}epoch {epoch} · {state}", self.label));
        let epoch = format!("epoch {epoch}/{}", self.extent.epochs());
        if self.screen.is_of_several() {
            let activity = format!("{}{epoch}", self.label);
            let share = self.extent.share(done);
            return self.screen.advances(self.index, share, activity);
        }
        let due = self.told.elapsed() >= LINE_EVERY || done == self.extent.steps;
        if !self.screen.terminal && due {
            let steps = self.extent.steps;
            let left = left(steps.saturating_sub(done) as f64 / rate);
            self.say(&format!(
                "{}  {epoch} step {done}/{steps} · {state} · {left} left",
                clock()
            ));
            self.told = Instant::now();
        }
    }

    /// Steps a second, over this process's training so far.
    fn rate(&self, done: u64) -> f64 {
        let steps = done.saturating_sub(self.start.0).max(1);
        steps as f64 / self.start.1.elapsed().as_secs_f64().max(1e-9)
    }

    /// An evaluation of so many clips begins.
    pub fn evaluate(&mut self, clips: usize, frames: &[usize]) {
        self.evaluation_began = Instant::now();
        let what = format!("clips evaluated at {} frames", in_ranges(frames));
        self.prepare(&what, clips);
    }

    /// Work on so many clips begins that is neither training nor evaluation.
    pub fn prepare(&mut self, what: &str, clips: usize) {
        if self.screen.terminal {
            self.evaluation = self.screen.add(clips as u64);
            self.evaluation.set_message(format!("{}{what}", self.label));
        } else {
            self.detail(&format!("{clips} {what}:"));
        }
    }

    /// So many clips of the evaluation are done.
    pub fn evaluated(&mut self, clips: usize) {
        self.evaluation.set_position(clips as u64);
    }

    /// The evaluation is over; the time that it took is none of the training's.
    pub fn end_evaluation(&mut self) {
        self.evaluation.finish_and_clear();
        self.start.1 += self.evaluation_began.elapsed();
        self.told = Instant::now();
    }

    /// A line of its own, above the bars.
    pub fn say(&self, line: &str) {
        self.screen.say(&format!("{}{line}", self.label));
    }

    /// A line that is left out where several runs work: their logs have it.
    pub fn detail(&self, line: &str) {
        if !self.screen.is_of_several() {
            self.say(line);
        }
    }

    /// The run is finished. Of several, it now has its line.
    pub fn finished(&self, summaries: &[Summary]) {
        let results = summaries.iter();
        let results = results.map(|s| format!("{:.2} % at {}", s.top1_percent(), s.frames));
        let results: Vec<String> = results.collect();
        let took = left(self.begun.elapsed().as_secs_f64());
        let line = format!("{}{} frames, {took}", self.label, results.join(", "));
        self.screen.finishes(self.index, &line);
    }

    /// Nothing is under way any more.
    pub fn clear(&mut self) {
        self.evaluation.finish_and_clear();
        self.training.finish_and_clear();
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Extent {
    fn epochs(self) -> u64 {
        self.steps / self.steps_per_epoch.max(1)
    }

    /// What so many steps are of all.
    fn share(self, done: u64) -> f64 {
        done as f64 / self.steps.max(1) as f64
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

/// Ascending numbers in words; more than four that follow one another as `2 to 24`.
fn in_ranges(numbers: &[usize]) -> String {
    let runs = numbers.chunk_by(|a, b| a + 1 == *b);
    let words = runs.flat_map(|run| match run {
        [first, .., last] if run.len() > 4 => vec![format!("{first} to {last}")],
        few => few.iter().map(usize::to_string).collect(),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// The time of day in UTC, `14:05:59Z`.
fn clock() -> String {
    history::now().get(11..).unwrap_or_default().to_owned()
}

/// A time that is still to come, no finer than anybody needs: `40 s`, `6 min`, `2 h 5 min`, `3 d 2 h`.
pub fn left(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    let (hours, days) = (minutes / 60, minutes / 1440);
    match minutes {
        _ if seconds < 90.0 => format!("{seconds:.0} s"),
        0..60 => format!("{minutes} min"),
        60..1440 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
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
    fn many_frame_counts_are_told_as_ranges() {
        assert_eq!(in_ranges(&[4, 8, 16]), "4, 8, 16");
        assert_eq!(in_ranges(&[2, 3, 4, 5]), "2, 3, 4, 5");
        assert_eq!(in_ranges(&[1, 4, 5, 6, 7, 8, 12]), "1, 4 to 8, 12");
    }

    #[test]
    fn times_are_no_finer_than_needed() {
        assert_eq!(left(12.3), "12 s");
        assert_eq!(left(89.0), "89 s");
        assert_eq!(left(400.0), "7 min");
        assert_eq!(left(7500.0), "2 h 5 min");
        assert_eq!(left(266_400.0), "3 d 2 h");
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
