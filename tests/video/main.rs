//! Videos and frame folders: right images from good ones, a typed error from every broken one, never a panic.

#[path = "../support/limit.rs"]
mod limit;
#[cfg(unix)]
#[path = "../support/ffmpeg.rs"]
mod program;
#[path = "../support/skipped.rs"]
mod skipped;

mod costs;
#[cfg(unix)]
mod ffmpeg;
mod images;

use std::path::{Path, PathBuf};
use std::process::Command;

use ffn::data::video::{Image, Source, Video, VideoError};
use limit::InTime;
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
    let video = open(file.path())?;
    let all: Vec<usize> = (0..video.frame_count()).collect();
    video.frames(&all).map(|frames| frames.len())
}

/// `ffn data frames`: exit code, standard output and error, without the path of this checkout.
fn frames(arguments: &[&str], path: Option<&Path>) -> (i32, String) {
    // What another version made of the file is not remembered.
    let cache = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ffn"));
    command
        .current_dir(fixture(""))
        .args(["data", "frames"])
        .args(arguments)
        .env("XDG_CACHE_HOME", cache.path())
        // Of the user's settings none reaches ffmpeg that would change what it says.
        .env("AV_LOG_FORCE_COLOR", "1")
        .env("FFREPORT", "file=/nowhere/report.log:level=48");
    if let Some(path) = path {
        command.env("PATH", path);
    }
    let output = command.in_time();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(text).unwrap(),
    )
}

#[test]
fn frames_come_in_the_order_asked_for() {
    let video = open(&fixture("even.webm")).unwrap();
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
fn difference(a: &Image, b: &Image) -> u8 {
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
        let video = open(&fixture(&format!("{name}.webm"))).unwrap();
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
        // Damage inside a frame's data may decode to other images: only the pinned hash can tell.
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
    fn no_noise_behind_a_magic_number_makes_it_panic(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&[&[0x1a, 0x45, 0xdf, 0xa3], noise.as_slice()].concat());
        let _ = decode(&noise);
    }
}
