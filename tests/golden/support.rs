//! Bundles that a test may damage, and the program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::limit::InTime;

pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden")
        .join(name)
}

/// A copy of a bundle that a test may damage.
pub struct Copy {
    pub folder: tempfile::TempDir,
}

impl Copy {
    pub fn of(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(golden(name)).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
        Self { folder }
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    pub fn edit_case(&self, from: &str, to: &str) {
        let path = self.path("case.json");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from}");
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    }

    pub fn edit_tensors(&self, edit: impl FnOnce(&mut Floats)) {
        edit_tensors(&self.path("expected.safetensors"), edit);
    }

    pub fn verify(&self) -> Output {
        verify(&[self.folder.path()])
    }

    /// Exit code and the error as a person sees it, the folder's own name taken out.
    pub fn refusal(&self) -> (Option<i32>, String) {
        let output = self.verify();
        let error = String::from_utf8(output.stderr).unwrap();
        let folder = self.folder.path().display().to_string();
        (output.status.code(), error.replace(&folder, "BUNDLE"))
    }
}

/// Shape and values by name.
pub type Floats = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Changes the float32 tensors of a safetensors file; others are dropped.
pub fn edit_tensors(path: &Path, edit: impl FnOnce(&mut Floats)) {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let single = file.iter().filter(|(_, view)| view.dtype() == Dtype::F32);
    let tensors = single.map(|(name, view)| {
        let (values, _) = view.data().as_chunks::<4>();
        let values = values.iter().map(|&b| f32::from_le_bytes(b)).collect();
        (name.to_owned(), (view.shape().to_vec(), values))
    });
    let mut tensors: Floats = tensors.collect();
    edit(&mut tensors);
    let stored = tensors.iter().map(|(name, (shape, values))| {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        (name, shape.clone(), bytes)
    });
    let stored: Vec<_> = stored.collect();
    let views = stored.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap();
        (name, view)
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// `ffn golden` in the project's folder.
pub fn ffn_golden(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ffn"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg("golden")
        .args(arguments)
        .env("COLUMNS", "100")
        .env("NO_COLOR", "1")
        .in_time()
}

/// Fails unless the program ended with this code; what it printed on both streams.
#[track_caller]
pub fn expect(output: &Output, code: i32) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let printed = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{printed}");
    printed
}

pub fn verify(paths: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ffn"))
        .args(["golden", "verify"])
        .args(paths)
        .in_time()
}

/// Numbers differ between machines in their last digits: the measured ones are taken out, and the spaces that align them.
pub fn redacted(table: &[u8]) -> String {
    let text = String::from_utf8_lossy(table);
    let is_number = |word: &str| word.contains(['.', 'e']) && word.parse::<f64>().is_ok();
    let redact = |line: &str| {
        let words = line.split_whitespace();
        let words = words.map(|word| if is_number(word) { "#" } else { word });
        words.collect::<Vec<_>>().join(" ")
    };
    text.lines().map(redact).collect::<Vec<_>>().join("\n")
}
