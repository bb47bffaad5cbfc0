//! What is written before it has its name: a file or folder beside its place, whose name begins with `.tmp-` and follows
//! from the name it will have. So what a killed process left is taken over by the next that writes the same, and a process
//! that is asked to end removes its own.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::files::{TEMPORARY, sha256};

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
            match file.lock() {
                Err(e) if e.kind() == ErrorKind::Unsupported => {}
                locked => locked?,
            }
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
