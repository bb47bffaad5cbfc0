//! Videos and frame folders → pictures.

pub(in crate::data) mod ebml;
mod error;
mod ffmpeg;
mod folder;
mod header;
mod inventory;
mod picture;
mod vp9;
mod webm;
mod yuv;

use crate::base::files;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use error::VideoError;
pub use folder::{Template, check_count};
pub use inventory::{Inventory, check_start as check_image};
pub use picture::Picture;

use ffmpeg::Ffmpeg;
use folder::Folder;
use vp9::Vp9;

/// The largest frame that is decoded: what a header declares is allocated, so it must have a bound.
pub const MAX_PIXELS: u64 = 4096 * 4096;

/// The largest file that is read into memory.
pub const MAX_BYTES: u64 = 1 << 30;

/// Where a clip's pictures are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A video file: WebM with VP9 in process, anything else through `ffmpeg` if there is one.
    File(PathBuf),
    /// Numbered pictures; `template` such as `img_{:05}.jpg`, numbers `first .. first + count`.
    Folder {
        path: PathBuf,
        template: String,
        first: usize,
        count: usize,
    },
}

impl Source {
    /// The file or folder.
    pub fn path(&self) -> &Path {
        match self {
            Source::File(path) | Source::Folder { path, .. } => path,
        }
    }
}

/// A video whose frames can be counted and decoded.
pub struct Video(Kind);

enum Kind {
    Vp9(Vp9),
    Folder(Folder),
    Ffmpeg(Ffmpeg),
}

impl Video {
    /// Reads the source's structure; no frame is decoded.
    pub fn open(source: &Source) -> Result<Self, VideoError> {
        match source {
            Source::File(path) => Self::open_file(path),
            Source::Folder {
                path,
                template,
                first,
                count,
            } => Ok(Self(Kind::Folder(Folder::open(
                path, template, *first, *count,
            )?))),
        }
    }

    fn open_file(path: &Path) -> Result<Self, VideoError> {
        let start = read_start(path)?;
        if !start.starts_with(&ebml::EBML.to_be_bytes()) {
            return match ffmpeg::format(&start) {
                Some(format) => Ok(Self(Kind::Ffmpeg(Ffmpeg::open(path, format)?))),
                None => Err(unknown(start)),
            };
        }
        let bytes = read_file(path)?;
        let track = webm::read(&bytes)?;
        match track.codec.as_str() {
            "V_VP9" if !track.encoded => Ok(Self(Kind::Vp9(Vp9::open(bytes, track.packets)?))),
            codec => {
                let format = format!("Matroska with codec {codec}");
                Ok(Self(Kind::Ffmpeg(Ffmpeg::open(path, &format)?)))
            }
        }
    }

    /// Frames that are shown.
    pub fn frame_count(&self) -> usize {
        match &self.0 {
            Kind::Vp9(video) => video.frame_count(),
            Kind::Folder(folder) => folder.frame_count(),
            Kind::Ffmpeg(video) => video.frame_count(),
        }
    }

    /// The frames at `indices` (0-based, any order, repetitions allowed), in that order. Each is decoded once;
    /// nothing behind the last one is, nor, in VP9, what lies before the key frame on which a frame rests.
    pub fn frames(&mut self, indices: &[usize]) -> Result<Vec<Arc<Picture>>, VideoError> {
        let count = self.frame_count();
        if let Some(&frame) = indices.iter().find(|index| **index >= count) {
            return Err(VideoError::OutOfRange { frame, count });
        }
        let mut wanted = vec![false; indices.iter().max().map_or(0, |last| last + 1)];
        for index in indices {
            wanted[*index] = true;
        }
        let pictures = match &self.0 {
            Kind::Vp9(video) => video.pictures(&wanted)?,
            Kind::Folder(folder) => folder.pictures(&wanted)?,
            Kind::Ffmpeg(video) => video.pictures(&wanted)?,
        };
        let picture = |index: &usize| {
            pictures[*index].clone().ok_or(VideoError::Decode {
                frame: *index,
                what: "the stream ended before it".to_owned(),
            })
        };
        indices.iter().map(picture).collect()
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

/// Reads a file up to [`MAX_BYTES`].
fn read_file(path: &Path) -> Result<Vec<u8>, VideoError> {
    let file = files::open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    if bytes > MAX_BYTES {
        return Err(VideoError::FileTooLarge { bytes });
    }
    let mut content = Vec::with_capacity(bytes as usize);
    file.take(MAX_BYTES)
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
        _ => VideoError::Unreadable(error.to_string()),
    }
}
