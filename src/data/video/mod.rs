//! Videos and frame folders → images.

pub(in crate::data) mod ebml;
mod error;
mod ffmpeg;
mod folder;
mod header;
mod inventory;
mod image;
mod packed;
mod template;
mod together;
mod vp9;
mod webm;
mod yuv;

use super::store::Stored;
use crate::base::files;
use crate::base::limits::{self, Bound};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use error::VideoError;
pub use folder::check_count;
pub use image::{ClipMemory, Image};
pub use inventory::{Inventory, check_start as check_image, is_image};
pub use packed::Packed;
pub use template::Template;
pub use together::{Place, together, together_at_most};

use ffmpeg::{Ffmpeg, Seat};
use folder::Folder;
use vp9::Vp9;

/// The largest frame that is decoded: what a header declares is allocated, so it must have a bound.
const MAX_PIXELS: u64 = limits::FRAME.most;

/// What sees each image of a clip once, with the indices, ascending, of the asked frames that show it.
pub type Visit<'a> = &'a mut dyn FnMut(&[usize], Image) -> Result<(), VideoError>;

/// Where a clip's images are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A video file: WebM with VP9 in process, anything else through `ffmpeg` if there is one.
    File(PathBuf),
    /// Numbered images; `template` such as `img_{:05}.jpg`, numbers `first .. first + count`.
    Folder {
        path: PathBuf,
        template: String,
        first: usize,
        count: usize,
    },
    /// Images in a pack.
    Packed(Arc<Packed>),
}

impl Source {
    /// The file or folder; of a packed video the tar file, or its address.
    pub fn path(&self) -> &Path {
        match self {
            Source::File(path) | Source::Folder { path, .. } => path,
            Source::Packed(packed) => &packed.shard,
        }
    }

    /// The tar file that is read, where it is on an object store.
    pub fn stored(&self) -> Option<&Stored> {
        match self {
            Source::Packed(packed) if packed.unreadable.is_none() => packed.stored.as_ref(),
            _ => None,
        }
    }
}

/// A video whose frames can be counted and decoded.
pub struct Video(Kind);

enum Kind {
    Vp9(Vp9),
    Folder(Folder),
    Ffmpeg(Ffmpeg),
    Packed(Arc<Packed>),
}

impl Video {
    /// Reads the source's structure. No frame is decoded, but where `ffmpeg` has to count them.
    pub fn open<'a>(place: impl Into<Place<'a>>) -> Result<Self, VideoError> {
        let Place { source, seat } = place.into();
        match source {
            Source::File(path) => Self::open_file(path, seat),
            Source::Folder {
                path,
                template,
                first,
                count,
            } => Ok(Self(Kind::Folder(Folder::open(
                path, template, *first, *count,
            )?))),
            Source::Packed(packed) => {
                packed.check()?;
                Ok(Self(Kind::Packed(Arc::clone(packed))))
            }
        }
    }

    fn open_file(path: &Path, seat: Option<Seat>) -> Result<Self, VideoError> {
        let start = read_start(path)?;
        if !start.starts_with(&ebml::EBML.to_be_bytes()) {
            return match ffmpeg::format(&start) {
                Some(format) => Ok(Self(Kind::Ffmpeg(Ffmpeg::open(path, format, seat)?))),
                None => Err(unknown(start)),
            };
        }
        let bytes = read_file(path)?;
        let track = webm::read(&bytes)?;
        match track.codec.as_str() {
            "V_VP9" if !track.encoded => Ok(Self(Kind::Vp9(Vp9::open(bytes, track.packets)?))),
            codec => {
                let format = format!("Matroska with codec {codec}");
                Ok(Self(Kind::Ffmpeg(Ffmpeg::open(path, &format, seat)?)))
            }
        }
    }

    /// Frames that are shown.
    pub fn frame_count(&self) -> usize {
        match &self.0 {
            Kind::Vp9(video) => video.frame_count(),
            Kind::Folder(folder) => folder.frame_count(),
            Kind::Ffmpeg(video) => video.frame_count(),
            Kind::Packed(packed) => packed.frame_count(),
        }
    }

    /// Whether `ffmpeg` decodes it.
    pub fn needs_ffmpeg(&self) -> bool {
        matches!(self.0, Kind::Ffmpeg(_))
    }

    /// Decodes the frames at `indices` (0-based, any order, repetitions allowed) and nothing else, but in VP9 what lies
    /// between them and the key frame on which they rest. What `visit` does not keep is held no longer.
    pub fn visit(&self, indices: &[usize], visit: Visit) -> Result<(), VideoError> {
        let wanted = self.wanted(indices)?;
        match &self.0 {
            Kind::Vp9(video) => video.visit(&wanted, visit),
            Kind::Folder(folder) => folder.visit(&wanted, visit),
            Kind::Ffmpeg(video) => video.visit(&wanted, visit),
            Kind::Packed(packed) => packed.visit(&wanted, visit),
        }
    }

    /// The frames at `indices`, in that order. Frames that show the same image share it.
    pub fn frames(&self, indices: &[usize]) -> Result<Vec<Arc<Image>>, VideoError> {
        self.check_held(&self.wanted(indices)?)?;
        let mut held = ClipMemory::default();
        let mut found = BTreeMap::new();
        self.visit(indices, &mut |shown, image| {
            held.add(image.rgb.len())?;
            let image = Arc::new(image);
            found.extend(shown.iter().map(|index| (*index, Arc::clone(&image))));
            Ok(())
        })?;
        let image = |index: &usize| {
            found.get(index).cloned().ok_or(VideoError::Decode {
                frame: *index,
                what: "the stream ended before it".to_owned(),
            })
        };
        indices.iter().map(image).collect()
    }

    /// The indices, ascending, each once.
    fn wanted(&self, indices: &[usize]) -> Result<Vec<usize>, VideoError> {
        let count = self.frame_count();
        if let Some(&frame) = indices.iter().find(|index| **index >= count) {
            return Err(VideoError::OutOfRange { frame, count });
        }
        let mut wanted = indices.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        Ok(wanted)
    }

    /// Holds what all the images of the frames `wanted` need against its bound, where that is known beforehand.
    fn check_held(&self, wanted: &[usize]) -> Result<(), VideoError> {
        let (images, (width, height)) = match &self.0 {
            Kind::Vp9(video) => (video.images(wanted), video.size()),
            Kind::Ffmpeg(video) => (wanted.len(), video.size()),
            // Images say their size when they are opened.
            Kind::Folder(_) | Kind::Packed(_) => return Ok(()),
        };
        let bytes = 3 * u64::from(width) * u64::from(height);
        VideoError::check(limits::CLIP, bytes.saturating_mul(images as u64))
    }
}

