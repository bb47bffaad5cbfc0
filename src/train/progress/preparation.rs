//! The progress of preparing data.

use std::sync::Mutex;
use std::time::Instant;

use indicatif::ProgressBar;

use super::{LINE_EVERY, bar};
use crate::base::terminal;

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
            terminal: terminal::is_watched(),
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
