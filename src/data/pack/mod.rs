//! Packs: the decoded frames of a data set as images in uncompressed tar files, which a loader reads without decoding a video.
//!
//! | file | content |
//! |---|---|
//! | `pack.json` | [`Index`]: what was packed and how, size and SHA-256 of each other file; written last |
//! | `videos.jsonl` | for each video a line: its place, its hash and what is wrong with it |
//! | `shard-00000.tar` … | images `<id>/000000.ppm`, `.png` or `.jpg`, in the order of the lists; about 256 MiB each |
//! | `texts/…` | the data set's label files and lists |
//!
//! A pack is a data set's folder like the original: `--data-root` leads to it, its lists are read as the original's, and its pins are
//! the same, since the index knows each original's hash. What is held against a hash at the start of a run, and by `ffn data verify`, are the
//! packed images. A pack without loss gives the bytes that the videos give; of any other the manifest says what was lost.
//!
//! On an object store ([`super::store`]) a pack is the same files. There each tar file is held against its own hash when it arrives,
//! instead of the images at the start.

mod stored;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use stored::open_stored;
pub use write::{Packing, write};

use super::dataset::Sample;
use super::listing::Listing;
use super::store::Stored;
use super::video::{Packed, Source};
use crate::base::{Error, Kind, Result, Shown, count, files, limits};

pub const INDEX: &str = "pack.json";
pub const VIDEOS: &str = "videos.jsonl";
const TEXTS: &str = "texts";
/// Of 1 the index knows no hashes of tar files and lists: such a pack is read from a folder alone.
const FORMAT: u32 = 2;
/// A tar file's unit.
const BLOCK: u64 = 512;

/// In what the frames are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frames {
    /// PPM: bytes as they are. The largest, and the quickest to read.
    Raw,
    /// Compressed without loss.
    Png,
    Jpeg {
        /// From 1 to 100.
        quality: u8,
    },
    /// The image files of frame folders as they are.
    Original,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    format: u32,
    pub frames: Frames,
    /// The length to which the shorter side was resized, by Pillow's filter.
    pub short_side: Option<usize>,
    /// Names of the label files and lists, in `texts/`.
    texts: Vec<String>,
    /// Of `videos.jsonl`.
    videos_sha256: String,
    /// The tar files and lists, by their paths in the pack.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    files: BTreeMap<String, Content>,
    /// Videos that could not be read, or not to their end.
    unreadable: usize,
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    bytes: u64,
    sha256: String,
}

/// One video of the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: String,
    /// Number of the tar file.
    shard: usize,
    /// The first image's first byte in the tar file.
    first: u64,
    /// Bytes of an image's header, which lie between two images; each begins at a whole block.
    between: u64,
    /// Of each image.
    lengths: Vec<u64>,
    /// SHA-256 of the images one after another.
    sha256: String,
    /// SHA-256 of the video that was packed.
    source: String,
    /// Why that could not be read; it has no images then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unreadable: Option<String>,
}

impl Line {
    /// Of each image its first byte and its length.
    fn images(&self) -> Vec<(u64, u64)> {
        let mut at = self.first;
        let place = |&length: &u64| {
            let place = (at, length);
            let padded = length.checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX);
            at = at.saturating_add(padded).saturating_add(self.between);
            place
        };
        self.lengths.iter().map(place).collect()
    }
}

/// A pack that was opened: its index is whole.
pub struct Pack {
    root: PathBuf,
    pub index: Index,
    sha256: String,
    videos: BTreeMap<String, Arc<Packed>>,
}

/// Whether a folder is a pack, whole or not.
pub fn is_pack(root: &Path) -> bool {
    root.join(INDEX).is_file() || write::is_unfinished(root)
}

/// Where the tar file of a number lies: its path or address, and what has it where that is an object store.
type Place<'a> = dyn Fn(usize) -> Result<(PathBuf, Option<Stored>)> + 'a;

impl Pack {
    /// `None` where the folder is no pack.
    pub fn open(root: &Path) -> Result<Option<Self>> {
        let path = root.join(INDEX);
        if !path.is_file() {
            return match write::is_unfinished(root) {
                false => Ok(None),
                true => {
                    let message = format!("the pack `{}` is not finished", root.shown());
                    Err(Error::new(Kind::Data, message)
                        .hint("`ffn data pack` with the same --out writes it anew"))
                }
            };
        }
        let text = files::read_text(&path, limits::DOCUMENT)?;
        let place = |number| Ok((root.join(shard_name(number)), None));
        Self::read(root, root, &text, &place).map(Some)
    }

