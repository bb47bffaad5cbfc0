//! The images of one video, as they come out of a running `ffmpeg`.

use std::sync::Arc;

use super::super::{Image, VideoError};
use super::ppm::{self, Next};
use super::process::{Output, Process, Signs};
use crate::base::limits;

/// The images that are still to come.
pub struct Images {
    output: Output,
    signs: Signs,
    /// Runs for as long as one of its outputs is read.
    _shared: Option<Arc<Process>>,
    /// The next one's index.
    pub frame: usize,
    /// Of the images so far.
    pixels: u64,
}

/// Why images end before their end.
pub enum Stop {
    /// The output is not as expected, and how the process ended says more.
    Output(String),
    /// This is said of the video, however the process ends.
    Video(VideoError),
}

impl Stop {
    /// By the end of a process that decodes this video alone.
    pub fn explained(self, process: &mut Process) -> VideoError {
        match self {
            Stop::Video(error) => error,
            Stop::Output(what) => match process.abandon() {
                Ok(()) => VideoError::Ffmpeg { what },
                Err(error) => error,
            },
        }
    }
}

impl Images {
    pub fn of(output: Output, signs: Signs) -> Self {
        Self {
            output,
            signs,
            _shared: None,
            frame: 0,
            pixels: 0,
        }
    }

    /// Those of a process that ends with the last of its outputs.
    pub fn keeping(self, process: Arc<Process>) -> Self {
        Self {
            _shared: Some(process),
            ..self
        }
    }

    /// The next image's header; `None` behind the last.
    pub fn next(&mut self) -> Result<Option<Next>, Stop> {
        let header = ppm::header(&mut self.output);
        let Some(next) = header.map_err(|what| self.output(&what))? else {
            return Ok(None);
        };
        self.check(&next).map_err(Stop::Video)?;
        Ok(Some(next))
    }

    fn check(&mut self, next: &Next) -> Result<(), VideoError> {
        let Next { width, height } = *next;
        let frame = self.frame;
        let pixels = u64::from(width) * u64::from(height);
        if pixels > limits::FRAME.most {
            return Err(VideoError::FrameTooLarge {
                frame,
                width,
                height,
            });
        }
        self.pixels += pixels;
        VideoError::check(limits::VIDEO_FRAMES, frame as u64 + 1)?;
        VideoError::check(limits::DECODING, self.pixels)
    }

    pub fn skip(&mut self, next: Next) -> Result<(), Stop> {
        let skipped = next.skip(&mut self.output);
        skipped.map_err(|what| self.output(&what))?;
        self.done();
        Ok(())
    }

    pub fn take(&mut self, next: Next) -> Result<Image, Stop> {
        let mut image =
            Image::black(next.width as usize, next.height as usize).map_err(Stop::Video)?;
        let read = next.read(&mut self.output, &mut image.rgb);
        read.map_err(|what| self.output(&what))?;
        self.done();
        Ok(image)
    }

    fn done(&mut self) {
        self.frame += 1;
        self.signs.alive();
    }

    fn output(&self, what: &str) -> Stop {
        Stop::Output(format!("frame {}: {what}", self.frame))
    }
}
