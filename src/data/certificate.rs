//! What a copy of a data set is, in a file small enough to send: so that two laboratories can tell where theirs part.
//!
//! For each video: its split and label, the first 128 bits of its SHA-256, width, height, number of frames, a digest of the decoded pixels of four frames, and
//! the mean red, green and blue of these. The frames are ⌊(2k + 1)·n/8⌋ of n, k = 0 … 3; the digest is the first 64 bits of the
//! SHA-256 of `index width height` (each 8 bytes, little endian) and the bytes of each.
//!
//! The file is text, compressed as gzip: a line `ffn certificate 1`, lines about where it was made, each behind a tab, then a line for each video in the
//! order of their ids, its fields between tabs. A video that cannot be read has its hash, `!` and the reason.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use rayon::prelude::*;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::dataset::{Dataset, Progress, Sample};
use super::hashes;
use super::video::{self, Image, Place, Source, Video, VideoError};
use crate::base::{Error, Kind, Result, Shown, files, limits};

const FIRST_LINE: &str = "ffn certificate 1";
/// Frames whose pixels are looked at.
const FRAMES: usize = 4;
/// Channel means of two decodings of one scene differ by no more, and of two scenes nearly always by more.
const ALIKE: u8 = 12;

/// What is known of each video by its id, and lines about the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    pub about: Vec<String>,
    pub videos: BTreeMap<String, Listed>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Video(Facts),
    Unreadable {
        /// As of [`Facts`].
        file: String,
        reason: String,
    },
}

/// What a video is taken for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// `t` for training, `v` for validation, and the number of the class.
    pub label: String,
    pub entry: Entry,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Of the file, 32 hexadecimal digits.
    pub file: String,
    pub size: (usize, usize),
    pub frames: usize,
    /// Of decoded pixels, 16 hexadecimal digits.
    pub pixels: String,
    /// Mean red, green and blue of each of the frames.
    pub means: Vec<u8>,
}

impl Certificate {
    /// Hashes and decodes every video.
    pub fn of(dataset: &Dataset, about: Vec<String>, progress: &Progress<'_>) -> Result<Self> {
        let samples: Vec<&Sample> = dataset.samples().collect();
        let hashes = hashes::of_dataset(dataset, false, progress)?;
        let done = AtomicUsize::new(0);
        let trained = dataset.train.len();
        let entry = |number: usize, source: Place<'_>| {
            let (sample, hash) = (samples[number], &hashes[number]);
            let split = if number < trained { 't' } else { 'v' };
            let label = format!("{split}{}", sample.label);
            let file = hash.get(..32).unwrap_or(hash).to_owned();
            let entry = match look(source) {
                Ok((size, frames, pixels, means)) => Entry::Video(Facts {
                    file,
                    size,
                    frames,
                    pixels,
                    means,
                }),
                Err(error) if error.is_damage() => Entry::Unreadable {
                    file,
                    reason: error.to_string(),
                },
                Err(error) => return Err(error.into_error(&sample.id, sample.source.path())),
            };
            progress(
                "decoding videos",
                done.fetch_add(1, Ordering::Relaxed) + 1,
                samples.len(),
            );
            Ok((sample.id.clone(), Listed { label, entry }))
        };
        let sources: Vec<&Source> = samples.iter().map(|sample| &sample.source).collect();
        let most = dataset.together();
        let groups = sources.par_chunks(most).enumerate();
        let entries = groups.flat_map_iter(|(group, sources)| {
            video::together(sources, |place, source| entry(group * most + place, source))
        });
        let videos: Result<BTreeMap<_, _>> = entries.collect();
        Ok(Self {
            about,
            videos: videos?,
        })
    }

    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut text = format!("{FIRST_LINE}\n");
        for line in &self.about {
            let _ = writeln!(text, "\t{line}");
        }
        for (id, Listed { label, entry }) in &self.videos {
            let _ = match entry {
                Entry::Unreadable { file, reason } => {
                    writeln!(text, "{id}\t{label}\t{file}\t!\t{}", reason.shown())
                }
                Entry::Video(facts) => {
                    let Facts {
                        file,
                        size: (width, height),
                        frames,
                        pixels,
                        means,
                    } = facts;
                    let means = files::hex(means);
                    writeln!(
                        text,
                        "{id}\t{label}\t{file}\t{width}x{height}\t{frames}\t{pixels}\t{means}"
                    )
                }
            };
        }
        let failed =
            |error: std::io::Error| Error::new(Kind::Io, format!("cannot compress: {error}"));
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text.as_bytes()).map_err(failed)?;
        encoder.finish().map_err(failed)
    }

    /// Compressed or not.
    pub fn read(path: &Path) -> Result<Self> {
        let wrong = |what: String| {
            Error::new(
                Kind::Data,
                format!("the certificate `{}`: {what}", path.shown()),
            )
            .hint("`ffn data certify EXPERIMENT --out FILE` makes one")
        };
        let bytes = files::read(path, limits::LIST)?;
        let text = match bytes.starts_with(&[0x1f, 0x8b]) {
            false => bytes,
            true => {
                let mut text = Vec::new();
                // No more than a list may have, whatever it was compressed to.
                let mut decoder = GzDecoder::new(bytes.as_slice()).take(limits::LIST.most);
                decoder
                    .read_to_end(&mut text)
                    .map_err(|error| wrong(error.to_string()))?;
                text
            }
        };
        let text = String::from_utf8(text).map_err(|_| wrong("it is no text".into()))?;
        let mut lines = text.lines().enumerate();
        match lines.next() {
            Some((_, FIRST_LINE)) => {}
            other => {
                let found = other.map_or("nothing", |(_, line)| line);
                return Err(wrong(format!(
                    "it begins with `{}`, expected `{FIRST_LINE}`",
                    found.shown()
                )));
            }
        }
        let mut certificate = Self {
            about: Vec::new(),
            videos: BTreeMap::new(),
        };
        for (number, line) in lines {
            if let Some(about) = line.strip_prefix('\t') {
                certificate.about.push(about.to_owned());
                continue;
            }
            let (id, entry) = parse(line)
                .ok_or_else(|| wrong(format!("line {} is not a video's", number + 1)))?;
            if certificate.videos.insert(id.to_owned(), entry).is_some() {
                return Err(wrong(format!(
                    "line {} has an id that was there before",
                    number + 1
                )));
            }
        }
        Ok(certificate)
    }
}

