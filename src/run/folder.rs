//! A run folder on disk: its paths, its lock, its documents.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use cap_std::fs::OpenOptions;

use super::history::{self, History};
use super::manifest::{FORMAT, Manifest};
use super::seal;
use crate::base::{Error, Held, Kind, Result, Shown, files, limits};
use crate::spec::{self, Experiment};

pub const EXPERIMENT: &str = "experiment.ron";
pub const CLASSES: &str = "classes.json";
pub const MANIFEST: &str = "manifest.json";
pub const HISTORY: &str = "history.json";
pub const METRICS: &str = "metrics.jsonl";
pub const TIMING: &str = "timing.jsonl";
pub const LOG: &str = "log.txt";
pub const EVAL: &str = "eval";
/// In [`EVAL`]: the results of the last weights, where those of the best are kept, and of the weights that are averaged.
pub const LAST: &str = "last";
pub const UNAVERAGED: &str = "unaveraged";
pub const ANALYSIS: &str = "analysis";
pub const CHECKPOINTS: &str = "checkpoints";
pub const LOCK: &str = "lock";

/// A run folder, there or to be made.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

/// A run folder that this process alone writes: the operating system lets the lock go when the process ends, however it
/// ends. What is written goes into the folder that was opened, wherever it is moved.
#[derive(Debug)]
pub struct Working {
    folder: Folder,
    dir: Held,
    /// Locked.
    _file: File,
    /// False on a file system that has no locks.
    pub is_locked: bool,
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

    /// Makes the folder where it is missing, locks it and holds it open; removes what a killed process left half written. Links in it are refused: what is written or
    /// removed is the run's own.
    pub fn lock(&self) -> Result<Working> {
        self.try_lock()?.ok_or_else(|| self.in_use())
    }

    /// As [`lock`](Self::lock); `None` where another process holds the lock.
    pub fn try_lock(&self) -> Result<Option<Working>> {
        let dir = Held::open(&self.path)?;
        refuse_foreign(&dir)?;
        let path = self.join(LOCK);
        let mut file = dir.file(LOCK, OpenOptions::new().create(true).write(true))?;
        let is_locked = match file.try_lock() {
            Ok(()) => {
                let host = host().map_or(String::new(), |host| format!("{ON}{host}"));
                let (process, now) = (std::process::id(), history::now());
                let holder = format!("process {process} since {now}{host}");
                file.set_len(0)
                    .and_then(|()| file.write_all(holder.as_bytes()))
                    .map_err(|e| Error::io("write", &path, &e))?;
                true
            }
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Unsupported => false,
            Err(TryLockError::Error(e)) => return Err(not_locked(&path, &e)),
        };
        remove_unfinished(&dir)?;
        Ok(Some(Working {
            folder: self.clone(),
            dir,
            _file: file,
            is_locked,
        }))
    }

    fn in_use(&self) -> Error {
        Error::new(
            Kind::Run,
            format!(
                "another process works on the run `{}`: {}",
                self.path.shown(),
                holder(&self.join(LOCK))
            ),
        )
        .hint("wait until it ends, or stop it; it saves everything on Ctrl-C and SIGTERM")
    }

