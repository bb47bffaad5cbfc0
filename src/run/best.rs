//! `checkpoints/best-<steps>/`: the weights with the highest top-1 so far, where an experiment keeps them (`train.keep: Best`).
//!
//! | file | content |
//! |---|---|
//! | `model.safetensors` | what was evaluated: parameters and running statistics |
//! | `best.json` | [`Best`], sealed |
//!
//! Written as checkpoints are. The new one is there before the old one goes; where a kill left both, the later is the better.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::checkpoint::{MODEL, hash_mismatch};
use super::seal;
use crate::base::{Error, Held, Kind, Result, Shown, files};

pub const BEST: &str = "best.json";

const PREFIX: &str = "best-";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Best {
    /// The experiment's identity.
    pub identity: String,
    /// Steps that are done.
    pub step: u64,
    /// Epochs that are done.
    pub epoch: u64,
    /// Frame count whose top-1 decides.
    pub frames: usize,
    /// Clips whose class is the first.
    pub top1: usize,
    /// SHA-256 of the weights, by file.
    pub files: BTreeMap<String, String>,
}

/// The best below a run's folder of checkpoints, with its place; its weights are not looked at.
pub fn find(checkpoints: &Path) -> Result<Option<(PathBuf, Best)>> {
    let mut names = match std::fs::read_dir(checkpoints) {
        Ok(entries) => entries
            .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
            .filter(|name| name.starts_with(PREFIX))
            .collect::<Vec<_>>(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("read", checkpoints, &e)),
    };
    names.sort_unstable();
    let Some(name) = names.last() else {
        return Ok(None);
    };
    let place = checkpoints.join(name);
    let best: Best = seal::read(&place.join(BEST))?;
    match folder_name(best.step) == *name {
        true => Ok(Some((place, best))),
        false => {
            let message = format!(
                "`{}` is the best of step {} under another name",
                place.shown(),
                best.step
            );
            Err(Error::new(Kind::Run, message))
        }
    }
}

fn folder_name(step: u64) -> String {
    format!("{PREFIX}{step:08}")
}

/// Writes weights in the place of the best so far. `best.files` is made here.
pub fn write(checkpoints: &Held, mut best: Best, model: &[u8]) -> Result<()> {
    let name = folder_name(best.step);
    best.files = BTreeMap::from([(MODEL.to_owned(), files::sha256(model))]);
    let (temporary, unfinished) = checkpoints.unfinished()?;
    let write = || {
        unfinished.write_atomic(MODEL, model)?;
        seal::write(&unfinished, BEST, &best)?;
        checkpoints.remove(&name)?;
        checkpoints.rename(&temporary, &name)
    };
    write().inspect_err(|_| {
        // What a full disk left unfinished; the error is told already.
        let _ = checkpoints.remove(&temporary);
    })?;
    prune(checkpoints)
}

/// Removes all but the last: what a process that was killed had not removed yet.
pub fn prune(checkpoints: &Held) -> Result<()> {
    let names = checkpoints.names()?.into_iter();
    let mut all: Vec<String> = names.filter(|name| name.starts_with(PREFIX)).collect();
    all.sort_unstable();
    all.pop();
    all.iter().try_for_each(|name| checkpoints.remove(name))
}

/// Refuses weights that are not as they were written, or of another experiment.
pub fn verify(place: &Path, best: &Best, identity: &str) -> Result<()> {
    if best.identity != identity {
        let message = format!("`{}` is of another experiment", place.shown());
        return Err(Error::new(Kind::Run, message));
    }
    let path = place.join(MODEL);
    let computed = files::sha256_of_file(&path)?;
    let expected = best.files.get(MODEL).map_or("none", String::as_str);
    match computed == expected {
        true => Ok(()),
        false => Err(hash_mismatch(&path, expected, &computed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(step: u64) -> Best {
        Best {
            identity: "id".into(),
            step,
            epoch: 1,
            frames: 4,
            top1: 7,
            files: BTreeMap::new(),
        }
    }

    #[test]
    fn the_better_takes_the_place_of_the_best() {
        let folder = tempfile::tempdir().unwrap();
        let held = Held::open(folder.path()).unwrap();
        assert_eq!(find(folder.path()).unwrap(), None);
        write(&held, best(90), b"a").unwrap();
        write(&held, best(120), b"b").unwrap();
        let (place, found) = find(folder.path()).unwrap().unwrap();
        assert_eq!(
            (
                found.step,
                std::fs::read_dir(folder.path()).unwrap().count()
            ),
            (120, 1)
        );
        verify(&place, &found, "id").unwrap();
        assert!(verify(&place, &found, "other").is_err());
        std::fs::write(place.join(MODEL), b"c").unwrap();
        assert!(
            verify(&place, &found, "id")
                .unwrap_err()
                .message
                .contains("hash mismatch")
        );
    }
}
