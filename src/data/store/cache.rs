//! The folder where tar files lie that were fetched, each under its SHA-256. Several processes share it; together they hold no more
//! than its bound.
//!
//! A file has its name from the moment on when it is whole. Before, it is a [`Temporary`] that has its full size from the beginning, so that
//! who looks sees how much is taken; what a killed process left has no lock, and is removed.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::fetch::rest;
use super::route::{Candidate, victims};
use crate::base::temporary::Temporary;
use crate::base::{Error, Kind, Result, Shown, files};

const ENDING: &str = ".tar";
const PAUSE: Duration = Duration::from_millis(10);
/// Where a file system has no locks, what is not finished after so long belongs to nobody.
const FORGOTTEN: Duration = Duration::from_secs(24 * 3600);

/// What to do where a disk does not take what is fetched.
pub const ELSEWHERE: &str = "free space, or name another folder: `store: (cache: \"DIR\")` in the configuration file, `ffn run --stage DIR`";

pub struct Cache {
    folder: PathBuf,
    /// The most that may be here, in bytes.
    bound: u64,
    /// The most that can be: less where the disk is full.
    most: AtomicU64,
}

/// Whether there is space for a file.
pub enum Room {
    /// The unfinished file, and the hashes of those that went for it.
    Made(Temporary, Vec<String>),
    /// What is here is needed sooner.
    None,
    /// Files that are not finished yet take it.
    Busy,
}

