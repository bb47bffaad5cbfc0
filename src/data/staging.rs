//! A copy of a data set's folder, or of a pack, on the machine's own disk.
//!
//! What is there with the size and the time of the original is not copied again. Whether the bytes are the pinned ones is
//! checked where data are opened, as of every other folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use rayon::prelude::*;

use crate::base::{Error, Kind, Result, Shown, count, files, terminal};

/// A file of a data set: its bytes and when it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    bytes: u64,
    /// To the second: not every file system keeps more.
    written: u64,
}

/// Copies `source` into a folder below `into` that is named after it; that folder. Of several processes of one machine the
/// first copies, and the others wait. A source that is not there yet, as of a miniature, is not copied: what is made is made
/// in the copy's place.
pub fn stage(source: &Path, into: &Path, name: &str) -> Result<PathBuf> {
    fs::create_dir_all(into).map_err(|e| Error::io("make", into, &e))?;
    let original = fs::canonicalize(source).unwrap_or_else(|_| source.to_owned());
    let hash = files::sha256(original.to_string_lossy().as_bytes());
    let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let folder = format!("{name}-{}", hash.get(..8).unwrap_or(&hash));
    let target = into.join(&folder);
    if !source.exists() {
        return Ok(target);
    }
    refuse_inside(&original, into)?;
    let _lock = lock(&into.join(format!("{folder}.lock")))?;
    let mut wanted = BTreeMap::new();
    list(source, "", &mut BTreeSet::new(), &mut wanted)?;
    let mut there = BTreeMap::new();
    if target.exists() {
        list(&target, "", &mut BTreeSet::new(), &mut there)?;
    }
    remove_others(&target, &there, &wanted)?;
    wanted.retain(|name, mark| there.get(name) != Some(mark));
    copy_all(source, &target, &wanted)?;
    Ok(target)
}

fn refuse_inside(original: &Path, into: &Path) -> Result<()> {
    let into = fs::canonicalize(into).map_err(|e| Error::io("read", into, &e))?;
    match into.starts_with(original) {
        false => Ok(()),
        true => Err(Error::new(
            Kind::Usage,
            format!(
                "--stage: `{}` is inside the data that would be copied into it",
                into.shown()
            ),
        )
        .hint("name a folder on the node's own disk, such as /tmp/ffn")),
    }
}

/// Held while this process copies; where the disk has no locks, nothing is.
fn lock(path: &Path) -> Result<File> {
    let file = File::options()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|e| Error::io("write", path, &e))?;
    let _ = file.lock();
    Ok(file)
}

/// Every file below a folder, by its path with `/`; links are followed.
fn list(
    folder: &Path,
    prefix: &str,
    above: &mut BTreeSet<PathBuf>,
    found: &mut BTreeMap<String, Mark>,
) -> Result<()> {
    let fail = |e: std::io::Error| Error::io("read", folder, &e);
    let own = fs::canonicalize(folder).map_err(fail)?;
    if !above.insert(own.clone()) {
        let message = format!("`{}` is a link to a folder above it", folder.shown());
        return Err(Error::new(Kind::Data, message).hint("take the link out of the data"));
    }
    for entry in fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let path = entry.path();
        let name = entry.file_name().into_string().map_err(|name| {
            let message = format!("`{}` has a name that is not UTF-8 text", name.shown());
            Error::new(Kind::Data, message)
        })?;
        // A link that leads nowhere is none of the data.
        let Ok(metadata) = fs::metadata(&path) else {
            continue;
        };
        let name = format!("{prefix}{name}");
        if metadata.is_dir() {
            list(&path, &format!("{name}/"), above, found)?;
        } else if metadata.is_file() {
            found.insert(name, Mark::of(&metadata));
        }
    }
    above.remove(&own);
    Ok(())
}

impl Mark {
    fn of(metadata: &Metadata) -> Self {
        let written = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let since = written.duration_since(SystemTime::UNIX_EPOCH);
        Self {
            bytes: metadata.len(),
            written: since.unwrap_or_default().as_secs(),
        }
    }
}

