//! VP9 in WebM, decoded in process.
//!
//! Headers tell beforehand what a request costs: how many pixels are decoded and converted, which of its frames are one
//! image, and what the decoder holds at one time. All of it is known, and held against its bounds, before the first frame
//! is decoded.

use std::collections::BTreeMap;

use rusty_vp9::{DecodedFrame, Vp9Decoder};

use super::header::{Colour, Frame, HeaderError, Headers, Image, superframe};
use super::webm::Packet;
use super::{OneSize, VideoError, Visit, yuv};
use crate::base::limits;

/// A stream whose headers make sense.
pub struct Vp9 {
    bytes: Vec<u8>,
    packets: Vec<Coded>,
    /// What each shown frame shows. Frames with the same are the same image.
    shown: Vec<Look>,
    size: (u32, u32),
    /// What the decoder needs at most, in bytes.
    memory: u64,
}

/// A packet, and the frame that it shows: at most one, as in libvpx.
struct Coded {
    packet: Packet,
    /// It starts with a key frame: decoding may begin here.
    key: bool,
    shown: Option<usize>,
    /// Pixels that are decoded for it; 0 where it only shows again what was decoded before.
    pixels: u64,
}

/// A decoded image, by the number of coded frames before it, under the colours that it is shown in.
type Look = (usize, Colour);

impl Vp9 {
    /// Reads every header: counts the frames that are shown, checks their sizes. Decodes nothing.
    pub fn open(bytes: Vec<u8>, packets: Vec<Packet>) -> Result<Self, VideoError> {
        let mut headers = Headers::default();
        let mut coded = limits::reserved(packets.len(), "a video's list of packets")
            .map_err(VideoError::memory)?;
        let mut shown = limits::reserved(packets.len(), "a video's list of frames")
            .map_err(VideoError::memory)?;
        let mut sizes = OneSize::default();
        let mut memory = 0;
        for packet in packets {
            let seen = Seen::read(&mut headers, &bytes, &packet, shown.len())?;
            memory = seen.memory(&packet).max(memory);
            let image = seen.image.filter(|_| !packet.invisible);
            if let Some(image) = image {
                sizes.check(shown.len(), image.size())?;
            }
            coded.push(Coded {
                packet,
                key: seen.key,
                shown: image.map(|_| shown.len()),
                pixels: seen.pixels,
            });
            shown.extend(image.map(|image| (image.number, headers.colour())));
        }
        Ok(Self {
            bytes,
            packets: coded,
            shown,
            size: sizes.first.ok_or(VideoError::NoFrames)?,
            memory,
        })
    }

    pub fn frame_count(&self) -> usize {
        self.shown.len()
    }

    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// How many different images the frames `wanted` show.
    pub fn images(&self, wanted: &[usize]) -> usize {
        self.groups(wanted).len()
    }

    /// The images of the ascending frames `wanted`. Only what they rest on is decoded, and each is converted once.
    pub fn visit(&self, wanted: &[usize], visit: Visit) -> Result<(), VideoError> {
        let groups = self.groups(wanted);
        let needed = self.needed(|index| groups.contains_key(&index));
        self.check_costs(&needed, groups.len())?;
        self.decode(&needed, |index, frame| {
            let (Some(indices), Some((_, colour))) = (groups.get(&index), self.shown.get(index))
            else {
                return Ok(());
            };
            visit(indices, yuv::to_image(frame, *colour, index)?)
        })
    }

    /// The frames `wanted` by what they show: the first of each, with all of them.
    fn groups(&self, wanted: &[usize]) -> BTreeMap<usize, Vec<usize>> {
        let mut firsts = BTreeMap::new();
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for &index in wanted {
            if let Some(look) = self.shown.get(index) {
                let first = *firsts.entry(look).or_insert(index);
                groups.entry(first).or_default().push(index);
            }
        }
        groups
    }

    /// Holds the work of decoding and converting against its bound, and asks for the memory that the decoder will take
    /// without asking.
    fn check_costs(&self, needed: &[&Coded], images: usize) -> Result<(), VideoError> {
        let area = u64::from(self.size.0) * u64::from(self.size.1);
        let decoded: u64 = needed.iter().map(|coded| coded.pixels).sum();
        VideoError::check(limits::DECODING, decoded + area * images as u64)?;
        limits::reserved::<u8>(self.memory as usize, "decoding a video")
            .map(drop)
            .map_err(VideoError::memory)
    }

