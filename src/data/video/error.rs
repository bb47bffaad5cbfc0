//! What can be wrong with a video, in terms a person can look up in the file.

use std::path::Path;

use crate::base::limits::{self, Bound};
use crate::base::{Error, Kind, Shown};

/// Why a video or one of its frames cannot be had. Frames count from 0, bytes from the file's start.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum VideoError {
    /// There is no such file or folder.
    Missing,
    /// The operating system refused to read.
    Unreadable(String),
    /// A FIFO, a device, a socket: what it is, in words.
    NotAFile(String),
    /// A file without a byte.
    Empty,
    /// More than a bound on videos, which is far above anything that a person works with.
    Exceeds { bound: Bound, found: u64 },
    /// The machine has not the memory: for what, and how much.
    Memory(String),
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
    /// A frame above [`limits::FRAME`].
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
    /// An image of a frame folder.
    Image {
        frame: usize,
        file: String,
        what: String,
    },
    /// The name pattern of a frame folder.
    Template { template: String, what: String },
    /// A format that is decoded by `ffmpeg`, which is not there.
    NeedsFfmpeg { format: String },
    /// An `ffmpeg` that is not one of the supported versions, as it calls itself.
    FfmpegVersion {
        found: String,
        /// The versions that are supported, in words.
        supported: &'static str,
    },
    /// `ffmpeg` was ended from outside, or did nothing for too long.
    FfmpegStopped { what: String },
    /// `ffmpeg` failed, and not for what it found in the file.
    Ffmpeg { what: String },
    /// What `ffmpeg` says of the file's content.
    FfmpegDamage { what: String },
    /// An object store did not give the tar file.
    Store(Error),
}

impl std::fmt::Display for VideoError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use VideoError::*;
        match self {
            Missing => write!(f, "there is no such file or folder"),
            Unreadable(what) | NotAFile(what) => write!(f, "it cannot be read: {}", what.shown()),
            Empty => write!(f, "the file is empty"),
            Exceeds { bound, found } => f.write_str(&bound.excess(*found)),
            Memory(what) => f.write_str(what),
            UnknownFormat { start } => write!(
                f,
                "it is no video of a known format: it starts with {}",
                start_of(start)
            ),
            Truncated { at, needed, size } => write!(
                f,
                "the file is cut off: the element at byte {at} needs {needed} bytes of file, and there are {size}"
            ),
            Container { at, what } => {
                write!(f, "the container is damaged at byte {at}: {}", what.shown())
            }
            NoVideoTrack { tracks } if tracks.is_empty() => write!(f, "it has no track at all"),
            NoVideoTrack { tracks } => write!(f, "it has no video track, only {}", listed(tracks)),
            NoFrames => write!(f, "it has no frames"),
            FrameHeader { frame, at, what } => {
                write!(
                    f,
                    "the header of frame {frame} at byte {at} is damaged: {}",
                    what.shown()
                )
            }
            FrameTooLarge {
                frame,
                width,
                height,
            } => write!(
                f,
                "frame {frame} declares {width}x{height} pixels, more than the limit of {} in all",
                limits::FRAME.most
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
            Decode { frame, what } => {
                write!(f, "frame {frame} cannot be decoded: {}", what.shown())
            }
            OutOfRange { frame, count } => write!(
                f,
                "frame {frame} was asked for, and there are {count}, numbered from 0"
            ),
            Numbering(what) => f.write_str(what),
            Image { frame, file, what } => {
                let (file, what) = (file.shown(), what.shown());
                write!(f, "the image of frame {frame}, `{file}`: {what}")
            }
            Template { template, what } => {
                write!(f, "the image name template `{}`: {what}", template.shown())
            }
            NeedsFfmpeg { format } => write!(
                f,
                "it is {}, which needs the program `ffmpeg`, and there is none on the PATH",
                format.shown()
            ),
            FfmpegVersion { found, supported } => write!(
                f,
                "the `ffmpeg` on the PATH is of version {}, and versions {supported} are supported",
                found.shown(),
            ),
            FfmpegStopped { what } => write!(f, "ffmpeg was stopped: {}", what.shown()),
            Ffmpeg { what } => write!(f, "ffmpeg failed: {}", what.shown()),
            FfmpegDamage { what } => write!(f, "ffmpeg cannot decode it: {}", what.shown()),
            Store(error) => f.write_str(&error.message),
        }
    }
}

impl std::error::Error for VideoError {}

/// The first bytes, in hexadecimal and as text.
fn start_of(bytes: &[u8]) -> String {
    let hex: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
    format!("`{}` ({})", bytes.escape_ascii(), hex.join(" "))
}

