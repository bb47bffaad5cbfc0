//! WebM and Matroska → the packets of the first video track, in file order.
//!
//! A strict reader of our own, because a data set must not lose frames silently: available demuxers take a read
//! error for the end of the stream and step over what they do not know, so a cut or damaged file looks like a
//! shorter video. Here every element must be one that Matroska knows and must lie inside its parent.

use std::ops::Range;

use super::VideoError;
use super::ebml::{self, Element, damaged};
use crate::base::limits;

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
    let kind = kind.map(|field| ebml::text(bytes, field)).transpose()?;
    match kind.as_deref() {
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
                ebml::CODEC_ID => entry.codec = ebml::text(self.bytes, &field)?,
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
        VideoError::check(limits::VIDEO_FRAMES, self.packets.len() as u64 + 1)?;
        self.packets.try_reserve(1).map_err(|_| {
            let bytes = size_of::<Packet>() * self.packets.len();
            VideoError::memory(limits::out_of_memory("a video's packets", bytes as u128))
        })?;
        self.packets.push(Packet {
            bytes: element.start + length + 3..end,
            invisible: flags & INVISIBLE != 0,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::ebml::{element as e, number as n};
    use super::*;

    const DURATION: u32 = 0x9B;

    fn entry(number: u64, kind: u64, codec: &str) -> Vec<u8> {
        let fields = [
            n(ebml::TRACK_NUMBER, number),
            n(ebml::TRACK_TYPE, kind),
            e(ebml::CODEC_ID, codec.as_bytes()),
        ];
        e(ebml::TRACK_ENTRY, &fields.concat())
    }

    fn tracks() -> Vec<u8> {
        let entries = [
            entry(1, 2, "A_OPUS"),
            entry(2, 1, "V_VP9"),
            entry(3, 1, "V_VP8"),
        ];
        e(ebml::TRACKS, &entries.concat())
    }

    /// A block of a track with these flags and one byte as its packet.
    fn block(id: u32, track: u8, flags: u8, packet: u8) -> Vec<u8> {
        e(id, &[0x80 | track, 0, 0, flags, packet])
    }

    fn file(segment: &[Vec<u8>]) -> Vec<u8> {
        let header = e(ebml::EBML, &e(ebml::DOC_TYPE, b"webm"));
        [header, e(ebml::SEGMENT, &segment.concat())].concat()
    }

    /// The packets' bytes, each with whether it is invisible.
    fn packets(segment: &[Vec<u8>]) -> Result<Vec<(u8, bool)>, VideoError> {
        let bytes = file(segment);
        let track = read(&bytes)?;
        assert_eq!(track.codec, "V_VP9");
        let packet = |packet: Packet| (bytes[packet.bytes.start], packet.invisible);
        Ok(track.packets.into_iter().map(packet).collect())
    }

    #[test]
    fn the_first_video_track_is_read_in_file_order() {
        let group = [block(ebml::BLOCK, 2, 0, 12), n(DURATION, 40)].concat();
        let clusters = [
            e(
                ebml::CLUSTER,
                &[
                    n(ebml::TIMESTAMP, 0),
                    block(ebml::SIMPLE_BLOCK, 2, 0x80, 10),
                    block(ebml::SIMPLE_BLOCK, 1, 0x80, 99),
                    block(ebml::SIMPLE_BLOCK, 2, 0x08, 11),
                ]
                .concat(),
            ),
            e(ebml::CLUSTER, &e(ebml::BLOCK_GROUP, &group)),
        ];
        let found = packets(&[tracks(), clusters.concat()]).unwrap();
        assert_eq!(found, [(10, false), (11, true), (12, false)]);
    }

    #[test]
    fn damage_is_named_with_its_place() {
        let cluster = |block: Vec<u8>| e(ebml::CLUSTER, &block);
        let cases = [
            ("no tracks", vec![], "the list of tracks is missing"),
            (
                "a block first",
                vec![cluster(block(ebml::SIMPLE_BLOCK, 2, 0, 1))],
                "a block before the list of tracks",
            ),
            (
                "an undeclared track",
                vec![tracks(), cluster(block(ebml::SIMPLE_BLOCK, 9, 0, 1))],
                "a block of track 9, which is not declared",
            ),
            (
                "a lace",
                vec![tracks(), cluster(block(ebml::SIMPLE_BLOCK, 2, 0x02, 1))],
                "video frames in a lace, which WebM does not use",
            ),
            (
                "a short block",
                vec![tracks(), cluster(e(ebml::SIMPLE_BLOCK, &[0x82, 0]))],
                "a block of 2 bytes",
            ),
            (
                "an unknown element",
                vec![tracks(), e(0xB9, &[])],
                "unknown element b9",
            ),
            (
                "a long number",
                vec![e(
                    ebml::TRACKS,
                    &e(ebml::TRACK_ENTRY, &e(ebml::TRACK_TYPE, &[0; 9])),
                )],
                "a number of 9 bytes",
            ),
        ];
        for (name, segment, expected) in cases {
            match packets(&segment) {
                Err(VideoError::Container { what, .. }) => assert_eq!(what, expected, "{name}"),
                other => panic!("{name}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_child_that_leaves_its_parent_is_refused() {
        let mut tracks = tracks();
        // The first entry's size, in the eight bytes behind the two identifiers and the parent's size.
        tracks[4 + 8 + 1 + 7] += 100;
        let segment = [tracks, e(ebml::INFO, &[0; 200])];
        assert!(matches!(
            packets(&segment),
            Err(VideoError::Container { .. })
        ));
    }
}
