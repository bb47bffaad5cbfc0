//! How many frames clips have, and what decodes them: of frame folders as their lists say, of videos by opening some of them.

use rayon::prelude::*;

use crate::base::{Error, Kind, Result, Shown};
use crate::data::listing::{Listing, counted};
use crate::data::stats::{FrameStats, frame_stats};
use crate::data::video::{Source, Video, VideoError};

/// Videos that are opened: `ffmpeg` decodes one whole to count its frames.
const SAMPLE: usize = 24;

/// What decodes the clips.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoder {
    /// JPEG and PNG.
    Images,
    /// VP9 in WebM.
    Vp9,
    Ffmpeg,
    /// The one that is missing or of another version: what is wrong with it.
    NoFfmpeg(String),
}

#[derive(Debug, Clone)]
pub struct Lengths {
    /// Of the clips that were looked at, ascending.
    pub frames: Vec<usize>,
    /// All clips of the data set.
    pub clips: usize,
    pub decoder: Decoder,
    /// Videos among those looked at that cannot be read, and why.
    pub unreadable: Vec<String>,
}

impl Lengths {
    pub fn stats(&self) -> Option<FrameStats> {
        frame_stats(&self.frames)
    }

    /// Fails where no video that is looked at can be read, and not for want of `ffmpeg`.
    pub fn of(listing: &Listing) -> Result<Self> {
        let samples: Vec<_> = listing.train.iter().chain(&listing.validation).collect();
        let mut lengths = Self {
            frames: Vec::new(),
            clips: samples.len(),
            decoder: Decoder::Images,
            unreadable: Vec::new(),
        };
        let listed = samples.iter().filter_map(|sample| match &sample.source {
            Source::Folder { count, .. } => Some(*count),
            Source::File(_) | Source::Packed(_) => None,
        });
        lengths.frames = listed.collect();
        if lengths.frames.is_empty() {
            lengths.decoder = Decoder::Vp9;
            let step = samples.len().div_ceil(SAMPLE).max(1);
            let some: Vec<_> = samples.into_iter().step_by(step).collect();
            let opened: Vec<_> = some.par_iter().map(|sample| open(&sample.source)).collect();
            for (sample, opened) in some.iter().zip(opened) {
                lengths.note(&sample.id, opened);
            }
        }
        lengths.frames.sort_unstable();
        lengths.check()
    }

    fn note(&mut self, id: &str, opened: Result<(usize, bool), VideoError>) {
        match opened {
            Ok((frames, by_ffmpeg)) => {
                self.frames.push(frames);
                if by_ffmpeg && self.decoder == Decoder::Vp9 {
                    self.decoder = Decoder::Ffmpeg;
                }
            }
            Err(error @ (VideoError::NeedsFfmpeg { .. } | VideoError::FfmpegVersion { .. })) => {
                self.decoder = Decoder::NoFfmpeg(error.to_string());
            }
            Err(error) => self.unreadable.push(format!("{}  {error}", id.shown())),
        }
    }

    fn check(self) -> Result<Self> {
        match counted(
            "clips that cannot be read, of those looked at",
            &self.unreadable,
        ) {
            Some(problem)
                if self.frames.is_empty() && !matches!(self.decoder, Decoder::NoFfmpeg(_)) =>
            {
                Err(Error::new(Kind::Data, problem)
                    .hint("the lists name files that are no videos; copy or download them again"))
            }
            _ => Ok(self),
        }
    }
}

fn open(source: &Source) -> Result<(usize, bool), VideoError> {
    let video = Video::open(source)?;
    Ok((video.frame_count(), video.needs_ffmpeg()))
}
