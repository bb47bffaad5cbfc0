//! Requests to stop: Ctrl-C, SIGTERM, a time limit. The step that is under way is finished and everything is saved.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::base::{Error, Kind, Result};

/// What a shell reports of a process that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

#[derive(Debug, Clone)]
pub struct Stop {
    signalled: Arc<AtomicBool>,
    deadline: Option<Instant>,
    minutes: f64,
}

impl Stop {
    /// Catches signals from now on. A second Ctrl-C ends the process at once.
    pub fn install(started: Instant, max_minutes: Option<f64>) -> Result<Self> {
        let stop = Self::within(started, max_minutes)?;
        let flags = &stop.signalled;
        flag::register_conditional_shutdown(SIGINT, INTERRUPTED, flags.clone())
            .and_then(|_| flag::register(SIGINT, flags.clone()))
            .and_then(|_| flag::register(SIGTERM, flags.clone()))
            .map_err(|e| Error::new(Kind::Io, format!("cannot catch signals: {e}")))?;
        Ok(stop)
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
            signalled: Arc::new(AtomicBool::new(false)),
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
