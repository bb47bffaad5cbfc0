//! Folders that are held open: what is written goes into the folder that was opened, wherever it is moved meanwhile, and
//! never through a link to something else.
//!
//! By `cap-std`: operations relative to a directory handle (`openat` and its kin), on all systems.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cap_fs_ext::{DirExt, FollowSymlinks, MetadataExt, OpenOptionsFollowExt};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata, OpenOptions};

use super::temporary::TEMPORARY;
use super::{Error, Kind, Result, Shown};

/// A folder by its handle.
#[derive(Debug, Clone)]
pub struct Held {
    dir: Arc<Dir>,
    path: PathBuf,
}

impl Held {
    /// Opens a folder; makes it where it is missing.
    pub fn open(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path).map_err(|e| Error::io("make", path, &e))?;
        let dir = Dir::open_ambient_dir(path, ambient_authority());
        Ok(Self {
            dir: Arc::new(dir.map_err(|e| Error::io("open", path, &e))?),
            path: path.to_owned(),
        })
    }

    /// Where it was when it was opened: for messages, and to read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether its path still leads to it: it was neither moved nor removed, and nothing took its place.
    pub fn is_in_place(&self) -> bool {
        let there = Dir::open_ambient_dir(&self.path, ambient_authority());
        let identity = |dir: &Dir| dir.dir_metadata().map(|m| (m.dev(), m.ino()));
        match (there.and_then(|dir| identity(&dir)), identity(&self.dir)) {
            (Ok(there), Ok(own)) => there == own,
            _ => false,
        }
    }

    /// A folder in this one; it is made where it is missing. A link to a folder is refused.
    pub fn folder(&self, name: &str) -> Result<Self> {
        let path = self.path.join(name);
        match self.dir.create_dir(name) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => {
                return Err(Error::io("make", &path, &e));
            }
            _ => {}
        }
        if let Some(found) = self.metadata(name)?.filter(|found| !found.is_dir()) {
            return Err(not_own(&path, &found, "folder"));
        }
        let dir = self.dir.open_dir_nofollow(name);
        Ok(Self {
            dir: Arc::new(dir.map_err(|e| Error::io("open", &path, &e))?),
            path,
        })
    }

    /// A file in this folder, to read and write where `options` say; a link, a device or a FIFO is refused.
    pub fn file(&self, name: &str, options: &mut OpenOptions) -> Result<File> {
        let path = self.path.join(name);
        if let Some(found) = self.metadata(name)?.filter(|found| !found.is_file()) {
            return Err(not_own(&path, &found, "file"));
        }
        let file = self.dir.open_with(name, options.follow(FollowSymlinks::No));
        file.map(cap_std::fs::File::into_std)
            .map_err(|e| Error::io("write", &path, &e))
    }

    /// A file to which lines are appended.
    pub fn append(&self, name: &str) -> Result<File> {
        self.file(name, OpenOptions::new().create(true).append(true))
    }

    /// Writes a file so that a reader, a crash or a full disk sees the old content or the new, never a part. A link in its
    /// place is replaced, and what it leads to stays as it is.
    pub fn write_atomic(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let temporary = unfinished();
        let write = || -> std::io::Result<()> {
            let mut options = OpenOptions::new();
            options.write(true).create_new(true);
            let mut file = self.dir.open_with(&temporary, &options)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            self.dir.rename(&temporary, &self.dir, name)
        };
        let written = write().and_then(|()| self.sync());
        written.map_err(|e| {
            let _ = self.dir.remove_file(&temporary);
            Error::io("write", &self.path.join(name), &e)
        })
    }

    /// Gives a file or folder another name; a folder of that name must be gone before.
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        let renamed = self.dir.rename(from, &self.dir, to);
        let renamed = renamed.and_then(|()| self.sync());
        renamed.map_err(|e| Error::io("write", &self.path.join(to), &e))
    }

    /// Removes a file, a link, or a folder with all that is in it; nothing, where there is none.
    pub fn remove(&self, name: &str) -> Result<()> {
        let removed = match self.metadata(name)? {
            None => Ok(()),
            Some(found) if found.is_dir() => self.dir.remove_dir_all(name),
            Some(_) => self.dir.remove_file(name),
        };
        removed.map_err(|e| Error::io("remove", &self.path.join(name), &e))
    }

    /// The names of what is in it, sorted.
    pub fn names(&self) -> Result<Vec<String>> {
        let fail = |e: std::io::Error| Error::io("read", &self.path, &e);
        let entries = self.dir.entries().map_err(fail)?;
        let name = |entry: std::io::Result<cap_std::fs::DirEntry>| {
            entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
        };
        let mut names: Vec<String> = entries.map(name).collect::<Result<_, _>>().map_err(fail)?;
        names.sort();
        Ok(names)
    }

    /// Whether a name in it is that of a folder, and of no link to one.
    pub fn is_folder(&self, name: &str) -> Result<bool> {
        Ok(self.metadata(name)?.is_some_and(|found| found.is_dir()))
    }

    /// Whether something has this name in it.
    pub fn has(&self, name: &str) -> Result<bool> {
        Ok(self.metadata(name)?.is_some())
    }

    /// A folder of its own to fill and then to [`rename`](Self::rename).
    pub fn unfinished(&self) -> Result<(String, Self)> {
        let name = unfinished();
        self.folder(&name).map(|folder| (name, folder))
    }

    /// Everything in it that is neither a file nor a folder, by its path in it: links, devices. They do not belong into a
    /// folder of ours.
    pub fn foreign(&self) -> Result<Vec<(String, &'static str)>> {
        let mut found = Vec::new();
        for name in self.names()? {
            match self.metadata(&name)? {
                Some(metadata) if metadata.is_dir() => {
                    let inside = self.folder(&name)?.foreign()?;
                    found.extend(
                        inside
                            .into_iter()
                            .map(|(n, what)| (format!("{name}/{n}"), what)),
                    );
                }
                Some(metadata) if !metadata.is_file() => found.push((name, kind_of(&metadata))),
                _ => {}
            }
        }
        found.sort();
        Ok(found)
    }

    /// A rename is only durable once its folder is.
    fn sync(&self) -> std::io::Result<()> {
        match cfg!(unix) {
            // The handle itself may be one by which nothing can be read or synced.
            true => self.dir.open(".")?.sync_all(),
            false => Ok(()),
        }
    }

    fn metadata(&self, name: &str) -> Result<Option<Metadata>> {
        match self.dir.symlink_metadata(name) {
            Ok(found) => Ok(Some(found)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("read", &self.path.join(name), &e)),
        }
    }
}