    /// Whether a process works on the run now, as far as one can see without disturbing it.
    pub fn is_locked(&self) -> bool {
        let file = files::open(&self.join(LOCK));
        file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// The machine of the process that last had the lock, as far as its file says.
    pub fn host(&self) -> Option<String> {
        let text = files::read_text(&self.join(LOCK), limits::SETTINGS).ok()?;
        Some(text.split_once(ON)?.1.trim().to_owned())
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

    /// What processes did; empty for a run that has not begun.
    pub fn history(&self) -> Result<History> {
        let path = self.join(HISTORY);
        match path.exists() {
            true => seal::read(&path),
            false => Ok(History::default()),
        }
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

    /// The class names in label order.
    pub fn classes(&self) -> Result<Vec<String>> {
        let path = self.join(CLASSES);
        serde_json::from_str(&files::read_text(&path, limits::DOCUMENT)?)
            .map_err(|e| Error::new(Kind::Run, format!("`{}` is damaged: {e}", path.shown())))
    }
}

impl Deref for Working {
    type Target = Folder;

    fn deref(&self) -> &Folder {
        &self.folder
    }
}

impl Working {
    /// By its handle: for everything that is written.
    pub fn dir(&self) -> &Held {
        &self.dir
    }

    /// Fails where the folder's path leads somewhere else by now, or nowhere.
    pub fn check_in_place(&self) -> Result<()> {
        if self.dir.is_in_place() {
            return Ok(());
        }
        Err(Error::new(
            Kind::Run,
            format!(
                "the run folder `{}` was moved, removed or replaced while the run worked in it",
                self.path.shown()
            ),
        )
        .hint(
            "where it was moved, all that was done is saved in it: move it back, and the same command goes on from there",
        ))
    }

    pub fn write_experiment(&self, experiment: &Experiment) -> Result<()> {
        self.dir
            .write_atomic(EXPERIMENT, experiment.canonical().as_bytes())
    }

    pub fn write_classes(&self, classes: &[String]) -> Result<()> {
        let mut text = serde_json::to_string_pretty(classes)
            .map_err(|e| Error::new(Kind::Run, format!("cannot write as JSON: {e}")))?;
        text.push('\n');
        self.dir.write_atomic(CLASSES, text.as_bytes())
    }

    pub fn write_manifest(&self, manifest: &Manifest) -> Result<()> {
        seal::write(&self.dir, MANIFEST, manifest)
    }

    pub fn write_history(&self, history: &History) -> Result<()> {
        seal::write(&self.dir, HISTORY, history)
    }
}

/// Removes what a killed process left half written.
fn remove_unfinished(dir: &Held) -> Result<()> {
    for name in dir.names()? {
        match dir.is_folder(&name)? {
            _ if files::is_temporary(&name) => dir.remove(&name)?,
            true => remove_unfinished(&dir.folder(&name)?)?,
            false => {}
        }
    }
    Ok(())
}

/// What a process writes or removes in a run folder must be the run's own.
fn refuse_foreign(dir: &Held) -> Result<()> {
    let foreign = dir.foreign()?;
    if foreign.is_empty() {
        return Ok(());
    }
    let lines = foreign
        .iter()
        .map(|(name, what)| format!("\n  `{}` is {what}", name.shown()));
    Err(Error::new(
        Kind::Run,
        format!(
            "the run folder `{}` holds what is no file or folder of its own:{}",
            dir.path().shown(),
            lines.collect::<String>()
        ),
    )
    .hint("take it out; a run on another disk: `--out`, or a link to the whole run folder"))
}

/// Who holds a lock, as far as its file says.
fn holder(lock: &Path) -> String {
    match files::read_text(lock, limits::SETTINGS) {
        Ok(text) if !text.is_empty() => text.shown(),
        _ => "one that did not say which".to_owned(),
    }
}

/// Between what holds a lock and its machine.
const ON: &str = " on ";

/// This machine's name, on a cluster the node's.
fn host() -> Option<String> {
    let node = std::env::var("SLURMD_NODENAME").ok();
    let name = node.or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok())?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// Why a lock was refused. A network file system whose lock service is missing says that there are no locks left.
fn not_locked(path: &Path, source: &std::io::Error) -> Error {
    let error = Error::io("lock", path, source);
    #[cfg(unix)]
    if source.raw_os_error() == Some(libc::ENOLCK) {
        return error.hint(
            "the file system has locks, and its server gives none: mostly NFS whose lock service (`rpc.statd`, `lockd`) does not run \
             on the server or on this node. Ask who runs the cluster for it, or for NFS 4, which needs none; or give `--out` a \
             folder on a file system with locks, which `flock FILE true` tries. Without them two processes could write one run",
        );
    }
    error
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
        assert!(lock.is_locked && folder.is_locked());
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
