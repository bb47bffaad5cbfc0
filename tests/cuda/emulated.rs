//! NVIDIA's libraries without a card: small ones of our own, built from `tests/cuda/emulated` by the C++ compiler.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use ffn::exec::cuda::compile;

/// A shared library of a source in the folder `folder`, under the name by which it is opened. `None` where there is no
/// C++ compiler: the test has compared nothing and says so on standard error, past the capture of its output.
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
    // Fibers leave their stacks by longjmp, which the fortified one takes for a mistake.
    let output = Command::new(&compiler)
        .args([
            "-std=c++17",
            "-O3",
            "-ffp-contract=off",
            "-Wall",
            "-Werror",
            "-U_FORTIFY_SOURCE",
            "-fPIC",
            "-shared",
        ])
        .args(cfg!(target_arch = "x86_64").then_some("-march=native"))
        .arg("-I")
        .arg(folder)
        .arg(format!("-Wl,-soname,{name}"))
        .arg(sources.join(source))
        .arg("-o")
        .arg(&path)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    Some(path)
}

/// A folder with all libraries of a card that computes on the host.
pub fn card() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("emulated-card");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("kernels.cu"), compile::kernels()).unwrap();
        library(&folder, "libnvrtc.so", "nvrtc.cpp")?;
        library(&folder, "libcudnn.so", "cudnn.cpp")?;
        library(&folder, "libcuda.so", "driver.cpp")?;
        Some(folder)
    };
    FOLDER.get_or_init(build).as_deref()
}
