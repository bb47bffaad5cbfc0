//! What a small file may cost: work and memory are held against bounds before they are spent.

use std::path::Path;
use std::sync::Arc;

use ffn::base::limits::{self, Bound};
use ffn::data::video::VideoError;

use crate::limit::InTime;
use crate::open;

/// An element: identifier, size in four bytes, content.
fn element(id: &[u8], content: &[u8]) -> Vec<u8> {
    let size = 0x1000_0000 | content.len() as u32;
    [id, &size.to_be_bytes(), content].concat()
}

/// A WebM file of one VP9 track.
fn webm(packets: impl Iterator<Item = Vec<u8>>) -> tempfile::NamedTempFile {
    let blocks = packets.map(|packet| element(&[0xa3], &[&[0x81, 0, 0, 0], &*packet].concat()));
    let cluster = element(
        &[0x1f, 0x43, 0xb6, 0x75],
        &blocks.collect::<Vec<_>>().concat(),
    );
    let track = [
        element(&[0xd7], &[1]),
        element(&[0x83], &[1]),
        element(&[0x86], b"V_VP9"),
    ];
    let tracks = element(
        &[0x16, 0x54, 0xae, 0x6b],
        &element(&[0xae], &track.concat()),
    );
    let header = element(&[0x1a, 0x45, 0xdf, 0xa3], &element(&[0x42, 0x82], b"webm"));
    let segment = element(&[0x18, 0x53, 0x80, 0x67], &[tracks, cluster].concat());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), [header, segment].concat()).unwrap();
    file
}

/// Values with their numbers of bits, then zeros: to the decoder they mean one plain block after another.
fn frame(fields: &[(u32, usize)]) -> Vec<u8> {
    let bits = |(value, count): &(u32, usize)| {
        let value = *value;
        (0..*count)
            .rev()
            .map(move |place| (value >> place & 1) as u8)
    };
    let mut bits: Vec<u8> = fields.iter().flat_map(bits).collect();
    bits.resize(bits.len().next_multiple_of(8), 0);
    let byte = |bits: &[u8]| bits.iter().fold(0, |byte, bit| byte << 1 | bit);
    let header: Vec<u8> = bits.chunks(8).map(byte).collect();
    [header, vec![0; HEADER as usize + 16]].concat()
}

/// Bytes of a compressed header.
const HEADER: u32 = 32;

/// Filter, quantiser, segments, tiles: all at nothing.
const REST: [(u32, usize); 5] = [(0, 2), (0, 10), (1, 8), (0, 6), (HEADER, 16)];

/// A grey key frame.
fn key(width: u32, height: u32) -> Vec<u8> {
    let start = [
        (0b10, 2),
        (0b00, 2),
        (0, 1),
        (0, 1),
        (1, 1),
        (1, 1),
        (0x49_8342, 24),
        (1, 3),
    ];
    let size = [(0, 1), (width - 1, 16), (height - 1, 16), (0, 1)];
    frame(&[&start[..], &size, &REST].concat())
}

/// A frame that is predicted from another, of its size.
fn predicted() -> Vec<u8> {
    let start = [
        (0b10, 2),
        (0b00, 2),
        (0, 1),
        (1, 1),
        (1, 1),
        (1, 1),
        (0xff, 8),
    ];
    let references = [(0, 4), (0, 4), (0, 4), (1, 1), (0, 1), (0, 1), (0, 3)];
    frame(&[&start[..], &references, &REST].concat())
}

/// Shows what the first slot holds.
fn again() -> Vec<u8> {
    vec![0b1000_1000]
}

fn exceeds(bound: Bound) -> impl Fn(&VideoError) -> bool {
    move |error| matches!(error, VideoError::Exceeds { bound: b, .. } if *b == bound)
}

const SIDE: u32 = 4096;

#[test]
fn frames_that_show_one_image_cost_one() {
    let repeats = 20_000;
    let each = u64::from(SIDE * SIDE) * repeats as u64;
    assert!(each > limits::DECODING.most && 3 * each > limits::CLIP.most);
    let start = std::iter::once(key(SIDE, SIDE));
    let file = webm(start.chain(std::iter::repeat_with(again).take(repeats)));
    let video = open(file.path()).unwrap();
    assert_eq!(video.frame_count(), repeats + 1);
    let all: Vec<usize> = (0..=repeats).collect();
    let frames = video.frames(&all).unwrap();
    assert_eq!(frames.len(), repeats + 1);
    assert!(frames.iter().all(|frame| Arc::ptr_eq(frame, &frames[0])));
    assert!(
        frames[0]
            .rgb
            .iter()
            .all(|value| (127..=131).contains(value))
    );
}

#[test]
fn an_image_between_repeats_is_its_own() {
    let file = webm([key(64, 48), again(), predicted(), again(), key(64, 48)].into_iter());
    let video = open(file.path()).unwrap();
    let frames = video.frames(&[4, 3, 2, 1, 0]).unwrap();
    let same = |a: usize, b: usize| Arc::ptr_eq(&frames[a], &frames[b]);
    assert!(same(4, 3) && same(2, 1) && !same(3, 2) && !same(1, 0));
    for index in 0..5 {
        assert_eq!(video.frames(&[index]).unwrap()[0], frames[4 - index]);
    }
}

