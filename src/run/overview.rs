//! What a list of runs says about each.

use std::path::Path;

use super::checkpoint;
use super::folder::Folder;
use super::history::Outcome;
use super::manifest::Manifest;
use super::results::{self, Summary};
use crate::base::{Error, Result};

#[derive(Debug)]
pub struct Overview {
    pub folder: Folder,
    pub manifest: Manifest,
    pub state: State,
    /// Steps of the last checkpoint.
    pub step: u64,
    /// The final evaluations that are there, by frame count.
    pub results: Vec<Summary>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Working,
    Finished,
    Stopped,
    Killed,
    Diverged,
    Failed,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Working => "working",
            State::Finished => "finished",
            State::Stopped => "stopped",
            State::Killed => "killed",
            State::Diverged => "diverged",
            State::Failed => "failed",
        }
    }
}

impl Overview {
    pub fn of(folder: Folder) -> Result<Self> {
        let manifest = folder.manifest()?;
        let outcome = folder.history()?.processes.last().map(|p| p.outcome);
        let state = match outcome {
            _ if manifest.finished => State::Finished,
            _ if folder.is_locked() => State::Working,
            Some(Outcome::Stopped) => State::Stopped,
            Some(Outcome::Diverged) => State::Diverged,
            Some(Outcome::Failed) => State::Failed,
            Some(Outcome::Working | Outcome::Finished) | None => State::Killed,
        };
        let step = checkpoint::list(&folder.checkpoints())?
            .last()
            .map_or(0, |c| c.0);
        let results = results::read_all(&folder.eval())?;
        Ok(Self {
            folder,
            manifest,
            state,
            step,
            results,
        })
    }

    /// Epochs done, with the part of the next.
    pub fn epoch(&self) -> f64 {
        self.step as f64 / self.manifest.steps_per_epoch.max(1) as f64
    }
}

/// The runs in a folder by name, and those that cannot be read.
pub fn list(runs: &Path) -> Result<(Vec<Overview>, Vec<Error>)> {
    let entries = match std::fs::read_dir(runs) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok((Vec::new(), Vec::new())),
        Err(e) => return Err(Error::io("read", runs, &e)),
    };
    let mut folders: Vec<Folder> = entries
        .flatten()
        .map(|entry| Folder::at(entry.path()))
        .filter(Folder::exists)
        .collect();
    folders.sort_by_key(Folder::name);
    let (mut overviews, mut errors) = (Vec::new(), Vec::new());
    for folder in folders {
        match Overview::of(folder) {
            Ok(overview) => overviews.push(overview),
            Err(error) => errors.push(error),
        }
    }
    Ok((overviews, errors))
}
