//! Several videos in one process. Some builds of `ffmpeg` take longer to start than to decode a short video.
//!
//! What one process shows of several videos are the bytes that it shows of each alone; where it fails, each is decoded alone, and what
//! is wrong is said of the video that has it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::command::Video;
use super::images::Images;
use super::version::{self, Version};
use super::{Ffmpeg, Found, count_all, counted, start};

/// Counts the frames of videos that are not counted yet, at most [`super::MOST`], so that to open them starts no process of their own.
/// Where that fails nothing is remembered, and to open them says why.
pub fn count_ahead(paths: &[&Path]) {
    let Ok(version) = version::check("") else {
        return;
    };
    let files = paths
        .iter()
        .filter_map(|path| counted::Seen::at(path, version));
    let unknown: Vec<_> = files.filter(|seen| seen.known().is_none()).collect();
    if unknown.len() > 1
        && let Some(found) = count(&unknown, version)
    {
        counted::remember(unknown.into_iter().zip(found));
    }
}

/// `None` where the process had anything to complain of.
fn count(files: &[counted::Seen], version: Version) -> Option<Vec<Found>> {
    let videos = files.iter().map(|seen| Video {
        path: seen.path(),
        frames: None,
    });
    let (mut process, images) = start(&videos.collect::<Vec<_>>(), version).ok()?;
    // Every output is read at once: the process waits at one that nobody reads.
    let found = std::thread::scope(|scope| {
        let count = |mut images: Images| move || count_all(&mut images).ok().flatten();
        let threads = images.into_iter().map(|images| {
            let thread = std::thread::Builder::new();
            thread.spawn_scoped(scope, count(images)).ok()
        });
        let threads: Vec<_> = threads.collect();
        let found = threads.into_iter().map(|thread| thread?.join().ok()?);
        found.collect::<Vec<_>>()
    });
    process.finish().ok().filter(|log| log.is_quiet())?;
    found.into_iter().collect()
}

/// Videos whose decoding begins together, once it is known of each which frames are wanted.
struct Meeting {
    state: Mutex<State>,
    begun: Condvar,
}

#[derive(Default)]
struct State {
    /// Seats that were not heard yet.
    awaited: usize,
    /// What is asked for, by seat.
    asked: BTreeMap<usize, Asked>,
    images: BTreeMap<usize, Images>,
}

struct Asked {
    path: PathBuf,
    version: Version,
    frames: usize,
}

impl Meeting {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hears one seat; the last begins.
    fn hear(&self, asked: Option<(usize, Asked)>) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        state.asked.extend(asked);
        state.awaited = state.awaited.saturating_sub(1);
        if state.awaited == 0 {
            // They wake when the lock is given back, whatever becomes of the beginning.
            self.begun.notify_all();
            state.begin();
        }
        state
    }
}

impl State {
    /// Where it cannot be started, or only one video is left, each is decoded alone.
    fn begin(&mut self) {
        let asked = std::mem::take(&mut self.asked);
        let videos = asked.values().map(|asked| Video {
            path: &asked.path,
            frames: Some(asked.frames),
        });
        let videos: Vec<_> = videos.collect();
        let Some(first) = asked.values().next().filter(|_| videos.len() > 1) else {
            return;
        };
        if let Ok((process, images)) = start(&videos, first.version) {
            let process = Arc::new(process);
            let images = images.into_iter().map(|i| i.keeping(Arc::clone(&process)));
            self.images = asked.keys().copied().zip(images).collect();
        }
    }
}

/// A place for a video that is decoded beside others. It is to be used or dropped, each in a thread of its own: the others wait for it.
pub struct Seat {
    meeting: Arc<Meeting>,
    number: usize,
    is_heard: AtomicBool,
}

/// As many seats, at most [`super::MOST`].
pub fn seats(count: usize) -> Vec<Seat> {
    let meeting = Arc::new(Meeting {
        state: Mutex::new(State {
            awaited: count,
            ..State::default()
        }),
        begun: Condvar::new(),
    });
    let seat = |number| Seat {
        meeting: Arc::clone(&meeting),
        number,
        is_heard: AtomicBool::new(false),
    };
    (0..count).map(seat).collect()
}

impl Seat {
    /// The first images of the video, as many as `frames`, from a process that decodes others beside it; `None` where it has to be decoded
    /// alone. The first call waits for the other seats; a second has nothing.
    pub fn images(&self, video: &Ffmpeg, frames: usize) -> Option<Images> {
        if self.is_heard.swap(true, Ordering::AcqRel) {
            return None;
        }
        let asked = Asked {
            path: video.path.clone(),
            version: video.version,
            frames,
        };
        let state = self.meeting.hear(Some((self.number, asked)));
        let begun = &self.meeting.begun;
        let begun = begun.wait_while(state, |state| state.awaited > 0);
        let mut state = begun.unwrap_or_else(PoisonError::into_inner);
        state.images.remove(&self.number)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.is_heard.swap(true, Ordering::AcqRel) {
            drop(self.meeting.hear(None));
        }
    }
}
