//! Other formats: decoded by an `ffmpeg` process, read from its standard output as a stream of PPM images.
//!
//! PPM says each image's size, so nothing has to be asked beforehand and a change of size is seen. Sizes are bounded by
//! `-max_pixels` there and again here, as are the number of frames and of pixels; a process that does nothing is ended.

mod counted;
mod log;
mod ppm;
mod process;
mod version;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{OneSize, VideoError, Visit};
use crate::base::limits;

use ppm::Next;
use process::Process;
use version::Version;

/// The program, as it is looked for on the PATH.
const PROGRAM: &str = "ffmpeg";

/// How long `ffmpeg` may take for one frame: a machine that is loaded beyond measure, not a file that is large.
const PATIENCE: Duration = Duration::from_secs(60);

/// A video that `ffmpeg` decodes.
pub struct Ffmpeg {
    path: PathBuf,
    version: Version,
    count: usize,
    size: (u32, u32),
}

impl Ffmpeg {
    /// Decodes the video once to count its frames, which containers only estimate; of a file that did not change the process
    /// remembers them. `format` is for the error where there is no `ffmpeg`.
    pub fn open(path: &Path, format: &str) -> Result<Self, VideoError> {
        let version = version::check(format)?;
        let file = counted::File::at(path);
        if let Some((count, size)) = file.as_ref().and_then(counted::File::known) {
            return Ok(Self {
                path: path.to_owned(),
                version,
                count,
                size,
            });
        }
        let found = Self::count(path, version)?;
        if let Some(file) = file {
            file.remember(found.count, found.size);
        }
        Ok(found)
    }

    fn count(path: &Path, version: Version) -> Result<Self, VideoError> {
        let mut stream = Stream::start(path, version)?;
        let mut sizes = OneSize::default();
        while let Some(next) = stream.next()? {
            sizes.check(stream.frame, (next.width, next.height))?;
            stream.skip(next)?;
        }
        match (sizes.first, stream.names_a_stream) {
            (None, true) => Err(VideoError::NoFrames),
            (None, false) => Err(VideoError::Ffmpeg {
                what: "it showed nothing, and does not say of what".to_owned(),
            }),
            (Some(size), _) => Ok(Self {
                path: path.to_owned(),
                version,
                count: stream.frame,
                size,
            }),
        }
    }

    pub fn frame_count(&self) -> usize {
        self.count
    }

    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// The ascending frames `wanted`; the process ends with the last of them.
    pub fn visit(&self, wanted: &[usize], visit: Visit) -> Result<(), VideoError> {
        let mut wanted = wanted.iter().peekable();
        if wanted.peek().is_none() {
            return Ok(());
        }
        let mut stream = Stream::start(&self.path, self.version)?;
        while let Some(frame) = wanted.peek()
            && let Some(next) = stream.next()?
        {
            if stream.frame != **frame {
                stream.skip(next)?;
                continue;
            }
            let index = stream.frame;
            visit(&[index], stream.take(next)?)?;
            wanted.next();
        }
        match wanted.next() {
            None => Ok(()),
            Some(&frame) => Err(VideoError::Ffmpeg {
                what: format!("it showed frame {frame} when frames were counted, and not again"),
            }),
        }
    }
}

/// Width and height in the header of a PPM image; `None` where nothing is left.
pub fn ppm_header(from: &mut &[u8]) -> Result<Option<(usize, usize)>, String> {
    let next = ppm::header(from)?;
    Ok(next.map(|next| (next.width as usize, next.height as usize)))
}

/// The frames of a running `ffmpeg`.
struct Stream {
    process: Process,
    /// The next one's index.
    frame: usize,
    /// Of the frames so far.
    pixels: u64,
    /// At the end: it said what it decoded.
    names_a_stream: bool,
}

impl Stream {
    fn start(path: &Path, version: Version) -> Result<Self, VideoError> {
        Ok(Self {
            process: Process::start(PROGRAM, &arguments(path, version), PATIENCE)?,
            frame: 0,
            pixels: 0,
            names_a_stream: false,
        })
    }

    /// The next frame's header; `None` behind the last, where `ffmpeg` ended well.
    fn next(&mut self) -> Result<Option<Next>, VideoError> {
        let header = ppm::header(&mut self.process.stdout);
        let Some(next) = self.explained(header)? else {
            self.names_a_stream = self.process.finish()?.names_a_stream();
            return Ok(None);
        };
        let Next { width, height, .. } = next;
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
        VideoError::check(limits::DECODING, self.pixels)?;
        Ok(Some(next))
    }

    fn skip(&mut self, next: Next) -> Result<(), VideoError> {
        let skipped = next.skip(&mut self.process.stdout);
        self.explained(skipped)?;
        self.done();
        Ok(())
    }

    fn take(&mut self, next: Next) -> Result<super::Image, VideoError> {
        let mut image = super::Image::black(next.width as usize, next.height as usize)?;
        let read = next.read(&mut self.process.stdout, &mut image.rgb);
        self.explained(read)?;
        self.done();
        Ok(image)
    }

    fn done(&mut self) {
        self.frame += 1;
        self.process.alive();
    }

    /// Where its output is not as expected, how the process ended says more than the output.
    fn explained<T>(&mut self, read: Result<T, String>) -> Result<T, VideoError> {
        match read {
            Ok(value) => Ok(value),
            Err(what) => {
                let what = format!("frame {}: {what}", self.frame);
                self.process.abandon()?;
                Err(VideoError::Ffmpeg { what })
            }
        }
    }
}

/// The first stream of moving images alone, every frame once, whatever the times say, in its own size, as 8 bits of red,
/// green, blue. All supported versions give the same bytes. Frames are numbered anew, for ffmpeg complains where two have
/// one time.
fn arguments(path: &Path, version: Version) -> Vec<OsString> {
    // `file:` keeps a name with a colon from being taken for a protocol.
    let mut name = OsString::from("file:");
    name.push(path);
    let pixels = limits::FRAME.most.to_string();
    let before = ["-nostdin", "-hide_banner", "-nostats", "-v", log::LEVEL];
    let input = ["-threads", "1", "-max_pixels", &pixels, "-i"];
    let streams = ["-map", "0:V:0", "-an", "-sn", "-dn"];
    let times = [
        "-vf",
        "settb=1/1000,setpts=N",
        "-enc_time_base",
        "1/1000",
        version.rule_of_times(),
        "passthrough",
    ];
    let pixels = [
        "-noautoscale",
        "-sws_flags",
        "neighbor+accurate_rnd+full_chroma_int+bitexact",
        "-pix_fmt",
        "rgb24",
    ];
    let output = ["-f", "image2pipe", "-c:v", "ppm", "-"];
    let own = |list: &[&str]| list.iter().map(OsString::from).collect::<Vec<_>>();
    let after = [&streams[..], &times, &pixels, &output].concat();
    [own(&before), own(&input), vec![name], own(&after)].concat()
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