#[test]
fn work_is_bounded_before_it_is_begun() {
    let count = (limits::DECODING.most / u64::from(SIDE * SIDE)) as usize + 1;
    let start = std::iter::once(key(SIDE, SIDE));
    let chained = webm(start.chain(std::iter::repeat_with(predicted).take(count)));
    let chained = open(chained.path()).unwrap();
    let error = chained.frames(&[count]).unwrap_err();
    assert!(
        exceeds(limits::DECODING)(&error) && error.is_damage(),
        "{error}"
    );
    // What a frame does not rest on is not counted.
    let keys = webm(std::iter::repeat_with(|| key(SIDE, SIDE)).take(count));
    let keys = open(keys.path()).unwrap();
    assert_eq!(keys.frames(&[count - 1]).unwrap()[0].width, SIDE as usize);
    let all: Vec<usize> = (0..count).collect();
    let mut seen = 0;
    let error = keys.visit(&all, &mut |shown, _| {
        seen += shown.len();
        Ok(())
    });
    let error = error.unwrap_err();
    assert!(exceeds(limits::DECODING)(&error) && seen == 0, "{error}");
}

#[test]
fn a_container_has_a_bounded_number_of_frames_and_names() {
    let most = limits::VIDEO_FRAMES.most as usize;
    let file = webm(std::iter::repeat_with(again).take(most + 1));
    assert!(exceeds(limits::VIDEO_FRAMES)(
        &open(file.path()).err().unwrap()
    ));
    let entry = element(&[0xae], &element(&[0x86], &[b'x'; 200]));
    let tracks = element(&[0x16, 0x54, 0xae, 0x6b], &entry.repeat(5000));
    let header = element(&[0x1a, 0x45, 0xdf, 0xa3], &element(&[0x42, 0x82], b"webm"));
    let segment = element(&[0x18, 0x53, 0x80, 0x67], &tracks);
    std::fs::write(file.path(), [header, segment].concat()).unwrap();
    let error = open(file.path()).err().unwrap();
    assert!(matches!(error, VideoError::Container { .. }), "{error}");
}

#[test]
fn memory_is_bounded_before_it_is_taken() {
    let images = (limits::CLIP.most / u64::from(SIDE * SIDE * 3)) as usize + 1;
    let file = webm(std::iter::repeat_with(|| key(SIDE, SIDE)).take(images));
    let video = open(file.path()).unwrap();
    let all: Vec<usize> = (0..images).collect();
    let error = video.frames(&all).unwrap_err();
    assert!(
        exceeds(limits::CLIP)(&error) && !error.is_damage(),
        "{error}"
    );
}

#[test]
fn a_clip_in_memory_is_bounded() {
    let mut held = ffn::data::video::ClipMemory::default();
    let most = limits::CLIP.most as usize;
    held.add(most).unwrap();
    let error = held.add(1).unwrap_err();
    assert!(
        exceeds(limits::CLIP)(&error) && !error.is_damage(),
        "{error}"
    );
}

/// `ffn data frames` with as much address space as `kib`.
#[cfg(target_os = "linux")]
fn frames_within(kib: u64, video: &Path, at: &str) -> (i32, String) {
    let script = format!("ulimit -v {kib}; exec \"$0\" data frames \"$1\" --at {at}");
    let output = std::process::Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_ffn")])
        .arg(video)
        .in_time();
    let text = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap_or(-1), text)
}

#[cfg(target_os = "linux")]
#[test]
fn memory_that_is_not_there_is_the_machines_fault() {
    let sparse = tempfile::NamedTempFile::new().unwrap();
    std::fs::copy(crate::fixture("even.webm"), sparse.path()).unwrap();
    sparse.as_file().set_len(1000 << 20).unwrap();
    let (code, text) = frames_within(900_000, sparse.path(), "0");
    assert_eq!(code, 7, "{text}");
    assert!(text.contains("no memory for a video file"), "{text}");

    let large = webm(std::iter::once(key(SIDE, SIDE)));
    let (code, text) = frames_within(450_000, large.path(), "0");
    assert_eq!(code, 7, "{text}");
    assert!(text.contains("no memory for decoding a video"), "{text}");
    let (code, text) = frames_within(2_000_000, large.path(), "0");
    assert_eq!(code, 0, "{text}");
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo.webm");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    for path in [&*fifo, Path::new("/dev/zero"), folder.path()] {
        let error = open(path).err().unwrap();
        assert!(matches!(error, VideoError::NotAFile(_)), "{error}");
        assert!(!error.is_damage());
    }
    let (code, text) = crate::frames(&[fifo.to_str().unwrap()], None);
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("it is a FIFO, not a file"), "{text}");
}
