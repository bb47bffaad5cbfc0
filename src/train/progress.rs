//! What a person sees while a run works: a bar on a terminal, a line now and then anywhere else. All on stderr.

use crate::base::terminal;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::run::metrics::Record;

/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Where the progress of all runs of a process is shown, so that none writes over another.
pub struct Screen {
    terminal: bool,
    bars: MultiProgress,
}

/// The progress of a run.
pub struct Progress {
    terminal: bool,
    bars: MultiProgress,
    /// Before every line; empty where a run works alone.
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

impl Screen {
    pub fn new() -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
            bars: MultiProgress::new(),
        }
    }

    /// Prints on stdout, above the bars. Runs go on where nobody reads it: the log and the run folder have it.
    pub fn print(&self, text: &str) {
        // `suspend` would panic where the terminal is gone.
        let _ = self.bars.clear();
        terminal::tell(text);
    }
}

impl Default for Screen {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress {
    /// Of work that is alone in its process.
    pub fn new() -> Self {
        Self::on(&Screen::new(), "")
    }

    /// Of a run; `label` tells it from others that work at the same time.
    pub fn on(screen: &Screen, label: &str) -> Self {
        let now = Instant::now();
        Self {
            terminal: screen.terminal,
            bars: screen.bars.clone(),
            label: label.to_owned(),
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
        if self.terminal {
            self.training = self.bars.add(bar(extent.steps));
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
        let due = self.told.elapsed() >= LINE_EVERY || done == self.extent.steps;
        if !self.terminal && due {
            let Extent {
                steps,
                steps_per_epoch,
                ..
            } = self.extent;
            let epochs = steps / steps_per_epoch.max(1);
            let left = Duration::from_secs((steps.saturating_sub(done) as f64 / rate) as u64);
            let left = humantime::format_duration(left);
            self.say(&format!(
                "epoch {epoch}/{epochs} step {done}/{steps} · {state} · {left} left"
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
        if self.terminal {
            self.evaluation = self.bars.add(bar(clips as u64));
            self.evaluation.set_message(format!("{}{what}", self.label));
        } else {
            self.say(&format!("{clips} {what}:"));
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
        let line = format!("{}{line}", self.label);
        match self.terminal {
            true => drop(self.bars.println(line)),
            false => terminal::say(line),
        }
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
            terminal::say(format_args!("{name}: {done}/{total}"));
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
    fn many_frame_counts_are_told_as_ranges() {
        assert_eq!(in_ranges(&[4, 8, 16]), "4, 8, 16");
        assert_eq!(in_ranges(&[2, 3, 4, 5]), "2, 3, 4, 5");
        assert_eq!(in_ranges(&[1, 4, 5, 6, 7, 8, 12]), "1, 4 to 8, 12");
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
