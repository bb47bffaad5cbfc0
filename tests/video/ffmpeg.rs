//! Other formats: what real versions of `ffmpeg` make of them, and what pretended ones may do wrong.

use std::os::unix::fs::PermissionsExt;

use crate::program::{installed, is_supported, supported};
use crate::{fixture, frames};

/// What the supported versions make of files, the same bytes each.
fn decoded(names: &[&str]) -> Option<String> {
    let mut reports = Vec::new();
    for (folder, version) in supported() {
        let mut report = String::new();
        for name in names {
            let (code, text) = frames(&[name, "--at", "0,5"], Some(&folder));
            report += &format!("$ ffn data frames {name} --at 0,5\nexit {code}\n{text}\n");
        }
        reports.push((version, report));
    }
    for pair in reports.windows(2) {
        assert_eq!(pair[0].1, pair[1].1, "{} and {}", pair[0].0, pair[1].0);
    }
    reports.pop().map(|(_, report)| report)
}

#[test]
fn supported_versions_decode_the_same_bytes() {
    let names = [
        "h264.mp4",
        "h264.mkv",
        "h264_ten_bit.mp4",
        "h264_gap.mp4",
        "h264_one_time.mkv",
        "h264.avi",
        "h264.mov",
        "h264_rotated.mp4",
        "mpeg4.avi",
        "h264_damaged_sound.mp4",
        "h264_damaged_cover.mp4",
        "sound.mp4",
    ];
    if let Some(report) = decoded(&names) {
        insta::assert_snapshot!(report);
    }
}

#[test]
fn damage_of_the_video_itself_is_found() {
    let cut = tempfile::NamedTempFile::with_suffix(".mkv").unwrap();
    let bytes = std::fs::read(fixture("h264.mkv")).unwrap();
    std::fs::write(cut.path(), &bytes[..bytes.len() * 2 / 3]).unwrap();
    for (folder, version) in supported() {
        for path in [&fixture("h264_damaged.mp4"), cut.path()] {
            let (code, text) = frames(&[path.to_str().unwrap()], Some(&folder));
            assert_eq!(code, 4, "{version}: {text}");
        }
        let (_, text) = frames(&["h264_damaged.mp4"], Some(&folder));
        assert!(
            text.contains("ffmpeg cannot decode it: "),
            "{version}: {text}"
        );
    }
}

#[test]
fn other_versions_are_refused_by_name() {
    for (folder, version) in installed() {
        if !is_supported(&version) {
            let (code, text) = frames(&["h264.mp4"], Some(&folder));
            assert_eq!(code, 4, "{version}: {text}");
            assert!(
                text.contains(&format!("is of version {version}, ")),
                "{text}"
            );
        }
    }
}

/// A folder for the PATH whose `ffmpeg` is a script.
fn pretended(script: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("ffmpeg");
    let script = format!("#!/bin/sh\nPATH=/usr/bin:/bin; {script}\n");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// What is said, without the hint.
fn said(script: &str) -> String {
    let program = pretended(script);
    let (code, text) = frames(&["h264.mp4", "--at", "1,0"], Some(program.path()));
    let text = text.split("\n\nhint").next().unwrap().trim().to_owned();
    format!("exit {code}\n{text}")
}

#[test]
fn whatever_ffmpeg_says_is_understood() {
    let cases = [
        (
            "two frames",
            r"printf 'P6\n1 2\n255\nabcdefP6\n1 2\n255\nghijkl'",
        ),
        ("nothing", "true"),
        (
            "no frame",
            "echo '[info]   Stream #0:0 -> #0:0 (h264 (native) -> ppm (native))' >&2",
        ),
        (
            "a message",
            "echo '[mov @ 0x1] [error] moov atom not found' >&2; \
             echo '[error] file:a.mp4: Invalid data found when processing input' >&2; exit 1",
        ),
        (
            "a message after a frame",
            r"printf 'P6\n1 1\n255\nabc'; echo '[h264 @ 0x1] [error] error in slice' >&2",
        ),
        (
            "a message of something else",
            "echo 'ffmpeg: symbol lookup error' >&2; exit 127",
        ),
        (
            "a message that would forge lines",
            r"printf '[error] a\033[31m\rb\n' >&2; exit 1",
        ),
        ("a silent failure", "exit 3"),
        ("killed", r"printf 'P6\n1 2\n255\nabc'; kill -KILL $$"),
        ("crashed", "kill -SEGV $$"),
        (
            "told to end",
            "echo '[info] Exiting normally, received signal 15.' >&2; exit 255",
        ),
        ("a frame cut off", r"printf 'P6\n1 2\n255\nabc'"),
        (
            "two sizes",
            r"printf 'P6\n1 1\n255\nabcP6\n2 1\n255\nabcdef'",
        ),
        ("a huge frame", r"printf 'P6\n65535 65535\n255\n'"),
        ("sixteen bits", r"printf 'P6\n1 1\n65535\nabcdef'"),
        ("something else", "echo this is no image at all"),
        ("a header without end", "head -c 999999 /dev/zero"),
    ];
    let mut report = String::new();
    for (name, script) in cases {
        let script = format!("[ \"$1\" = -version ] && echo ffmpeg version 7.1 && exit; {script}");
        report += &format!("{name}: {}\n\n", said(&script));
    }
    insta::assert_snapshot!(report);
}

#[test]
fn whatever_ffmpeg_calls_itself_is_understood() {
    let cases = [
        ("old", "echo ffmpeg version 4.3.9-0+deb11u1 Copyright"),
        ("to come", "echo ffmpeg version 10.0 Copyright"),
        (
            "between releases",
            "echo ffmpeg version N-118193-g5f38c82536 Copyright",
        ),
        ("another program", "echo avconv version 12"),
        ("nothing", "true"),
        (
            "no library",
            "echo 'ffmpeg: error while loading shared libraries: libavdevice.so.59' >&2; exit 127",
        ),
        ("killed", "kill -KILL $$"),
    ];
    let mut report = String::new();
    for (name, script) in cases {
        report += &format!("{name}: {}\n\n", said(script));
    }
    let folder = pretended("true");
    let program = folder.path().join("ffmpeg");
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (code, text) = frames(&["h264.mp4"], Some(folder.path()));
    report += &format!("not executable: exit {code}\n{text}");
    insta::assert_snapshot!(report);
}
