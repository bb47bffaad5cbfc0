//! A run folder on disk: its paths, its lock, its documents.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::history::{self, History};
use super::manifest::{FORMAT, Manifest};
use super::seal;
use crate::base::{Error, Kind, Result, Shown, files, limits};
use crate::spec::{self, Experiment};

pub const EXPERIMENT: &str = "experiment.ron";
pub const CLASSES: &str = "classes.json";
pub const MANIFEST: &str = "manifest.json";
pub const HISTORY: &str = "history.json";
pub const METRICS: &str = "metrics.jsonl";
pub const TIMING: &str = "timing.jsonl";
pub const LOG: &str = "log.txt";
pub const EVAL: &str = "eval";
pub const ANALYSIS: &str = "analysis";
pub const CHECKPOINTS: &str = "checkpoints";
pub const LOCK: &str = "lock";

/// A run folder, there or to be made.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

/// Held while a process writes a run; the operating system lets it go when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    /// False on a file system that has no locks.
    pub held: bool,
}

impl Folder {
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The folder of an experiment's run below `runs`: `<name>-<first 8 digits of its identity>`.
    pub fn of(runs: &Path, experiment: &Experiment) -> Self {
        let identity = experiment.identity();
        let short = identity.get(..8).unwrap_or(&identity);
        Self::at(runs.join(format!("{}-{short}", experiment.name)))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder's own name, which names the run in tables.
    pub fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        name.to_string_lossy().into_owned()
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub fn checkpoints(&self) -> PathBuf {
        self.join(CHECKPOINTS)
    }

    pub fn eval(&self) -> PathBuf {
        self.join(EVAL)
    }

    /// Whether a run has begun here.
    pub fn exists(&self) -> bool {
        self.join(MANIFEST).exists()
    }

    /// Makes the folder where it is missing and locks it.
    pub fn lock(&self) -> Result<Lock> {
        std::fs::create_dir_all(&self.path).map_err(|e| Error::io("make", &self.path, &e))?;
        let path = self.join(LOCK);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|e| Error::io("write", &path, &e))?;
        match file.try_lock() {
            Ok(()) => {
                let holder = format!("process {} since {}", std::process::id(), history::now());
                file.set_len(0)
                    .and_then(|()| file.write_all(holder.as_bytes()))
                    .map_err(|e| Error::io("write", &path, &e))?;
                Ok(Lock {
                    _file: file,
                    held: true,
                })
            }
            Err(TryLockError::WouldBlock) => Err(Error::new(
                Kind::Run,
                format!(
                    "another process works on the run `{}`: {}",
                    self.path.shown(),
                    holder(&path)
                ),
            )
            .hint("wait until it ends, or stop it; it saves everything on Ctrl-C and SIGTERM")),
            Err(TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Unsupported => {
                Ok(Lock {
                    _file: file,
                    held: false,
                })
            }
            Err(TryLockError::Error(e)) => Err(Error::io("lock", &path, &e)),
        }
    }

    /// Whether a process works on the run now, as far as one can see without disturbing it.
    pub fn is_locked(&self) -> bool {
        let file = File::open(self.join(LOCK));
        file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    pub fn manifest(&self) -> Result<Manifest> {
        let path = self.join(MANIFEST);
        if !path.exists() {
            return Err(Error::new(
                Kind::Run,
                format!(
                    "`{}` is not a run folder: it has no {MANIFEST}",
                    self.path.shown()
                ),
            )
            .hint(
                "`ffn runs` lists the runs below `runs`; `ffn runs DIR` those below another folder",
            ));
        }
        let manifest: Manifest = seal::read(&path)?;
        match manifest.format {
            FORMAT => Ok(manifest),
            other => Err(Error::new(
                Kind::Run,
                format!(
                    "`{}` has format {other}, this program reads format {FORMAT}",
                    self.path.shown()
                ),
            )),
        }
    }

    pub fn write_manifest(&self, manifest: &Manifest) -> Result<()> {
        seal::write(&self.join(MANIFEST), manifest)
    }

    /// What processes did; empty for a run that has not begun.
    pub fn history(&self) -> Result<History> {
        let path = self.join(HISTORY);
        match path.exists() {
            true => seal::read(&path),
            false => Ok(History::default()),
        }
    }

    pub fn write_history(&self, history: &History) -> Result<()> {
        seal::write(&self.join(HISTORY), history)
    }

    /// The run's experiment, which must have the identity that the manifest names.
    pub fn experiment(&self) -> Result<Experiment> {
        let expected = self.manifest()?.identity;
        let path = self.join(EXPERIMENT);
        let computed = files::sha256_of_file(&path)?;
        if computed != expected {
            return Err(super::checkpoint::hash_mismatch(
                &path, &expected, &computed,
            ));
        }
        Ok(spec::load(&path)?.experiment)
    }

    /// Every file in the folder, as paths with `/`, sorted.
    pub fn files(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        collect(&self.path, "", &mut names)?;
        names.sort();
        Ok(names)
    }

    /// Removes what a killed process left half written. Only for who holds the lock.
    pub fn remove_unfinished(&self) -> Result<()> {
        for name in self.files()? {
            if name.rsplit('/').next().is_some_and(files::is_temporary) {
                let path = self.join(&name);
                std::fs::remove_file(&path).map_err(|e| Error::io("remove", &path, &e))?;
            }
        }
        Ok(())
    }

    /// The class names in label order.
    pub fn classes(&self) -> Result<Vec<String>> {
        let path = self.join(CLASSES);
        serde_json::from_str(&files::read_text(&path, limits::DOCUMENT)?)
            .map_err(|e| Error::new(Kind::Run, format!("`{}` is damaged: {e}", path.shown())))
    }

    pub fn write_classes(&self, classes: &[String]) -> Result<()> {
        let mut text = serde_json::to_string_pretty(classes)
            .map_err(|e| Error::new(Kind::Run, format!("cannot write as JSON: {e}")))?;
        text.push('\n');
        files::write_atomic(&self.join(CLASSES), text.as_bytes())
    }
}

/// Who holds a lock, as far as its file says.
fn holder(lock: &Path) -> String {
    let text = std::fs::read_to_string(lock).unwrap_or_default();
    match text.is_empty() {
        true => "one that did not say which".to_owned(),
        false => text,
    }
}

fn collect(folder: &Path, prefix: &str, names: &mut Vec<String>) -> Result<()> {
    let fail = |e: std::io::Error| Error::io("read", folder, &e);
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().map_err(fail)?.is_dir() {
            collect(&entry.path(), &format!("{name}/"), names)?;
        } else {
            names.push(name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_until_the_first_goes() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::at(place.path().join("run"));
        assert!(!folder.is_locked());
        let lock = folder.lock().unwrap();
        assert!(lock.held && folder.is_locked());
        assert_eq!(folder.lock().unwrap_err().kind, Kind::Run);
        drop(lock);
        assert!(!folder.is_locked());
        folder.lock().unwrap();
    }

    #[test]
    fn a_folder_that_is_no_run_says_so() {
        let place = tempfile::tempdir().unwrap();
        let error = Folder::at(place.path()).manifest().unwrap_err();
        assert!(error.message.contains("is not a run folder"), "{error}");
    }
}
