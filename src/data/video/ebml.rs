//! EBML, the notation of Matroska and WebM (RFC 8794, RFC 9559): identifiers, variable-length sizes, elements.

use super::VideoError;

pub const EBML: u32 = 0x1A45_DFA3;
pub const EBML_VERSION: u32 = 0x4286;
pub const EBML_READ_VERSION: u32 = 0x42F7;
pub const MAX_ID_LENGTH: u32 = 0x42F2;
pub const MAX_SIZE_LENGTH: u32 = 0x42F3;
pub const DOC_TYPE: u32 = 0x4282;
pub const DOC_TYPE_VERSION: u32 = 0x4287;
pub const DOC_TYPE_READ_VERSION: u32 = 0x4285;
pub const SEGMENT: u32 = 0x1853_8067;
pub const INFO: u32 = 0x1549_A966;
pub const TIMESTAMP_SCALE: u32 = 0x2A_D7B1;
pub const MUXING_APP: u32 = 0x4D80;
pub const WRITING_APP: u32 = 0x5741;
pub const TRACKS: u32 = 0x1654_AE6B;
pub const TRACK_ENTRY: u32 = 0xAE;
pub const TRACK_NUMBER: u32 = 0xD7;
pub const TRACK_UID: u32 = 0x73C5;
pub const TRACK_TYPE: u32 = 0x83;
pub const CODEC_ID: u32 = 0x86;
pub const DEFAULT_DURATION: u32 = 0x23_E383;
pub const VIDEO: u32 = 0xE0;
pub const PIXEL_WIDTH: u32 = 0xB0;
pub const PIXEL_HEIGHT: u32 = 0xBA;
pub const CONTENT_ENCODINGS: u32 = 0x6D80;
pub const CLUSTER: u32 = 0x1F43_B675;
pub const TIMESTAMP: u32 = 0xE7;
pub const SIMPLE_BLOCK: u32 = 0xA3;
pub const BLOCK_GROUP: u32 = 0xA0;
pub const BLOCK: u32 = 0xA1;

/// Elements inside a segment or cluster that say nothing about its images: seek head, void, checksum, cues,
/// chapters, tags, attachments; previous size, position, silent tracks; duration, references, discard padding,
/// additions, priority, codec state, slices.
pub const SKIPPED: [u32; 17] = [
    0x114D_9B74,
    0xEC,
    0xBF,
    0x1C53_BB6B,
    0x1043_A770,
    0x1254_C367,
    0x1941_A469,
    0xAB,
    0xA7,
    0x5854,
    0x9B,
    0xFB,
    0x75A2,
    0x75A1,
    0xFA,
    0xA4,
    0x8E,
];

/// An element: its identifier and where it and its content lie in the file.
#[derive(Debug, Clone, Copy)]
pub struct Element {
    pub id: u32,
    /// The element's first byte.
    pub at: usize,
    pub start: usize,
    /// One behind the content's last byte; `None`: not known when it was written.
    pub end: Option<usize>,
}

/// Reads the element at `at`, which must end at or before `limit`, the end of its parent.
pub fn read(bytes: &[u8], at: usize, limit: usize) -> Result<Element, VideoError> {
    let cut_off = |needed: usize| VideoError::Truncated {
        at: at as u64,
        needed: needed as u64,
        size: bytes.len() as u64,
    };
    let rest = bytes.get(at..).unwrap_or_default();
    let first = *rest.first().ok_or_else(|| cut_off(at + 1))?;
    let id_length = first.leading_zeros() as usize + 1;
    if id_length > 4 {
        return Err(damaged(
            at,
            format!("no element starts with byte {first:02x}"),
        ));
    }
    let id = rest
        .get(..id_length)
        .ok_or_else(|| cut_off(at + id_length))?;
    let id = id.iter().fold(0, |id, byte| id << 8 | u32::from(*byte));
    let (size, size_length) = match vint(&rest[id_length..]) {
        Ok(size) => size,
        Err(Some(needed)) => return Err(cut_off(at + id_length + needed)),
        Err(None) => return Err(damaged(at, format!("element {id:x} has no size"))),
    };
    let start = at + id_length + size_length;
    let end = match size {
        None => None,
        Some(size) => {
            let end = usize::try_from(size)
                .ok()
                .and_then(|size| start.checked_add(size));
            let end =
                end.ok_or_else(|| damaged(at, format!("element {id:x} is {size} bytes long")))?;
            if end > bytes.len() {
                return Err(cut_off(end));
            }
            if end > limit {
                let what = format!("element {id:x} reaches to byte {end}, its parent to {limit}");
                return Err(damaged(at, what));
            }
            Some(end)
        }
    };
    Ok(Element { id, at, start, end })
}

