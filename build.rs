//! Records what the binary is built from: the commit, whether the sources differ from it, and a hash of the sources.
//! Without git, or outside a clone, only the hash is known.

use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

/// What decides the program's behaviour.
const SOURCES: [&str; 4] = ["build.rs", "Cargo.lock", "Cargo.toml", "src"];

fn main() {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    println!("cargo::rustc-env=FFN_SOURCE_SHA256={}", hash_of_sources());
    println!("cargo::rustc-env=FFN_RUSTC={}", rustc());
    note_compiler();
    // A package unpacked inside somebody else's repository must not take that one's commit.
    if git(&["ls-files", "--error-unmatch", "build.rs"]).is_some() {
        record_commit();
    }
}

/// The compiler as it names itself: `rustc 1.90.0 (1159e78c4 2025-09-14)`.
fn rustc() -> String {
    let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let output = Command::new(compiler).arg("--version").output().ok();
    let text = output.and_then(|output| String::from_utf8(output.stdout).ok());
    text.map_or("rustc of unknown version".to_owned(), |text| {
        text.trim().to_owned()
    })
}

/// `cfg(without_cxx)`: the tests that compile an emulated graphics card are listed as ignored. Nothing else needs C++.
fn note_compiler() {
    println!("cargo::rustc-check-cfg=cfg(without_cxx)");
    println!("cargo::rerun-if-env-changed=CXX");
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    if Command::new(compiler).arg("--version").output().is_err() {
        println!("cargo::rustc-cfg=without_cxx");
    }
}

fn record_commit() {
    let (Some(commit), Some(path)) = (
        git(&["rev-parse", "HEAD"]),
        git(&["rev-parse", "--git-path", "logs/HEAD"]),
    ) else {
        return;
    };
    // The log of HEAD grows with every commit and checkout. A path that is missing would mean: always rebuild.
    if Path::new(&path).exists() {
        println!("cargo::rerun-if-changed={path}");
    }
    let changes = git(&[&["status", "--porcelain", "--"], &SOURCES[..]].concat());
    let dirty = changes.is_none_or(|list| !list.is_empty());
    println!("cargo::rustc-env=FFN_COMMIT={commit}");
    println!("cargo::rustc-env=FFN_DIRTY={dirty}");
}

/// What git prints, without taking its locks; `None` where it fails.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("--no-optional-locks")
        .args(arguments)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn hash_of_sources() -> String {
    let mut files = Vec::new();
    for source in SOURCES {
        collect(Path::new(source), &mut files);
    }
    files.sort();
    let mut hasher = Sha256::new();
    for file in files {
        let Ok(content) = std::fs::read(&file) else {
            continue;
        };
        hasher.update(file.to_string_lossy().replace('\\', "/"));
        hasher.update((content.len() as u64).to_le_bytes());
        hasher.update(content);
    }
    let digest = hasher.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    match std::fs::read_dir(path) {
        Ok(entries) => entries
            .flatten()
            .for_each(|entry| collect(&entry.path(), files)),
        Err(_) => files.push(path.to_owned()),
    }
}
