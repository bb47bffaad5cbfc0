//! The tar files of one pack on a store: fetched ahead in the order in which loaders read, handed out as open files.
//!
//! A loader says its [`Route`] before it begins and how far it is. Threads fetch what comes next, as long as the cache has room that is
//! not needed sooner. Who wants a file that is not there fetches it itself, or waits for who does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{File, Metadata};
use std::io::Seek;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::ahead::{Loader, Stamp, State};
use super::cache::{Cache, ELSEWHERE, Held, Room, remove};
use super::fetch::{Expected, Fetch, Trouble, fetch_into, rest};
use super::route::Route;
use crate::base::temporary::Temporary;
use crate::base::{Error, Kind, Result, Shown, count, files, terminal};

/// Threads that fetch ahead: one connection to a store gives a part of what a machine's network does.
const THREADS: usize = 4;
/// How long a thread waits before it looks again: for room, and for what another process dropped.
const NO_ROOM: Duration = Duration::from_millis(50);
const NOTHING_TO_DO: Duration = Duration::from_secs(1);

/// A tar file as the pack's index has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Its name in the pack.
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
}

/// The tar files of one pack. Dropping it stops what is under way.
pub struct Shelf {
    inner: Arc<Inner>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Inner {
    remote: Box<dyn Fetch>,
    cache: Cache,
    shards: Vec<Shard>,
    patience: Duration,
    /// Counts how often all loaders have gone: what was under way for them ends.
    era: AtomicU64,
    state: Mutex<State>,
    /// Of the threads that fetch ahead.
    turn: Mutex<()>,
    /// A loader came, a file went, or the end has come.
    moved: Condvar,
}

/// How it stands with a file.
enum Prepared {
    There(File),
    /// It is held, and has its space.
    Room(Held, Temporary),
    /// There is no space for it now.
    Later,
    /// Another thread or process has it under work.
    Elsewhere,
}

impl Shelf {
    /// # Errors
    /// A tar file that the cache could never hold.
    pub fn new(
        remote: Box<dyn Fetch>,
        cache: Cache,
        shards: Vec<Shard>,
        patience: Duration,
    ) -> Result<Arc<Self>> {
        let largest = shards.iter().map(|shard| shard.bytes).max().unwrap_or(0);
        if largest > cache.most() {
            return Err(cache.too_small(largest));
        }
        Ok(Arc::new(Self {
            inner: Arc::new(Inner {
                remote,
                cache,
                shards,
                patience,
                era: AtomicU64::new(0),
                state: Mutex::default(),
                turn: Mutex::default(),
                moved: Condvar::new(),
            }),
            threads: Mutex::default(),
        }))
    }

    /// The tar file of this number, if there is one.
    pub fn shard(self: &Arc<Self>, number: usize) -> Option<Stored> {
        let is_there = number < self.inner.shards.len();
        is_there.then(|| Stored {
            shelf: Arc::clone(self),
            number,
        })
    }

    /// A loader's route from job `at` on, which `workers` threads go.
    pub fn follow(self: &Arc<Self>, route: Route, at: u64, workers: usize) -> Following {
        let id = self.inner.join(route, at);
        self.start();
        Following(Pace {
            shelf: Arc::clone(self),
            id,
            workers: workers as u64,
        })
    }

    /// Starts the threads, once.
    fn start(&self) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if !threads.is_empty() {
            return;
        }
        let thread = |number| {
            let inner = Arc::clone(&self.inner);
            let name = format!("fetch {number}");
            thread::Builder::new()
                .name(name)
                .spawn(move || inner.fetch_ahead())
        };
        // Without any, loaders fetch what they need.
        threads.extend((0..THREADS).map_while(|number| thread(number).ok()));
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.inner.lock().is_stopped = true;
        self.inner.era.fetch_add(1, Ordering::Relaxed);
        self.inner.moved.notify_all();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A tar file of a shelf.
#[derive(Clone)]
pub struct Stored {
    shelf: Arc<Shelf>,
    number: usize,
}

impl Stored {
    /// The whole file, held against its hash; fetched, where it is not there.
    pub fn open(&self) -> Result<File> {
        self.shelf.inner.open(self.number)
    }

    /// Its size.
    pub fn bytes(&self) -> u64 {
        let shard = self.shelf.inner.shards.get(self.number);
        shard.map_or(0, |shard| shard.bytes)
    }

    pub fn shelf(&self) -> &Arc<Shelf> {
        &self.shelf
    }

