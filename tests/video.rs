//! Videos and frame folders: right pictures from good ones, a typed error from every broken one, never a panic.

use std::path::{Path, PathBuf};
use std::process::Command;

use ffn::data::video::{Picture, Source, Video, VideoError};
use proptest::prelude::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/videos")
        .join(name)
}

fn open(path: &Path) -> Result<Video, VideoError> {
    Video::open(&Source::File(path.to_owned()))
}

/// Every frame of a video whose bytes are given.
fn decode(bytes: &[u8]) -> Result<usize, VideoError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let mut video = open(file.path())?;
    let all: Vec<usize> = (0..video.frame_count()).collect();
    video.frames(&all).map(|frames| frames.len())
}

/// `ffn data frames`: exit code, standard output and error, without the path of this checkout.
fn frames(arguments: &[&str], path: Option<&Path>) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ffn"));
    command
        .current_dir(fixture(""))
        .args(["data", "frames"])
        .args(arguments);
    if let Some(path) = path {
        command.env("PATH", path);
    }
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(text).unwrap(),
    )
}

#[test]
fn frames_come_in_the_order_asked_for() {
    let mut video = open(&fixture("even.webm")).unwrap();
    let all = video.frames(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]).unwrap();
    let some = video.frames(&[7, 0, 7, 3]).unwrap();
    assert_eq!(some, [7, 0, 7, 3].map(|index: usize| all[index].clone()));
    assert!(video.frames(&[]).unwrap().is_empty());
    let error = video.frames(&[3, 10]).unwrap_err();
    assert_eq!(
        error,
        VideoError::OutOfRange {
            frame: 10,
            count: 10
        }
    );
}

/// Largest difference of any colour value.
fn difference(a: &Picture, b: &Picture) -> u8 {
    assert_eq!((a.width, a.height), (b.width, b.height));
    a.rgb
        .iter()
        .zip(&b.rgb)
        .map(|(a, b)| a.abs_diff(*b))
        .max()
        .unwrap()
}

/// Both round to nearest, with coefficients of different precision.
const SWSCALE_ROUNDING: u8 = 1;

#[test]
fn colours_are_those_of_swscale() {
    for name in ["even", "bt709_full", "ten_bit", "yuv444"] {
        let mut video = open(&fixture(&format!("{name}.webm"))).unwrap();
        let ours = &video.frames(&[2]).unwrap()[0];
        let theirs = Source::Folder {
            path: fixture(""),
            template: format!("{name}_{{}}.png"),
            first: 2,
            count: 1,
        };
        let theirs = &Video::open(&theirs).unwrap().frames(&[0]).unwrap()[0];
        let worst = difference(ours, theirs);
        assert!(
            worst <= SWSCALE_ROUNDING,
            "{name}: {worst} grey levels apart"
        );
    }
}

#[test]
fn good_videos_through_the_command_line() {
    let mut report = String::new();
    for arguments in [
        vec!["odd.webm", "--at", "0,7,3"],
        vec!["altref.webm"],
        vec!["audio.webm", "--at", "7"],
        vec!["one_frame.webm", "--at", "0"],
        vec!["jpeg"],
        vec!["png", "--template", "{}.png", "--at", "2"],
    ] {
        let (code, text) = frames(&arguments, None);
        assert_eq!(code, 0, "{text}");
        report += &text;
    }
    insta::assert_snapshot!(report);
}