    /// Reads the index, whose text is that of `pack.json`, from the folder `root`. `called`: what a person knows the pack by.
    fn read(root: &Path, called: &Path, text: &str, place: &Place<'_>) -> Result<Self> {
        let index = Index::parse(called, text)?;
        let lines = files::read_text(&root.join(VIDEOS), limits::PACK)?;
        let computed = files::sha256(lines.as_bytes());
        if computed != index.videos_sha256 {
            let expected = index.videos_sha256.shown();
            let what = format!(
                "`{VIDEOS}` is not the one that was written\n  expected  {expected}\n  computed  {computed}"
            );
            return Err(wrong(called, &what));
        }
        let mut videos = BTreeMap::new();
        for (number, line) in lines.lines().enumerate() {
            let line: Line = serde_json::from_str(line).map_err(|error| {
                wrong(called, &format!("`{VIDEOS}` line {}: {error}", number + 1))
            })?;
            let (shard, stored) = match line.unreadable.is_none() {
                true => place(line.shard)?,
                // It has no images, and its tar file need not be one.
                false => (root.join(shard_name(line.shard)), None),
            };
            let packed = Packed {
                shard,
                stored,
                images: line.images(),
                sha256: line.sha256,
                source: line.source,
                unreadable: line.unreadable,
            };
            videos.insert(line.id, Arc::new(packed));
        }
        Ok(Self {
            sha256: files::sha256(text.as_bytes()),
            root: root.to_owned(),
            index,
            videos,
        })
    }

    /// Where its lists are.
    pub fn texts(&self) -> PathBuf {
        self.root.join(TEXTS)
    }

    /// Puts the packed videos in the place of those of lists that were read from [`Pack::texts`].
    pub fn fill(&self, listing: &mut Listing) {
        for samples in [&mut listing.train, &mut listing.validation] {
            for sample in samples {
                if let Some(packed) = self.videos.get(&sample.id) {
                    sample.source = Source::Packed(Arc::clone(packed));
                }
            }
        }
        let lacks = |sample: &Sample| match &sample.source {
            Source::Packed(packed) if packed.unreadable.is_some() => None,
            Source::Packed(packed) if packed.stored.is_some() => None,
            Source::Packed(packed) if packed.shard.is_file() => None,
            Source::Packed(packed) => {
                let name = packed.shard.file_name().unwrap_or_default();
                Some(format!("`{}` of the pack is not there", name.shown()))
            }
            _ => Some("the pack does not have it".to_owned()),
        };
        listing.note_missing(lacks);
    }

    /// What was lost in packing, for the manifest; `None`: nothing.
    pub fn loss(&self) -> Option<String> {
        let Index {
            frames,
            short_side,
            unreadable,
            ..
        } = &self.index;
        let mut lost = Vec::new();
        if let Frames::Jpeg { quality } = frames {
            lost.push(format!("JPEG of quality {quality}"));
        }
        if let Some(side) = short_side {
            lost.push(format!("a shorter side of {side} pixels"));
        }
        // Of a damaged video some frames may have been whole.
        if *unreadable > 0 {
            lost.push(format!(
                "no frame of {}",
                count(*unreadable, "unreadable video")
            ));
        }
        match lost.is_empty() {
            true => None,
            false => Some(format!(
                "{}, pack {}",
                lost.join(", "),
                self.sha256.get(..16).unwrap_or_default()
            )),
        }
    }
}

impl Index {
    fn parse(called: &Path, text: &str) -> Result<Self> {
        let index: Self = serde_json::from_str(text)
            .map_err(|error| wrong(called, &format!("`{INDEX}`: {error}")))?;
        match index.format {
            1..=FORMAT => Ok(index),
            other => Err(wrong(
                called,
                &format!("its format is {other}, this program reads up to {FORMAT}"),
            )),
        }
    }
}

fn wrong(called: &Path, what: &str) -> Error {
    Error::new(Kind::Data, format!("the pack `{}`: {what}", called.shown()))
        .hint("`ffn data pack` writes it anew, into another folder")
}

fn shard_name(number: usize) -> String {
    format!("shard-{number:05}.tar")
}
