//! The book: pages that people write, with numbers, tables and plots by reference to runs.
//!
//! [`build`] reads the pages of an mdBook, puts in the place of each `{{reference}}` what it refers to
//! (`functions`), adds a page for each run, suite and file that was referred to (`pages`), writes all of it as a
//! plain mdBook, and renders that. A reference to a run that is missing, unfinished, damaged or stale
//! ([`source`](super::source)), and a figure that somebody typed on a results page (`figures`), are mistakes with
//! page, line and column; nothing is written then. The book may be somebody else's, and so may the runs: no program of
//! its settings runs unasked, nothing leads out of its folder (`settings.rs`), and every text that comes from a run or a
//! file goes through `report/escape`. Analyses that a figure is drawn from and a run lacks are computed first and kept in
//! its folder ([`crate::analysis::work`]).
//!
//! ```text
//! OUT/book.toml, OUT/src/   the plain mdBook: `mdbook build OUT` renders it again, without this program
//! OUT/html/                 the rendered book
//! ```

mod arguments;
mod catalogue;
mod contents;
mod context;
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
mod settings;
mod suites;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub use catalogue::Catalogue;

use crate::base::{Error, Kind, Result, Shown};
use crate::report::escape;
use crate::train::opening::Opening;
use context::Context;
use expand::Page;
use pages::Generated;
use render::Files;

/// The contents, which every mdBook has.
const SUMMARY: &str = "SUMMARY.md";

/// What a book is built from.
pub struct Source<'a> {
    /// Folder with `book.toml` and `src/`.
    pub book: &'a Path,
    pub catalogue: &'a Catalogue,
    /// The subcommands with their help.
    pub commands: &'a [(String, String)],
    /// Preprocessors and other renderers of the book's settings that may run.
    pub allowed: &'a [String],
    /// How a run is opened whose analyses a figure is drawn from and which lacks some of them.
    pub opening: &'a Opening,
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
    let settings = settings::read(source.book, source.allowed)?;
    let (written, beside) = split(render::read(source.book)?);
    let mut context = Context {
        catalogue: source.catalogue,
        root: source.book.parent().unwrap_or(Path::new("")),
        commands: source.commands,
        opening: source.opening,
        runs: BTreeSet::new(),
        suites: BTreeSet::new(),
        files: BTreeMap::new(),
        up: String::new(),
    };
    let mut files = expand(source.book, written, &mut context)?;
    let (runs, generated) = generate(&context)?;
    add(&mut files, generated)?;
    let pages = files.keys().filter(|path| path.ends_with(".md"));
    let pages = pages.filter(|path| *path != SUMMARY).count();
    render::prepare(source.book, out)?;
    render::write(out, &settings::written(&settings)?, &files, &beside)?;
    let html = render::render(out, settings)?;
    Ok(Built { html, pages, runs })
}

/// What is below `src`, by its path there, and the rest without the settings.
fn split(files: Files) -> (Files, Files) {
    let (mut source, mut beside) = (Files::new(), Files::new());
    for (path, bytes) in files {
        match path.strip_prefix("src/") {
            Some(path) => drop(source.insert(path.to_owned(), bytes)),
            None if path == settings::FILE => {}
            None => drop(beside.insert(path, bytes)),
        }
    }
    (source, beside)
}

/// The pages with what their references refer to, beside what is no page. Fails with every mistake of every page.
fn expand(book: &Path, written: Files, context: &mut Context<'_>) -> Result<Files> {
    let names: BTreeSet<String> = written.keys().cloned().collect();
    if !names.contains(SUMMARY) {
        let path = book.join("src").join(SUMMARY);
        let message = format!("`{}` is not there: the contents of the book", path.shown());
        return Err(Error::new(Kind::Usage, message));
    }
    let (mut files, mut mistakes) = (Files::new(), Vec::new());
    for (path, bytes) in written {
        if !path.ends_with(".md") {
            files.insert(path, bytes);
            continue;
        }
        let shown = book.join("src").join(&path).shown();
        let text = String::from_utf8(bytes)
            .map_err(|_| Error::new(Kind::Usage, format!("`{shown}` is not UTF-8 text")))?;
        let mut page = Page {
            path: &path,
            shown: &shown,
            text: &text,
        };
        let expanded = context.page(page, &mut mistakes);
        if path == SUMMARY {
            page.text = &expanded;
            mistakes.extend(contents::check(page, |name| names.contains(name)));
        }
        files.insert(path, expanded.into_bytes());
    }
    match mistake::into_error(mistakes) {
        Some(error) => Err(error),
        None => Ok(files),
    }
}

/// The pages of what was referred to, and the runs among it.
fn generate(context: &Context<'_>) -> Result<(BTreeSet<String>, Vec<Section>)> {
    let catalogue = context.catalogue;
    let suites = context.suites.iter();
    let suites = suites.map(|name| pages::suite(catalogue.suite(name)?, catalogue));
    let runs = context.runs.iter();
    let runs = runs.map(|name| pages::run(catalogue.run(name)?));
    let files = context.files.iter();
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
    Ok((context.runs.clone(), sections))
}

/// Generated pages of one kind.
struct Section {
    title: &'static str,
    /// Of the page that lists them.
    path: &'static str,
    pages: Vec<Generated>,
}

/// Adds generated pages to the files of a book and to its contents. Fails where somebody wrote a page in their place.
fn add(files: &mut Files, sections: Vec<Section>) -> Result<()> {
    let mut contents = "\n# What the numbers come from\n\n".to_owned();
    let mut generated = Files::new();
    for section in sections.into_iter().filter(|s| !s.pages.is_empty()) {
        contents += &format!("- [{}]({})\n", section.title, section.path);
        let mut index = format!("# {}\n\n", section.title);
        for page in section.pages {
            let title = escape::markdown(&page.title);
            contents += &format!("  - [{title}]({})\n", page.path);
            let path = page.path.split_once('/').map_or("", |(_, rest)| rest);
            index += &format!("- [{}]({path})\n", escape::code(&page.title));
            generated.insert(page.path, page.text.into_bytes());
        }
        generated.insert(section.path.to_owned(), index.into_bytes());
    }
    let taken = generated.keys().filter(|path| files.contains_key(*path));
    let taken: Vec<String> = taken.map(|path| path.shown()).collect();
    if !taken.is_empty() {
        let message = format!(
            "the book has pages where generated ones go: `{}`",
            taken.join("`, `")
        );
        return Err(Error::new(Kind::Usage, message).hint("call them otherwise"));
    }
    if !generated.is_empty()
        && let Some(summary) = files.get_mut(SUMMARY)
    {
        summary.extend(contents.into_bytes());
    }
    files.extend(generated);
    Ok(())
}