/// A lock, as long as it is there.
pub struct Held(#[expect(dead_code, reason = "it is held")] Option<File>);

impl Cache {
    pub fn open(folder: &Path, most: u64) -> Result<Self> {
        fs::create_dir_all(folder).map_err(|error| Error::io("make", folder, &error))?;
        Ok(Self {
            folder: folder.to_owned(),
            bound: most,
            most: AtomicU64::new(most),
        })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }

    /// Where a file lies, once it is whole.
    pub fn path(&self, sha256: &str) -> PathBuf {
        self.folder.join(format!("{sha256}{ENDING}"))
    }

    /// Holds a file, so that of several that want it one fetches it. Files whose hashes begin alike have one lock: there are never more than
    /// 256. `None`: another has it, and `waits` is not said.
    pub fn hold(
        &self,
        sha256: &str,
        waits: bool,
        go_on: &dyn Fn() -> Result<()>,
    ) -> Result<Option<Held>> {
        self.lock(sha256.get(..2).unwrap_or_default(), waits, go_on)
    }

    /// Where the file system has no locks, nothing is held, and at worst a file is fetched twice.
    fn lock(
        &self,
        name: &str,
        waits: bool,
        go_on: &dyn Fn() -> Result<()>,
    ) -> Result<Option<Held>> {
        let path = self.folder.join(format!("lock-{name}"));
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        let file = options.open(&path).or_else(|_| {
            // The folder may have been emptied, or removed, since it was made.
            fs::create_dir_all(&self.folder)?;
            options.open(&path)
        });
        let file = file.map_err(|error| Error::io("write", &path, &error))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Held(Some(file)))),
                Err(TryLockError::Error(_)) => return Ok(Some(Held(None))),
                Err(TryLockError::WouldBlock) if !waits => return Ok(None),
                Err(TryLockError::WouldBlock) => rest(PAUSE, go_on)?,
            }
        }
    }

    /// Makes room for a file, which the caller holds. `until`: what is used sooner stays; `next`: jobs until the next use, by hash.
    pub fn reserve(
        &self,
        (sha256, bytes): (&str, u64),
        until: Option<u64>,
        next: impl FnOnce() -> BTreeMap<String, u64>,
        go_on: &dyn Fn() -> Result<()>,
    ) -> Result<Room> {
        let _all = self.lock("all", true, go_on)?;
        let content = self.content()?;
        let free = self.most().saturating_sub(content.bytes());
        let mut gone = Vec::new();
        if let Some(wanted) = bytes.checked_sub(free).filter(|wanted| *wanted > 0) {
            let next = next();
            let candidate = |(name, found): (&String, &Found)| Candidate {
                bytes: found.bytes,
                next: next.get(name).copied(),
                age: found.age,
            };
            let candidates: Vec<Candidate> = content.files.iter().map(candidate).collect();
            match victims(&candidates, wanted, until) {
                Some(places) => {
                    let names: Vec<&String> = content.files.keys().collect();
                    gone.extend(places.into_iter().map(|place| names[place].clone()));
                }
                None if until.is_some() => return Ok(Room::None),
                None if content.unfinished > 0 => return Ok(Room::Busy),
                None => return Err(self.too_small(bytes)),
            }
        }
        for name in &gone {
            remove(&self.path(name))?;
        }
        let path = self.path(sha256);
        let mut temporary = Temporary::of(&path).map_err(|error| self.refused(&path, &error))?;
        // Its size is taken from now on.
        temporary
            .file()
            .set_len(bytes)
            .map_err(|error| self.refused(&path, &error))?;
        Ok(Room::Made(temporary, gone))
    }

    /// Gives a whole file its name. Not while somebody counts, who could miss a file that changes its name then.
    pub fn name(
        &self,
        whole: Temporary,
        path: &Path,
        go_on: &dyn Fn() -> Result<()>,
    ) -> Result<()> {
        let _all = self.lock("all", true, go_on)?;
        whole
            .persist(path)
            .map_err(|error| self.refused(path, &error))
    }

    /// From now on no more than there is: the disk holds no more. Whether that leaves room for `bytes`.
    pub fn shrink(&self, bytes: u64) -> Result<bool> {
        let there = self.content()?.bytes();
        let most = self.most.fetch_min(there, Ordering::Relaxed).min(there);
        Ok(most >= bytes)
    }

    /// That a file does not fit, whatever goes for it.
    pub fn too_small(&self, bytes: u64) -> Error {
        let (folder, needed) = (self.folder.shown(), bytes.div_ceil(1 << 20));
        let most = self.most();
        let (whose, hint) = match most == self.bound {
            true => (
                format!("the cache `{folder}` may hold"),
                "`store: (cache_mib: …)` in the configuration file allows more; `ffn data pack --shard-mib` makes smaller files",
            ),
            false => (
                format!("the disk is full: the cache `{folder}` has room for"),
                ELSEWHERE,
            ),
        };
        let message = format!(
            "{whose} {} MiB, and a tar file of the pack has {needed}",
            most >> 20
        );
        Error::new(Kind::Usage, message).hint(hint)
    }

    fn refused(&self, path: &Path, error: &std::io::Error) -> Error {
        Error::io("write", path, error).hint(ELSEWHERE)
    }

    fn content(&self) -> Result<Content> {
        let failed = |error: std::io::Error| Error::io("read", &self.folder, &error);
        let mut content = Content::default();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // Another process may have removed or named it meanwhile.
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            let found = Found {
                bytes: metadata.len(),
                age: age(&metadata).as_secs(),
            };
            if files::is_temporary(&name) {
                match is_forgotten(&entry.path(), &metadata) {
                    true => remove(&entry.path())?,
                    false => content.unfinished += found.bytes,
                }
            } else if let Some(hash) = name.strip_suffix(ENDING) {
                content.files.insert(hash.to_owned(), found);
            }
        }
        Ok(content)
    }
}

#[derive(Default)]
struct Content {
    /// By hash.
    files: BTreeMap<String, Found>,
    /// Bytes of those that are not whole yet.
    unfinished: u64,
}

struct Found {
    bytes: u64,
    /// In seconds.
    age: u64,
}

impl Content {
    fn bytes(&self) -> u64 {
        self.files.values().map(|found| found.bytes).sum::<u64>() + self.unfinished
    }
}

fn age(metadata: &Metadata) -> Duration {
    let written = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    written.elapsed().unwrap_or_default()
}

