//! `checkpoints/step-<steps>/`: everything that the next step reads.
//!
//! | file | content |
//! |---|---|
//! | `model.safetensors` | parameters and running statistics under their official names |
//! | `momentum.safetensors` | the optimiser's momentum under the parameters' names |
//! | `state.json` | [`State`], sealed: step, the metrics' mark, SHA-256 of the other two |
//!
//! The folder is written under another name, synced and renamed, so a checkpoint that is there is complete.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::metrics::Mark;
use super::seal;
use crate::base::{Error, Kind, Result, Shown, files};

pub const MODEL: &str = "model.safetensors";
pub const MOMENTUM: &str = "momentum.safetensors";
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

/// The checkpoints below a run folder, by steps done, ascending.
pub fn list(checkpoints: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let entries = match fs::read_dir(checkpoints) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("read", checkpoints, &e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(|e| Error::io("read", checkpoints, &e))?
            .path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(step) = name.and_then(|name| name.strip_prefix(PREFIX)?.parse().ok()) {
            found.push((step, path));
        }
    }
    found.sort();
    Ok(found)
}

/// Writes a checkpoint: all of it or, as far as anybody can see, nothing.
pub fn write(checkpoints: &Path, moment: Moment, model: &[u8], momentum: &[u8]) -> Result<PathBuf> {
    let place = checkpoints.join(format!("{PREFIX}{:08}", moment.step));
    let state = State {
        identity: moment.identity,
        step: moment.step,
        epoch: moment.epoch,
        metrics: moment.metrics,
        files: BTreeMap::from([
            (MODEL.to_owned(), files::sha256(model)),
            (MOMENTUM.to_owned(), files::sha256(momentum)),
        ]),
    };
    fs::create_dir_all(checkpoints).map_err(|e| Error::io("make", checkpoints, &e))?;
    let unfinished = tempfile::Builder::new()
        .prefix(files::TEMPORARY)
        .tempdir_in(checkpoints)
        .map_err(|e| Error::io("write into", checkpoints, &e))?;
    files::write_atomic(&unfinished.path().join(MODEL), model)?;
    files::write_atomic(&unfinished.path().join(MOMENTUM), momentum)?;
    seal::write(&unfinished.path().join(STATE), &state)?;
    set_usual_permissions(unfinished.path())?;
    remove(&place)?;
    fs::rename(unfinished.path(), &place).map_err(|e| Error::io("write", &place, &e))?;
    // It has its name now: nothing is left to remove.
    let _ = unfinished.keep();
    files::sync_folder(checkpoints).map_err(|e| Error::io("sync", checkpoints, &e))?;
    Ok(place)
}

/// Removes all but the last `kept` checkpoints, and what a killed process left unfinished.
pub fn prune(checkpoints: &Path, kept: usize) -> Result<()> {
    let all = list(checkpoints)?;
    for (_, path) in all.iter().take(all.len().saturating_sub(kept)) {
        remove(path)?;
    }
    for entry in fs::read_dir(checkpoints).into_iter().flatten().flatten() {
        if files::is_temporary(&entry.file_name().to_string_lossy()) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes a checkpoint. Its state goes first, so that a removal that is cut short leaves no half of a checkpoint that looks whole.
pub fn remove(checkpoint: &Path) -> Result<()> {
    if !checkpoint.exists() {
        return Ok(());
    }
    let _ = fs::remove_file(checkpoint.join(STATE));
    fs::remove_dir_all(checkpoint).map_err(|e| Error::io("remove", checkpoint, &e))
}

/// The state of a checkpoint whose files are as they were written.
pub fn verify(checkpoint: &Path) -> Result<State> {
    let state: State = seal::read(&checkpoint.join(STATE))?;
    for (name, expected) in &state.files {
        let path = checkpoint.join(name);
        let computed = files::sha256_of_file(&path)?;
        if computed != *expected {
            return Err(hash_mismatch(&path, expected, &computed));
        }
    }
    Ok(state)
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

/// Temporary folders are made for their owner alone; what people keep has the usual permissions.
#[cfg(unix)]
fn set_usual_permissions(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
        .map_err(|e| Error::io("change permissions of", folder, &e))
}

#[cfg(not(unix))]
fn set_usual_permissions(_: &Path) -> Result<()> {
    Ok(())
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

    #[test]
    fn a_checkpoint_comes_back_and_old_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("checkpoints");
        assert_eq!(list(&place).unwrap(), []);
        for step in [8, 9, 10] {
            write(&place, moment(step), b"model", b"momentum").unwrap();
        }
        fs::create_dir(place.join(".tmp-killed")).unwrap();
        prune(&place, KEPT).unwrap();
        let steps: Vec<u64> = list(&place).unwrap().iter().map(|c| c.0).collect();
        assert_eq!(steps, [9, 10]);
        assert_eq!(fs::read_dir(&place).unwrap().count(), 2);
        assert_eq!(verify(&place.join("step-00000010")).unwrap().step, 10);
    }

    #[test]
    fn the_same_step_can_be_written_again() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), moment(1), b"a", b"b").unwrap();
        let path = write(folder.path(), moment(1), b"c", b"d").unwrap();
        assert_eq!(fs::read(path.join(MODEL)).unwrap(), b"c");
        verify(&path).unwrap();
    }

    #[test]
    fn a_flipped_bit_or_a_missing_end_in_any_file_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        for name in [MODEL, MOMENTUM, STATE] {
            let path = write(folder.path(), moment(1), b"model", b"momentum").unwrap();
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