    pub fn number(&self) -> usize {
        self.number
    }
}

impl PartialEq for Stored {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shelf, &other.shelf) && self.number == other.number
    }
}

impl Eq for Stored {}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stored({:?})", self.shelf.inner.shards.get(self.number))
    }
}

/// A loader that says what it reads. Once it is dropped, nothing is fetched for it any more.
pub struct Following(Pace);

/// With what the workers of a loader say how far they are.
#[derive(Clone)]
pub struct Pace {
    shelf: Arc<Shelf>,
    id: u64,
    workers: u64,
}

impl Following {
    pub fn pace(&self) -> Pace {
        self.0.clone()
    }
}

impl Pace {
    /// Job `job` begins; as many before it as there are other workers may still be under way.
    pub fn reached(&self, job: u64) {
        let at = job.saturating_sub(self.workers);
        let mut state = self.shelf.inner.lock();
        if let Some(loader) = state.loaders.iter_mut().find(|loader| loader.id == self.id) {
            loader.at = loader.at.max(at);
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let inner = &self.0.shelf.inner;
        let mut state = inner.lock();
        state.loaders.retain(|loader| loader.id != self.0.id);
        if state.loaders.is_empty() {
            inner.era.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Inner {
    /// No file is read or fetched under the lock, so a poisoned state is a whole one.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&self, route: Route, at: u64) -> u64 {
        let mut state = self.lock();
        let id = state.next_id;
        state.next_id += 1;
        state.left.clear();
        let read: BTreeSet<usize> = route.uses(at).map(|(_, number)| number).collect();
        let sizes = read.iter().map(|&number| self.shards[number].bytes);
        let bytes = sizes.fold(0, u64::saturating_add);
        let is_first = !std::mem::replace(&mut state.is_told, true);
        state.loaders.push(Loader {
            id,
            route,
            at,
            ready: at,
        });
        drop(state);
        self.moved.notify_all();
        if is_first && bytes > self.cache.most() {
            terminal::say(format_args!(
                "warning: {} of `{}` have {} MiB, and the cache `{}` holds {}: what does not fit is fetched again in each epoch; \
                 `store: (cache_mib: …)` in the configuration file allows more",
                count(read.len(), "tar file"),
                self.remote.address("").trim_end_matches('/').shown(),
                bytes >> 20,
                self.cache.folder().shown(),
                self.cache.most() >> 20
            ));
        }
        id
    }

    fn open(&self, number: usize) -> Result<File> {
        if let Some(error) = self.lock().failed.get(&number) {
            return Err(error.clone());
        }
        match self.obtain(number) {
            Ok(file) => Ok(file),
            Err(error) => {
                // Every other video in it would wait as long for the same.
                if error.kind != Kind::Stopped {
                    self.lock().failed.insert(number, error.clone());
                }
                Err(error)
            }
        }
    }

    /// A file of this shelf, fetched where it is not there.
    fn obtain(&self, number: usize) -> Result<File> {
        let go_on = self.go_on();
        loop {
            match self.prepare(number, None, &go_on)? {
                Prepared::There(file) => return Ok(file),
                Prepared::Room(held, unfinished) => {
                    if let Some(file) = self.fetch(number, (held, unfinished), &go_on)? {
                        return Ok(file);
                    }
                }
                Prepared::Later | Prepared::Elsewhere => rest(NO_ROOM, &go_on)?,
            }
        }
    }

    /// Whether those are still there for whom something begins now.
    fn go_on(&self) -> impl Fn() -> Result<()> + '_ {
        let era = self.era.load(Ordering::Relaxed);
        move || match self.era.load(Ordering::Relaxed) == era {
            true => Ok(()),
            false => Err(Error::new(Kind::Stopped, "nobody waits for it any more")),
        }
    }

    /// All that comes before a file is fetched. `until`: it is fetched ahead, for a job so many jobs away, and nobody waits.
    fn prepare(
        &self,
        number: usize,
        until: Option<u64>,
        go_on: &dyn Fn() -> Result<()>,
    ) -> Result<Prepared> {
        if let Some(file) = self.known(number)? {
            return Ok(Prepared::There(file));
        }
        let Shard { sha256, bytes, .. } = &self.shards[number];
        let Some(held) = self.cache.hold(sha256, until.is_none(), go_on)? else {
            return Ok(Prepared::Elsewhere);
        };
        if let Some(file) = self.known(number)? {
            return Ok(Prepared::There(file));
        }
        if let Some(file) = self.examined(number)? {
            return Ok(Prepared::There(file));
        }
        let wanted = (sha256.as_str(), *bytes);
        let room = self
            .cache
            .reserve(wanted, until, || self.next_uses(), go_on)?;
        Ok(match room {
            Room::None | Room::Busy => Prepared::Later,
            Room::Made(unfinished, gone) => {
                self.forget(&gone);
                Prepared::Room(held, unfinished)
            }
        })
    }

    /// A file that this process has held against its hash already.
    fn known(&self, number: usize) -> Result<Option<File>> {
        let Some(file) = self.there(number)? else {
            return Ok(None);
        };
        let stamp = Stamp::of(&self.metadata(number, &file)?);
        let is_sound = self.lock().sound.get(&number) == Some(&stamp);
        Ok(is_sound.then_some(file))
    }

    /// A file that is there, held against its hash; one that is another is removed.
    fn examined(&self, number: usize) -> Result<Option<File>> {
        let Some(mut file) = self.there(number)? else {
            return Ok(None);
        };
        let (shard, path) = (&self.shards[number], self.path(number));
        let stamp = Stamp::of(&self.metadata(number, &file)?);
        // The open file, since another process may drop its name meanwhile.
        if stamp.bytes == shard.bytes && files::sha256_of(&file, &path)? == shard.sha256 {
            let back = file.rewind();
            back.map_err(|error| Error::io("read", &path, &error))?;
            self.note(number, stamp);
            return Ok(Some(file));
        }
        terminal::say(format_args!(
            "warning: `{}` in the cache is damaged; it is fetched again",
            path.shown()
        ));
        remove(&path).map(|()| None)
    }

    fn there(&self, number: usize) -> Result<Option<File>> {
        let path = self.path(number);
        match files::open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path, &error)),
        }
    }

    fn path(&self, number: usize) -> std::path::PathBuf {
        self.cache.path(&self.shards[number].sha256)
    }

    fn metadata(&self, number: usize, file: &File) -> Result<Metadata> {
        let found = file.metadata();
        found.map_err(|error| Error::io("read", &self.path(number), &error))
    }

    fn note(&self, number: usize, stamp: Stamp) {
        let mut state = self.lock();
        state.sound.insert(number, stamp);
        state.left.remove(&number);
    }

    /// `None` where the disk is full, and other files may go for this one.
    fn fetch(
        &self,
        number: usize,
        (_held, unfinished): (Held, Temporary),
        go_on: &dyn Fn() -> Result<()>,
    ) -> Result<Option<File>> {
        match self.write(number, unfinished, go_on) {
            Ok(file) => Ok(Some(file)),
            Err(Trouble::Full(error)) => match self.cache.shrink(self.shards[number].bytes)? {
                true => Ok(None),
                false => Err(error.hint(ELSEWHERE)),
            },
            Err(Trouble::Other(error)) => Err(error),
        }
    }

    /// The handle is of before it has its name, since another process may drop it as soon as it has. It is not synced: what a crash
    /// leaves of it is found by its hash.
    fn write(
        &self,
        number: usize,
        mut unfinished: Temporary,
        go_on: &dyn Fn() -> Result<()>,
    ) -> Result<File, Trouble> {
        let (shard, path) = (&self.shards[number], self.path(number));
        let expected = Expected {
            name: &shard.name,
            most: shard.bytes,
            bytes: Some(shard.bytes),
            sha256: Some(&shard.sha256),
        };
        let remote = self.remote.as_ref();
        fetch_into(remote, expected, unfinished.file(), self.patience, go_on)?;
        let failed = |error: std::io::Error| Error::io("write", &path, &error);
        let file = unfinished.file().try_clone().map_err(failed)?;
        self.cache.name(unfinished, &path, go_on)?;
        self.note(number, Stamp::of(&self.metadata(number, &file)?));
        Ok(file)
    }

    /// Files that went are fetched ahead again.
    fn forget(&self, gone: &[String]) {
        if gone.is_empty() {
            return;
        }
        let shards = &self.shards;
        let is_gone = |number: usize| gone.contains(&shards[number].sha256);
        self.lock().lose(&is_gone);
        self.moved.notify_all();
    }

    /// Jobs until each file's next use, by its hash.
    fn next_uses(&self) -> BTreeMap<String, u64> {
        let state = self.lock();
        let mut next = BTreeMap::new();
        for loader in &state.loaders {
            let mut seen = BTreeSet::new();
            for (job, number) in loader.route.uses(loader.at) {
                if seen.insert(number) {
                    let jobs = job - loader.at;
                    let hash = self.shards[number].sha256.clone();
                    let known = next.entry(hash).or_insert(jobs);
                    *known = jobs.min(*known);
                }
                if seen.len() == self.shards.len() {
                    break;
                }
            }
        }
        next
    }

    /// What a thread does until the end.
    fn fetch_ahead(&self) {
        // One takes its file and its space after another, so that what is needed first gets space first.
        let turn = || self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let took = turn();
            let Some((number, jobs)) = self.claim() else {
                return;
            };
            let go_on = self.go_on();
            let prepared = self.prepare(number, Some(jobs), &go_on);
            if let Ok(Prepared::Later) = &prepared {
                drop(self.pause(self.lock(), NO_ROOM));
            }
            drop(took);
            let is_elsewhere = matches!(prepared, Ok(Prepared::Elsewhere));
            let done = prepared.and_then(|prepared| match prepared {
                Prepared::Room(held, room) => self.fetch(number, (held, room), &go_on).map(drop),
                _ => Ok(()),
            });
            let mut state = self.lock();
            state.under_way.remove(&number);
            if is_elsewhere {
                state.elsewhere.insert(number);
            }
            if done.is_err_and(|error| error.kind != Kind::Stopped) {
                state.left.insert(number);
            }
        }
    }

    /// The file that is read next of those that are not there, and how many jobs it is away.
    fn claim(&self) -> Option<(usize, u64)> {
        let mut state = self.lock();
        loop {
            if state.is_stopped {
                return None;
            }
            if let Some((number, jobs)) = state.next() {
                state.under_way.insert(number);
                return Some((number, jobs));
            }
            let time = match state.elsewhere.is_empty() {
                true => NOTHING_TO_DO,
                false => NO_ROOM,
            };
            let is_idle = time == NOTHING_TO_DO;
            state = self.pause(state, time);
            state.elsewhere.clear();
            if is_idle {
                state = self.look_again(state);
            }
        }
    }

    /// Takes note of what another process dropped.
    fn look_again<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let known: Vec<usize> = state.sound.keys().copied().collect();
        drop(state);
        let gone = known
            .into_iter()
            .filter(|number| !self.path(*number).exists());
        let gone: Vec<usize> = gone.collect();
        let mut state = self.lock();
        if !gone.is_empty() {
            state.lose(&|number| gone.contains(&number));
        }
        state
    }

    fn pause<'a>(&'a self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        let waited = self.moved.wait_timeout(state, time);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::store::fetch::Failure;
    use std::fs;
    use std::io::Read;
    use std::path::Path;

    /// Ten files of ten bytes, each of its digit, and what was fetched of them.
    #[derive(Default)]
    struct Digits(Arc<Mutex<Vec<String>>>, Option<Duration>);

    impl Fetch for Digits {
        fn fetch(
            &self,
            name: &str,
            piece: &mut dyn FnMut(&[u8]) -> Result<()>,
        ) -> Result<(), Failure> {
            self.0.lock().unwrap().push(name.to_owned());
            for _ in 0..10 {
                thread::sleep(self.1.unwrap_or_default());
                piece(name.as_bytes()).map_err(Failure::Lasting)?;
            }
            Ok(())
        }

        fn address(&self, name: &str) -> String {
            format!("s3://b/{name}")
        }
    }

    fn shelf(folder: &Path, room: u64, remote: Digits) -> Arc<Shelf> {
        let shard = |number: usize| Shard {
            name: number.to_string(),
            bytes: 10,
            sha256: files::sha256(number.to_string().repeat(10).as_bytes()),
        };
        let cache = Cache::open(folder, 10 * room).unwrap();
        let shards = (0..10).map(shard).collect();
        Shelf::new(Box::new(remote), cache, shards, Duration::from_secs(5)).unwrap()
    }

    fn read(shelf: &Arc<Shelf>, number: usize) -> String {
        let mut text = String::new();
        let mut file = shelf.shard(number).unwrap().open().unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        file.read_to_string(&mut text).unwrap();
        text
    }

    fn soon(what: &str, mut holds: impl FnMut() -> bool) {
        for _ in 0..2000 {
            if holds() {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("{what}: not within ten seconds");
    }

    #[test]
    fn what_is_there_is_not_fetched_again_and_what_is_damaged_is() {
        let folder = tempfile::tempdir().unwrap();
        let fetched = Arc::new(Mutex::new(Vec::new()));
        let open = || shelf(folder.path(), 10, Digits(Arc::clone(&fetched), None));
        let one = open();
        assert_eq!(
            (read(&one, 3), read(&one, 3)),
            ("3".repeat(10), "3".repeat(10))
        );
        assert_eq!(read(&open(), 3), "3".repeat(10));
        assert_eq!(fetched.lock().unwrap().len(), 1);

        // Another file in its place, of another size or of the same, is found by who has not seen it yet.
        let path = one.inner.path(3);
        for damaged in ["333", "333333333X"] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(read(&open(), 3), "3".repeat(10));
        }
        assert_eq!(fetched.lock().unwrap().len(), 3);
        assert!(one.shard(10).is_none());
    }

    /// Ahead of the loader comes what it reads, in its order, and no more than there is room for.
    #[test]
    fn files_come_ahead_in_the_order_of_the_route() {
        let folder = tempfile::tempdir().unwrap();
        let fetched = Arc::new(Mutex::new(Vec::new()));
        let shelf = shelf(folder.path(), 4, Digits(Arc::clone(&fetched), None));
        let order = vec![7, 7, 2, 9, 4, 0, 1, 2];
        let reads = order.clone();
        let route = Route::new(8, 1, move |_| reads.clone());
        let following = shelf.follow(route, 0, 0);
        soon("four files", || fetched.lock().unwrap().len() == 4);
        thread::sleep(Duration::from_millis(100));
        let mut first = fetched.lock().unwrap().clone();
        first.sort();
        assert_eq!(first, ["2", "4", "7", "9"]);
        for (job, &number) in order.iter().enumerate() {
            following.pace().reached(job as u64);
            soon("the next file", || {
                let state = shelf.inner.lock();
                state.sound.contains_key(&(number as usize))
            });
            assert_eq!(read(&shelf, number as usize), number.to_string().repeat(10));
        }
        // What is used again was kept.
        let mut all = fetched.lock().unwrap().clone();
        all.sort();
        assert_eq!(all, ["0", "1", "2", "4", "7", "9"]);
    }

    /// Many readers, more shelves than one, and room for a single file: everybody gets what he wants.
    #[test]
    fn everybody_is_served_from_a_cache_of_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let shelves: Vec<_> = (0..2)
            .map(|_| shelf(folder.path(), 1, Digits::default()))
            .collect();
        thread::scope(|scope| {
            for reader in 0..6 {
                let shelf = &shelves[reader % 2];
                scope.spawn(move || {
                    for turn in 0..10 {
                        let number = (reader * 7 + turn * 3) % 10;
                        assert_eq!(read(shelf, number), number.to_string().repeat(10));
                    }
                });
            }
        });
        let left = fs::read_dir(folder.path()).unwrap();
        let names = left.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        assert_eq!(names.filter(|name| !name.starts_with("lock-")).count(), 1);
    }

    #[test]
    fn a_loader_that_goes_ends_what_is_fetched_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let slow = Digits(Arc::default(), Some(Duration::from_millis(500)));
        let shelf = shelf(folder.path(), 10, slow);
        let following = shelf.follow(Route::new(1, 1, |_| vec![5]), 0, 1);
        let began = std::time::Instant::now();
        thread::scope(|scope| {
            let reader = scope.spawn(|| shelf.shard(6).unwrap().open());
            thread::sleep(Duration::from_millis(50));
            drop(following);
            let error = reader.join().unwrap().unwrap_err();
            assert_eq!(error.kind, Kind::Stopped);
        });
        drop(shelf);
        assert!(began.elapsed() < Duration::from_secs(4));
    }

    /// Threads that waited while a loader went still fetch for the next one.
    #[test]
    fn the_next_loader_is_served_too() {
        let folder = tempfile::tempdir().unwrap();
        let fetched = Arc::new(Mutex::new(Vec::new()));
        let slow = Digits(Arc::clone(&fetched), Some(Duration::from_millis(5)));
        let shelf = shelf(folder.path(), 10, slow);
        for number in 0..4 {
            let following = shelf.follow(Route::new(1, 1, move |_| vec![number]), 0, 1);
            soon("its file", || {
                let state = shelf.inner.lock();
                state.sound.contains_key(&(number as usize))
            });
            drop(following);
        }
        assert_eq!(fetched.lock().unwrap().len(), 4);
    }

    #[test]
    fn a_bound_below_a_single_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), 9).unwrap();
        let shard = Shard {
            name: "0".into(),
            bytes: 10,
            sha256: files::sha256(b""),
        };
        let made = Shelf::new(Box::new(Digits::default()), cache, vec![shard], NO_ROOM);
        assert_eq!(made.err().unwrap().kind, Kind::Usage);
    }
}