fn digits(text: &str, count: usize) -> bool {
    text.len() == count && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn parse(line: &str) -> Option<(&str, Listed)> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [id, label, rest @ ..] = &fields[..] else {
        return None;
    };
    let listed = Listed {
        label: (*label).to_owned(),
        entry: parse_entry(rest)?,
    };
    Some((id, listed))
}

fn parse_entry(fields: &[&str]) -> Option<Entry> {
    match *fields {
        [file, "!", reason] if digits(file, 32) => {
            let (file, reason) = (file.to_owned(), reason.to_owned());
            Some(Entry::Unreadable { file, reason })
        }
        [file, size, frames, pixels, means] => {
            let (width, height) = size.split_once('x')?;
            if !digits(file, 32) || !digits(pixels, 16) || !digits(means, 2 * 3 * FRAMES) {
                return None;
            }
            let means = means.as_bytes().chunks(2);
            let mean = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
            let facts = Facts {
                file: file.to_owned(),
                size: (width.parse().ok()?, height.parse().ok()?),
                frames: frames.parse().ok()?,
                pixels: pixels.to_owned(),
                means: means.map(mean).collect::<Option<_>>()?,
            };
            Some(Entry::Video(facts))
        }
        _ => None,
    }
}

/// Size, frames, digest and means.
type Look = ((usize, usize), usize, String, Vec<u8>);

fn look(source: Place<'_>) -> Result<Look, VideoError> {
    let video = Video::open(source)?;
    let count = video.frame_count();
    if count == 0 {
        return Err(VideoError::NoFrames);
    }
    let wanted: Vec<usize> = (0..FRAMES)
        .map(|k| (2 * k + 1) * count / (2 * FRAMES))
        .collect();
    let images = video.frames(&wanted)?;
    let mut hasher = Sha256::new();
    let mut means = Vec::new();
    for (index, image) in wanted.iter().zip(&images) {
        for number in [*index, image.width, image.height] {
            hasher.update((number as u64).to_le_bytes());
        }
        hasher.update(&image.rgb);
        means.extend(mean(image));
    }
    let digest = files::hex(&hasher.finalize()[..8]);
    let size = images
        .first()
        .map_or((0, 0), |image| (image.width, image.height));
    Ok((size, count, digest, means))
}

