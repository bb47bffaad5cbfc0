//! FIFOs, devices and links where a file is expected.

use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::*;

fn fifo(path: &str) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Fails soon and says why.
#[track_caller]
fn refused(arguments: &[&str]) -> String {
    let begun = Instant::now();
    let output = run(arguments);
    assert!(begun.elapsed() < Duration::from_secs(10), "{arguments:?}");
    assert_ne!(output.status.code(), Some(0), "{arguments:?}");
    stderr(&output)
}

#[test]
fn what_is_no_file_is_not_read() {
    let place = Place::new();
    let pipe = place.text("pipe.ron");
    fifo(&pipe);
    let suite = |path: &str| {
        format!("Suite(name: \"s\", members: [(name: \"a\", experiment: \"{path}\")])")
    };
    let of_pipe = place.write("s1.ron", suite("pipe.ron"));
    let of_device = place.write("s2.ron", suite("/dev/zero"));
    for (path, what) in [
        (pipe.as_str(), "a FIFO"),
        ("/dev/zero", "a device"),
        (&of_pipe, "a FIFO"),
        (&of_device, "a device"),
    ] {
        for command in ["check", "plan", "run"] {
            let message = refused(&[command, path]);
            assert!(message.contains(what), "{command} {path}: {message}");
        }
    }
    for arguments in [
        &["data", "frames", &pipe][..],
        &["data", "frames", "/dev/zero"],
        &["import", &pipe, "-e", TINY],
        &["import", "/dev/zero", "-e", TINY],
        &["eval", TINY, "--weights", "/dev/zero"],
        &["verify", &pipe],
        &["why", &pipe, TINY],
        &["golden", "verify", &pipe],
        &["diff", "/dev/zero", TINY],
    ] {
        refused(arguments);
    }
}

#[test]
fn a_configuration_that_is_no_file_is_refused() {
    let place = Place::new();
    let pipe = place.text("configuration.ron");
    fifo(&pipe);
    for path in [pipe.as_str(), "/dev/zero"] {
        let mut command = limited(&["data", "stats", "experiments/tsm_sthv1.ron"]);
        command.env("FFN_CONFIG", path).env_remove("FFN_DATA_STHV1");
        let output = within(Duration::from_secs(10), command);
        assert_ne!(output.status.code(), Some(0));
        says(&output, "not a file");
    }
}

#[test]
fn videos_and_lists_that_are_no_files_are_refused() {
    let place = Place::new();
    let experiment = place.two_clips();
    fs::copy("fixtures/videos/even.webm", place.path("d/v.webm")).unwrap();
    let root = place.text("d");
    let all = ["stats", "pin", "verify"];
    for (make, what) in [
        (fifo as fn(&str), "a FIFO"),
        (|path| symlink("/dev/zero", path).unwrap(), "a device"),
    ] {
        make(&place.text("d/7.webm"));
        // Statistics say of each clip that it cannot be read; the others end with it.
        let output = run(&["data", "stats", &experiment, "--data-root", &root]);
        assert!(stdout(&output).contains(what), "{}", stdout(&output));
        for command in ["pin", "verify"] {
            refused(&["data", command, &experiment, "--data-root", &root]);
        }
        fs::remove_file(place.path("d/7.webm")).unwrap();
    }
    fs::remove_file(place.path("d/train.json")).unwrap();
    fifo(&place.text("d/train.json"));
    for what in all {
        refused(&["data", what, &experiment, "--data-root", &root]);
    }
}

#[test]
fn an_export_replaces_files_alone() {
    let place = Place::new();
    let folder = place.finished("r");
    let folder = folder.to_str().unwrap();
    let pipe = place.text("pipe");
    fifo(&pipe);
    refused(&[
        "export", folder, "--format", "onnx", "--out", &pipe, "--force",
    ]);
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    fs::create_dir(place.path("taken")).unwrap();
    refused(&[
        "export",
        folder,
        "--format",
        "onnx",
        "--out",
        &place.text("taken"),
        "--force",
    ]);
    // Only where this runs as root.
    let device = place.text("device");
    if Command::new("mknod")
        .args([&device, "c", "1", "3"])
        .output()
        .unwrap()
        .status
        .success()
    {
        refused(&[
            "export", folder, "--format", "onnx", "--out", &device, "--force",
        ]);
        assert!(fs::metadata(&device).unwrap().file_type().is_char_device());
    }
}
