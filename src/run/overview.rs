//! What a list of runs says about each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::folder::Folder;
use super::history::Outcome;
use super::latest::{self, Latest};
use super::manifest::Manifest;
use super::results::{self, Summary};
use crate::base::{Error, Result};
use crate::spec::{self, Experiment};

#[derive(Debug)]
pub struct Overview {
    pub folder: Folder,
    pub manifest: Manifest,
    pub state: State,
    pub experiment: Experiment,
    /// Where its training is; `None` before the first step.
    pub latest: Option<Latest>,
    /// The fields in which it differs from another run of the same name, with its values.
    pub differing: Vec<(String, String)>,
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
    pub const ALL: [State; 6] = [
        State::Finished,
        State::Working,
        State::Stopped,
        State::Killed,
        State::Diverged,
        State::Failed,
    ];

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
        let results = results::read_all(&folder.eval())?;
        Ok(Self {
            experiment: folder.experiment()?,
            latest: latest::of(&folder),
            differing: Vec::new(),
            folder,
            manifest,
            state,
            results,
        })
    }

    /// Steps that are done; the last of them may not be in a checkpoint yet.
    pub fn steps(&self) -> u64 {
        self.latest.map_or(0, |latest| latest.steps)
    }

    /// Steps that are done, as a part of all.
    pub fn part(&self) -> f64 {
        self.steps() as f64 / self.manifest.steps.max(1) as f64
    }

    /// Epochs done, with the part of the next.
    pub fn epoch(&self) -> f64 {
        self.steps() as f64 / self.manifest.steps_per_epoch.max(1) as f64
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
    tell_apart(&mut overviews);
    Ok((overviews, errors))
}

/// Finds the fields in which runs of one name differ.
fn tell_apart(overviews: &mut [Overview]) {
    let mut known: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    let fields: Vec<_> = overviews
        .iter()
        .map(|overview| spec::values(&overview.experiment))
        .collect();
    for (overview, fields) in overviews.iter().zip(&fields) {
        for (path, value) in fields {
            let key = (overview.manifest.name.clone(), path.clone());
            known.entry(key).or_default().insert(value.clone());
        }
    }
    for (overview, fields) in overviews.iter_mut().zip(fields) {
        let name = overview.manifest.name.clone();
        let varies = |path: &str| {
            let values = known.get(&(name.clone(), path.to_owned()));
            values.is_some_and(|values| values.len() > 1)
        };
        let differing = fields.into_iter().filter(|(path, _)| varies(path));
        overview.differing = differing.collect();
    }
}