/// Holds each frame's size against the first's: a video has one.
#[derive(Debug, Default)]
struct OneSize {
    first: Option<(u32, u32)>,
}

impl OneSize {
    fn check(&mut self, frame: usize, found: (u32, u32)) -> Result<(), VideoError> {
        let first = *self.first.get_or_insert(found);
        match found == first {
            true => Ok(()),
            false => Err(VideoError::SizeChange {
                frame,
                first,
                found,
            }),
        }
    }
}

/// Whether a file begins as a video does that is decoded here or by `ffmpeg`, without decoding it.
pub fn check_start(path: &Path) -> Result<(), VideoError> {
    let start = read_start(path)?;
    let is_known = start.starts_with(&ebml::EBML.to_be_bytes()) || ffmpeg::format(&start).is_some();
    match is_known {
        true => Ok(()),
        false => Err(unknown(start)),
    }
}

fn unknown(start: Vec<u8>) -> VideoError {
    VideoError::UnknownFormat {
        start: start.into_iter().take(8).collect(),
    }
}

/// The first bytes, by which formats are told apart.
fn read_start(path: &Path) -> Result<Vec<u8>, VideoError> {
    const LONGEST: u64 = 189;
    let mut start = Vec::new();
    let file = files::open(path).map_err(unreadable)?;
    file.take(LONGEST)
        .read_to_end(&mut start)
        .map_err(unreadable)?;
    match start.is_empty() {
        true => Err(VideoError::Empty),
        false => Ok(start),
    }
}

/// Reads a file that is not above [`limits::VIDEO`].
pub(in crate::data) fn read_file(path: &Path) -> Result<Vec<u8>, VideoError> {
    const BOUND: Bound = limits::VIDEO;
    let file = files::open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    VideoError::check(BOUND, bytes)?;
    let mut content =
        limits::reserved(bytes as usize, "a video file").map_err(VideoError::memory)?;
    // It may grow while it is read: what is behind the size that it had is an element that is cut off, or nothing.
    file.take(bytes)
        .read_to_end(&mut content)
        .map_err(unreadable)?;
    match content.is_empty() {
        true => Err(VideoError::Empty),
        false => Ok(content),
    }
}

fn unreadable(error: std::io::Error) -> VideoError {
    match error.kind() {
        std::io::ErrorKind::NotFound => VideoError::Missing,
        std::io::ErrorKind::InvalidInput => VideoError::NotAFile(error.to_string()),
        std::io::ErrorKind::OutOfMemory => VideoError::Memory(format!("no memory: {error}")),
        _ => VideoError::Unreadable(error.to_string()),
    }
}
