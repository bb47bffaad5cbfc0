//! `history.json`: the processes that worked on a run, with what a clock or a flag decided. Sealed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

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

/// The time now, in UTC, to the second.
pub fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}
