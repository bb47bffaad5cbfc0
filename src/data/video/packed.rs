//! A video in a pack: images that lie in a tar file, found by an index. The tar file may be on an object store.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::folder::{Refused, decode};
use super::{Image, OneSize, VideoError, Visit, unreadable};
use crate::base::{files::hex, limits};
use crate::data::store::Stored;

/// Where a video's images are, and what they were when they were packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The tar file, or its address.
    pub shard: PathBuf,
    /// What has it, where it is on an object store.
    pub stored: Option<Stored>,
    /// Of each image its first byte and its length.
    pub images: Vec<(u64, u64)>,
    /// SHA-256 of the images one after another.
    pub sha256: String,
    /// SHA-256 of the video that was packed.
    pub source: String,
    /// Why that could not be read.
    pub unreadable: Option<String>,
}

impl Packed {
    /// Whether the images can be there: the tar file is as long as the index says at least.
    pub fn check(&self) -> Result<(), VideoError> {
        if let Some(what) = &self.unreadable {
            let what = what.clone();
            return Err(VideoError::Decode { frame: 0, what });
        }
        let size = match &self.stored {
            Some(stored) => stored.bytes(),
            None => self.shard.metadata().map_err(unreadable)?.len(),
        };
        let ends = self.images.iter().map(|(at, len)| at.saturating_add(*len));
        match ends.max() {
            None => Err(VideoError::NoFrames),
            Some(end) if end <= size => Ok(()),
            Some(end) => Err(cut_off(end, size)),
        }
    }

    /// The tar file; of an object store once it is there and has been held against its hash.
    fn open(&self) -> Result<File, VideoError> {
        match &self.stored {
            Some(stored) => stored.open().map_err(VideoError::Store),
            None => File::open(&self.shard).map_err(unreadable),
        }
    }

    pub fn frame_count(&self) -> usize {
        self.images.len()
    }

    /// SHA-256 of the images as they are now.
    pub fn hash(&self) -> Result<String, VideoError> {
        self.check()?;
        let mut file = self.open()?;
        let mut hasher = Sha256::new();
        for frame in 0..self.images.len() {
            hasher.update(self.bytes(&mut file, frame)?);
        }
        Ok(hex(&hasher.finalize()))
    }

    /// The images of the ascending frames `wanted`, all of one size.
    pub fn visit(&self, wanted: &[usize], visit: Visit) -> Result<(), VideoError> {
        let mut file = self.open()?;
        let mut size = OneSize::default();
        let mut pixels = 0;
        for &frame in wanted {
            let image = self.image(&mut file, frame)?;
            pixels += image.width as u64 * image.height as u64;
            VideoError::check(limits::DECODING, pixels)?;
            size.check(frame, (image.width as u32, image.height as u32))?;
            visit(&[frame], image)?;
        }
        Ok(())
    }

    fn image(&self, file: &mut File, frame: usize) -> Result<Image, VideoError> {
        let bytes = self.bytes(file, frame)?;
        decode(&bytes).map_err(|refused| match refused {
            Refused::Memory(what) => VideoError::Memory(what),
            Refused::Image(what) => VideoError::Image {
                frame,
                file: self.shard.to_string_lossy().into_owned(),
                what,
            },
        })
    }

    fn bytes(&self, file: &mut File, frame: usize) -> Result<Vec<u8>, VideoError> {
        let count = self.images.len();
        let &(at, len) = self
            .images
            .get(frame)
            .ok_or(VideoError::OutOfRange { frame, count })?;
        VideoError::check(limits::VIDEO, len)?;
        let mut bytes =
            limits::reserved(len as usize, "a packed image").map_err(VideoError::memory)?;
        file.seek(SeekFrom::Start(at)).map_err(unreadable)?;
        file.take(len).read_to_end(&mut bytes).map_err(unreadable)?;
        match bytes.len() as u64 == len {
            true => Ok(bytes),
            false => {
                let size = at.saturating_add(bytes.len() as u64);
                Err(cut_off(at.saturating_add(len), size))
            }
        }
    }
}

/// A tar file that was not copied whole is no damage of the video, which another machine would have too.
fn cut_off(needed: u64, size: u64) -> VideoError {
    VideoError::Unreadable(format!(
        "the pack's tar file is cut off: its images end at byte {needed}, the file is cut off at {size}"
    ))
}
