//! `checkpoints/step-<steps>/`: everything that the next step reads.
//!
//! | file | content |
//! |---|---|
//! | `model.safetensors` | parameters and running statistics under their official names |
//! | `optimizer.safetensors` | the optimiser's state: [`super::optimizer_state`] |
//! | `average.safetensors` | averaged weights, where the experiment has them |
//! | `state.json` | [`State`], sealed: step, the metrics' mark, SHA-256 of the others |
//!
//! Checkpoints of earlier versions, with `momentum.safetensors` for the optimiser's state, are read but no more written.
//!
//! The folder is written under another name, synced and renamed, so a checkpoint that is there is complete.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::metrics::Mark;
use super::optimizer_state::{self, HINT, MOMENTUM, OPTIMIZER, OptimizerState};
use super::seal;
use crate::base::{Error, Held, Kind, Result, Shown, files};

pub const MODEL: &str = "model.safetensors";
pub const AVERAGE: &str = "average.safetensors";
pub const STATE: &str = "state.json";

/// How many checkpoints a run keeps while it works: the last, and one to fall back to.
pub const KEPT: usize = 2;

const PREFIX: &str = "step-";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The experiment's identity.
    pub identity: String,
    /// Steps that are done.
    pub step: u64,
    /// Epochs that are done.
    pub epoch: u64,
    pub metrics: Mark,
    /// SHA-256 of the other files.
    pub files: BTreeMap<String, String>,
}

/// What a checkpoint is written from, besides its tensors.
pub struct Moment {
    pub identity: String,
    pub step: u64,
    pub epoch: u64,
    pub metrics: Mark,
}

impl State {
    /// Refuses a checkpoint, at this path, of another experiment.
    pub fn check_identity(&self, identity: &str, checkpoint: &Path) -> Result<()> {
        if self.identity == identity {
            return Ok(());
        }
        let message = format!("`{}` is of another experiment", checkpoint.shown());
        Err(Error::new(Kind::Run, message))
    }
}

