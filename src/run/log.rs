//! `log.txt` and `timing.jsonl`: what happened and how long it took. They only grow.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;

use super::history;
use crate::base::{Error, Held, Kind, Result};

/// A text file to which lines are appended.
pub struct Lines {
    path: PathBuf,
    file: File,
}

/// What a step took.
#[derive(Debug, Serialize)]
pub struct Timing {
    pub step: u64,
    pub seconds: f64,
    /// Of these, waiting for the loader.
    pub waited: f64,
    /// Batches that were ready after the step.
    pub queue: usize,
}

impl Lines {
    pub fn open(folder: &Held, name: &str) -> Result<Self> {
        Ok(Self {
            path: folder.path().join(name),
            file: folder.append(name)?,
        })
    }

    /// A sentence with the time before it.
    pub fn say(&mut self, sentence: &str) -> Result<()> {
        self.append(&format!("{} {sentence}", history::now()))
    }

    /// A line of JSON.
    pub fn record(&mut self, timing: &Timing) -> Result<()> {
        let line = serde_json::to_string(timing)
            .map_err(|e| Error::new(Kind::Run, format!("cannot write as JSON: {e}")))?;
        self.append(&line)
    }

    fn append(&mut self, line: &str) -> Result<()> {
        let line = format!("{line}\n");
        self.file
            .write_all(line.as_bytes())
            .map_err(|e| Error::io("write", &self.path, &e))
    }
}
