//! Where the progress of all runs of a process is shown, so that none writes over another.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{bar, clock, left};
use crate::base::terminal;

/// Time between two lines about several runs where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Until so much time has passed, when the last run ends is not foretold.
const FORETOLD_AFTER: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Screen {
    pub(super) terminal: bool,
    bars: MultiProgress,
    runs: Option<Arc<Together>>,
}

/// Several runs of a process.
struct Together {
    bar: ProgressBar,
    state: Mutex<State>,
}

struct State {
    runs: Vec<Run>,
    begun: Instant,
    /// When a line about all of them was last printed.
    told: Instant,
}

struct Run {
    /// Of its whole training, in multiply-adds.
    work: f64,
    /// Of its training, when this process took it up.
    share_before: f64,
    /// Of its training, now.
    share: f64,
    /// What it does at the moment, in words.
    activity: Option<String>,
    finished: bool,
    failed: bool,
}

impl Screen {
    /// Of a run that works alone.
    pub fn new() -> Self {
        Self {
            terminal: terminal::is_watched(),
            bars: MultiProgress::new(),
            runs: None,
        }
    }

    /// Of several runs: of each the multiply-adds of its training, or `None` where it was finished before.
    pub fn several(works: &[Option<f64>]) -> Self {
        let mut screen = Self::new();
        let bar = match screen.terminal {
            true => screen.bars.add(total(works.len() as u64)),
            false => ProgressBar::hidden(),
        };
        let runs = works.iter().map(|work| Run {
            work: work.unwrap_or(0.0),
            share_before: 0.0,
            share: 0.0,
            activity: None,
            finished: work.is_none(),
            failed: false,
        });
        let now = Instant::now();
        screen.runs = Some(Arc::new(Together {
            bar,
            state: Mutex::new(State {
                runs: runs.collect(),
                begun: now,
                told: now,
            }),
        }));
        screen
    }

    pub fn is_of_several(&self) -> bool {
        self.runs.is_some()
    }

    /// Prints on stdout, above the bars. Runs go on where nobody reads it: the log and the run folder have it.
    pub fn print(&self, text: &str) {
        // `suspend` would panic where the terminal is gone.
        let _ = self.bars.clear();
        terminal::tell(text);
    }

    /// A line on stderr, above the bars.
    pub fn say(&self, line: &str) {
        match self.terminal {
            true => drop(self.bars.println(terminal::in_lines(line))),
            false => terminal::say(line),
        }
    }

    /// A bar above that of all runs.
    pub(super) fn add(&self, length: u64) -> ProgressBar {
        match &self.runs {
            Some(runs) => self.bars.insert_before(&runs.bar, bar(length)),
            None => self.bars.add(bar(length)),
        }
    }

    /// Run `index` goes on from this share of its training.
    pub(super) fn takes_up(&self, index: usize, share: f64) {
        self.change(index, |run| (run.share_before, run.share) = (share, share));
    }

    /// Run `index` has done this share of its training, and does `activity`. Tells now and then how far all are.
    pub(super) fn advances(&self, index: usize, share: f64, activity: String) {
        self.change(index, |run| {
            (run.share, run.activity) = (share, Some(activity));
        });
        let Some(mut state) = self.state() else {
            return;
        };
        if let Some(runs) = &self.runs {
            runs.bar.set_message(state.remaining());
        }
        if !self.terminal && state.told.elapsed() >= LINE_EVERY {
            state.told = Instant::now();
            let line = state.describe();
            drop(state);
            self.say(&format!("{}  {line}", clock()));
        }
    }

    /// Run `index` is finished, with this result.
    pub(super) fn finishes(&self, index: usize, result: &str) {
        self.change(index, |run| {
            (run.share, run.activity, run.finished) = (1.0, None, true);
        });
        let Some(mut state) = self.state() else {
            return;
        };
        state.told = Instant::now();
        let standing = state.standing();
        drop(state);
        if let Some(runs) = &self.runs {
            runs.bar.inc(1);
        }
        self.say(&format!("{}  {result} ({standing})", clock()));
    }

