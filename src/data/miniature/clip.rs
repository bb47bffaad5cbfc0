//! Images → VP9 in WebM.
//!
//! Every frame is a key frame: for predicted frames the encoder weighs rate against distortion with the platform's
//! logarithm, whose last bit differs between systems; for key frames it uses constants and integers.

use rusty_vp9::{Vp9Encoder, Vp9EncoderConfig};

use crate::base::{Error, Kind, Result};
use crate::data::video::Image;
use crate::data::video::ebml;

/// Frames a second; Something-Something V2 has 12.
const RATE: u64 = 12;

/// Quantiser index of VP9, 0 to 255: steps of about 10 grey levels, near constant quality 20 of libvpx.
const QUANTISER: u32 = 80;

/// Encodes a clip of equally large images as a WebM file.
pub fn encode(images: impl Iterator<Item = Image>, size: usize) -> Result<Vec<u8>> {
    let packets: Result<Vec<_>> = images.map(|image| key_frame(&image)).collect();
    Ok(mux(&packets?, size))
}

fn key_frame(image: &Image) -> Result<Vec<u8>> {
    let [y, u, v] = planes(image);
    let half = image.width.div_ceil(2);
    let failed = |error| Error::new(Kind::Data, format!("the VP9 encoder failed: {error}"));
    let mut encoder = Vp9Encoder::default();
    let quality = Vp9EncoderConfig {
        qindex: Some(QUANTISER),
        speed: Some(4),
        ..Vp9EncoderConfig::default()
    };
    encoder.configure(&quality).map_err(failed)?;
    let (width, height) = (image.width as u32, image.height as u32);
    encoder
        .push_frame([&y, &u, &v], [image.width, half, half], width, height)
        .map_err(failed)?;
    encoder.flush();
    Ok(encoder.next_packet().map_err(failed)?.data)
}

/// BT.601, limited range, 4:2:0; a chroma sample is the mean of the (up to four) pixels that it covers.
fn planes(image: &Image) -> [Vec<u8>; 3] {
    let (width, height) = (image.width, image.height);
    let pixel = |x: usize, y: usize| {
        let at = (y.min(height - 1) * width + x.min(width - 1)) * 3;
        [0, 1, 2].map(|i| i32::from(image.rgb[at + i]))
    };
    // Units of 2^-16; the weights of a row add up to 219/255, 0 and 0.
    let weigh = |[r, g, b]: [i32; 3], weights: [i32; 3], offset: i32, count: i32| {
        let sum = r * weights[0] + g * weights[1] + b * weights[2];
        let (unit, half) = (count << 16, count << 15);
        (offset + (sum + half).div_euclid(unit)) as u8
    };
    let mut y_plane = Vec::with_capacity(width * height);
    for y in 0..height {
        y_plane.extend((0..width).map(|x| weigh(pixel(x, y), [16829, 33039, 6416], 16, 1)));
    }
    let (mut u_plane, mut v_plane) = (Vec::new(), Vec::new());
    for y in (0..height).step_by(2) {
        for x in (0..width).step_by(2) {
            let block = [
                pixel(x, y),
                pixel(x + 1, y),
                pixel(x, y + 1),
                pixel(x + 1, y + 1),
            ];
            let sum = [0, 1, 2].map(|i| block.iter().map(|pixel| pixel[i]).sum());
            u_plane.push(weigh(sum, [-9714, -19070, 28784], 128, 4));
            v_plane.push(weigh(sum, [28784, -24103, -4681], 128, 4));
        }
    }
    [y_plane, u_plane, v_plane]
}

/// A WebM file of one VP9 track: header, information, track, clusters (RFC 9559).
fn mux(packets: &[Vec<u8>], size: usize) -> Vec<u8> {
    use ebml::{element as e, number as n};
    let header = [
        n(ebml::EBML_VERSION, 1),
        n(ebml::EBML_READ_VERSION, 1),
        n(ebml::MAX_ID_LENGTH, 4),
        n(ebml::MAX_SIZE_LENGTH, 8),
        e(ebml::DOC_TYPE, b"webm"),
        n(ebml::DOC_TYPE_VERSION, 4),
        n(ebml::DOC_TYPE_READ_VERSION, 2),
    ];
    let info = [
        n(ebml::TIMESTAMP_SCALE, 1_000_000),
        e(ebml::MUXING_APP, b"ffn"),
        e(ebml::WRITING_APP, b"ffn"),
    ];
    let video = [
        n(ebml::PIXEL_WIDTH, size as u64),
        n(ebml::PIXEL_HEIGHT, size as u64),
    ];
    let track = [
        n(ebml::TRACK_NUMBER, 1),
        n(ebml::TRACK_UID, 1),
        n(ebml::TRACK_TYPE, 1),
        e(ebml::CODEC_ID, b"V_VP9"),
        n(ebml::DEFAULT_DURATION, 1_000_000_000 / RATE),
        e(ebml::VIDEO, &video.concat()),
    ];
    let mut segment = vec![
        e(ebml::INFO, &info.concat()),
        e(ebml::TRACKS, &e(ebml::TRACK_ENTRY, &track.concat())),
    ];
    segment.extend(clusters(packets));
    [
        e(ebml::EBML, &header.concat()),
        e(ebml::SEGMENT, &segment.concat()),
    ]
    .concat()
}

/// A cluster's blocks have 16-bit times relative to it, in milliseconds: ten seconds a cluster.
fn clusters(packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    const KEY_FRAME: u8 = 0x80;
    let frames = 10 * RATE as usize;
    let time = |frame: usize| frame as u64 * 1000 / RATE;
    let cluster = |(index, packets): (usize, &[Vec<u8>])| {
        let first = index * frames;
        let mut content = ebml::number(ebml::TIMESTAMP, time(first));
        for (offset, packet) in packets.iter().enumerate() {
            let relative = (time(first + offset) - time(first)) as u16;
            let [high, low] = relative.to_be_bytes();
            let block = [&[0x81, high, low, KEY_FRAME], packet.as_slice()].concat();
            content.extend(ebml::element(ebml::SIMPLE_BLOCK, &block));
        }
        ebml::element(ebml::CLUSTER, &content)
    };
    packets.chunks(frames).enumerate().map(cluster).collect()
}
