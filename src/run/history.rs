//! `history.json`: the processes that worked on a run, with what a clock or a flag decided. Sealed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    pub processes: Vec<Process>,
    /// Once the run is finished: SHA-256 of the manifest, the log and the timings.
    pub files: BTreeMap<String, String>,
}

/// One process. Times are UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Process {
    pub started: String,
    /// `None` where the process was killed, or still works.
    pub ended: Option<String>,
    pub outcome: Outcome,
    /// The first step that it computed.
    pub from_step: u64,
    /// The step after its last checkpoint.
    pub to_step: u64,
    pub threads: usize,
    pub workers: usize,
    /// Index into the manifest's builds.
    pub build: usize,
    /// Index into the manifest's machines.
    pub machine: usize,
    /// The experiment file's folder, as it was given: where `ffn eval` looks for the pins.
    pub experiment_folder: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It works, or was killed: the lock tells which.
    Working,
    /// Stopped on request.
    Stopped,
    /// A value was not finite.
    Diverged,
    /// Stopped by another error.
    Failed,
    /// The run was complete.
    Finished,
}

/// The time now, in UTC, to the second. A clock before 1970 or after 9999 is told as the nearest of these.
pub fn now() -> String {
    written(SystemTime::now())
}

fn written(time: SystemTime) -> String {
    /// The last second of the year 9999.
    const LAST: Duration = Duration::from_secs(253_402_300_799);
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since.min(LAST)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_clock_has_a_time() {
        let second = Duration::from_secs(1);
        let far = Duration::from_secs(1 << 40);
        assert_eq!(written(UNIX_EPOCH - far), "1970-01-01T00:00:00Z");
        assert_eq!(written(UNIX_EPOCH + second), "1970-01-01T00:00:01Z");
        assert_eq!(written(UNIX_EPOCH + far), "9999-12-31T23:59:59Z");
    }
}
