//! NVIDIA's libraries without a GPU: small ones of our own, built from `tests/cuda/emulated` by the C++ compiler.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use ffn::exec::cuda::compile;

use crate::skipped::skipped;

/// `CXX`, else `c++`. `None` where there is none: the test has compared nothing and says so.
fn compiler() -> Option<String> {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    if Command::new(&compiler).arg("--version").output().is_ok() {
        return Some(compiler);
    }
    skipped(&format!(
        "there is no C++ compiler `{compiler}`; CXX names one"
    ));
    None
}

/// A shared library of a source in the folder `folder`, under the name by which it is opened, if there is a compiler.
pub fn library(folder: &Path, name: &str, source: &str) -> Option<PathBuf> {
    let compiler = compiler()?;
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

/// A folder with all libraries of a GPU that computes on the host.
pub fn libraries() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("emulated-gpu");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("kernels.cu"), compile::kernels()).unwrap();
        library(&folder, "libnvrtc.so", "nvrtc.cpp")?;
        library(&folder, "libcudnn.so", "cudnn.cpp")?;
        library(&folder, "libcuda.so", "driver.cpp")?;
        Some(folder)
    };
    // Asked for every test, so that each says it.
    compiler()?;
    FOLDER.get_or_init(build).as_deref()
}
