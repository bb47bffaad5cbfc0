//! Other formats: decoded by an `ffmpeg` process, read from its standard output as a stream of PPM pictures.
//!
//! PPM says each picture's size, so nothing has to be asked beforehand and a change of size is seen. Sizes are
//! bounded by `-max_pixels` there and again here; standard error is kept up to a bound.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use super::{MAX_PIXELS, Picture, VideoError};

/// What is kept of `ffmpeg`'s messages, in bytes.
const MAX_MESSAGE: u64 = 2048;

/// A video that `ffmpeg` decodes.
pub struct Ffmpeg {
    path: PathBuf,
    count: usize,
}

impl Ffmpeg {
    /// Decodes the video once to count its frames: containers' own counts are estimates. `format` is for the
    /// error where there is no `ffmpeg`.
    pub fn open(path: &Path, format: &str) -> Result<Self, VideoError> {
        let mut count = 0;
        let mut size = None;
        decode(path, format, |frame, picture| {
            let found = (picture.width as u32, picture.height as u32);
            let first = *size.get_or_insert(found);
            if found != first {
                return Err(VideoError::SizeChange {
                    frame,
                    first,
                    found,
                });
            }
            count += 1;
            Ok(true)
        })?;
        match count {
            0 => Err(VideoError::NoFrames),
            _ => Ok(Self {
                path: path.to_owned(),
                count,
            }),
        }
    }

    pub fn frame_count(&self) -> usize {
        self.count
    }

    /// The frames marked in `wanted`, by index; the process ends with the last of them.
    pub fn pictures(&self, wanted: &[bool]) -> Result<Vec<Option<Arc<Picture>>>, VideoError> {
        let mut pictures = vec![None; wanted.len()];
        if wanted.is_empty() {
            return Ok(pictures);
        }
        decode(&self.path, "such a video", |frame, picture| {
            if let (Some(true), Some(slot)) = (wanted.get(frame), pictures.get_mut(frame)) {
                *slot = Some(Arc::new(picture));
            }
            Ok(frame + 1 < wanted.len())
        })?;
        Ok(pictures)
    }
}

/// Runs `ffmpeg` and visits the frames in order until `visit` says no.
fn decode(
    path: &Path,
    format: &str,
    mut visit: impl FnMut(usize, Picture) -> Result<bool, VideoError>,
) -> Result<(), VideoError> {
    let mut process = Process::start(path, format)?;
    let mut frame = 0;
    while let Some(picture) = process.picture(frame)? {
        if !visit(frame, picture)? {
            return Ok(());
        }
        frame += 1;
    }
    process.finish()
}

/// A running `ffmpeg`; dropped, it is ended.
struct Process {
    child: Child,
    pictures: BufReader<std::process::ChildStdout>,
    messages: Option<std::thread::JoinHandle<String>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; either way there is nothing left to do about it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    fn start(path: &Path, format: &str) -> Result<Self, VideoError> {
        // `file:` keeps a name with a colon from being taken for a protocol. `-autoscale 0` keeps sizes as they are.
        let mut name = std::ffi::OsString::from("file:");
        name.push(path);
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error", "-threads", "1", "-max_pixels"]);
        command.arg(MAX_PIXELS.to_string()).arg("-i").arg(name);
        command.args(["-map", "0:v:0", "-autoscale", "0", "-vsync", "passthrough"]);
        command.args([
            "-sws_flags",
            "neighbor+accurate_rnd+full_chroma_int+bitexact",
        ]);
        command.args(["-f", "image2pipe", "-c:v", "ppm", "-"]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => VideoError::NeedsFfmpeg {
                format: format.to_owned(),
            },
            _ => failed(error.to_string()),
        })?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(failed("its output is not connected"));
        };
        Ok(Self {
            child,
            pictures: BufReader::new(stdout),
            messages: Some(std::thread::spawn(move || messages(stderr))),
        })
    }

    /// The next picture, `None` at the end.
    fn picture(&mut self, frame: usize) -> Result<Option<Picture>, VideoError> {
        let ended = self
            .pictures
            .fill_buf()
            .map_err(|e| failed(e.to_string()))?
            .is_empty();
        if ended {
            return Ok(None);
        }
        if self.word()? != "P6" {
            return Err(failed("its output is not the expected PPM"));
        }
        let mut numbers = [0u32; 3];
        for number in &mut numbers {
            *number = self
                .word()?
                .parse()
                .map_err(|_| failed("a PPM header without a number"))?;
        }
        let [width, height, _] = numbers;
        let pixels = u64::from(width) * u64::from(height);
        if pixels > MAX_PIXELS {
            return Err(VideoError::FrameTooLarge {
                frame,
                width,
                height,
            });
        }
        let mut rgb = vec![0; pixels as usize * 3];
        self.pictures
            .read_exact(&mut rgb)
            .map_err(|_| failed(format!("it stopped in frame {frame}")))?;
        Ok(Some(Picture {
            width: width as usize,
            height: height as usize,
            rgb,
        }))
    }

    /// The next word of a PPM header, and the one white space behind it.
    fn word(&mut self) -> Result<String, VideoError> {
        let mut word = String::new();
        let mut byte = [0];
        while word.len() < 16 {
            let read = self.pictures.read_exact(&mut byte);
            read.map_err(|_| failed("it stopped in a PPM header"))?;
            match byte[0] {
                b' ' | b'\n' => return Ok(word),
                byte => word.push(byte as char),
            }
        }
        Err(failed("its output is not the expected PPM"))
    }

    /// Waits for the end and asks how it went. A message is a failure, too: by itself `ffmpeg` goes on after damage.
    fn finish(mut self) -> Result<(), VideoError> {
        let status = self.child.wait().map_err(|e| failed(e.to_string()))?;
        let messages = self.messages.take().and_then(|thread| thread.join().ok());
        match messages {
            Some(messages) if !messages.is_empty() => Err(failed(messages)),
            _ if status.success() => Ok(()),
            _ => Err(failed(status.to_string())),
        }
    }
}

/// Reads everything, so that the process is never held up, and keeps the start.
fn messages(mut stderr: impl Read) -> String {
    let mut kept = Vec::new();
    // What cannot be read cannot be shown; the exit status still tells.
    let _ = stderr.by_ref().take(MAX_MESSAGE).read_to_end(&mut kept);
    let _ = std::io::copy(&mut stderr, &mut std::io::sink());
    String::from_utf8_lossy(&kept).trim().replace('\n', "; ")
}

fn failed(what: impl Into<String>) -> VideoError {
    VideoError::Ffmpeg { what: what.into() }
}

/// The format of a file that is not Matroska, by its first bytes.
pub fn format(start: &[u8]) -> Option<&'static str> {
    match start {
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => Some("an MP4 or QuickTime file"),
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
