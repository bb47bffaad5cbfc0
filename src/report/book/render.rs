//! Folders of a book on disk, and mdBook.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mdbook_driver::MDBook;
use mdbook_driver::config::Config;

use super::mistake::told;
use super::settings;
use crate::base::{Error, Kind, Result, Shown, files, limits};

/// Files by their path with `/`.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Every file of a book's folder by its path with `/`. A link in it may lead to another file of the folder, not out of it.
pub fn read(book: &Path) -> Result<Files> {
    let (mut found, mut foreign) = (BTreeMap::new(), Vec::new());
    let mut folders = vec![(book.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        let fail = |e: std::io::Error| Error::io("read", &folder, &e);
        for entry in std::fs::read_dir(&folder).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(fail)?);
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if kind.is_dir() {
                folders.push((path, format!("{name}/")));
            } else if kind.is_symlink() && !leads_inside(book, &path)? {
                foreign.push(path.shown());
            } else {
                found.insert(name, files::read(&path, limits::DOCUMENT)?);
            }
        }
    }
    foreign.sort();
    match foreign.is_empty() {
        true => Ok(found),
        false => {
            let message = format!(
                "links lead out of the book `{}`: `{}`",
                book.shown(),
                foreign.join("`, `")
            );
            Err(Error::new(Kind::Usage, message).hint("put the files themselves into the book"))
        }
    }
}

/// Whether a path, all its links followed, stays in a folder.
pub fn leads_inside(folder: &Path, path: &Path) -> Result<bool> {
    Ok(real(path)?.starts_with(real(folder)?))
}

fn real(path: &Path) -> Result<PathBuf> {
    let path = match path.as_os_str().is_empty() {
        true => Path::new("."),
        false => path,
    };
    path.canonicalize().map_err(|e| Error::io("read", path, &e))
}

/// Tells a folder that this program made from one that holds something else.
const MARK: &str = ".made-by-ffn-book";

/// Makes the folder of the built book; refuses one that has something else in it, since what is there gets replaced, and
/// one inside the book, which would be part of the next.
pub fn prepare(book: &Path, out: &Path) -> Result<()> {
    let foreign = std::fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some())
        && !out.join(MARK).exists();
    if foreign {
        let message = format!("`{}` holds something else than a built book", out.shown());
        return Err(Error::new(Kind::Usage, message).hint("--out names another folder"));
    }
    let absolute = std::path::absolute(out).map_err(|e| Error::io("find", out, &e))?;
    let there = absolute.ancestors().find(|folder| folder.exists());
    if leads_inside(book, there.unwrap_or(out))? {
        let message = format!("`{}` is inside the book `{}`", out.shown(), book.shown());
        return Err(Error::new(Kind::Usage, message).hint("--out names another folder"));
    }
    write_file(&out.join(MARK), b"")
}

/// Writes the plain mdBook: the settings, the pages, and what else the book's folder holds (`beside`, by path).
pub fn write(out: &Path, settings: &str, pages: &Files, beside: &Files) -> Result<()> {
    let source = out.join("src");
    replace(&source)?;
    for (name, bytes) in pages {
        write_file(&source.join(name), bytes)?;
    }
    for (name, bytes) in beside {
        write_file(&out.join(name), bytes)?;
    }
    write_file(&out.join(settings::FILE), settings.as_bytes())
}

/// What is generated can be generated again: no need for the atomic way, which syncs every file.
fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new(""));
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(path, bytes))
        .map_err(|e| Error::io("write", path, &e))
}

/// Renders a plain mdBook; gives the folder of its HTML.
pub fn render(out: &Path, config: Config) -> Result<PathBuf> {
    replace(&out.join("html"))?;
    let rendered = || {
        let book = MDBook::load_with_config(out, config)?;
        book.build()?;
        Ok(book.build_dir_for("html"))
    };
    // Its renderer asserts what pages with HTML of their own may break.
    let why = match std::panic::catch_unwind(std::panic::AssertUnwindSafe(rendered)) {
        Ok(Ok(html)) => return mend_search(&html).map(|()| html),
        Ok(Err(e)) => told(&e),
        Err(_) => "it stopped with a panic".to_owned(),
    };
    let message = format!("mdBook cannot render `{}`: {why}", out.shown());
    Err(Error::new(Kind::Usage, message))
}

/// mdBook's search shows the names of pages and headings as HTML (`formatSearchResult` of 0.5.4): here as text.
fn mend_search(html: &Path) -> Result<()> {
    const AS_HTML: &str = "+ result.doc.breadcrumbs + '</a>'";
    const AS_TEXT: &str = "+ escapeHTML(result.doc.breadcrumbs) + '</a>'";
    let entries = std::fs::read_dir(html).map_err(|e| Error::io("read", html, &e))?;
    let scripts = entries.flatten().map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("searcher") && name.ends_with(".js")
    });
    for path in scripts {
        let text = files::read_text(&path, limits::DOCUMENT)?;
        if !text.contains(AS_HTML) {
            let message = format!("`{}` is not the search that is known", path.shown());
            return Err(Error::new(Kind::Usage, message));
        }
        write_file(&path, text.replace(AS_HTML, AS_TEXT).as_bytes())?;
    }
    Ok(())
}

/// Removes a folder of which everything is written anew.
fn replace(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", folder, &e)),
        _ => Ok(()),
    }
}