    /// Decodes packets in order; visits each frame that is shown.
    fn decode(
        &self,
        needed: &[&Coded],
        mut visit: impl FnMut(usize, &DecodedFrame) -> Result<(), VideoError>,
    ) -> Result<(), VideoError> {
        let mut decoder = Vp9Decoder::new();
        // With the end announced, `Eof` means that a packet is used up and `Again` that a frame was hidden.
        decoder.flush();
        let mut next = 0;
        for coded in needed {
            let data = self
                .bytes
                .get(coded.packet.bytes.clone())
                .unwrap_or_default();
            let frame = coded.shown.unwrap_or(next);
            let wrong = |what: String| VideoError::Decode { frame, what };
            let decoded =
                decode_packet(&mut decoder, data).map_err(|error| wrong(error.to_string()))?;
            match (coded.shown, decoded) {
                (None, _) => {}
                (Some(index), Some(decoded)) => {
                    self.check_size(index, &decoded)?;
                    visit(index, &decoded)?;
                    next = index + 1;
                }
                (Some(_), None) => return Err(wrong("its packet shows nothing".to_owned())),
            }
        }
        Ok(())
    }

    /// The packets from each wanted frame back to the key frame on which it rests, in order, without those that show
    /// again what was decoded before, where that is not wanted.
    fn needed(&self, wanted: impl Fn(usize) -> bool) -> Vec<&Coded> {
        let mut rests = false;
        let mut needed = Vec::with_capacity(self.packets.len());
        for coded in self.packets.iter().rev() {
            let is_wanted = coded.shown.is_some_and(&wanted);
            rests |= is_wanted;
            if rests && (is_wanted || coded.pixels > 0) {
                needed.push(coded);
            }
            rests &= !coded.key;
        }
        needed.reverse();
        needed
    }

    fn check_size(&self, frame: usize, decoded: &DecodedFrame) -> Result<(), VideoError> {
        let mut sizes = OneSize {
            first: Some(self.size),
        };
        sizes.check(frame, (decoded.width, decoded.height))
    }
}

/// What a packet's headers tell.
struct Seen {
    /// What it shows, if it shows something.
    image: Option<Image>,
    /// Its first frame is a key frame.
    key: bool,
    /// Of all frames that are coded in it.
    pixels: u64,
    /// Of the decoder's images with it and of the largest frame in it.
    held: u64,
    largest: u64,
}

impl Seen {
    fn read(
        headers: &mut Headers,
        bytes: &[u8],
        packet: &Packet,
        index: usize,
    ) -> Result<Self, VideoError> {
        let explain = |error| explain(error, packet, index);
        let data = bytes.get(packet.bytes.clone()).unwrap_or_default();
        let mut seen = Self {
            image: None,
            key: false,
            pixels: 0,
            held: 0,
            largest: 0,
        };
        for (place, frame) in superframe(data).map_err(explain)?.into_iter().enumerate() {
            let frame = headers.frame(frame).map_err(explain)?;
            seen.key |= place == 0 && frame.key;
            seen.add(headers, frame);
        }
        Ok(seen)
    }

    fn add(&mut self, headers: &Headers, frame: Frame) {
        if !frame.repeated {
            self.pixels += frame.image.pixels();
        }
        if frame.shown {
            self.image = Some(frame.image);
        }
        let bytes = |image: &Image| decoder_bytes(image, headers.full_chroma());
        self.largest = self.largest.max(bytes(&frame.image));
        self.held = self.held.max(headers.held().map(bytes).sum());
    }

    /// Bytes that the decoder needs for it: the images in its slots, the frame that it decodes, two that it keeps for
    /// their memory, one as it is handed out; and the packet twice.
    fn memory(&self, packet: &Packet) -> u64 {
        self.held + 4 * self.largest + 2 * packet.bytes.len() as u64
    }
}

/// What rusty_vp9 reserves for a frame: planes of two bytes a sample, with a margin of 72 and rows of a power of two, and
/// about 80 bytes for each block of 8x8 pixels.
fn decoder_bytes(image: &Image, full_chroma: bool) -> u64 {
    const MARGIN: u64 = 72;
    let plane = |shift: u32| {
        let [width, height] = [image.width, image.height].map(|side| u64::from(side) >> shift);
        (width + 1 + MARGIN).next_power_of_two() * (height + 1 + MARGIN) * 2
    };
    let chroma = plane(u32::from(!full_chroma));
    let blocks = u64::from(image.width / 8 + 1) * u64::from(image.height / 8 + 1);
    plane(0) + 2 * chroma + 96 * blocks
}

fn explain(error: HeaderError, packet: &Packet, frame: usize) -> VideoError {
    match error {
        HeaderError::Damaged(what) => VideoError::FrameHeader {
            frame,
            at: packet.bytes.start as u64,
            what,
        },
        HeaderError::TooLarge { width, height } => VideoError::FrameTooLarge {
            frame,
            width,
            height,
        },
    }
}

