//! What is written before it has its name: a file or folder beside its place, whose name begins with `.tmp-` and follows
//! from the name it will have. So what a killed process left is taken over by the next that writes the same, and a process
//! that is asked to end removes its own.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::hash::sha256;

/// How the names of files begin that are not finished.
pub const TEMPORARY: &str = ".tmp-";

/// Whether a file name is that of a file that a killed process left unfinished.
pub fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY)
}

/// How long a process waits for another that writes the same file.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(10);

/// What this process has under work.
static UNDER_WORK: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A file that has no name yet; removed where it is dropped without one.
pub struct Temporary {
    path: PathBuf,
    file: File,
    /// Of the file at `path`; what is left there then belongs to somebody else.
    named: bool,
}

impl Temporary {
    /// An empty file for what will be `target`. Of two processes that write the same the second waits for the first.
    pub fn of(target: &Path) -> std::io::Result<Self> {
        let path = place(target);
        loop {
            let file = open(&path)?;
            lock(&file)?;
            // The one before may have given it its name meanwhile.
            if is_at(&file, &path) {
                file.set_len(0)?;
                register(&path);
                let named = false;
                return Ok(Self { path, file, named });
            }
        }
    }

    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Gives the file its name, in place of what has it.
    pub fn persist(mut self, target: &Path) -> std::io::Result<()> {
        fs::rename(&self.path, target)?;
        self.named = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        forget(&self.path);
        if !self.named {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A folder in which something is made that has several files; removed with what is in it when it is dropped.
pub struct Draft(PathBuf);

impl Draft {
    /// An empty folder for what will be `target`, beside it.
    pub fn of(target: &Path) -> std::io::Result<Self> {
        let path = place(target);
        match fs::remove_dir_all(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        fs::create_dir(&path)?;
        register(&path);
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        forget(&self.0);
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Removes what this process has under work: before it ends because a signal asks for it.
pub fn remove_all() {
    let under_work = UNDER_WORK.lock().unwrap_or_else(PoisonError::into_inner);
    for path in under_work.iter() {
        let _ = fs::remove_file(path).or_else(|_| fs::remove_dir_all(path));
    }
}

fn register(path: &Path) {
    let mut under_work = UNDER_WORK.lock().unwrap_or_else(PoisonError::into_inner);
    under_work.insert(path.to_owned());
}

fn forget(path: &Path) {
    let mut under_work = UNDER_WORK.lock().unwrap_or_else(PoisonError::into_inner);
    under_work.remove(path);
}

/// The folder that holds what has this path.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn place(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or(target.as_os_str());
    let hash = sha256(name.as_encoded_bytes());
    let short = hash.get(..16).unwrap_or(&hash);
    folder_of(target).join(format!("{TEMPORARY}{short}"))
}

/// Makes the file, or takes over what a killed process left; a link is not followed.
fn open(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match options.clone().create_new(true).open(path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        made => return made,
    }
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        libc::O_NOFOLLOW | libc::O_NONBLOCK,
    );
    match options.open(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => open(path),
        opened => opened,
    }
}

/// Waits for another process that writes the same, but not for ever.
fn lock(file: &File) -> std::io::Result<()> {
    let patience = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Err(TryLockError::Error(e)) if e.kind() != ErrorKind::Unsupported => return Err(e),
            Err(TryLockError::WouldBlock) if Instant::now() < patience => sleep(PAUSE),
            Err(TryLockError::WouldBlock) => {
                let what = "another process has it under work";
                return Err(std::io::Error::new(ErrorKind::WouldBlock, what));
            }
            // Of file systems without locks the second writer wins.
            _ => return Ok(()),
        }
    }
}

/// Whether the file is still the one that has this path.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |found: fs::Metadata| (found.dev(), found.ino());
    match (fs::symlink_metadata(path), file.metadata()) {
        (Ok(there), Ok(own)) => own.is_file() && identity(there) == identity(own),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_a_killed_process_left_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("model.pth");
        fs::write(place(&target), "half of an older file, which is longer").unwrap();
        let mut temporary = Temporary::of(&target).unwrap();
        temporary.file().write_all(b"whole").unwrap();
        temporary.persist(&target).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "whole");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (target, victim) = (folder.path().join("a"), folder.path().join("victim"));
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, place(&target)).unwrap();
        assert!(Temporary::of(&target).is_err());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }

    #[test]
    fn many_writers_of_one_file_leave_one_of_their_contents() {
        let folder = tempfile::tempdir().unwrap();
        let target = &folder.path().join("a");
        std::thread::scope(|scope| {
            for writer in 0..8u8 {
                scope.spawn(move || {
                    for _ in 0..20 {
                        let mut temporary = Temporary::of(target).unwrap();
                        temporary.file().write_all(&[writer; 1000]).unwrap();
                        temporary.persist(target).unwrap();
                    }
                });
            }
        });
        let found = fs::read(target).unwrap();
        assert!(found.len() == 1000 && found.iter().all(|byte| *byte == found[0]));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_draft_goes_with_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("bundle");
        fs::create_dir_all(place(&target).join("left")).unwrap();
        let draft = Draft::of(&target).unwrap();
        assert_eq!(fs::read_dir(draft.path()).unwrap().count(), 0);
        fs::write(draft.path().join("case.json"), "{}").unwrap();
        drop(draft);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
