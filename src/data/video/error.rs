//! What can be wrong with a video, in terms a person can look up in the file.

use std::path::Path;

use crate::base::{Error, Kind, Shown};

/// Why a video or one of its frames cannot be had. Frames count from 0, bytes from the file's start.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum VideoError {
    /// There is no such file or folder.
    Missing,
    /// The operating system refused to read.
    Unreadable(String),
    /// A file without a byte.
    Empty,
    /// A file above [`MAX_BYTES`](super::MAX_BYTES).
    FileTooLarge { bytes: u64 },
    /// Neither WebM nor another container that is known by its first bytes.
    UnknownFormat { start: Vec<u8> },
    /// The file ends before the element at byte `at` does.
    Truncated { at: u64, needed: u64, size: u64 },
    /// The container contradicts itself at byte `at`.
    Container { at: u64, what: String },
    /// A container of other things, such as sound.
    NoVideoTrack { tracks: Vec<String> },
    /// A video track without a frame to show.
    NoFrames,
    /// The header of the coded frame at byte `at` makes no sense.
    FrameHeader { frame: usize, at: u64, what: String },
    /// A frame above [`MAX_PIXELS`](super::MAX_PIXELS).
    FrameTooLarge {
        frame: usize,
        width: u32,
        height: u32,
    },
    /// A frame of another size than the first.
    SizeChange {
        frame: usize,
        first: (u32, u32),
        found: (u32, u32),
    },
    /// A frame that the decoder refuses.
    Decode { frame: usize, what: String },
    /// A frame behind the last was asked for.
    OutOfRange { frame: usize, count: usize },
    /// The images of a frame folder are not numbered as they are asked for: which one is missing, and what is there.
    Numbering(String),
    /// A picture of a frame folder.
    Picture {
        frame: usize,
        file: String,
        what: String,
    },
    /// The name pattern of a frame folder.
    Template { template: String, what: String },
    /// A format that is decoded by `ffmpeg`, which is not there.
    NeedsFfmpeg { format: String },
    /// `ffmpeg` failed.
    Ffmpeg { what: String },
}

impl std::fmt::Display for VideoError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use VideoError::*;
        match self {
            Missing => write!(f, "there is no such file or folder"),
            Unreadable(what) => write!(f, "it cannot be read: {what}"),
            Empty => write!(f, "the file is empty"),
            FileTooLarge { bytes } => write!(
                f,
                "the file has {bytes} bytes; videos are read whole, up to {} bytes",
                super::MAX_BYTES
            ),
            UnknownFormat { start } => write!(
                f,
                "it is no video of a known format: it starts with {}",
                start_of(start)
            ),
            Truncated { at, needed, size } => write!(
                f,
                "the file is cut off: the element at byte {at} needs {needed} bytes of file, and there are {size}"
            ),
            Container { at, what } => write!(f, "the container is damaged at byte {at}: {what}"),
            NoVideoTrack { tracks } if tracks.is_empty() => write!(f, "it has no track at all"),
            NoVideoTrack { tracks } => {
                write!(f, "it has no video track, only {}", tracks.join(", "))
            }
            NoFrames => write!(f, "it has no frames"),
            FrameHeader { frame, at, what } => {
                write!(
                    f,
                    "the header of frame {frame} at byte {at} is damaged: {what}"
                )
            }
            FrameTooLarge {
                frame,
                width,
                height,
            } => write!(
                f,
                "frame {frame} declares {width}x{height} pixels, more than the limit of {} in all",
                super::MAX_PIXELS
            ),
            SizeChange {
                frame,
                first,
                found,
            } => write!(
                f,
                "frame {frame} has {}x{} pixels, those before it {}x{}; one size is expected throughout",
                found.0, found.1, first.0, first.1
            ),
            Decode { frame, what } => write!(f, "frame {frame} cannot be decoded: {what}"),
            OutOfRange { frame, count } => write!(
                f,
                "frame {frame} was asked for, and there are {count}, numbered from 0"
            ),
            Numbering(what) => f.write_str(what),
            Picture { frame, file, what } => {
                write!(f, "the picture of frame {frame}, `{file}`: {what}")
            }
            Template { template, what } => {
                write!(f, "the picture name template `{template}`: {what}")
            }
            NeedsFfmpeg { format } => write!(
                f,
                "it is {format}, which needs the program `ffmpeg`, and there is none on the PATH"
            ),
            Ffmpeg { what } => write!(f, "ffmpeg cannot decode it: {what}"),
        }
    }
}

impl std::error::Error for VideoError {}

/// The first bytes, in hexadecimal and as text.
fn start_of(bytes: &[u8]) -> String {
    let hex: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
    format!("`{}` ({})", bytes.escape_ascii(), hex.join(" "))
}

impl VideoError {
    /// Whether the bytes of the file itself are damaged or no video. Everything else, a file that is not there, a
    /// permission, a disk, memory, a program that is missing or of another version, is a fault of this machine or of the
    /// data set as it lies here: another machine, or this one tomorrow, would not have it.
    pub fn is_damage(&self) -> bool {
        use VideoError::*;
        match self {
            Empty | FileTooLarge { .. } | UnknownFormat { .. } | Truncated { .. } => true,
            Container { .. } | NoVideoTrack { .. } | NoFrames | FrameHeader { .. } => true,
            FrameTooLarge { .. } | SizeChange { .. } | Decode { .. } | Picture { .. } => true,
            Missing | Unreadable(_) | Numbering(_) | OutOfRange { .. } => false,
            Template { .. } | NeedsFfmpeg { .. } | Ffmpeg { .. } => false,
        }
    }

    /// The error for a person: which video, what is wrong, what to do.
    pub fn into_error(self, id: &str, path: &Path) -> Error {
        let hint = self.advice();
        Error::new(
            Kind::Data,
            format!("video `{id}` (`{}`): {self}", path.shown()),
        )
        .hint(hint)
    }

    fn advice(&self) -> &'static str {
        use VideoError::*;
        match self {
            Missing => "complete the data set, or correct the path",
            Unreadable(_) => "look at the file's permissions and the disk's health",
            Empty | Truncated { .. } => "copy or download the file again; it was not written whole",
            FileTooLarge { .. } => "cut it into clips",
            UnknownFormat { .. } => {
                "WebM with VP9 is decoded in process; mp4, avi and other known containers through ffmpeg"
            }
            NoVideoTrack { .. } => "a file with a video track is needed",
            NoFrames => "leave it out of the lists, or get the complete file",
            Container { .. } | FrameHeader { .. } | Decode { .. } => {
                "copy or download the file again; if the original is damaged, leave it out of the lists"
            }
            FrameTooLarge { .. } | SizeChange { .. } => {
                "scale it to one moderate size, for example with `ffmpeg -i IN -vf scale=427:240 OUT.webm`"
            }
            OutOfRange { .. } => "ask for frames that the video has",
            Numbering(_) => {
                "a template and a first number say how images are named (in an experiment `template:` and `first:`, \
                 on the command line `--template` and `--first`); if some are missing, extract the frames again"
            }
            Picture { .. } => "extract the frames of this video again",
            Template { .. } => "write it like `img_{:05}.jpg`: one placeholder for the number",
            NeedsFfmpeg { .. } => {
                "install ffmpeg, or convert to WebM with VP9 elsewhere: `ffmpeg -i IN -c:v libvpx-vp9 OUT.webm`"
            }
            Ffmpeg { .. } => "try `ffmpeg -i FILE -f null -` by hand; it says more",
        }
    }
}
