//! NVIDIA's libraries without a card: small ones of our own, built from `tests/cuda/emulated` by the C++ compiler.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A shared library of these sources below the folder `folder`, under the name by which it is opened. `None` where there
/// is no C++ compiler: the test has compared nothing and says so on standard error, past the capture of its output.
pub fn library(folder: &Path, name: &str, source: &str) -> Option<PathBuf> {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    if Command::new(&compiler).arg("--version").output().is_err() {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let message =
            format!("skipped: {test}: there is no C++ compiler `{compiler}`; CXX names one\n");
        std::io::stderr().write_all(message.as_bytes()).unwrap();
        return None;
    }
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cuda/emulated");
    let path = folder.join(name);
    let output = Command::new(&compiler)
        .args(["-std=c++17", "-O2", "-fPIC", "-shared", "-o"])
        .arg(&path)
        .arg(format!("-Wl,-soname,{name}"))
        .arg(sources.join(source))
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    Some(path)
}
