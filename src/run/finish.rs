//! The lists of hashes in a finished run: results in the manifest, records of how it went in the history.

use std::collections::BTreeMap;

use super::folder::{
    CHECKPOINTS, CLASSES, EVAL, EXPERIMENT, Folder, HISTORY, LOCK, LOG, MANIFEST, METRICS, TIMING,
    Working,
};
use super::history::History;
use super::manifest::Manifest;
use crate::base::{Result, files};

/// Hashes of the documents that a run begins with.
pub fn beginning(folder: &Folder) -> Result<BTreeMap<String, String>> {
    hashes(folder, [EXPERIMENT, CLASSES].into_iter().map(str::to_owned))
}

/// Lists every file that holds a result in the manifest and writes it: the run is finished.
pub fn list_results(folder: &Working, manifest: &mut Manifest) -> Result<()> {
    manifest.finished = true;
    let names = folder.files()?.into_iter();
    manifest.files = hashes(folder, names.filter(|name| holds_result(name)))?;
    folder.write_manifest(manifest)
}

/// Lists the manifest, the log and the timings in the history and writes it.
pub fn list_records(folder: &Working, history: &mut History) -> Result<()> {
    let names = [MANIFEST, LOG, TIMING].into_iter();
    history.files = hashes(folder, names.map(str::to_owned))?;
    folder.write_history(history)
}

/// Whether a file tells how a run went, and holds no result.
pub fn is_record(name: &str) -> bool {
    [MANIFEST, HISTORY, LOCK, LOG, TIMING].contains(&name)
}

fn holds_result(name: &str) -> bool {
    match name.split_once('/') {
        Some((folder, _)) => [EVAL, CHECKPOINTS].contains(&folder),
        None => [EXPERIMENT, CLASSES, METRICS].contains(&name),
    }
}

fn hashes(
    folder: &Folder,
    names: impl Iterator<Item = String>,
) -> Result<BTreeMap<String, String>> {
    names
        .map(|name| {
            let hash = files::sha256_of_file(&folder.join(&name))?;
            Ok((name, hash))
        })
        .collect()
}
