//! `ffn devices` on machines that have nothing, something, and something that cannot be used.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::emulated::library;
use crate::program::{self, InTime};
use crate::skipped::skipped;

/// What a command that succeeds says.
fn said(command: &mut Command) -> String {
    let output = command.in_time();
    program::expect(&output, 0);
    program::stdout(&output)
}

/// `ffn devices` on a machine whose system has nothing of CUDA, with the processor and the folder's path left out.
fn devices(folder: &Path, change: impl FnOnce(&mut Command) -> &mut Command) -> String {
    let mut command = program::command(&["devices"]);
    for variable in [
        "VIRTUAL_ENV",
        "CONDA_PREFIX",
        "FFN_CUDA_LIBRARIES",
        "LD_LIBRARY_PATH",
    ] {
        command.env_remove(variable);
    }
    let text = said(change(command.env("PATH", "")));
    let (cpu, rest) = text.split_once('\n').unwrap();
    let (measured, rest) = rest.split_once('\n').unwrap();
    assert!(measured.contains("one thread multiplies at"), "{measured}");
    assert!(
        cpu.starts_with("cpu      ") && cpu.contains(" cores"),
        "{cpu}"
    );
    // Which MPI there is, is the machine's.
    let (rest, mpi) = rest.split_once("mpi      ").unwrap();
    assert_eq!(mpi.lines().count(), 1, "{mpi}");
    rest.replace(&*folder.to_string_lossy(), "[folder]")
}

/// Whether this machine has none of the libraries itself: what they would add is not for snapshots.
fn is_bare() -> bool {
    let text = devices(Path::new("/nowhere"), |command| command);
    let is_bare = text.matches("not found").count() == 3;
    if !is_bare {
        skipped("the system has libraries of CUDA itself");
    }
    is_bare
}

/// A Python environment with wheels that hold these files.
fn environment(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let nvidia = folder.path().join("lib/python3.12/site-packages/nvidia");
    for (path, bytes) in files {
        let path = nvidia.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    folder
}

#[test]
fn nothing_is_there() {
    if is_bare() {
        let text = devices(Path::new("/nowhere"), |command| command);
        insta::assert_snapshot!(text);
    }
}

#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn a_driver_without_a_gpu() {
    let folder = tempfile::tempdir().unwrap();
    let driver = library(folder.path(), "libcuda.so", "gpus.cpp");
    if driver.is_some() && is_bare() {
        let text = devices(folder.path(), |command| {
            let command = command.env("LD_LIBRARY_PATH", folder.path());
            command.env("EMULATED_GPUS", "0")
        });
        insta::assert_snapshot!(text);
    }
}

#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn an_old_driver() {
    let folder = tempfile::tempdir().unwrap();
    let driver = library(folder.path(), "libcuda.so", "gpus.cpp");
    if driver.is_some() && is_bare() {
        let text = devices(folder.path(), |command| {
            let command = command.env("LD_LIBRARY_PATH", folder.path());
            command.env("EMULATED_DRIVER", "12040")
        });
        insta::assert_snapshot!(text);
    }
}

#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn gpus_and_a_driver_that_a_person_names() {
    let folder = tempfile::tempdir().unwrap();
    let driver = library(folder.path(), "libcuda.so", "gpus.cpp");
    if driver.is_some() && is_bare() {
        let text = devices(folder.path(), |command| {
            let command = command.arg("--cuda-libraries").arg(folder.path());
            command.env("EMULATED_GPUS", "2")
        });
        insta::assert_snapshot!(text);
    }
}

/// Libraries in the wheels of an environment, each of another kind of useless.
#[test]
#[cfg_attr(without_cxx, ignore = "skipped: no C++ compiler; CXX names one")]
fn wheels_that_cannot_be_used() {
    let folder = environment(&[
        ("cu13/lib/libnvrtc-builtins.so.13.0", b""),
        ("cu13/lib/libnvrtc.so.13", b"no library"),
    ]);
    let cudnn = folder
        .path()
        .join("lib/python3.12/site-packages/nvidia/cudnn/lib");
    std::fs::create_dir_all(&cudnn).unwrap();
    if library(&cudnn, "libcudnn.so.9", "gpus.cpp").is_some() && is_bare() {
        let text = devices(folder.path(), |command| {
            command.env("VIRTUAL_ENV", folder.path())
        });
        insta::assert_snapshot!(text);
    }
}

#[test]
fn json_says_the_same() {
    let text = said(&mut program::command(&["devices", "--json"]));
    let devices: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(devices["cpu"]["cores"].as_u64().unwrap() > 0);
    let libraries = devices["cuda"]["libraries"].as_array().unwrap();
    let names: Vec<_> = libraries
        .iter()
        .map(|l| l["library"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["driver", "nvrtc", "cudnn"]);
}
