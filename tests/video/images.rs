//! Frame folders of JPEG and PNG.

use std::path::Path;

use ffn::base::files::sha256;
use ffn::data::video::{Source, Video, VideoError};
use proptest::prelude::*;

use crate::{fixture, open};

/// A folder of the JPEG fixture's images, of which `change` may break some.
fn frame_folder(change: impl FnOnce(&Path)) -> (tempfile::TempDir, Source) {
    let folder = tempfile::tempdir().unwrap();
    for number in 1..=4 {
        let name = format!("img_{number:05}.jpg");
        std::fs::copy(fixture("jpeg").join(&name), folder.path().join(&name)).unwrap();
    }
    change(folder.path());
    let source = Source::Folder {
        path: folder.path().to_owned(),
        template: "img_{:05d}.jpg".to_owned(),
        first: 1,
        count: 4,
    };
    (folder, source)
}

/// Breaks the image of frame 2 in the way that is named.
fn break_image(way: &str, folder: &Path) {
    let third = folder.join("img_00003.jpg");
    let mut jpeg = std::fs::read(&third).unwrap();
    match way {
        "missing" => return std::fs::remove_file(third).unwrap(),
        "cut" => jpeg.truncate(jpeg.len() / 2),
        "empty" => jpeg.clear(),
        "text" => jpeg = b"not an image".to_vec(),
        "larger" => jpeg = std::fs::read(fixture("png/1.png")).unwrap(),
        "huge" => {
            let frame = jpeg
                .windows(2)
                .position(|pair| pair == [0xff, 0xc0])
                .unwrap();
            jpeg[frame + 5..frame + 9].fill(0xff);
        }
        _ => unreachable!(),
    }
    std::fs::write(third, jpeg).unwrap();
}

#[test]
fn broken_frame_folders_say_which_image() {
    let mut report = String::new();
    for way in ["cut", "missing", "empty", "text", "larger", "huge"] {
        let (_folder, source) = frame_folder(|folder| break_image(way, folder));
        let video = Video::open(&source).unwrap();
        assert_eq!(video.frames(&[0, 1]).unwrap().len(), 2);
        report += &format!("{way}: {}\n", video.frames(&[0, 2]).unwrap_err());
    }
    insta::assert_snapshot!(report);
}

#[test]
fn a_image_that_is_cut_off_is_never_shown() {
    for name in ["jpeg/img_00001.jpg", "png/1.png"] {
        let bytes = std::fs::read(fixture(name)).unwrap();
        // Without JPEG's last two bytes, the end marker, all of the image is there.
        for length in (0..bytes.len() - 2).step_by(11) {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("0"), &bytes[..length]).unwrap();
            let source = Source::folder(folder.path(), "{}", 0).unwrap();
            let images = Video::open(&source).unwrap().frames(&[0]);
            let cut = matches!(images, Err(VideoError::Image { .. }));
            assert!(cut, "{name} cut at {length}: {images:?}");
        }
    }
}

#[test]
fn a_jpeg_folder_shows_nearly_the_video_it_was_made_of() {
    let (_folder, source) = frame_folder(|_| {});
    let images = Video::open(&source).unwrap().frames(&[0, 3]).unwrap();
    let original = open(&fixture("even.webm"))
        .unwrap()
        .frames(&[0, 3])
        .unwrap();
    for (image, original) in images.iter().zip(&original) {
        let pairs = image.rgb.iter().zip(&original.rgb);
        let sum: u64 = pairs.map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        assert!(
            sum < 10 * original.rgb.len() as u64,
            "mean difference above 10 grey levels"
        );
    }
}

/// A JPEG image of 8 by 8 pixels whose samples are all 128: one bit for a DC difference of 0, one for the block's end.
fn jpeg(components: u8) -> Vec<u8> {
    let mut file = vec![0xff, 0xd8];
    let mut segment = |marker: u8, content: &[u8]| {
        file.extend([0xff, marker, 0, content.len() as u8 + 2]);
        file.extend(content);
    };
    let quantisers = [[0].as_slice(), &[1; 64]].concat();
    segment(0xdb, &quantisers);
    let mut frame = vec![8, 0, 8, 0, 8, components];
    let mut scan = vec![components];
    for id in 1..=components {
        frame.extend([id, 0x11, 0]);
        scan.extend([id, 0]);
    }
    segment(0xc0, &frame);
    for class in [0x00, 0x10] {
        let mut codes = [0; 18];
        (codes[0], codes[1]) = (class, 1);
        segment(0xc4, &codes);
    }
    scan.extend([0, 63, 0]);
    segment(0xda, &scan);
    file.push((0xff_u32 >> (2 * components)) as u8);
    file.extend([0xff, 0xd9]);
    file
}

