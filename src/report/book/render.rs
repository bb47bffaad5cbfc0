//! Folders of a book on disk, and mdBook.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mdbook_driver::MDBook;

use crate::base::{Error, Kind, Result, Shown, files, limits};

/// Every file below a folder by its path with `/`.
pub fn read(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    collect(folder, "", &mut found)?;
    Ok(found)
}

fn collect(folder: &Path, prefix: &str, found: &mut BTreeMap<String, Vec<u8>>) -> Result<()> {
    let fail = |e: std::io::Error| Error::io("read", folder, &e);
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.file_type().map_err(fail)?.is_dir() {
            true => collect(&entry.path(), &format!("{name}/"), found)?,
            false => drop(found.insert(name, files::read(&entry.path(), limits::DOCUMENT)?)),
        }
    }
    Ok(())
}

/// Tells a folder that this program made from one that holds something else.
const MARK: &str = ".made-by-ffn-book";

/// Makes the folder of the built book; refuses one that has something else in it, since what is there gets replaced.
pub fn prepare(out: &Path) -> Result<()> {
    let foreign = std::fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some())
        && !out.join(MARK).exists();
    if foreign {
        let message = format!("`{}` holds something else than a built book", out.shown());
        return Err(Error::new(Kind::Usage, message).hint("--out names another folder"));
    }
    write_file(&out.join(MARK), b"")
}

/// Writes the plain mdBook: the pages, and beside them everything of the book's folder that is no page.
pub fn write(book: &Path, out: &Path, pages: &BTreeMap<String, Vec<u8>>) -> Result<()> {
    let source = out.join("src");
    replace(&source)?;
    for (name, bytes) in pages {
        write_file(&source.join(name), bytes)?;
    }
    for (name, bytes) in read(book)? {
        if !name.starts_with("src/") {
            write_file(&out.join(name), &bytes)?;
        }
    }
    Ok(())
}

/// What is generated can be generated again: no need for the atomic way, which syncs every file.
fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new(""));
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(path, bytes))
        .map_err(|e| Error::io("write", path, &e))
}

/// Renders a plain mdBook into its folder `html`.
pub fn render(out: &Path) -> Result<PathBuf> {
    let fail = |e: mdbook_driver::errors::Error| {
        let message = format!("mdBook cannot render `{}`: {e:#}", out.shown());
        Error::new(Kind::Usage, message)
    };
    let mut book = MDBook::load(out).map_err(fail)?;
    book.config.build.build_dir = PathBuf::from("html");
    let html = out.join("html");
    replace(&html)?;
    book.build().map_err(fail)?;
    Ok(html)
}

/// Removes a folder of which everything is written anew.
fn replace(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", folder, &e)),
        _ => Ok(()),
    }
}