fn mean(image: &Image) -> [u8; 3] {
    let pixels = image.rgb.as_chunks::<3>().0;
    let mut sums = [0u64; 3];
    for pixel in pixels {
        sums.iter_mut()
            .zip(pixel)
            .for_each(|(sum, v)| *sum += u64::from(*v));
    }
    sums.map(|sum| (sum / pixels.len().max(1) as u64) as u8)
}

/// How a video of one copy parts from the other's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    OnlyInA,
    OnlyInB,
    /// On one side, or for other reasons.
    Unreadable,
    /// In the other split.
    OtherSplit,
    OtherLabel,
    OtherSize,
    OtherFrameCount,
    /// Of the same size and length, and about the same colours.
    ReEncoded,
    OtherContent,
    /// Other bytes, the same pixels: another container, or other data about the video.
    SamePixels,
    /// The same bytes, other pixels: another decoder.
    DecodedOtherwise,
}

impl How {
    /// For a person, of several.
    pub fn words(self) -> &'static str {
        match self {
            Self::OnlyInA => "videos that b does not have",
            Self::OnlyInB => "videos that a does not have",
            Self::Unreadable => "videos that cannot be read",
            Self::OtherSplit => "videos in the other split",
            Self::OtherLabel => "videos with another label",
            Self::OtherSize => "videos of another size",
            Self::OtherFrameCount => "videos of another number of frames",
            Self::ReEncoded => "videos with other pixels and about the same colours: encoded again",
            Self::OtherContent => "videos with other pixels and other colours: other content",
            Self::SamePixels => {
                "videos in another file, of whose frames the four that were looked at are the same"
            }
            Self::DecodedOtherwise => "videos of the same bytes and other pixels: another decoder",
        }
    }
}

/// One video that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub how: How,
    pub id: String,
    pub a: Option<String>,
    pub b: Option<String>,
}

impl Listed {
    fn describe(&self) -> String {
        let of = match &self.entry {
            Entry::Unreadable { reason, .. } => reason.clone(),
            Entry::Video(facts) => {
                let (width, height) = facts.size;
                format!("{width}x{height}, {} frames", facts.frames)
            }
        };
        let (split, label) = self.label.split_at_checked(1).unwrap_or_default();
        let split = if split == "v" {
            "validation"
        } else {
            "training"
        };
        format!("{of}, label {label}, {split}")
    }
}

/// Every video that is not the same in both, by how and id.
pub fn compare(a: &Certificate, b: &Certificate) -> Vec<Difference> {
    let ids: std::collections::BTreeSet<&String> = a.videos.keys().chain(b.videos.keys()).collect();
    let mut differences: Vec<Difference> = ids
        .into_iter()
        .filter_map(|id| {
            let sides = [a.videos.get(id), b.videos.get(id)];
            let describe = |listed: Option<&Listed>| listed.map(Listed::describe);
            Some(Difference {
                how: how(sides)?,
                id: id.clone(),
                a: describe(sides[0]),
                b: describe(sides[1]),
            })
        })
        .collect();
    differences.sort_by_key(|difference| difference.how);
    differences
}

