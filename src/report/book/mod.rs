//! The book: pages that people write, with numbers, tables and plots by reference to runs.
//!
//! [`build`] reads the pages of an mdBook, puts in the place of each `{{reference}}` what it refers to
//! (`functions`), adds a page for each run, suite and file that was referred to (`pages`), writes all of it as a
//! plain mdBook, and renders that. A reference to a run that is missing, unfinished, damaged or stale
//! ([`source`](super::source)), and a figure that somebody typed on a results page (`figures`), are mistakes with
//! page, line and column; nothing is written then. Analyses that a figure is drawn from are asked for first
//! ([`Source::analyse`]).
//!
//! ```text
//! OUT/book.toml, OUT/src/   the plain mdBook: `mdbook build OUT` renders it again, without this program
//! OUT/html/                 the rendered book
//! ```

mod catalogue;
mod differences;
mod expand;
mod figures;
mod files;
mod functions;
mod language;
mod markdown;
mod mistake;
mod pages;
mod plots;
mod reference;
mod render;
mod runs;
mod suites;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub use catalogue::Catalogue;

use crate::base::{Error, Kind, Result, Shown};
use crate::run::Folder;
use expand::{Expander, Page};
use pages::Generated;

/// The contents, which every mdBook has.
const SUMMARY: &str = "SUMMARY.md";

/// What a book is built from.
pub struct Source<'a> {
    /// Folder with `book.toml` and `src/`.
    pub book: &'a Path,
    pub catalogue: &'a Catalogue,
    /// The subcommands with their help.
    pub commands: &'a [(String, String)],
    /// Computes the analyses that a run does not have, for the figures that are drawn from them.
    pub analyse: &'a dyn Fn(&Folder) -> Result<()>,
}

/// What was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The folder of the rendered book.
    pub html: PathBuf,
    pub pages: usize,
    /// Folder names of the runs that the book refers to.
    pub runs: BTreeSet<String>,
}

/// Builds the book into `out`, whose `src` and `html` it replaces.
pub fn build(source: &Source<'_>, out: &Path) -> Result<Built> {
    let written = render::read(&source.book.join("src"))?;
    let root = source.book.parent().unwrap_or(Path::new(""));
    let mut expander = Expander {
        catalogue: source.catalogue,
        root,
        commands: source.commands,
        analyse: source.analyse,
        runs: BTreeSet::new(),
        suites: BTreeSet::new(),
        files: BTreeMap::new(),
        up: String::new(),
    };
    let (mut files, mut mistakes) = (BTreeMap::new(), Vec::new());
    for (path, bytes) in written {
        let bytes = match path.ends_with(".md") {
            false => bytes,
            true => {
                let shown = source.book.join("src").join(&path).shown().to_string();
                let text = String::from_utf8(bytes)
                    .map_err(|_| Error::new(Kind::Usage, format!("`{shown}` is not UTF-8 text")))?;
                let page = Page {
                    path: &path,
                    shown: &shown,
                    text: &text,
                };
                expander.page(page, &mut mistakes).into_bytes()
            }
        };
        files.insert(path, bytes);
    }
    if let Some(error) = mistake::into_error(mistakes) {
        return Err(error);
    }
    let (runs, generated) = generate(&expander)?;
    add(&mut files, generated);
    let pages = files.keys().filter(|path| path.ends_with(".md")).count() - 1;
    render::prepare(out)?;
    render::write(source.book, out, &files)?;
    let html = render::render(out)?;
    Ok(Built { html, pages, runs })
}

/// The pages of what was referred to, and the runs among it.
fn generate(expander: &Expander<'_>) -> Result<(BTreeSet<String>, Vec<Section>)> {
    let catalogue = expander.catalogue;
    let suites = expander.suites.iter();
    let suites = suites.map(|name| pages::suite(catalogue.suite(name)?, catalogue));
    let runs = expander.runs.iter();
    let runs = runs.map(|name| pages::run(catalogue.run(name)?));
    let files = expander.files.iter();
    let files = files.map(|(name, text)| pages::file(name, text));
    let sections = vec![
        Section {
            title: "Suites",
            path: "suites/index.md",
            pages: suites.collect::<Result<_>>()?,
        },
        Section {
            title: "Runs",
            path: "runs/index.md",
            pages: runs.collect::<Result<_>>()?,
        },
        Section {
            title: "Files",
            path: "files/index.md",
            pages: files.collect(),
        },
    ];
    Ok((expander.runs.clone(), sections))
}

/// Generated pages of one kind.
struct Section {
    title: &'static str,
    /// Of the page that lists them.
    path: &'static str,
    pages: Vec<Generated>,
}

/// Adds generated pages to the files of a book and to its contents.
fn add(files: &mut BTreeMap<String, Vec<u8>>, sections: Vec<Section>) {
    let mut contents = "\n# What the numbers come from\n\n".to_owned();
    for section in sections.into_iter().filter(|s| !s.pages.is_empty()) {
        contents += &format!("- [{}]({})\n", section.title, section.path);
        let mut index = format!("# {}\n\n", section.title);
        for page in section.pages {
            contents += &format!("  - [{}]({})\n", page.title, page.path);
            let path = page.path.split_once('/').map_or("", |(_, rest)| rest);
            index += &format!("- [`{}`]({path})\n", page.title);
            files.insert(page.path, page.text.into_bytes());
        }
        files.insert(section.path.to_owned(), index.into_bytes());
    }
    if contents.contains("](")
        && let Some(summary) = files.get_mut(SUMMARY)
    {
        summary.extend(contents.into_bytes());
    }
}