    /// Run `index` ended without a result: it is under work no more, and nothing of it is left to wait for.
    pub fn fails(&self, index: usize, reason: &str) {
        self.change(index, |run| {
            (run.work, run.activity, run.failed) = (0.0, None, true);
        });
        if let Some(state) = self.state() {
            let standing = state.standing();
            drop(state);
            self.say(&format!("{}  {reason} ({standing})", clock()));
        }
    }

    fn change(&self, index: usize, change: impl FnOnce(&mut Run)) {
        if let Some(mut state) = self.state()
            && let Some(run) = state.runs.get_mut(index)
        {
            change(run);
        }
    }

    fn state(&self) -> Option<MutexGuard<'_, State>> {
        self.runs.as_ref()?.state.lock().ok()
    }
}

impl Default for Screen {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// `3 of 12 runs finished, about 6 min left`
    fn standing(&self) -> String {
        let finished = self.runs.iter().filter(|run| run.finished).count();
        let failed = self.runs.iter().filter(|run| run.failed).count();
        let failed = match failed {
            0 => String::new(),
            failed => format!(", {failed} failed"),
        };
        let standing = format!("{finished} of {} runs finished{failed}", self.runs.len());
        match self.remaining() {
            left if left.is_empty() => standing,
            left => format!("{standing}, {left}"),
        }
    }

    /// As [`State::standing`], with what each run does that works.
    fn describe(&self) -> String {
        let working = self.runs.iter().filter_map(|run| run.activity.as_deref());
        let parts: Vec<String> = std::iter::once(self.standing())
            .chain(working.map(str::to_owned))
            .collect();
        parts.join(" · ")
    }

    /// `about 6 min left`; empty where nobody knows yet, and at the end.
    fn remaining(&self) -> String {
        let sum = |part: fn(&Run) -> f64| self.runs.iter().map(|run| run.work * part(run)).sum();
        let done: f64 = sum(|run| run.share - run.share_before);
        let open: f64 = sum(|run| 1.0 - run.share);
        let elapsed = self.begun.elapsed();
        match elapsed >= FORETOLD_AFTER && done > 0.0 && open > 0.0 {
            true => format!("about {} left", left(elapsed.as_secs_f64() * open / done)),
            false => String::new(),
        }
    }
}

/// The bar of all runs.
fn total(count: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:24} {pos} of {len} runs {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(count).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(runs: &[(f64, f64, f64, bool)]) -> State {
        let run = |&(work, share_before, share, finished): &(f64, f64, f64, bool)| Run {
            work,
            share_before,
            share,
            activity: (!finished && share > 0.0).then(|| "ffn seed 1: epoch 3/12".to_owned()),
            finished,
            failed: false,
        };
        let now = Instant::now();
        State {
            runs: runs.iter().map(run).collect(),
            begun: now.checked_sub(Duration::from_secs(60)).unwrap(),
            told: now,
        }
    }

    /// A minute for 300 units; 900 are open. What was done before this process says nothing about its speed.
    #[test]
    fn the_end_follows_from_the_work_of_this_process() {
        let state = state(&[
            (0.0, 0.0, 0.0, true),
            (200.0, 0.0, 1.0, true),
            (400.0, 0.5, 0.75, false),
            (800.0, 0.0, 0.0, false),
        ]);
        assert_eq!(
            state.describe(),
            "2 of 4 runs finished, about 3 min left · ffn seed 1: epoch 3/12"
        );
    }

    #[test]
    fn nothing_is_foretold_without_a_step() {
        let state = state(&[(100.0, 0.5, 0.5, false), (100.0, 0.0, 0.0, false)]);
        assert_eq!(state.standing(), "0 of 2 runs finished");
    }
}