/// A name that no other file has.
fn unfinished() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let time = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    format!(
        "{TEMPORARY}{}-{next}-{}",
        std::process::id(),
        time.as_nanos()
    )
}

fn kind_of(found: &Metadata) -> &'static str {
    match (found.is_symlink(), found.is_dir(), found.is_file()) {
        (true, ..) => "a link",
        (_, true, _) => "a folder",
        (.., true) => "a file",
        _ => "a device, a FIFO or a socket",
    }
}

fn not_own(path: &Path, found: &Metadata, wanted: &str) -> Error {
    let what = format!("`{}` is {}, not a {wanted}", path.shown(), kind_of(found));
    Error::new(Kind::Run, what).hint("a run folder holds files and folders of its own alone")
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(path: &Path) -> Vec<String> {
        let entries = fs::read_dir(path).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_that_moves_is_followed_and_noticed() {
        let place = tempfile::tempdir().unwrap();
        let (old, new) = (place.path().join("run"), place.path().join("moved"));
        let held = Held::open(&old).unwrap();
        assert!(held.is_in_place());
        fs::rename(&old, &new).unwrap();
        assert!(!held.is_in_place());
        held.write_atomic("a", b"1").unwrap();
        held.folder("b").unwrap().write_atomic("c", b"2").unwrap();
        assert!(!old.exists());
        assert_eq!(names(&new), ["a", "b"]);
        fs::create_dir(&old).unwrap();
        assert!(!held.is_in_place(), "another folder has its name");
    }

    #[test]
    fn nothing_is_written_or_removed_through_a_link() {
        let place = tempfile::tempdir().unwrap();
        let (victim, others) = (place.path().join("victim"), place.path().join("others"));
        fs::write(&victim, "precious").unwrap();
        fs::create_dir(&others).unwrap();
        fs::write(others.join("photo"), "precious").unwrap();
        let run = place.path().join("run");
        let held = Held::open(&run).unwrap();
        for (name, target) in [("file", &victim), ("folder", &others), ("inside", &victim)] {
            symlink(target, run.join(name)).unwrap();
        }
        assert_eq!(held.foreign().unwrap().len(), 3);
        assert_eq!(held.append("file").unwrap_err().kind, Kind::Run);
        assert_eq!(held.folder("folder").unwrap_err().kind, Kind::Run);
        held.write_atomic("inside", b"own").unwrap();
        held.remove("file").unwrap();
        held.remove("folder").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert_eq!(names(&others), ["photo"]);
        assert_eq!(names(&run), ["inside"]);
        assert_eq!(held.foreign().unwrap(), []);
    }

    #[test]
    fn a_file_that_cannot_be_written_leaves_nothing() {
        let place = tempfile::tempdir().unwrap();
        let held = Held::open(place.path()).unwrap();
        held.folder("taken").unwrap();
        assert!(held.write_atomic("taken", b"x").is_err());
        assert_eq!(names(place.path()), ["taken"]);
    }
}
