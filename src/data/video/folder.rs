//! Folders of numbered JPEG or PNG images.

use std::path::{Path, PathBuf};

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::inventory::Inventory;
use super::template::Template;
use super::{Image, MAX_PIXELS, OneSize, Source, VideoError, Visit, read_file};
use crate::base;
use crate::base::limits::{self, Bound};

/// The most that a JPEG header can declare; the area is what is bounded.
const MAX_SIDE: usize = 0xffff;

impl Source {
    /// The images of a folder, counted from `first`. Fails where one of them is missing or one lies before the first.
    pub fn folder(path: &Path, template: &str, first: usize) -> Result<Self, VideoError> {
        let names = Template::parse(template)?;
        let count = Inventory::of(path, &names)?.count_from(first)?;
        check_count(first, count)?;
        Ok(Source::Folder {
            path: path.to_owned(),
            template: template.to_owned(),
            first,
            count,
        })
    }
}

/// Holds what is said of a folder against the bounds: what is computed from it cannot overflow.
pub fn check_count(first: usize, count: usize) -> Result<(), VideoError> {
    let check =
        |bound: Bound, found: usize| bound.check(base::Kind::Data, "the folder", found as u64);
    check(limits::IMAGES, count)
        .and_then(|()| check(limits::NUMBER, first))
        .map_err(|error| VideoError::Numbering(error.message))
}

/// A folder whose images are decoded when they are asked for.
pub struct Folder {
    path: PathBuf,
    template: Template,
    first: usize,
    count: usize,
}

impl Folder {
    pub fn open(
        path: &Path,
        template: &str,
        first: usize,
        count: usize,
    ) -> Result<Self, VideoError> {
        let template = Template::parse(template)?;
        check_count(first, count)?;
        if !path.is_dir() {
            return Err(VideoError::Missing);
        }
        if count == 0 {
            return Err(VideoError::NoFrames);
        }
        Ok(Self {
            path: path.to_owned(),
            template,
            first,
            count,
        })
    }

    pub fn frame_count(&self) -> usize {
        self.count
    }

    /// The images of the ascending frames `wanted`, all of one size.
    pub fn visit(&self, wanted: &[usize], visit: Visit) -> Result<(), VideoError> {
        let mut size = OneSize::default();
        let mut pixels = 0;
        for &frame in wanted {
            let image = self.image(frame)?;
            pixels += image.width as u64 * image.height as u64;
            VideoError::check(limits::DECODING, pixels)?;
            size.check(frame, (image.width as u32, image.height as u32))?;
            visit(&[frame], image)?;
        }
        Ok(())
    }

    fn image(&self, frame: usize) -> Result<Image, VideoError> {
        let file = self.template.name(self.first + frame);
        let wrong = |what: String| VideoError::Image {
            frame,
            file: file.clone(),
            what,
        };
        let bytes = read_file(&self.path.join(&file)).map_err(|error| match error {
            VideoError::Missing => self.absent(),
            VideoError::Unreadable(what) => VideoError::Unreadable(format!("`{file}`: {what}")),
            VideoError::NotAFile(what) => VideoError::NotAFile(format!("`{file}`: {what}")),
            damage if damage.is_damage() => wrong(damage.to_string()),
            other => other,
        })?;
        decode(&bytes).map_err(|refused| match refused {
            Refused::Image(what) => wrong(what),
            Refused::Memory(what) => VideoError::Memory(what),
        })
    }
}

/// A JPEG, PNG or PPM image.
pub fn decode(bytes: &[u8]) -> Result<Image, Refused> {
    match bytes {
        [0xff, 0xd8, ..] => jpeg(bytes),
        [0x89, b'P', b'N', b'G', ..] => png(bytes),
        [b'P', b'6', ..] => ppm(bytes),
        _ => Err(Refused::Image("neither JPEG nor PNG".to_owned())),
    }
}

/// Why an image is not decoded: what is wrong with it, or that there is no memory for it.
pub enum Refused {
    Image(String),
    Memory(String),
}

impl Refused {
    fn damage(what: impl ToString) -> Self {
        Self::Image(what.to_string())
    }
}

impl Folder {
    /// What is said of an image that is not there.
    fn absent(&self) -> VideoError {
        match Inventory::of(&self.path, &self.template) {
            Ok(inventory) => VideoError::Numbering(inventory.explain(self.first)),
            Err(error) => error,
        }
    }
}

/// A JPEG image. Grey becomes three equal values; CMYK is converted without a profile.
fn jpeg(bytes: &[u8]) -> Result<Image, Refused> {
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(MAX_SIDE)
        .set_max_height(MAX_SIDE)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(Refused::damage)?;
    let (width, height) = decoder
        .dimensions()
        .ok_or_else(|| Refused::damage("its size is missing"))?;
    check_area(width, height)?;
    let rgb = decoder.decode().map_err(Refused::damage)?;
    complete(width, height, rgb)
}

/// A PNG image. Grey becomes three equal values, a palette its colours; of 16 bits the upper 8 are kept, and
/// transparency is dropped, as Pillow does when it converts to RGB.
fn png(bytes: &[u8]) -> Result<Image, Refused> {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    let mut reader = decoder.read_info().map_err(Refused::damage)?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    check_area(width, height)?;
    let size = reader
        .output_buffer_size()
        .ok_or_else(|| Refused::damage("it is too large"))?;
    let mut samples = vec![0; size];
    let info = reader.next_frame(&mut samples).map_err(Refused::damage)?;
    samples.truncate(info.buffer_size());
    let rgb = match info.color_type {
        png::ColorType::Rgb => samples,
        png::ColorType::Rgba => samples
            .chunks_exact(4)
            .flat_map(|p| [p[0], p[1], p[2]])
            .collect(),
        png::ColorType::Grayscale => samples.iter().flat_map(|grey| [*grey; 3]).collect(),
        png::ColorType::GrayscaleAlpha => samples.chunks_exact(2).flat_map(|p| [p[0]; 3]).collect(),
        png::ColorType::Indexed => return Err(Refused::damage("its palette was not applied")),
    };
    complete(width, height, rgb)
}

/// A PPM image of bytes.
fn ppm(bytes: &[u8]) -> Result<Image, Refused> {
    let mut rest = bytes;
    let next = super::ffmpeg::ppm_header(&mut rest).map_err(Refused::damage)?;
    let (width, height) = next.ok_or_else(|| Refused::damage("it is empty"))?;
    check_area(width, height)?;
    complete(width, height, rest.to_vec())
}

/// Holds the area against its bound, and asks for the memory that the decoders will take without asking: at most 16 bit
/// samples of four channels, their coefficients, and three bytes.
fn check_area(width: usize, height: usize) -> Result<(), Refused> {
    const PIXEL: usize = 20;
    match width as u64 * height as u64 <= MAX_PIXELS {
        true => limits::reserved::<u8>(width * height * PIXEL, "decoding an image")
            .map(drop)
            .map_err(|error| Refused::Memory(error.message)),
        false => Err(Refused::damage(format_args!(
            "it declares {width}x{height} pixels, more than the limit of {MAX_PIXELS} in all"
        ))),
    }
}

fn complete(width: usize, height: usize, rgb: Vec<u8>) -> Result<Image, Refused> {
    match rgb.len() == width * height * 3 {
        true => Ok(Image { width, height, rgb }),
        false => Err(Refused::damage(format_args!(
            "{} bytes for {width}x{height} pixels",
            rgb.len()
        ))),
    }
}