#[test]
fn grey_and_cmyk_jpeg_become_rgb() {
    for (components, value) in [(1, 128), (4, 64)] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("0.jpg"), jpeg(components)).unwrap();
        let source = Source::folder(folder.path(), "{}.jpg", 0).unwrap();
        let image = &Video::open(&source).unwrap().frames(&[0]).unwrap()[0];
        assert_eq!(image.rgb, [value; 8 * 8 * 3], "{components} components");
    }
}

/// A PNG image of two pixels.
fn png(color: png::ColorType, depth: png::BitDepth, palette: &[u8], data: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 2, 1);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if !palette.is_empty() {
        encoder.set_palette(palette.to_vec());
    }
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(data).unwrap();
    writer.finish().unwrap();
    file
}

#[test]
fn every_kind_of_png_becomes_rgb() {
    use png::{BitDepth::*, ColorType::*};
    let palette = [0, 0, 0, 7, 8, 9];
    let cases = [
        (
            "rgb",
            png(Rgb, Eight, &[], &[1, 2, 3, 4, 5, 6]),
            [1, 2, 3, 4, 5, 6],
        ),
        (
            "rgba",
            png(Rgba, Eight, &[], &[1, 2, 3, 0, 4, 5, 6, 255]),
            [1, 2, 3, 4, 5, 6],
        ),
        (
            "grey",
            png(Grayscale, Eight, &[], &[9, 200]),
            [9, 9, 9, 200, 200, 200],
        ),
        (
            "grey of one bit",
            png(Grayscale, One, &[], &[0b0100_0000]),
            [0, 0, 0, 255, 255, 255],
        ),
        (
            "grey with alpha",
            png(GrayscaleAlpha, Eight, &[], &[9, 0, 8, 255]),
            [9, 9, 9, 8, 8, 8],
        ),
        (
            "grey of 16 bits",
            png(Grayscale, Sixteen, &[], &[9, 99, 8, 88]),
            [9, 9, 9, 8, 8, 8],
        ),
        (
            "palette",
            png(Indexed, Eight, &palette, &[1, 0]),
            [7, 8, 9, 0, 0, 0],
        ),
    ];
    for (name, file, rgb) in cases {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("0.png"), file).unwrap();
        let source = Source::folder(folder.path(), "{}.png", 0).unwrap();
        let image = &Video::open(&source).unwrap().frames(&[0]).unwrap()[0];
        assert_eq!(image.rgb, rgb, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_damaged_image_makes_it_panic(
        name in prop::sample::select(vec!["jpeg/img_00001.jpg", "png/1.png"]),
        length in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = std::fs::read(fixture(name)).unwrap();
        for (position, value) in flips {
            let position = position.index(bytes.len());
            bytes[position] ^= value;
        }
        bytes.truncate(length.index(2 * bytes.len()));
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("0"), bytes).unwrap();
        let source = Source::folder(folder.path(), "{}", 0).unwrap();
        let _ = Video::open(&source).unwrap().frames(&[0]);
    }
}

/// SHA-256 of what the JPEG decoder makes of the fixtures.
const JPEGS: [&str; 4] = [
    "4780c5710f9277190544d9cdafc0f024c9d5cc881f95299e347db20fa369babb",
    "3e2a5ce652df71cd470721e1081588d1c6fbd04115b480d215c248754b649957",
    "be498ae9aed454ee412af1c580bdc792a5b186bc138ad2aeee1b6b11fcb687b2",
    "be498ae9aed454ee412af1c580bdc792a5b186bc138ad2aeee1b6b11fcb687b2",
];

#[test]
fn jpeg_decoding_has_not_changed() {
    let source = Source::folder(&fixture("jpeg"), "img_{:05}.jpg", 1).unwrap();
    let images = Video::open(&source).unwrap().frames(&[0, 1, 2, 3]).unwrap();
    let hashes: Vec<_> = images.iter().map(|p| sha256(&p.rgb)).collect();
    assert_eq!(
        hashes, JPEGS,
        "the JPEG decoder gives other bytes than before: what was trained and measured on frame folders cannot be \
         repeated to the bit with it. Stay with the version that Cargo.toml names, or say so in the changelog"
    );
}
