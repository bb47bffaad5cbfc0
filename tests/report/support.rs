//! Two tiny runs, and small books to refer to them.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;

pub use crate::program::*;

const TINY: &str = "fixtures/experiments/tiny.ron";

/// The folder that holds a finished run of the tiny experiment.
pub fn runs() -> &'static Path {
    static RUNS: OnceLock<PathBuf> = OnceLock::new();
    RUNS.get_or_init(|| {
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("book-runs");
        let _ = std::fs::remove_dir_all(&out);
        expect(&ffn(&["run", TINY, "--out", out.to_str().unwrap()]), 0);
        out
    })
}

/// The tiny run's folder.
pub fn tiny() -> PathBuf {
    let mut folders = std::fs::read_dir(runs()).unwrap();
    folders.next().unwrap().unwrap().path()
}

/// A project of its own: a book with one page beside the introduction, and copies of the tiny run.
pub struct Project {
    place: tempfile::TempDir,
}

impl Project {
    /// `page` becomes `results.md`.
    pub fn new(page: &str) -> Self {
        let project = Self {
            place: tempfile::tempdir().unwrap(),
        };
        project.write("book/book.toml", "[book]\ntitle = \"t\"\n");
        let summary = "# Summary\n\n- [A](a.md)\n- [Results](results.md)\n";
        project.write("book/src/SUMMARY.md", summary);
        project.write("book/src/a.md", "# A\n");
        project.write("book/src/results.md", page);
        copy(runs(), &project.path("runs"));
        project
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// The copy of the tiny run.
    pub fn run(&self) -> PathBuf {
        self.path("runs").join(tiny().file_name().unwrap())
    }

    /// Gives the run these numbers of right clips by frame count, as if it had been evaluated so: what a network
    /// says in its last digits depends on the machine.
    pub fn set_results(&self, right: &[(usize, u64)]) {
        let run = self.run();
        let mut manifest = document(&run.join("manifest.json"));
        for (frames, top1) in right {
            let name = format!("eval/{frames}.json");
            let mut summary = document(&run.join(&name));
            summary.insert("top1".into(), (*top1).into());
            let text = serde_json::to_string_pretty(&summary).unwrap();
            std::fs::write(run.join(&name), &text).unwrap();
            manifest["files"][&name] = ffn::base::files::sha256(text.as_bytes()).into();
        }
        let hash = write_sealed(&run.join("manifest.json"), manifest);
        let mut history = document(&run.join("history.json"));
        history["files"]["manifest.json"] = hash.into();
        write_sealed(&run.join("history.json"), history);
    }

    /// `ffn book`
    pub fn build(&self) -> Output {
        self.build_with(&[])
    }

    /// `ffn book` with flags.
    pub fn build_with(&self, flags: &[&str]) -> Output {
        let path = |name: &str| self.path(name).to_str().unwrap().to_owned();
        let (book, runs, out) = (path("book"), path("runs"), path("out"));
        let arguments = ["book", "--book", &book, "--runs", &runs, "--out", &out];
        ffn(&[&arguments, flags].concat())
    }

    /// The mistakes of the book, with paths that are the same on every machine.
    #[track_caller]
    pub fn mistakes(&self) -> String {
        let output = self.build();
        expect(&output, 1);
        assert!(!self.path("out/html").exists(), "nothing is written");
        stderr(&output).replace(self.place.path().to_str().unwrap(), "PROJECT")
    }
}

pub type Document = serde_json::Map<String, serde_json::Value>;

/// A JSON document, without its seal.
pub fn document(path: &Path) -> Document {
    let mut document: Document = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    document.remove("seal");
    document
}

/// Writes a document with its seal; gives its SHA-256.
pub fn write_sealed(path: &Path, document: Document) -> String {
    let text = ffn::run::seal::seal(&document).unwrap();
    std::fs::write(path, &text).unwrap();
    ffn::base::files::sha256(text.as_bytes())
}
