//! The project's own book, built from tiny runs in the place of the miniature's.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::support::*;

/// An experiment that is over in a second, under the name of one that the book refers to.
fn stand_in(name: &str, method: &str) -> String {
    let text = std::fs::read_to_string("fixtures/experiments/tiny.ron").unwrap();
    text.replace("\"tiny\"", &format!("{name:?}"))
        .replace("Ffn(frames: [2, 4])", method)
        .replace("frames: [2, 3, 4]", "frames: [4, 8, 16]")
        .replace("epochs: 4", "epochs: 1")
}

/// The folder that the book was built into.
pub fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("whole-book");
        let _ = std::fs::remove_dir_all(&place);
        copy(
            Path::new("fixtures/experiments/pins"),
            &place.join("experiments/pins"),
        );
        let path = |name: &str| place.join(name).to_str().unwrap().to_owned();
        let runs = path("runs");
        for (name, method) in [
            ("tsm_miniature", "Vanilla(frames: 16)"),
            ("ffn_tsm_miniature", "Ffn(frames: [4, 8, 16])"),
        ] {
            let file = path(&format!("experiments/{name}.ron"));
            std::fs::write(&file, stand_in(name, method)).unwrap();
            expect(&ffn(&["run", &file, "--out", &runs]), 0);
        }
        let out = path("book");
        expect(&ffn(&["book", "--runs", &runs, "--out", &out]), 0);
        place.join("book")
    })
}

/// The rendered pages, by path below `html`.
pub fn pages() -> Vec<String> {
    let mut found = Vec::new();
    collect(&built().join("html"), "", &mut found);
    found.retain(|path| path.ends_with(".html"));
    // The table of contents of readers without scripts is a frame, and no page.
    found.retain(|path| path != "toc.html");
    found.sort();
    found
}

fn collect(folder: &Path, prefix: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        match entry.path().is_dir() {
            true => collect(&entry.path(), &format!("{name}/"), found),
            false => found.push(name),
        }
    }
}

#[test]
fn the_language_and_every_command_are_in_the_book() {
    let read = |page: &str| std::fs::read_to_string(built().join("html").join(page)).unwrap();
    let language = read("language.html");
    for field in ["shift_segments", "weight_decay", "milestones", "claims"] {
        assert!(
            language.contains(&format!("<code>{field}</code>")),
            "{field}"
        );
    }
    let commands = read("commands.html");
    for command in [
        "ffn check",
        "ffn data pin",
        "ffn golden record",
        "ffn export-metrics",
    ] {
        assert!(
            commands.contains(&format!("<code>{command}</code>")),
            "{command}"
        );
    }
}

#[test]
fn figures_of_analyses_are_drawn_without_another_command() {
    let page = std::fs::read_to_string(built().join("html/understanding.html")).unwrap();
    for figure in ["drift", "confusion", "alteration"] {
        let drawn = format!("<svg xmlns=\"http://www.w3.org/2000/svg\" id=\"figure-{figure}");
        assert!(page.contains(&drawn), "{figure}");
    }
}

#[test]
fn no_reference_is_left_in_a_page() {
    for page in [
        "results",
        "understanding",
        "differences",
        "paper",
        "performance",
        "data",
        "language",
    ] {
        let page = format!("html/{page}.html");
        let text = std::fs::read_to_string(built().join(&page)).unwrap();
        assert!(!text.contains("{{"), "{page}");
    }
}
