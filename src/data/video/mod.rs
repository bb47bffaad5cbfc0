//! Videos and frame folders → pictures.

use std::path::PathBuf;
use std::sync::Arc;

/// One picture: red, green, blue bytes, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    /// `height · width · 3` bytes.
    pub rgb: Vec<u8>,
}

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

/// What is wrong with a video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VideoError {
    Unreadable(String),
}

/// A video whose frames can be counted and decoded.
pub struct Video {}

impl Video {
    pub fn open(_source: &Source) -> Result<Self, VideoError> {
        todo!()
    }

    pub fn frame_count(&self) -> usize {
        todo!()
    }

    /// The frames at `indices` (0-based, any order, repetitions allowed), in that order. Each is decoded once,
    /// and nothing behind the last one is.
    pub fn frames(&mut self, _indices: &[usize]) -> Result<Vec<Arc<Picture>>, VideoError> {
        todo!()
    }
}
