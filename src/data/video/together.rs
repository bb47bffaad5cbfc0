//! Work on several videos at once, for the sake of those that `ffmpeg` decodes: one process decodes them all.

use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

use super::ffmpeg::{self, Seat};
use super::{Source, ebml, read_start};

/// A source, perhaps one that is opened beside others.
pub struct Place<'a> {
    pub source: &'a Source,
    pub(super) seat: Option<Seat>,
}

impl<'a> From<&'a Source> for Place<'a> {
    fn from(source: &'a Source) -> Self {
        Self { source, seat: None }
    }
}

/// How many of such videos are to be worked on together; 1 where nothing is gained by it.
pub fn together_at_most<'a>(mut sources: impl Iterator<Item = &'a Source>) -> usize {
    match sources.any(|source| for_ffmpeg(source).is_some()) {
        true => ffmpeg::MOST,
        false => 1,
    }
}

/// `work` on each source, given its place in the list; what comes of it, in their order. Does not depend on which of them are worked on at
/// the same time.
pub fn together<T: Send>(
    sources: &[&Source],
    work: impl Fn(usize, Place<'_>) -> T + Sync,
) -> Vec<T> {
    let of_ffmpeg = sources.iter().enumerate();
    let of_ffmpeg = of_ffmpeg.filter_map(|(number, source)| Some((number, for_ffmpeg(source)?)));
    let of_ffmpeg: Vec<(usize, &Path)> = match sources.len() {
        0 | 1 => Vec::new(),
        _ => of_ffmpeg.take(ffmpeg::MOST).collect(),
    };
    let paths: Vec<&Path> = of_ffmpeg.iter().map(|(_, path)| *path).collect();
    ffmpeg::count_ahead(&paths);
    let work = &work;
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for ((number, _), seat) in of_ffmpeg.iter().zip(ffmpeg::seats(of_ffmpeg.len())) {
            let place = Place {
                source: sources[*number],
                seat: Some(seat),
            };
            let work = move || work(*number, place);
            // A thread that the system refuses has dropped its seat: the video is decoded alone, below.
            if let Ok(thread) = thread::Builder::new().spawn_scoped(scope, work) {
                threads.push((*number, thread));
            }
        }
        let mut threads = threads.into_iter().peekable();
        let each = sources.iter().enumerate().map(|(number, source)| {
            match threads.next_if(|(place, _)| *place == number) {
                Some((_, thread)) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                None => work(number, Place::from(*source)),
            }
        });
        each.collect()
    })
}

/// The file, where it is most likely one that `ffmpeg` decodes.
fn for_ffmpeg(source: &Source) -> Option<&Path> {
    let Source::File(path) = source else {
        return None;
    };
    let start = read_start(path).ok()?;
    let is_webm = path.extension().is_some_and(|ending| ending == "webm");
    let is_other = match start.starts_with(&ebml::EBML.to_be_bytes()) {
        true => !is_webm,
        false => ffmpeg::format(&start).is_some(),
    };
    is_other.then_some(path)
}
