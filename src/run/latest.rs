//! How a run goes at the moment: the ends of its metrics, its timings and its log.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::folder::{Folder, LOG, METRICS, TIMING};
use super::metrics::Record;
use crate::base::files;

/// Bytes at the end of a file that are read: some hundred lines.
const TAIL: u64 = 1 << 16;

/// Steps whose mean says how fast a run is.
const STEPS: usize = 50;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latest {
    /// Steps that are done; the last of them may not be in a checkpoint yet.
    pub steps: u64,
    /// Mean over the last steps.
    pub loss: f64,
    /// Mean over the last steps; `None` where nothing was timed.
    pub seconds_per_step: Option<f64>,
}

#[derive(Deserialize)]
struct Seconds {
    seconds: f64,
}

/// `None` before the first step.
pub fn of(folder: &Folder) -> Option<Latest> {
    let records: Vec<Record> = last_lines(&folder.join(METRICS));
    let timings: Vec<Seconds> = last_lines(&folder.join(TIMING));
    let last = records.first()?;
    Some(Latest {
        steps: last.step + 1,
        loss: mean(records.iter().map(|record| record.loss))?,
        seconds_per_step: mean(timings.iter().map(|timing| timing.seconds)),
    })
}

/// Of the last lines those that are whole, [`STEPS`] at most; the last comes first.
fn last_lines<T: DeserializeOwned>(path: &Path) -> Vec<T> {
    let text = tail(path).unwrap_or_default();
    let lines = text.lines().rev();
    let whole = lines.filter_map(|line| serde_json::from_str(line).ok());
    whole.take(STEPS).collect()
}

/// The end of the log; it may begin in the midst of a line.
pub fn log_end(folder: &Folder) -> String {
    tail(&folder.join(LOG)).unwrap_or_default()
}

fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = files::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> Option<f64> {
    let count = values.len();
    (count > 0).then(|| values.sum::<f64>() / count as f64)
}