#[test]
fn broken_videos_say_what_is_wrong() {
    let nowhere = tempfile::tempdir().unwrap();
    let mut names: Vec<String> = std::fs::read_dir(fixture(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("broken_"))
        .collect();
    names.sort();
    assert!(names.len() >= 10);
    let mut cases: Vec<Vec<&str>> = names
        .iter()
        .map(|name| vec![name.as_str(), "--at", "0,1"])
        .collect();
    cases.extend([
        vec!["h264.mp4", "--at", "0"],
        vec!["h264.mkv", "--at", "0"],
        vec!["there_is_none.webm"],
        vec!["even.webm", "--at", "10"],
        vec!["jpeg", "--at", "4"],
        vec!["jpeg", "--template", "img_{:05}.png"],
        vec!["jpeg", "--template", "img.jpg"],
        vec!["jpeg", "--template", "{}_{}.jpg"],
        vec!["jpeg", "--template", "{:x}.jpg"],
    ]);
    let mut report = String::new();
    for arguments in cases {
        let (code, text) = frames(&arguments, Some(nowhere.path()));
        assert_eq!(code, 4, "{arguments:?}: {text}");
        report += &format!("$ ffn data frames {}\n{text}\n", arguments.join(" "));
    }
    insta::assert_snapshot!(report);
}

/// A folder of the JPEG fixture's pictures, of which `change` may break some.
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

/// Breaks the picture of frame 2 in the way that is named.
fn break_picture(way: &str, folder: &Path) {
    let third = folder.join("img_00003.jpg");
    let mut jpeg = std::fs::read(&third).unwrap();
    match way {
        "missing" => return std::fs::remove_file(third).unwrap(),
        "cut" => jpeg.truncate(jpeg.len() / 2),
        "empty" => jpeg.clear(),
        "text" => jpeg = b"not a picture".to_vec(),
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
fn broken_frame_folders_say_which_picture() {
    let mut report = String::new();
    for way in ["cut", "missing", "empty", "text", "larger", "huge"] {
        let (_folder, source) = frame_folder(|folder| break_picture(way, folder));
        let mut video = Video::open(&source).unwrap();
        assert_eq!(video.frames(&[0, 1]).unwrap().len(), 2);
        report += &format!("{way}: {}\n", video.frames(&[0, 2]).unwrap_err());
    }
    insta::assert_snapshot!(report);
}

#[test]
fn a_picture_that_is_cut_off_is_never_shown() {
    for name in ["jpeg/img_00001.jpg", "png/1.png"] {
        let bytes = std::fs::read(fixture(name)).unwrap();
        // Without JPEG's last two bytes, the end marker, all of the picture is there.
        for length in (0..bytes.len() - 2).step_by(11) {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("0"), &bytes[..length]).unwrap();
            let source = Source::folder(folder.path(), "{}", 0).unwrap();
            let pictures = Video::open(&source).unwrap().frames(&[0]);
            let cut = matches!(pictures, Err(VideoError::Picture { .. }));
            assert!(cut, "{name} cut at {length}: {pictures:?}");
        }
    }
}

#[test]
fn a_jpeg_folder_shows_nearly_the_video_it_was_made_of() {
    let (_folder, source) = frame_folder(|_| {});
    let pictures = Video::open(&source).unwrap().frames(&[0, 3]).unwrap();
    let original = open(&fixture("even.webm"))
        .unwrap()
        .frames(&[0, 3])
        .unwrap();
    for (picture, original) in pictures.iter().zip(&original) {
        let pairs = picture.rgb.iter().zip(&original.rgb);
        let sum: u64 = pairs.map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        assert!(
            sum < 10 * original.rgb.len() as u64,
            "mean difference above 10 grey levels"
        );
    }
}

/// A JPEG picture of 8 by 8 pixels whose samples are all 128: one bit for a DC difference of 0, one for the block's end.
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
        let picture = &Video::open(&source).unwrap().frames(&[0]).unwrap()[0];
        assert_eq!(picture.rgb, [value; 8 * 8 * 3], "{components} components");
    }
}

/// A PNG picture of two pixels.
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
        let picture = &Video::open(&source).unwrap().frames(&[0]).unwrap()[0];
        assert_eq!(picture.rgb, rgb, "{name}");
    }
}

/// A folder for the PATH whose `ffmpeg` is a script.
#[cfg(unix)]
fn pretended_ffmpeg(script: &str) -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("ffmpeg");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

