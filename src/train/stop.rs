//! Requests to stop: Ctrl-C, SIGTERM, a time limit. The step that is under way is finished and everything is saved.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::SIGINT;

use crate::base::{Error, Kind, Result, signals, terminal};

/// What a shell reports of a process that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

#[derive(Debug, Clone)]
pub struct Stop {
    signalled: Arc<AtomicBool>,
    /// Works of this process that save when they stop.
    saving: Arc<AtomicUsize>,
    deadline: Option<Instant>,
    minutes: f64,
}

/// A work that saves when it is asked to stop.
pub struct Saving(Arc<AtomicUsize>);

impl Drop for Saving {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Stop {
    /// Catches the signals of [`signals`] from now on. Where nothing is there to
    /// be saved, while data are verified or a model is built, the process ends at once; else it is asked to stop, and a
    /// second Ctrl-C ends it at once.
    pub fn install(started: Instant, max_minutes: Option<f64>) -> Result<Self> {
        let stop = Self::within(started, max_minutes)?;
        let heard = stop.clone();
        signals::on_request(move |signal| heard.hear(signal));
        Ok(stop)
    }

    fn hear(&self, signal: i32) {
        let again = self.signalled.swap(true, Ordering::SeqCst);
        if self.saving.load(Ordering::SeqCst) == 0 {
            let error = Error::new(Kind::Stopped, "stopped before anything was to be saved");
            terminal::say(format_args!(
                "error: {}",
                error.hint("the same command begins again")
            ));
            signals::exit(i32::from(Kind::Stopped.exit_code()));
        }
        if again && signal == SIGINT {
            terminal::say(
                "ended without saving; the same command goes on from the last checkpoint",
            );
            signals::exit(INTERRUPTED);
        }
        if !again {
            terminal::say(
                "stopping: what is under way is finished and saved; Ctrl-C again ends it without saving",
            );
        }
    }

    /// Asks as a signal does: another rank was signalled.
    pub fn ask(&self) {
        self.signalled.store(true, Ordering::SeqCst);
    }

    /// While what is returned lives, the work asks for [`requested`](Self::requested) often, and saves when it stops.
    pub fn saving(&self) -> Saving {
        self.saving.fetch_add(1, Ordering::SeqCst);
        Saving(self.saving.clone())
    }

    /// A time limit alone.
    fn within(started: Instant, max_minutes: Option<f64>) -> Result<Self> {
        let deadline = match max_minutes {
            None => None,
            Some(minutes) => {
                let limit = Duration::try_from_secs_f64(minutes * 60.0);
                limit.ok().and_then(|limit| started.checked_add(limit))
            }
        };
        if deadline.is_none() && max_minutes.is_some() {
            return Err(Error::new(
                Kind::Usage,
                "--max-minutes takes a number of minutes that is not negative",
            ));
        }
        Ok(Self {
            signalled: Arc::default(),
            saving: Arc::default(),
            deadline,
            minutes: max_minutes.unwrap_or_default(),
        })
    }

    /// Why the run is to stop now, if it is.
    pub fn requested(&self) -> Option<String> {
        if self.signalled.load(Ordering::Relaxed) {
            return Some("a signal asked for it".to_owned());
        }
        let late = self.deadline.is_some_and(|limit| Instant::now() >= limit);
        late.then(|| format!("--max-minutes {} are over", self.minutes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_limit_stops_when_it_is_over() {
        let now = Instant::now();
        assert_eq!(Stop::within(now, None).unwrap().requested(), None);
        assert_eq!(Stop::within(now, Some(60.0)).unwrap().requested(), None);
        let over = Stop::within(now, Some(0.0)).unwrap().requested();
        assert_eq!(over.unwrap(), "--max-minutes 0 are over");
    }

    #[test]
    fn a_time_limit_that_is_none_is_refused() {
        for minutes in [-1.0, f64::NAN, f64::INFINITY] {
            let error = Stop::within(Instant::now(), Some(minutes)).unwrap_err();
            assert_eq!(error.kind, Kind::Usage);
        }
    }
}
