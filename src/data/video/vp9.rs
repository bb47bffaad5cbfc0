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
            let shown = seen.filter(|_| !packet.invisible).map(|found| {
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

    /// The frames marked in `wanted`, by index; decoding ends with the last of them.
    pub fn pictures(&self, wanted: &[bool]) -> Result<Vec<Option<Arc<Picture>>>, VideoError> {
        let mut pictures = vec![None; wanted.len()];
        self.decode(wanted.len(), |index, frame, colour| {
            if wanted.get(index) == Some(&true) {
                let picture = yuv::to_picture(frame, colour)
                    .map_err(|what| VideoError::Decode { frame: index, what })?;
                pictures[index] = Some(Arc::new(picture));
            }
            Ok(())
        })?;
        Ok(pictures)
    }

    /// Decodes the first `count` shown frames in order.
    fn decode(
        &self,
        count: usize,
        mut visit: impl FnMut(usize, &DecodedFrame, Colour) -> Result<(), VideoError>,
    ) -> Result<(), VideoError> {
        let mut decoder = Vp9Decoder::new();
        // With the end announced, `Eof` means that a packet is used up and `Again` that a frame was hidden.
        decoder.flush();
        let mut next = 0;
        for coded in &self.packets {
            if next >= count {
                break;
            }
            let data = self
                .bytes
                .get(coded.packet.bytes.clone())
                .unwrap_or_default();
            let frame = decode_packet(&mut decoder, data).map_err(|error| VideoError::Decode {
                frame: next,
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

/// The size of the frame that a packet shows, if it shows one.
fn read_packet(
    headers: &mut Headers,
    bytes: &[u8],
    packet: &Packet,
    index: usize,
) -> Result<Option<(u32, u32)>, VideoError> {
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
    let mut shown = None;
    for frame in superframe(data).map_err(explain)? {
        let frame = headers.frame(frame).map_err(explain)?;
        if frame.shown {
            shown = Some((frame.width, frame.height));
        }
    }
    Ok(shown)
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
            video.decode(usize::MAX, visit).unwrap();
            assert_eq!(hashes, expected(name), "{name}");
            assert_eq!(video.frame_count(), hashes.len(), "{name}");
        }
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