/// The elements between `start` and `end`, all of known size, as they stand in headers: few.
pub fn children(bytes: &[u8], start: usize, end: usize) -> Result<Vec<Element>, VideoError> {
    const MOST: usize = 1000;
    let mut found = Vec::new();
    let mut at = start;
    while at < end {
        if found.len() == MOST {
            return Err(damaged(
                at,
                format!("more than {MOST} elements in a header"),
            ));
        }
        let child = read(bytes, at, end)?;
        at = child.end.ok_or_else(|| {
            damaged(
                child.at,
                format!("element {:x} has no known size", child.id),
            )
        })?;
        found.push(child);
    }
    Ok(found)
}

/// A variable-length integer and its length in bytes; `None` for the value that means unknown. The error is the
/// number of bytes it needs, or `None` where the first byte is zero.
pub fn vint(bytes: &[u8]) -> Result<(Option<u64>, usize), Option<usize>> {
    let first = *bytes.first().ok_or(Some(1))?;
    let length = first.leading_zeros() as usize + 1;
    if length > 8 {
        return Err(None);
    }
    let content = bytes.get(..length).ok_or(Some(length))?;
    let value = content
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte));
    let mask = (1u64 << (7 * length)) - 1;
    let value = value & mask;
    Ok(((value != mask).then_some(value), length))
}

/// The content of an element as an unsigned number.
pub fn unsigned(bytes: &[u8], element: &Element) -> Result<u64, VideoError> {
    match content(bytes, element) {
        content if content.len() <= 8 => Ok(content
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte))),
        content => Err(damaged(
            element.at,
            format!("a number of {} bytes", content.len()),
        )),
    }
}

/// The content of an element as text: a name, which is short.
pub fn text(bytes: &[u8], element: &Element) -> Result<String, VideoError> {
    const LONGEST: usize = 256;
    match content(bytes, element) {
        content if content.len() <= LONGEST => {
            let text = String::from_utf8_lossy(content);
            Ok(text.trim_end_matches('\0').to_owned())
        }
        content => Err(damaged(
            element.at,
            format!("a name of {} bytes", content.len()),
        )),
    }
}

fn content<'a>(bytes: &'a [u8], element: &Element) -> &'a [u8] {
    element
        .end
        .and_then(|end| bytes.get(element.start..end))
        .unwrap_or_default()
}

pub fn damaged(at: usize, what: impl Into<String>) -> VideoError {
    VideoError::Container {
        at: at as u64,
        what: what.into(),
    }
}

/// An element as bytes: identifier, size in eight bytes, content.
pub fn element(id: u32, content: &[u8]) -> Vec<u8> {
    const EIGHT_BYTES: u64 = 1 << 56;
    let id = id.to_be_bytes();
    let id = &id[id.iter().take_while(|byte| **byte == 0).count()..];
    let size = (EIGHT_BYTES | content.len() as u64).to_be_bytes();
    [id, &size, content].concat()
}

/// An element whose content is an unsigned number.
pub fn number(id: u32, value: u64) -> Vec<u8> {
    element(id, &value.to_be_bytes())
}
