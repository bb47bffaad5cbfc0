//! Two tiny runs, and small books to refer to them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

const TINY: &str = "fixtures/experiments/tiny.ron";

/// The program in the project's folder, with the tiny data set and nobody's configuration.
pub fn ffn(arguments: &[&str]) -> Output {
    let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tiny");
    Command::new(env!("CARGO_BIN_EXE_ffn"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(arguments)
        .env("FFN_CONFIG", data.join("no-configuration.ron"))
        .env("FFN_DATA_MINIATURE", data)
        .env("NO_COLOR", "1")
        .output()
        .unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Fails unless the program ended with this code.
#[track_caller]
pub fn expect(output: &Output, code: i32) {
    let (out, err) = (stdout(output), stderr(output));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
}

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

    /// `ffn book`
    pub fn build(&self) -> Output {
        let path = |name: &str| self.path(name).to_str().unwrap().to_owned();
        let (book, runs, out) = (path("book"), path("runs"), path("out"));
        ffn(&["book", "--book", &book, "--runs", &runs, "--out", &out])
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

/// A copy of a folder.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &target),
            false => drop(std::fs::copy(&path, &target).unwrap()),
        }
    }
}