/// The gravest of them.
fn how(sides: [Option<&Listed>; 2]) -> Option<How> {
    let (a, b) = match sides {
        [None, _] => return Some(How::OnlyInB),
        [_, None] => return Some(How::OnlyInA),
        [Some(a), Some(b)] => (a, b),
    };
    if a.label.get(..1) != b.label.get(..1) {
        return Some(How::OtherSplit);
    }
    if a.label != b.label {
        return Some(How::OtherLabel);
    }
    let (Entry::Video(a), Entry::Video(b)) = (&a.entry, &b.entry) else {
        return (a.entry != b.entry).then_some(How::Unreadable);
    };
    let same_pixels = (a.size, a.frames, &a.pixels) == (b.size, b.frames, &b.pixels);
    let near = |(a, b): (&u8, &u8)| a.abs_diff(*b) <= ALIKE;
    Some(match (a.file == b.file, same_pixels) {
        (true, true) => return None,
        (true, false) => How::DecodedOtherwise,
        (false, true) => How::SamePixels,
        (false, false) if a.size != b.size => How::OtherSize,
        (false, false) if a.frames != b.frames => How::OtherFrameCount,
        (false, false) if a.means.iter().zip(&b.means).all(near) => How::ReEncoded,
        (false, false) => How::OtherContent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn facts(file: u8, pixels: u8) -> Facts {
        Facts {
            file: format!("{file:032x}"),
            size: (320, 240),
            frames: 50,
            pixels: format!("{pixels:016x}"),
            means: vec![100; 3 * FRAMES],
        }
    }

    fn listed(entry: Entry) -> Listed {
        Listed {
            label: "t3".into(),
            entry,
        }
    }

    #[test]
    fn labels_and_splits_are_compared() {
        let side = |label: &str| Certificate {
            about: Vec::new(),
            videos: [(
                "v".to_owned(),
                Listed {
                    label: label.into(),
                    ..listed(unreadable("x"))
                },
            )]
            .into(),
        };
        let how = |label| {
            compare(&side("t3"), &side(label))
                .first()
                .map(|found| found.how)
        };
        assert_eq!(how("t3"), None);
        assert_eq!(how("t4"), Some(How::OtherLabel));
        assert_eq!(how("v3"), Some(How::OtherSplit));
    }

    fn certificate(videos: &[(&str, Entry)]) -> Certificate {
        Certificate {
            about: vec!["here".into()],
            videos: videos
                .iter()
                .map(|(id, entry)| (id.to_string(), listed(entry.clone())))
                .collect(),
        }
    }

    fn unreadable(reason: &str) -> Entry {
        Entry::Unreadable {
            file: "0".repeat(32),
            reason: reason.into(),
        }
    }

    #[test]
    fn each_way_to_part_is_told() {
        let one = facts(1, 1);
        let cases = [
            (one.clone(), None),
            (facts(1, 2), Some(How::DecodedOtherwise)),
            (facts(2, 1), Some(How::SamePixels)),
            (facts(2, 2), Some(How::ReEncoded)),
            (
                Facts {
                    means: vec![130; 12],
                    ..facts(2, 2)
                },
                Some(How::OtherContent),
            ),
            (
                Facts {
                    frames: 51,
                    ..facts(2, 2)
                },
                Some(How::OtherFrameCount),
            ),
            (
                Facts {
                    size: (340, 256),
                    ..facts(2, 2)
                },
                Some(How::OtherSize),
            ),
        ];
        for (other, expected) in cases {
            let sides =
                [one.clone(), other].map(|facts| certificate(&[("v", Entry::Video(facts))]));
            let found = compare(&sides[0], &sides[1]);
            assert_eq!(found.first().map(|difference| difference.how), expected);
        }
        let cut_off = unreadable("it is cut off");
        let a = certificate(&[("only a", Entry::Video(one.clone())), ("v", cut_off)]);
        let b = certificate(&[
            ("only b", Entry::Video(one.clone())),
            ("v", Entry::Video(one)),
        ]);
        let how: Vec<How> = compare(&a, &b).into_iter().map(|d| d.how).collect();
        assert_eq!(how, [How::OnlyInA, How::OnlyInB, How::Unreadable]);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            ids in proptest::collection::btree_set("[a-z #/.()]{1,12}", 0..8), file: u8, pixels: u8, compressed: bool,
        ) {
            let entry = |id: &String| match id.len() % 3 {
                0 => unreadable("no frames"),
                _ => Entry::Video(facts(file, pixels)),
            };
            let videos = ids.iter().map(|id| (id.clone(), listed(entry(id))));
            let one = Certificate { about: vec!["made by ffn".into()], videos: videos.collect() };
            let path = tempfile::NamedTempFile::new().unwrap();
            let mut bytes = one.encode().unwrap();
            if !compressed {
                let mut text = Vec::new();
                GzDecoder::new(bytes.as_slice()).read_to_end(&mut text).unwrap();
                bytes = text;
            }
            std::fs::write(path.path(), bytes).unwrap();
            prop_assert_eq!(Certificate::read(path.path()).unwrap(), one);
        }

        #[test]
        fn damaged_certificates_are_read_or_refused(place: u16, value: u8) {
            let one = certificate(&[("a", Entry::Video(facts(1, 2))), ("b", unreadable("no frames"))]);
            let mut bytes = one.encode().unwrap();
            let place = usize::from(place) % bytes.len();
            bytes[place] = value;
            let path = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(path.path(), &bytes).unwrap();
            if let Err(error) = Certificate::read(path.path()) {
                prop_assert_eq!(error.kind, Kind::Data);
            }
        }
    }
}
