//! `ffn export` of a file of weights, through the binary.

use std::path::Path;
use std::process::{Command, Output};

use ffn::exchange::onnx::proto::ModelProto;
use ffn::exchange::write::{Notes, safetensors};
use ffn::spec;
use prost::Message;

use super::models::build;
use crate::limit::InTime;

const TINY: &str = "fixtures/experiments/tiny.ron";

/// `ffn export weights.safetensors --experiment TINY …` in `folder`.
fn export(folder: &Path, flags: &str) -> Output {
    let experiment = Path::new(env!("CARGO_MANIFEST_DIR")).join(TINY);
    Command::new(env!("CARGO_BIN_EXE_ffn"))
        .current_dir(folder)
        .args(["export", "weights.safetensors", "--experiment"])
        .arg(experiment)
        .args(flags.split_whitespace())
        .in_time()
}

/// A folder with random weights of the tiny experiment.
fn weights() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let loaded = spec::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join(TINY)).unwrap();
    let state = build(&loaded.experiment).state_dict().unwrap();
    let bytes = safetensors::encode(&state.entries(), &Notes::new()).unwrap();
    std::fs::write(folder.path().join("weights.safetensors"), bytes).unwrap();
    folder
}

/// What a person sees, without what changes with every build.
fn seen(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8(text).unwrap();
    let changes = |line: &&str| !line.starts_with("  size") && !line.starts_with("  sha256");
    text.lines()
        .filter(changes)
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn every_format_says_what_it_holds() {
    let folder = weights();
    let mut text = String::new();
    for flags in [
        "--out model.safetensors",
        "--out model.pth",
        "--format pth --plain --out plain",
        "--format onnx",
        "--format onnx --frames 2",
        "--format onnx --frames any --branch 2",
    ] {
        let output = export(folder.path(), flags);
        assert!(output.status.success(), "{}", seen(&output));
        text += &format!("$ ffn export {flags}\n{}\n", seen(&output));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    let folder = weights();
    let mut text = String::new();
    for (flags, code) in [
        ("", 2),
        ("--out model.bin", 2),
        ("--format pth --frames 4", 2),
        ("--format onnx --plain", 2),
        ("--format onnx --branch 3", 2),
        ("--format onnx --frames 0", 2),
        ("--format onnx --frames some", 2),
        ("--out weights.safetensors", 2),
    ] {
        let output = export(folder.path(), flags);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{flags}: {}",
            seen(&output)
        );
        text += &format!("$ ffn export {flags}\n{}\n", seen(&output));
    }
    insta::assert_snapshot!(text);
}

/// safetensors → PyTorch → ONNX is safetensors → ONNX, and `ffn import` gives the weights back, byte for byte.
#[test]
fn an_export_can_be_imported_and_exported_again() {
    let folder = weights();
    let bytes = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    for flags in ["--out a.pth", "--format pth --plain --out b.pth"] {
        assert!(export(folder.path(), flags).status.success());
    }
    assert!(export(folder.path(), "--out direct.onnx").status.success());
    for name in ["a.pth", "b.pth"] {
        let experiment = Path::new(env!("CARGO_MANIFEST_DIR")).join(TINY);
        let ffn = |command: &str, out: &str| {
            let output = Command::new(env!("CARGO_BIN_EXE_ffn"))
                .current_dir(folder.path())
                .args([command, name, "--force", "--out", out, "--experiment"])
                .arg(&experiment)
                .in_time();
            assert!(output.status.success(), "{}", seen(&output));
        };
        ffn("import", "back.safetensors");
        assert!(
            bytes("back.safetensors") == bytes("weights.safetensors"),
            "{name}"
        );
        ffn("export", "again.onnx");
        let nodes = |name: &str| ModelProto::decode(&bytes(name)[..]).unwrap().graph;
        assert!(nodes("again.onnx").unwrap().node == nodes("direct.onnx").unwrap().node);
        assert!(
            nodes("again.onnx").unwrap().initializer == nodes("direct.onnx").unwrap().initializer
        );
    }
}

#[test]
fn an_export_has_the_same_bytes_again_and_replaces_only_by_force() {
    let folder = weights();
    for name in ["a.safetensors", "a.pth", "a.onnx"] {
        let path = folder.path().join(name);
        assert!(
            export(folder.path(), &format!("--out {name}"))
                .status
                .success()
        );
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(
            export(folder.path(), &format!("--out {name}"))
                .status
                .code(),
            Some(2)
        );
        std::fs::write(&path, b"old").unwrap();
        assert!(
            export(folder.path(), &format!("--out {name} --force"))
                .status
                .success()
        );
        assert!(std::fs::read(&path).unwrap() == bytes, "{name}");
    }
}

/// `--force` replaces files alone.
#[cfg(unix)]
#[test]
fn nothing_but_a_file_is_replaced() {
    let folder = weights();
    let place = |name: &str| folder.path().join(name);
    std::fs::create_dir(place("folder")).unwrap();
    std::fs::write(place("file"), b"precious").unwrap();
    std::os::unix::fs::symlink(place("file"), place("link")).unwrap();
    std::os::unix::fs::symlink("/dev/null", place("null")).unwrap();
    let fifo = Command::new("mkfifo").arg(place("fifo")).status().unwrap();
    assert!(fifo.success());
    let mut text = String::new();
    for name in ["folder", "link", "null", "fifo", "/dev/null"] {
        for flags in ["", " --force"] {
            let output = export(folder.path(), &format!("--format onnx --out {name}{flags}"));
            assert_eq!(output.status.code(), Some(8), "{name}: {}", seen(&output));
            if !flags.is_empty() {
                text += &format!("{}\n", seen(&output));
            }
        }
    }
    assert_eq!(std::fs::read(place("file")).unwrap(), b"precious");
    let null = std::fs::metadata("/dev/null").unwrap();
    assert!(!null.is_file());
    insta::assert_snapshot!(text);
}
