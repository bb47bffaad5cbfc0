//! One image, and its way into a PNG file.

use super::VideoError;
use crate::base::limits;

/// One image: red, green, blue bytes, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    pub width: usize,
    pub height: usize,
    /// `height · width · 3` bytes.
    pub rgb: Vec<u8>,
}

impl Image {
    /// A black one of a size that a file declares: an error where the machine has not the memory.
    pub(super) fn black(width: usize, height: usize) -> Result<Self, VideoError> {
        let bytes = width.saturating_mul(height).saturating_mul(3);
        let mut rgb = limits::reserved(bytes, "a frame").map_err(VideoError::memory)?;
        rgb.resize(bytes, 0);
        Ok(Self { width, height, rgb })
    }

    /// The image as a PNG file. Fails where `rgb` does not have `height · width · 3` bytes.
    pub fn to_png(&self) -> Result<Vec<u8>, png::EncodingError> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.rgb)?;
        writer.finish()?;
        Ok(file)
    }
}

/// What a clip has in memory at one time, held against [`limits::CLIP`] before it is reserved.
#[derive(Debug, Default)]
pub struct ClipMemory {
    bytes: u64,
}

impl ClipMemory {
    /// As many bytes more. The error is [`VideoError::Exceeds`].
    pub fn add(&mut self, bytes: usize) -> Result<(), VideoError> {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        VideoError::check(limits::CLIP, self.bytes)
    }
}
