//! VP9 in WebM, decoded in process.

use std::sync::Arc;

use rusty_vp9::{DecodedFrame, Vp9Decoder};

use super::header::{Colour, HeaderError, Headers, superframe};
use super::webm::Packet;
use super::{Picture, VideoError, yuv};

/// A stream whose headers make sense.
pub struct Vp9 {
    bytes: Vec<u8>,
    packets: Vec<Coded>,
    size: (u32, u32),
    count: usize,
}

/// A packet, and the frame that it shows: at most one, as in libvpx.
struct Coded {
    packet: Packet,
    /// It starts with a key frame: decoding may begin here.
    key: bool,
    shown: Option<usize>,
    colour: Colour,
}

impl Vp9 {
    /// Reads every header: counts the frames that are shown, checks their sizes. Decodes nothing.
    pub fn open(bytes: Vec<u8>, packets: Vec<Packet>) -> Result<Self, VideoError> {
        let mut headers = Headers::default();
        let mut coded = Vec::with_capacity(packets.len());
        let mut size = None;
        let mut count = 0;
        for packet in packets {
            let seen = read_packet(&mut headers, &bytes, &packet, count)?;
            let shown = seen.size.filter(|_| !packet.invisible).map(|found| {
                let first = *size.get_or_insert(found);
                (first, found)
            });
            if let Some((first, found)) = shown
                && first != found
            {
                return Err(VideoError::SizeChange {
                    frame: count,
                    first,
                    found,
                });
            }
            coded.push(Coded {
                packet,
                key: seen.key,
                shown: shown.map(|_| count),
                colour: headers.colour(),
            });
            count += usize::from(shown.is_some());
        }
        let size = size.ok_or(VideoError::NoFrames)?;
        Ok(Self {
            bytes,
            packets: coded,
            size,
            count,
        })
    }

    pub fn frame_count(&self) -> usize {
        self.count
    }

    /// The frames marked in `wanted`, by index. Only they are decoded, and what lies between them and the key frame
    /// before.
    pub fn pictures(&self, wanted: &[bool]) -> Result<Vec<Option<Arc<Picture>>>, VideoError> {
        let mut pictures = vec![None; wanted.len()];
        self.decode(wanted, |index, frame, colour| {
            if wanted.get(index) == Some(&true) {
                let picture = yuv::to_picture(frame, colour)
                    .map_err(|what| VideoError::Decode { frame: index, what })?;
                pictures[index] = Some(Arc::new(picture));
            }
            Ok(())
        })?;
        Ok(pictures)
    }

    /// Decodes, in order, what the frames marked in `wanted` need; visits each of these that is shown.
    fn decode(
        &self,
        wanted: &[bool],
        mut visit: impl FnMut(usize, &DecodedFrame, Colour) -> Result<(), VideoError>,
    ) -> Result<(), VideoError> {
        let mut decoder = Vp9Decoder::new();
        // With the end announced, `Eof` means that a packet is used up and `Again` that a frame was hidden.
        decoder.flush();
        let mut next = 0;
        for coded in self.needed(wanted) {
            let data = self
                .bytes
                .get(coded.packet.bytes.clone())
                .unwrap_or_default();
            let index = coded.shown.unwrap_or(next);
            let frame = decode_packet(&mut decoder, data).map_err(|error| VideoError::Decode {
                frame: index,
                what: error.to_string(),
            })?;
            match (coded.shown, frame) {
                (None, _) => {}
                (Some(index), Some(frame)) => {
                    self.check_size(index, &frame)?;
                    visit(index, &frame, coded.colour)?;
                    next = index + 1;
                }
                (Some(index), None) => {
                    return Err(VideoError::Decode {
                        frame: index,
                        what: "its packet shows nothing".to_owned(),
                    });
                }
            }
        }
        Ok(())
    }

    /// The packets from each wanted frame back to the key frame on which it rests, in order.
    fn needed(&self, wanted: &[bool]) -> Vec<&Coded> {
        let mut rests = false;
        let mut needed = Vec::with_capacity(self.packets.len());
        for coded in self.packets.iter().rev() {
            rests |= (coded.shown).is_some_and(|index| wanted.get(index) == Some(&true));
            if rests {
                needed.push(coded);
            }
            rests &= !coded.key;
        }
        needed.reverse();
        needed
    }

    fn check_size(&self, index: usize, frame: &DecodedFrame) -> Result<(), VideoError> {
        let found = (frame.width, frame.height);
        match found == self.size {
            true => Ok(()),
            false => Err(VideoError::SizeChange {
                frame: index,
                first: self.size,
                found,
            }),
        }
    }
}

/// What a packet's headers tell.
struct Seen {
    /// Of the frame that it shows, if it shows one.
    size: Option<(u32, u32)>,
    /// Its first frame is a key frame.
    key: bool,
}

fn read_packet(
    headers: &mut Headers,
    bytes: &[u8],
    packet: &Packet,
    index: usize,
) -> Result<Seen, VideoError> {
    let explain = |error| match error {
        HeaderError::Damaged(what) => VideoError::FrameHeader {
            frame: index,
            at: packet.bytes.start as u64,
            what,
        },
        HeaderError::TooLarge { width, height } => VideoError::FrameTooLarge {
            frame: index,
            width,
            height,
        },
    };
    let data = bytes.get(packet.bytes.clone()).unwrap_or_default();
    let mut size = None;
    let mut key = false;
    for (place, frame) in superframe(data).map_err(explain)?.into_iter().enumerate() {
        let frame = headers.frame(frame).map_err(explain)?;
        key |= place == 0 && frame.key;
        if frame.shown {
            size = Some((frame.width, frame.height));
        }
    }
    Ok(Seen { size, key })
}

/// The picture that a packet shows, if any.
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
    use crate::data::video::webm;

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
            let visit = |_, frame: &DecodedFrame, _| {
                hashes.push(sha256(&frame.planes.concat()));
                Ok(())
            };
            video
                .decode(&vec![true; video.frame_count()], visit)
                .unwrap();
            assert_eq!(hashes, expected(name), "{name}");
            assert_eq!(video.frame_count(), hashes.len(), "{name}");
        }
    }

    #[test]
    fn decoding_begins_at_the_key_frame_before_a_wanted_one() {
        let video = repeated("altref", 3);
        let all = video.pictures(&[true; 90]).unwrap();
        for index in [0, 1, 29, 30, 31, 45, 60, 89] {
            let wanted: Vec<_> = (0..90).map(|frame| frame == index).collect();
            let decoded = video.needed(&wanted);
            let frames = decoded.iter().filter(|coded| coded.shown.is_some()).count();
            assert_eq!(frames, index % 30 + 1, "frame {index}");
            assert!(decoded.first().unwrap().key, "frame {index}");
            let alone = video.pictures(&wanted).unwrap();
            assert_eq!(alone[index], all[index], "frame {index}");
            assert_eq!(alone.iter().flatten().count(), 1, "frame {index}");
        }
        let two: Vec<_> = (0..90).map(|frame| frame == 3 || frame == 61).collect();
        assert_eq!(
            video
                .needed(&two)
                .iter()
                .filter(|coded| coded.shown.is_some())
                .count(),
            4 + 2
        );
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
