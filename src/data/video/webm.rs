//! WebM and Matroska → the packets of the first video track, in file order.
//!
//! A strict reader of our own, because a data set must not lose frames silently: available demuxers take a read
//! error for the end of the stream and step over what they do not know, so a cut or damaged file looks like a
//! shorter video. Here every element must be one that Matroska knows and must lie inside its parent.

use std::ops::Range;

use super::VideoError;
use super::ebml::{self, Element, damaged};

/// A packet's bytes in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    pub bytes: Range<usize>,
    /// Decoded for the sake of later packets, never shown.
    pub invisible: bool,
}

/// The first video track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// Such as `V_VP9`.
    pub codec: String,
    /// The packets are compressed or encrypted once more.
    pub encoded: bool,
    pub packets: Vec<Packet>,
}

struct Entry {
    number: u64,
    kind: u64,
    codec: String,
    encoded: bool,
}

/// Reads the first video track.
pub fn read(bytes: &[u8]) -> Result<Track, VideoError> {
    let header = ebml::read(bytes, 0, bytes.len())?;
    let after_header = check_header(bytes, &header)?;
    let segment = ebml::read(bytes, after_header, bytes.len())?;
    if segment.id != ebml::SEGMENT {
        return Err(damaged(segment.at, "the segment is missing"));
    }
    let mut reader = Reader {
        bytes,
        entries: None,
        packets: Vec::new(),
    };
    reader.segment(segment.start, segment.end.unwrap_or(bytes.len()))?;
    let entries = reader
        .entries
        .ok_or_else(|| damaged(segment.at, "the list of tracks is missing"))?;
    let Some(track) = video_entry(&entries) else {
        return Err(VideoError::NoVideoTrack {
            tracks: entries.into_iter().map(|entry| entry.codec).collect(),
        });
    };
    Ok(Track {
        codec: track.codec.clone(),
        encoded: track.encoded,
        packets: reader.packets,
    })
}

fn check_header(bytes: &[u8], header: &Element) -> Result<usize, VideoError> {
    let end = match header.end {
        Some(end) if header.id == ebml::EBML => end,
        _ => return Err(damaged(0, "the EBML header is missing")),
    };
    let fields = ebml::children(bytes, header.start, end)?;
    let kind = fields.iter().find(|field| field.id == ebml::DOC_TYPE);
    match kind.map(|field| ebml::text(bytes, field)).as_deref() {
        Some("webm" | "matroska") => Ok(end),
        kind => Err(damaged(
            0,
            format!(
                "document type `{}`, expected `webm` or `matroska`",
                kind.unwrap_or("")
            ),
        )),
    }
}

fn video_entry(entries: &[Entry]) -> Option<&Entry> {
    const VIDEO: u64 = 1;
    entries.iter().find(|entry| entry.kind == VIDEO)
}

struct Reader<'a> {
    bytes: &'a [u8],
    entries: Option<Vec<Entry>>,
    packets: Vec<Packet>,
}

impl Reader<'_> {
    /// Walks the segment. Clusters and block groups are entered, so that their ends need not be known.
    fn segment(&mut self, start: usize, end: usize) -> Result<(), VideoError> {
        let mut at = start;
        while at < end {
            let element = ebml::read(self.bytes, at, end)?;
            at = match (element.id, element.end) {
                (ebml::CLUSTER | ebml::BLOCK_GROUP, _) => element.start,
                (id, None) => {
                    return Err(damaged(
                        element.at,
                        format!("element {id:x} has no known size"),
                    ));
                }
                (id, Some(content_end)) => {
                    match id {
                        ebml::TRACKS => self.tracks(element.start, content_end)?,
                        ebml::SIMPLE_BLOCK | ebml::BLOCK => self.block(&element, content_end)?,
                        ebml::INFO | ebml::TIMESTAMP => {}
                        id if ebml::SKIPPED.contains(&id) => {}
                        id => return Err(damaged(element.at, format!("unknown element {id:x}"))),
                    }
                    content_end
                }
            };
        }
        Ok(())
    }

    fn tracks(&mut self, start: usize, end: usize) -> Result<(), VideoError> {
        let mut entries = Vec::new();
        for child in ebml::children(self.bytes, start, end)? {
            if let (ebml::TRACK_ENTRY, Some(end)) = (child.id, child.end) {
                entries.push(self.entry(child.start, end)?);
            }
        }
        self.entries.get_or_insert(entries);
        Ok(())
    }

    fn entry(&self, start: usize, end: usize) -> Result<Entry, VideoError> {
        let mut entry = Entry {
            number: 0,
            kind: 0,
            codec: String::new(),
            encoded: false,
        };
        for field in ebml::children(self.bytes, start, end)? {
            match field.id {
                ebml::TRACK_NUMBER => entry.number = ebml::unsigned(self.bytes, &field)?,
                ebml::TRACK_TYPE => entry.kind = ebml::unsigned(self.bytes, &field)?,
                ebml::CODEC_ID => entry.codec = ebml::text(self.bytes, &field),
                ebml::CONTENT_ENCODINGS => entry.encoded = true,
                _ => {}
            }
        }
        Ok(entry)
    }

    /// A block: track number, 16-bit time, flags, then the packet.
    fn block(&mut self, element: &Element, end: usize) -> Result<(), VideoError> {
        const INVISIBLE: u8 = 0x08;
        const LACING: u8 = 0x06;
        let content = self.bytes.get(element.start..end).unwrap_or_default();
        let (number, length) = match ebml::vint(content) {
            Ok((Some(number), length)) => (number, length),
            _ => return Err(damaged(element.at, "a block without a track number")),
        };
        let Some(flags) = content.get(length + 2) else {
            return Err(damaged(
                element.at,
                format!("a block of {} bytes", content.len()),
            ));
        };
        let entries = self
            .entries
            .as_deref()
            .ok_or_else(|| damaged(element.at, "a block before the list of tracks"))?;
        if !entries.iter().any(|entry| entry.number == number) {
            return Err(damaged(
                element.at,
                format!("a block of track {number}, which is not declared"),
            ));
        }
        if video_entry(entries).is_none_or(|video| video.number != number) {
            return Ok(());
        }
        if flags & LACING != 0 {
            return Err(damaged(
                element.at,
                "video frames in a lace, which WebM does not use",
            ));
        }
        self.packets.push(Packet {
            bytes: element.start + length + 3..end,
            invisible: flags & INVISIBLE != 0,
        });
        Ok(())
    }
}
