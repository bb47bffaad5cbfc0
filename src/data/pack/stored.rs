//! A pack on an object store: index and lists come into a folder of the cache that is named after the index, the tar files when they are
//! needed.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Content, INDEX, Index, Pack, TEXTS, VIDEOS, shard_name, wrong};
use crate::base::limits::{self, Bound};
use crate::base::{Error, Kind, Result, Shown, files};
use crate::data::names::check_path;
use crate::data::store::{
    Address, Cache, Expected, Fetch, Settings, Shard, Shelf, Stored, Trouble, connect, fetch_into,
};

/// Opens the pack at an address. What is there of index and lists, and is what the store has, is not fetched again.
///
/// # Errors
/// A pack of format 1: nothing says what its tar files are.
pub fn open_stored(address: &Address, settings: &Settings) -> Result<Pack> {
    let remote = connect(address, settings)?;
    let called = PathBuf::from(address.to_string());
    let text = fetch(remote.as_ref(), (INDEX, limits::DOCUMENT), None, settings)?;
    let text = String::from_utf8(text)
        .map_err(|_| wrong(&called, &format!("`{INDEX}` is not UTF-8 text")))?;
    let index = Index::parse(&called, &text)?;
    if index.files.is_empty() {
        return Err(unhashed(&called));
    }
    let contents = check(&called, &index)?;
    let folder = settings.folder()?;
    let mirror = folder.join("packs").join(files::sha256(text.as_bytes()));
    for (name, content) in lists(&called, &index, &contents)? {
        mirror_file(remote.as_ref(), &mirror, (&name, content), settings)?;
    }
    let cache = Cache::open(&folder.join("shards"), settings.bytes())?;
    let shelf = Shelf::new(remote, cache, shards(&contents), settings.patience())?;
    let place = |number| stored(&called, &shelf, number);
    Pack::read(&mirror, &called, &text, &place)
}

fn unhashed(called: &Path) -> Error {
    let message = format!(
        "the pack `{}` was written by an older program: its index does not say what its tar files are",
        called.shown()
    );
    Error::new(Kind::Data, message).hint(
        "pack the data again and upload that; a copy of this pack in a folder is read as before",
    )
}

/// The files of the index, whose names and hashes become paths in the cache.
fn check<'a>(called: &Path, index: &'a Index) -> Result<BTreeMap<&'a str, &'a Content>> {
    let is_digit = |sign: u8| sign.is_ascii_digit() || (b'a'..=b'f').contains(&sign);
    for (name, content) in &index.files {
        let odd = |what: &str| {
            let what = format!("`{INDEX}`: the file `{}`: {what}", name.shown());
            wrong(called, &what)
        };
        check_path(name).map_err(|what| odd(&what))?;
        if content.sha256.len() != 64 || !content.sha256.bytes().all(is_digit) {
            return Err(odd("its hash is no SHA-256 in lowercase hexadecimal"));
        }
    }
    let files = index.files.iter();
    Ok(files
        .map(|(name, content)| (name.as_str(), content))
        .collect())
}

/// A file's name, its hash, and the most bytes that it may have.
type List<'a> = (String, (&'a str, Bound));

/// The files that are read when the pack is opened.
fn lists<'a>(
    called: &Path,
    index: &'a Index,
    contents: &BTreeMap<&str, &'a Content>,
) -> Result<Vec<List<'a>>> {
    let videos = (
        VIDEOS.to_owned(),
        (index.videos_sha256.as_str(), limits::PACK),
    );
    let mut lists = vec![videos];
    for text in &index.texts {
        let name = format!("{TEXTS}/{text}");
        let content = contents.get(name.as_str()).ok_or_else(|| {
            let what = format!("`{INDEX}` does not say what `{}` is", name.shown());
            wrong(called, &what)
        })?;
        lists.push((name, (content.sha256.as_str(), limits::LIST)));
    }
    Ok(lists)
}

/// The tar files in the order of their numbers, up to the first that is not there.
fn shards(contents: &BTreeMap<&str, &Content>) -> Vec<Shard> {
    (0..)
        .map(shard_name)
        .map_while(|name| {
            let content = contents.get(name.as_str())?;
            Some(Shard {
                bytes: content.bytes,
                sha256: content.sha256.clone(),
                name,
            })
        })
        .collect()
}

fn stored(called: &Path, shelf: &Arc<Shelf>, number: usize) -> Result<(PathBuf, Option<Stored>)> {
    let name = shard_name(number);
    match shelf.shard(number) {
        Some(stored) => Ok((
            PathBuf::from(format!("{}/{name}", called.display())),
            Some(stored),
        )),
        None => Err(wrong(
            called,
            &format!("`{INDEX}` does not say what `{name}` is"),
        )),
    }
}

/// A file of the folder of lists, fetched where it is not there or is another.
fn mirror_file(
    remote: &dyn Fetch,
    mirror: &Path,
    (name, (sha256, most)): (&str, (&str, Bound)),
    settings: &Settings,
) -> Result<()> {
    let path = mirror.join(name);
    if path.is_file() && files::sha256_of_file(&path)? == sha256 {
        return Ok(());
    }
    let bytes = fetch(remote, (name, most), Some(sha256), settings)?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| Error::io("make", folder, &error))?;
    }
    files::write_atomic(&path, &bytes)
}

/// A file in memory.
fn fetch(
    remote: &dyn Fetch,
    (name, most): (&str, Bound),
    sha256: Option<&str>,
    settings: &Settings,
) -> Result<Vec<u8>> {
    let expected = Expected {
        name,
        most: most.most,
        sha256,
        bytes: None,
    };
    let mut bytes = Cursor::new(Vec::new());
    match fetch_into(
        remote,
        expected,
        &mut bytes,
        settings.patience(),
        &|| Ok(()),
    ) {
        Ok(_) => Ok(bytes.into_inner()),
        Err(Trouble::Full(error) | Trouble::Other(error)) => Err(error),
    }
}