/// Whether nobody works on an unfinished file.
fn is_forgotten(path: &Path, metadata: &Metadata) -> bool {
    let Ok(file) = files::open(path) else {
        return false;
    };
    match file.try_lock() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(_)) => age(metadata) > FORGOTTEN,
    }
}

/// Removes a file, if it is still there. Who reads it goes on reading: it has an open file.
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", path, &error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(text: &str) -> String {
        files::sha256(text.as_bytes())
    }

    fn put(cache: &Cache, text: &str, bytes: usize) {
        fs::write(cache.path(&hash(text)), vec![0; bytes]).unwrap();
    }

    fn reserve(cache: &Cache, until: Option<u64>, next: &[(&str, u64)]) -> Result<Room> {
        let next = next.iter().map(|(name, jobs)| (hash(name), *jobs));
        let next: BTreeMap<String, u64> = next.collect();
        cache.reserve((&hash("new"), 40), until, || next, &|| Ok(()))
    }

    #[test]
    fn the_bound_holds_with_what_is_under_work() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), 100).unwrap();
        ["a", "b"].iter().for_each(|name| put(&cache, name, 30));
        let Room::Made(one, gone) = reserve(&cache, None, &[]).unwrap() else {
            panic!("there is room");
        };
        assert!(gone.is_empty());
        // The unfinished file counts, and stays; what is used before `until` stays too.
        let other = Cache::open(folder.path(), 100).unwrap();
        let next = [("a", 5), ("b", 9)];
        let wanted = (hash("other"), 40);
        let next = || {
            next.iter()
                .map(|(name, jobs)| (hash(name), *jobs))
                .collect()
        };
        let take = |until| other.reserve((&wanted.0, wanted.1), until, next, &|| Ok(()));
        assert!(matches!(take(Some(8)).unwrap(), Room::None));
        let Room::Made(two, gone) = take(Some(4)).unwrap() else {
            panic!("both may go");
        };
        assert_eq!(gone, [hash("b"), hash("a")]);
        assert_eq!(other.content().unwrap().bytes(), 80);
        let third = other.reserve((&hash("third"), 40), None, BTreeMap::new, &|| Ok(()));
        assert!(matches!(third.unwrap(), Room::Busy));
        drop((one, two));
        assert!(matches!(
            reserve(&cache, None, &[]).unwrap(),
            Room::Made(..)
        ));
        assert!(cache.too_small(200).message.contains("may hold 0 MiB"));
    }

    #[test]
    fn what_a_killed_process_left_goes() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), 100).unwrap();
        fs::write(folder.path().join(".tmp-0123456789abcdef"), vec![0; 90]).unwrap();
        assert!(matches!(
            reserve(&cache, Some(0), &[]).unwrap(),
            Room::Made(..)
        ));
        assert_eq!(cache.content().unwrap().bytes(), 0);
    }

    #[test]
    fn a_disk_that_is_full_is_a_smaller_bound() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), 1000).unwrap();
        put(&cache, "a", 60);
        assert!(cache.shrink(40).unwrap());
        assert!(!cache.shrink(70).unwrap());
        assert!(cache.too_small(70).message.contains("the disk is full"));
        let Room::Made(_, gone) = reserve(&cache, None, &[("a", 1)]).unwrap() else {
            panic!("there is room");
        };
        assert_eq!(gone, [hash("a")]);
    }

    #[test]
    fn one_at_a_time_holds_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), 1000).unwrap();
        let held = cache.hold(&hash("a"), true, &|| Ok(())).unwrap();
        let stop = || Err(Error::new(Kind::Stopped, "enough"));
        assert!(cache.hold(&hash("a"), true, &stop).is_err());
        assert!(cache.hold(&hash("a"), false, &stop).unwrap().is_none());
        drop(held);
        assert!(cache.hold(&hash("a"), false, &stop).unwrap().is_some());
    }
}
