//! The versions of `ffmpeg` that are there.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::skipped::skipped;

/// What the program in a folder calls its version; `None` where it does not run.
fn version(folder: &Path) -> Option<String> {
    let output = Command::new(folder.join("ffmpeg"))
        .arg("-version")
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().nth(2).map(str::to_owned)
}

/// Folders with an `ffmpeg`: those that `FFN_FFMPEG` names, as `.ci/ffmpeg` prints them, and the PATH's. Without one the
/// test has decoded nothing, and says so past the capture of a test's output.
pub fn installed() -> Vec<(PathBuf, String)> {
    let named = std::env::var_os("FFN_FFMPEG").unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let of_path = std::env::split_paths(&path).find(|folder| folder.join("ffmpeg").is_file());
    let folders = std::env::split_paths(&named).filter(|folder| !folder.as_os_str().is_empty());
    let found = folders.chain(of_path).filter_map(|folder| {
        let version = version(&folder)?;
        Some((folder, version))
    });
    let found: Vec<_> = found.collect();
    if found.is_empty() {
        skipped("there is no ffmpeg; .ci/ffmpeg gets some, FFN_FFMPEG names them");
    }
    found
}

pub fn is_supported(version: &str) -> bool {
    let version = version.trim_start_matches('n');
    ["4.4", "5.", "6.", "7.", "8.", "9."]
        .iter()
        .any(|start| version.starts_with(start))
}

/// Those of [`installed`] whose bytes are known.
pub fn supported() -> impl Iterator<Item = (PathBuf, String)> {
    let installed = installed().into_iter();
    installed.filter(|(_, version)| is_supported(version))
}