/// Removes from the copy what the source does not have any more.
fn remove_others(
    target: &Path,
    there: &BTreeMap<String, Mark>,
    wanted: &BTreeMap<String, Mark>,
) -> Result<()> {
    for name in there.keys().filter(|name| !wanted.contains_key(*name)) {
        let path = target.join(name);
        fs::remove_file(&path).map_err(|e| Error::io("remove", &path, &e))?;
    }
    Ok(())
}

fn copy_all(source: &Path, target: &Path, missing: &BTreeMap<String, Mark>) -> Result<()> {
    fs::create_dir_all(target).map_err(|e| Error::io("make", target, &e))?;
    if missing.is_empty() {
        return Ok(());
    }
    let begun = Instant::now();
    let bytes: u64 = missing.values().map(|mark| mark.bytes).sum();
    terminal::say(format_args!(
        "copying {} of `{}`, {} MiB, to `{}`",
        count(missing.len(), "file"),
        source.shown(),
        bytes.div_ceil(1 << 20),
        target.shown()
    ));
    let names: Vec<&String> = missing.keys().collect();
    names
        .par_iter()
        .try_for_each(|name| copy(&source.join(name), &target.join(name)))?;
    let seconds = begun.elapsed().as_secs_f64();
    terminal::say(format_args!("copied in {seconds:.0} s"));
    Ok(())
}

/// Under its own name a file is there whole or not at all.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().unwrap_or(Path::new("."));
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = folder.join(format!("{}{name}", files::TEMPORARY));
    let attempt = || -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut original = File::open(from)?;
        let mut copied = File::create(&unfinished)?;
        std::io::copy(&mut original, &mut copied)?;
        copied.set_modified(original.metadata()?.modified()?)?;
        drop(copied);
        fs::rename(&unfinished, to)
    };
    attempt().map_err(|e| {
        let _ = fs::remove_file(&unfinished);
        Error::io("copy to", to, &e).hint(format!(
            "--stage needs as much space on the node's disk as the data have; without it they are read where they are (`{}`)",
            from.shown()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut found = BTreeMap::new();
        list(folder, "", &mut BTreeSet::new(), &mut found).unwrap();
        found.into_keys().collect()
    }

    #[test]
    fn what_is_new_is_copied_and_what_is_gone_removed() {
        let place = tempfile::tempdir().unwrap();
        let (source, into) = (place.path().join("data"), place.path().join("node"));
        fs::create_dir_all(source.join("sub")).unwrap();
        fs::write(source.join("a"), "one").unwrap();
        fs::write(source.join("sub/b"), "two").unwrap();
        let target = stage(&source, &into, "x").unwrap();
        assert_eq!(names(&target), ["a", "sub/b"]);

        // What has the size and the time of the original is taken as it is.
        let time = fs::metadata(target.join("a")).unwrap().modified().unwrap();
        fs::write(target.join("a"), "uno").unwrap();
        let file = File::options().write(true).open(target.join("a")).unwrap();
        file.set_modified(time).unwrap();
        fs::remove_file(source.join("sub/b")).unwrap();
        fs::write(source.join("c"), "three").unwrap();
        assert_eq!(stage(&source, &into, "x").unwrap(), target);
        assert_eq!(names(&target), ["a", "c"]);
        assert_eq!(fs::read_to_string(target.join("a")).unwrap(), "uno");

        fs::write(source.join("a"), "longer").unwrap();
        stage(&source, &into, "x").unwrap();
        assert_eq!(fs::read_to_string(target.join("a")).unwrap(), "longer");
    }

    #[test]
    fn a_source_that_is_not_there_is_made_in_the_copys_place() {
        let place = tempfile::tempdir().unwrap();
        let target = stage(&place.path().join("none"), &place.path().join("node"), "x").unwrap();
        assert!(target.starts_with(place.path().join("node")));
        assert!(!target.exists());
    }

    #[cfg(unix)]
    #[test]
    fn circles_and_copies_into_themselves_are_refused() {
        let place = tempfile::tempdir().unwrap();
        let source = place.path().join("data");
        fs::create_dir_all(&source).unwrap();
        let error = stage(&source, &source.join("node"), "x").unwrap_err();
        assert_eq!(error.kind, Kind::Usage);
        std::os::unix::fs::symlink(&source, source.join("again")).unwrap();
        let error = stage(&source, &place.path().join("node"), "x").unwrap_err();
        assert!(error.message.contains("above it"), "{error}");
    }
}
