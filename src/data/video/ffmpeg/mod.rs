//! Other formats: decoded by an `ffmpeg` process, read from its standard output as a stream of PPM images.
//!
//! PPM says each image's size, so nothing has to be asked beforehand and a change of size is seen. Sizes are bounded by
//! `-max_pixels` there and again here, as are the number of frames and of pixels; a process that does nothing is ended.

mod command;
mod counted;
mod images;
mod log;
mod ppm;
mod process;
mod shared;
mod version;

use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{OneSize, VideoError, Visit};

use images::{Images, Stop};
use process::Process;
use version::Version;

pub use process::MOST;
pub use shared::{Seat, count_ahead, seats};

/// The program, as it is looked for on the PATH.
const PROGRAM: &str = "ffmpeg";

/// How long `ffmpeg` may take for one frame: a machine that is loaded beyond measure, not a file that is large.
const PATIENCE: Duration = Duration::from_secs(60);

/// A video that `ffmpeg` decodes.
pub struct Ffmpeg {
    path: PathBuf,
    version: Version,
    found: Found,
    /// Where it is decoded beside others.
    seat: Option<Seat>,
}

/// What a video was seen to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub frames: usize,
    pub size: (u32, u32),
}

impl Ffmpeg {
    /// Decodes the video once to count its frames, which containers only estimate; of a file that did not change they are
    /// remembered. `format` is for the error where there is no `ffmpeg`.
    pub fn open(path: &Path, format: &str, seat: Option<Seat>) -> Result<Self, VideoError> {
        let version = version::check(format)?;
        let file = counted::Seen::at(path, version);
        let known = file.as_ref().and_then(counted::Seen::known);
        let found = match known {
            Some(found) => found,
            None => count(path, version)?,
        };
        if let (None, Some(file)) = (known, file) {
            counted::remember([(file, found)]);
        }
        Ok(Self {
            path: path.to_owned(),
            version,
            found,
            seat,
        })
    }

    pub fn frame_count(&self) -> usize {
        self.found.frames
    }

    pub fn size(&self) -> (u32, u32) {
        self.found.size
    }

    /// The ascending frames `wanted`; the process ends with the last of them.
    pub fn visit(&self, wanted: &[usize], visit: Visit) -> Result<(), VideoError> {
        let Some(last) = wanted.last() else {
            return Ok(());
        };
        let mut rest = wanted.iter().copied().peekable();
        let seat = self.seat.as_ref();
        if let Some(mut images) = seat.and_then(|seat| seat.images(self, last + 1))
            && let Err(Stop::Video(error)) = show(&mut images, &mut rest, visit)
        {
            return Err(error);
        }
        // Alone, or after a failure of the process that may be another video's.
        if rest.peek().is_some() {
            let (mut process, mut images) = alone(&self.path, self.version)?;
            show(&mut images, &mut rest, visit).map_err(|stop| stop.explained(&mut process))?;
            if rest.peek().is_some() {
                process.finish()?;
            }
        }
        match rest.next() {
            None => Ok(()),
            Some(frame) => Err(VideoError::Ffmpeg {
                what: format!("it showed frame {frame} when frames were counted, and not again"),
            }),
        }
    }
}

/// Shows those of the images that are wanted, up to the last of both.
fn show(
    images: &mut Images,
    wanted: &mut Peekable<impl Iterator<Item = usize>>,
    visit: Visit,
) -> Result<(), Stop> {
    while let Some(&frame) = wanted.peek()
        && let Some(next) = images.next()?
    {
        if images.frame != frame {
            images.skip(next)?;
            continue;
        }
        visit(&[frame], images.take(next)?).map_err(Stop::Video)?;
        wanted.next();
    }
    Ok(())
}

/// Counts all images to their end; `None` where there is none.
fn count_all(images: &mut Images) -> Result<Option<Found>, Stop> {
    let mut sizes = OneSize::default();
    while let Some(next) = images.next()? {
        let size = (next.width, next.height);
        sizes.check(images.frame, size).map_err(Stop::Video)?;
        images.skip(next)?;
    }
    Ok(sizes.first.map(|size| Found {
        frames: images.frame,
        size,
    }))
}

fn count(path: &Path, version: Version) -> Result<Found, VideoError> {
    let (mut process, mut images) = alone(path, version)?;
    let found = count_all(&mut images).map_err(|stop| stop.explained(&mut process))?;
    let log = process.finish()?;
    match (found, log.names_a_stream()) {
        (Some(found), _) => Ok(found),
        (None, true) => Err(VideoError::NoFrames),
        (None, false) => Err(VideoError::Ffmpeg {
            what: "it showed nothing, and does not say of what".to_owned(),
        }),
    }
}

/// A process of this video's own.
fn alone(path: &Path, version: Version) -> Result<(Process, Images), VideoError> {
    let (process, images) = start(&[command::Video { path, frames: None }], version)?;
    match images.into_iter().next() {
        Some(images) => Ok((process, images)),
        None => Err(VideoError::Ffmpeg {
            what: "it has no output".to_owned(),
        }),
    }
}

/// One process, and the images of each video.
fn start(
    videos: &[command::Video<'_>],
    version: Version,
) -> Result<(Process, Vec<Images>), VideoError> {
    let arguments = |names: &[String]| command::arguments(videos, names, version);
    let (process, outputs) = Process::start(PROGRAM, &arguments, videos.len(), PATIENCE)?;
    let images = outputs
        .into_iter()
        .map(|output| Images::of(output, process.signs()));
    let images = images.collect();
    Ok((process, images))
}

/// Width and height in the header of a PPM image; `None` where nothing is left.
pub fn ppm_header(from: &mut &[u8]) -> Result<Option<(usize, usize)>, String> {
    let next = ppm::header(from)?;
    Ok(next.map(|next| (next.width as usize, next.height as usize)))
}

/// The format of a file that is not Matroska, by its first bytes.
pub fn format(start: &[u8]) -> Option<&'static str> {
    match start {
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => Some("an MP4 or QuickTime file"),
        // QuickTime of before 2001 begins with any of its atoms.
        [_, _, _, _, atom @ ..]
            if [b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"]
                .iter()
                .any(|known| atom.starts_with(*known)) =>
        {
            Some("a QuickTime file")
        }
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'A',
            b'V',
            b'I',
            b' ',
            ..,
        ] => Some("an AVI file"),
        [0, 0, 1, 0xba | 0xb3, ..] => Some("an MPEG file"),
        [0x47, ..] if start.get(188) == Some(&0x47) => Some("an MPEG transport stream"),
        [0x30, 0x26, 0xb2, 0x75, ..] => Some("a Windows Media file"),
        [b'F', b'L', b'V', 1, ..] => Some("a Flash video"),
        [b'O', b'g', b'g', b'S', ..] => Some("an Ogg file"),
        [b'D', b'K', b'I', b'F', ..] => Some("an IVF file"),
        [b'G', b'I', b'F', b'8', ..] => Some("a GIF file"),
        _ => None,
    }
}