/// The names of a file's tracks, which may be many.
fn listed(tracks: &[String]) -> String {
    const SHOWN: usize = 8;
    let names: Vec<String> = tracks.iter().take(SHOWN).map(|name| name.shown()).collect();
    match tracks.len().checked_sub(SHOWN) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names.join(", ")),
    }
}

impl VideoError {
    /// Whether the file's own content is at fault: every machine finds the same, and a run may leave it out. Everything
    /// else, a file that is not there, a permission, a disk, memory, a program that is missing, of another version, stopped
    /// or broken, is a fault of this machine or of the data set as it lies here.
    pub fn is_damage(&self) -> bool {
        use VideoError::*;
        match self {
            Empty | UnknownFormat { .. } | Truncated { .. } | Container { .. } => true,
            NoVideoTrack { .. } | NoFrames | FrameHeader { .. } | FrameTooLarge { .. } => true,
            SizeChange { .. } | Decode { .. } | Image { .. } | FfmpegDamage { .. } => true,
            // What a clip has in memory, its experiment asks for.
            Exceeds { bound, .. } => *bound != limits::CLIP,
            Missing | Unreadable(_) | NotAFile(_) | Memory(_) => false,
            Numbering(_) | OutOfRange { .. } | Template { .. } | Store(_) => false,
            NeedsFfmpeg { .. } | FfmpegVersion { .. } | FfmpegStopped { .. } | Ffmpeg { .. } => {
                false
            }
        }
    }

    /// From [`limits::reserved`] and its kin.
    pub(in crate::data) fn memory(error: Error) -> Self {
        Self::Memory(error.message)
    }

    /// Refuses what is above a bound.
    pub(in crate::data) fn check(bound: Bound, found: u64) -> Result<(), Self> {
        match found <= bound.most {
            true => Ok(()),
            false => Err(Self::Exceeds { bound, found }),
        }
    }

    /// What the exit code tells: the machine, the operating system, or the data.
    fn kind(&self) -> Kind {
        match self {
            Self::Memory(_) | Self::FfmpegStopped { .. } => Kind::Device,
            Self::Exceeds { bound, .. } if *bound == limits::CLIP => Kind::Device,
            Self::Unreadable(_) => Kind::Io,
            Self::Store(error) => error.kind,
            _ => Kind::Data,
        }
    }

    /// The error for a person: which video, what is wrong, what to do.
    pub fn into_error(self, id: &str, path: &Path) -> Error {
        let message = match &self {
            // It names the tar file itself.
            Self::Store(error) => format!("video `{}`: {}", id.shown(), error.message),
            _ => format!("video `{}` (`{}`): {self}", id.shown(), path.shown()),
        };
        let hint = match &self {
            Self::Store(Error {
                hint: Some(hint), ..
            }) => hint.clone(),
            _ => self.advice().to_owned(),
        };
        Error::new(self.kind(), message).hint(hint)
    }

    fn advice(&self) -> &'static str {
        use VideoError::*;
        match self {
            Missing => "complete the data set, or correct the path",
            Unreadable(_) => "look at the file's permissions and the disk's health",
            Empty | Truncated { .. } => "copy or download the file again; it was not written whole",
            NotAFile(_) => "give a video file, or a folder of numbered images",
            Exceeds { bound, .. } if *bound == limits::CLIP => {
                "ask for fewer frames at once, or for smaller views"
            }
            Exceeds { bound, .. } if *bound == limits::DECODING => {
                "cut it into clips, or scale it down, for example with `ffmpeg -i IN -vf scale=427:240 OUT.webm`"
            }
            Exceeds { .. } => "cut it into clips",
            Memory(_) => {
                "close other programs, take fewer `--workers`, or ask for fewer frames at once"
            }
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
            Image { .. } => "extract the frames of this video again",
            Template { .. } => "write it like `img_{:05}.jpg`: one placeholder for the number",
            NeedsFfmpeg { .. } => {
                "install ffmpeg, or convert to WebM with VP9 elsewhere: `ffmpeg -i IN -c:v libvpx-vp9 OUT.webm`"
            }
            FfmpegVersion { .. } => {
                "install a supported one and put it first on the PATH, or convert to WebM with VP9: \
                 `ffmpeg -i IN -c:v libvpx-vp9 OUT.webm`"
            }
            FfmpegStopped { .. } => "look at the machine's load and memory, and try again",
            Store(_) => "look at the network and the store, and try again",
            Ffmpeg { .. } | FfmpegDamage { .. } => {
                "try `ffmpeg -i FILE -f null -` by hand; it says more"
            }
        }
    }
}