#[cfg(unix)]
#[test]
fn whatever_ffmpeg_says_is_understood() {
    let cases = [
        (
            "two frames",
            r"printf 'P6\n1 2\n255\nabcdefP6\n1 2\n255\nghijkl'",
        ),
        ("no frame", "true"),
        ("a message", "echo 'moov atom not found' >&2; exit 1"),
        (
            "a message after a frame",
            r"printf 'P6\n1 1\n255\nabc'; echo 'error in slice' >&2",
        ),
        ("a silent failure", "exit 3"),
        ("a frame cut off", r"printf 'P6\n1 2\n255\nabc'"),
        (
            "two sizes",
            r"printf 'P6\n1 1\n255\nabcP6\n2 1\n255\nabcdef'",
        ),
        ("a huge frame", r"printf 'P6\n65535 65535\n255\n'"),
        ("something else", "echo this is no picture at all"),
        ("a header without end", "head -c 999999 /dev/zero"),
    ];
    let mut report = String::new();
    for (name, script) in cases {
        let program = pretended_ffmpeg(&format!("PATH=/usr/bin:/bin; {script}"));
        let (code, text) = frames(&["h264.mp4", "--at", "1,0"], Some(program.path()));
        let text = text.split("\n\nhint").next().unwrap().trim();
        report += &format!("{name}: exit {code}\n{text}\n\n");
    }
    insta::assert_snapshot!(report);
}

#[test]
fn an_installed_ffmpeg_decodes_other_formats() {
    let installed = Command::new("ffmpeg").arg("-version").output().is_ok();
    for name in ["h264.mp4", "h264.mkv"] {
        match open(&fixture(name)) {
            Ok(mut video) => {
                assert_eq!(video.frame_count(), 6);
                let pictures = video.frames(&[5, 0]).unwrap();
                assert_eq!((pictures[0].width, pictures[0].height), (48, 32));
                assert_ne!(pictures[0], pictures[1]);
            }
            Err(error) => {
                assert!(!installed, "{error}");
                assert!(matches!(error, VideoError::NeedsFfmpeg { .. }), "{error}");
            }
        }
    }
}

#[test]
fn frames_are_written_as_png() {
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().to_str().unwrap();
    let (code, text) = frames(&["odd.webm", "--at", "0,7", "--out", folder], None);
    assert_eq!(code, 0, "{text}");
    let written = Source::Folder {
        path: out.path().to_owned(),
        template: "odd_{:05}.png".to_owned(),
        first: 7,
        count: 1,
    };
    let written = Video::open(&written).unwrap().frames(&[0]).unwrap();
    let decoded = open(&fixture("odd.webm")).unwrap().frames(&[7]).unwrap();
    assert_eq!(written, decoded);
}

#[test]
fn a_file_that_is_cut_off_is_never_a_shorter_video() {
    for name in ["even.webm", "altref.webm", "audio.webm"] {
        let bytes = std::fs::read(fixture(name)).unwrap();
        let step = bytes.len() / 150 + 1;
        for length in (1..bytes.len()).step_by(step) {
            let error = decode(&bytes[..length]).unwrap_err();
            let cut_off = matches!(error, VideoError::Truncated { .. });
            assert!(cut_off || length < 4, "{name} cut at {length}: {error}");
        }
    }
}

#[test]
fn no_flipped_byte_makes_it_panic() {
    let bytes = std::fs::read(fixture("even.webm")).unwrap();
    for position in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[position] ^= 0xff;
        // Damage inside a frame's data may decode to other pictures: only the pinned hash can tell.
        let _ = decode(&damaged);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_damage_makes_it_panic(
        name in prop::sample::select(vec!["odd.webm", "altref.webm", "yuv422.webm", "ten_bit.webm"]),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = std::fs::read(fixture(name)).unwrap();
        for (position, value) in flips {
            let position = position.index(bytes.len());
            bytes[position] ^= value;
        }
        let _ = decode(&bytes);
    }

    #[test]
    fn no_damaged_picture_makes_it_panic(
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

    #[test]
    fn no_noise_behind_a_magic_number_makes_it_panic(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&[&[0x1a, 0x45, 0xdf, 0xa3], noise.as_slice()].concat());
        let _ = decode(&noise);
    }
}