/// The checkpoints below a run folder, by steps done, ascending.
pub fn list(checkpoints: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let entries = match fs::read_dir(checkpoints) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("read", checkpoints, &e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| Error::io("read", checkpoints, &e))?;
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let step = step_of(&entry.file_name().to_string_lossy());
        if let Some(step) = step.filter(|_| is_folder) {
            found.push((step, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// The step of a checkpoint by the name of its folder.
fn step_of(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.parse().ok()
}

/// The bytes of a checkpoint's files, by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Writes a checkpoint: all of it or, as far as anybody can see, nothing.
pub fn write(checkpoints: &Held, moment: Moment, content: &Files) -> Result<PathBuf> {
    let name = format!("{PREFIX}{:08}", moment.step);
    let state = State {
        identity: moment.identity,
        step: moment.step,
        epoch: moment.epoch,
        metrics: moment.metrics,
        files: content
            .iter()
            .map(|(name, bytes)| (name.clone(), files::sha256(bytes)))
            .collect(),
    };
    let (temporary, unfinished) = checkpoints.unfinished()?;
    let write = || {
        for (name, bytes) in content {
            unfinished.write_atomic(name, bytes)?;
        }
        seal::write(&unfinished, STATE, &state)?;
        remove(checkpoints, &name)?;
        checkpoints.rename(&temporary, &name)
    };
    write().inspect_err(|_| {
        // What a full disk left unfinished; the error is told already.
        let _ = checkpoints.remove(&temporary);
    })?;
    Ok(checkpoints.path().join(name))
}

/// Removes all but the last `kept` checkpoints, and what a killed process left unfinished.
pub fn prune(checkpoints: &Held, kept: usize) -> Result<()> {
    let names = checkpoints.names()?;
    let mut all: Vec<_> = names
        .iter()
        .filter_map(|n| Some((step_of(n)?, n)))
        .collect();
    all.sort();
    for (_, name) in all.iter().take(all.len().saturating_sub(kept)) {
        remove(checkpoints, name)?;
    }
    for name in names.iter().filter(|name| files::is_temporary(name)) {
        checkpoints.remove(name)?;
    }
    Ok(())
}

/// Removes a checkpoint. Its state goes first, so that a removal that is cut short leaves no half of a checkpoint that looks whole.
pub fn remove(checkpoints: &Held, name: &str) -> Result<()> {
    if checkpoints.has(name)? {
        checkpoints.folder(name)?.remove(STATE)?;
    }
    checkpoints.remove(name)
}

/// What a checkpoint says of itself; its other files are not looked at.
pub fn state(checkpoint: &Path) -> Result<State> {
    seal::read(&checkpoint.join(STATE))
}

/// The state of a checkpoint that has the name that it was written under.
fn named(checkpoint: &Path) -> Result<State> {
    let state = state(checkpoint)?;
    let name = checkpoint.file_name().unwrap_or_default();
    if step_of(&name.to_string_lossy()) != Some(state.step) {
        return Err(Error::new(
            Kind::Run,
            format!(
                "`{}` is the checkpoint of step {} under another name",
                checkpoint.shown(),
                state.step
            ),
        ));
    }
    Ok(state)
}

/// The state of a checkpoint whose files are as they were written, and which has the name that it was written under.
pub fn verify(checkpoint: &Path) -> Result<State> {
    let state = named(checkpoint)?;
    optimizer_file(checkpoint, &state)?;
    for (name, expected) in &state.files {
        let path = checkpoint.join(name);
        let computed = files::sha256_of_file(&path)?;
        if computed != *expected {
            return Err(hash_mismatch(&path, expected, &computed));
        }
    }
    Ok(state)
}

/// A checkpoint as it is on the disk.
pub struct Content {
    pub state: State,
    pub files: Files,
}

/// The bytes of a checkpoint of this experiment, as they were written. Those of earlier versions are refused.
pub fn read(checkpoint: &Path, identity: &str) -> Result<Content> {
    let state = named(checkpoint)?;
    state.check_identity(identity, checkpoint)?;
    if optimizer_file(checkpoint, &state)? != OPTIMIZER {
        let message = format!("`{}` is of an earlier version", checkpoint.shown());
        return Err(Error::new(Kind::Run, message));
    }
    let content = |(name, expected): (&String, &String)| {
        let path = checkpoint.join(name);
        let mut bytes = Vec::new();
        let read = files::open(&path).and_then(|mut file| file.read_to_end(&mut bytes));
        read.map_err(|e| Error::io("read", &path, &e))?;
        let computed = files::sha256(&bytes);
        match *expected == computed {
            true => Ok((name.clone(), bytes)),
            false => Err(hash_mismatch(&path, expected, &computed)),
        }
    };
    Ok(Content {
        files: state.files.iter().map(content).collect::<Result<_>>()?,
        state,
    })
}

/// The optimiser's state in a checkpoint.
pub fn optimizer(checkpoint: &Path, state: &State) -> Result<OptimizerState> {
    let file = optimizer_file(checkpoint, state)?;
    optimizer_state::read(checkpoint, file, state.step)
}

/// The file that has the optimiser's state. It must be listed, and so must [`MODEL`]: what is not listed has no hash.
pub fn optimizer_file(checkpoint: &Path, state: &State) -> Result<&'static str> {
    let is_listed = |name: &str| state.files.contains_key(name);
    match [MODEL, OPTIMIZER, MOMENTUM].map(is_listed) {
        [true, true, false] => Ok(OPTIMIZER),
        [true, false, true] => Ok(MOMENTUM),
        _ => {
            let found: Vec<&str> = state.files.keys().map(String::as_str).collect();
            let message = format!(
                "`{}` does not list the files of a checkpoint\n  \
                 expected {MODEL} and {OPTIMIZER}, or {MOMENTUM} of an earlier version\n  found    {}",
                checkpoint.join(STATE).shown(),
                found.join(", ").shown()
            );
            Err(Error::new(Kind::Run, message).hint(HINT))
        }
    }
}

/// A file whose hash is not the recorded one.
pub fn hash_mismatch(path: &Path, expected: &str, computed: &str) -> Error {
    Error::new(
        Kind::Run,
        format!(
            "hash mismatch for `{}`\n  expected {expected}\n  computed {computed}",
            path.shown()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(step: u64) -> Moment {
        Moment {
            identity: "id".into(),
            step,
            epoch: 0,
            metrics: Mark::start(),
        }
    }

    fn content(model: &[u8], optimizer: &[u8]) -> Files {
        let named = [(MODEL, model), (OPTIMIZER, optimizer)];
        named
            .map(|(name, bytes)| (name.to_owned(), bytes.to_vec()))
            .into()
    }

    #[test]
    fn a_checkpoint_comes_back_and_old_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("checkpoints");
        assert_eq!(list(&place).unwrap(), []);
        let held = Held::open(&place).unwrap();
        for step in [8, 9, 10] {
            write(&held, moment(step), &content(b"model", b"optimizer")).unwrap();
        }
        fs::create_dir(place.join(".tmp-killed")).unwrap();
        prune(&held, KEPT).unwrap();
        let steps: Vec<u64> = list(&place).unwrap().iter().map(|c| c.0).collect();
        assert_eq!(steps, [9, 10]);
        assert_eq!(fs::read_dir(&place).unwrap().count(), 2);
        assert_eq!(verify(&place.join("step-00000010")).unwrap().step, 10);
    }

    #[test]
    fn the_same_step_can_be_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let held = Held::open(folder.path()).unwrap();
        write(&held, moment(1), &content(b"a", b"b")).unwrap();
        let path = write(&held, moment(1), &content(b"c", b"d")).unwrap();
        assert_eq!(fs::read(path.join(MODEL)).unwrap(), b"c");
        verify(&path).unwrap();
    }

    #[test]
    fn a_checkpoint_under_another_name_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let held = Held::open(folder.path()).unwrap();
        let path = write(&held, moment(8), &content(b"a", b"b")).unwrap();
        let other = folder.path().join("step-00000090");
        fs::rename(path, &other).unwrap();
        let error = verify(&other).unwrap_err();
        assert!(
            error.message.contains("of step 8 under another name"),
            "{error}"
        );
    }

    #[test]
    fn a_state_that_does_not_list_its_files_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let held = Held::open(folder.path()).unwrap();
        let path = write(&held, moment(1), &content(b"a", b"b")).unwrap();
        let whole = state(&path).unwrap();
        let name = |name: &str| (name.to_owned(), String::new());
        for names in [
            &[][..],
            &[MODEL],
            &[OPTIMIZER],
            &[MODEL, OPTIMIZER, MOMENTUM],
        ] {
            let files = names.iter().copied().map(name).collect();
            let changed = State {
                files,
                ..whole.clone()
            };
            seal::write(&Held::open(&path).unwrap(), STATE, &changed).unwrap();
            let error = verify(&path).unwrap_err();
            assert!(error.message.contains("does not list the files"), "{error}");
            assert!(error.hint.is_some());
        }
    }

    #[test]
    fn a_flipped_bit_or_a_missing_end_in_any_file_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let held = Held::open(folder.path()).unwrap();
        for name in [MODEL, OPTIMIZER, STATE] {
            let path = write(&held, moment(1), &content(b"model", b"optimizer")).unwrap();
            let file = path.join(name);
            let mut bytes = fs::read(&file).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 4;
            fs::write(&file, &bytes).unwrap();
            assert!(verify(&path).is_err(), "flipped bit in {name}");
            bytes[middle] ^= 4;
            fs::write(&file, &bytes[..middle]).unwrap();
            assert!(verify(&path).is_err(), "truncated {name}");
            fs::write(&file, &bytes).unwrap();
            verify(&path).unwrap();
        }
    }
}