/// The image that a packet shows, if any.
fn decode_packet(
    decoder: &mut Vp9Decoder,
    data: &[u8],
) -> Result<Option<DecodedFrame>, rusty_vp9::Error> {
    decoder.push(data, None)?;
    let mut shown = None;
    loop {
        match decoder.next_frame() {
            Ok(frame) => shown = Some(frame),
            Err(rusty_vp9::Error::Again) => {}
            Err(rusty_vp9::Error::Eof) => return Ok(shown),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::files::sha256;
    use crate::data::video::{Image, webm};

    const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/videos");

    fn open(name: &str) -> Vp9 {
        let bytes = std::fs::read(format!("{FIXTURES}/{name}.webm")).unwrap();
        let track = webm::read(&bytes).unwrap();
        Vp9::open(bytes, track.packets).unwrap()
    }

    /// A fixture's stream several times, one behind the other: each begins with the only key frame that it has.
    fn repeated(name: &str, times: usize) -> Vp9 {
        let once = open(name);
        let moved = |part: usize| {
            let start = part * once.bytes.len();
            once.packets.iter().map(move |coded| Packet {
                bytes: start + coded.packet.bytes.start..start + coded.packet.bytes.end,
                invisible: coded.packet.invisible,
            })
        };
        let packets = (0..times).flat_map(moved).collect();
        Vp9::open(once.bytes.repeat(times), packets).unwrap()
    }

    /// SHA-256 of each frame's planes: what ffmpeg decodes, written by `fixtures/make.sh`.
    fn expected(name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(format!("{FIXTURES}/{name}.framehash")).unwrap();
        let frames = text.lines().filter(|line| !line.starts_with('#'));
        frames
            .map(|line| line.rsplit(',').next().unwrap().trim().to_owned())
            .collect()
    }

    #[test]
    fn planes_equal_those_of_ffmpeg() {
        let names = [
            "even",
            "odd",
            "one_frame",
            "one_pixel",
            "altref",
            "audio",
            "piped",
            "error_resilient",
            "bt709_full",
            "yuv422",
            "yuv440",
            "yuv444",
            "rgb",
            "ten_bit",
            "twelve_bit_444",
        ];
        for name in names {
            let video = open(name);
            let mut hashes = Vec::new();
            let visit = |_, frame: &DecodedFrame| {
                hashes.push(sha256(&frame.planes.concat()));
                Ok(())
            };
            video.decode(&video.needed(|_| true), visit).unwrap();
            assert_eq!(
                hashes,
                expected(name),
                "{name}: the VP9 decoder gives other bytes than ffmpeg and than before: with it no run can be repeated to \
                 the bit. Stay with the version that Cargo.toml names"
            );
            assert_eq!(video.frame_count(), hashes.len(), "{name}");
        }
    }

    fn images(video: &Vp9, wanted: &[usize]) -> BTreeMap<usize, Image> {
        let mut found = BTreeMap::new();
        let visit: Visit = &mut |indices, image| {
            found.extend(indices.iter().map(|index| (*index, image.clone())));
            Ok(())
        };
        video.visit(wanted, visit).unwrap();
        found
    }

    #[test]
    fn decoding_begins_at_the_key_frame_before_a_wanted_one() {
        let video = repeated("altref", 3);
        let all = images(&video, &(0..90).collect::<Vec<_>>());
        let shown = |needed: &[&Coded]| needed.iter().filter(|c| c.shown.is_some()).count();
        for index in [0, 1, 29, 30, 31, 45, 60, 89] {
            let needed = video.needed(|frame| frame == index);
            assert_eq!(shown(&needed), index % 30 + 1, "frame {index}");
            assert!(needed.first().unwrap().key, "frame {index}");
            let alone = images(&video, &[index]);
            assert_eq!(alone[&index], all[&index], "frame {index}");
            assert_eq!(alone.len(), 1, "frame {index}");
        }
        let two = video.needed(|frame| frame == 3 || frame == 61);
        assert_eq!(shown(&two), 4 + 2);
    }

    #[test]
    fn hidden_frames_are_not_counted() {
        let video = open("altref");
        let coded: usize = video
            .packets
            .iter()
            .map(|coded| {
                superframe(&video.bytes[coded.packet.bytes.clone()])
                    .unwrap()
                    .len()
            })
            .sum();
        assert_eq!(video.frame_count(), 30);
        assert!(coded > 30, "{coded} coded frames: none is hidden");
    }
}
