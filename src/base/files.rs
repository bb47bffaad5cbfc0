//! Files that are written whole or not at all, and hashes of files.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcetera::BaseStrategy;
use sha2::{Digest, Sha256};

pub use super::hash::{hex, sha256};
use super::limits::{self, Bound};
pub use super::temporary::{TEMPORARY, is_temporary};
use super::temporary::{Temporary, folder_of};
use super::{Error, Kind, Result, Shown};

/// A file that changed less than this ago might change again with the same size and time: nothing is remembered of it.
pub const SETTLED: Duration = Duration::from_secs(2);

/// The folder for what can be made again: hashes and lengths of videos, the miniature, what was measured.
pub fn cache_folder() -> Result<PathBuf> {
    let folders = etcetera::choose_base_strategy().map_err(|error| {
        Error::new(
            Kind::Io,
            format!("cannot tell the user's cache folder: {error}"),
        )
        .hint("set HOME, or give the folder of the data with --data-root")
    })?;
    Ok(folders.cache_dir().join("ffn"))
}

/// Writes a file so that a reader, a crash or a full disk sees the old content or the new, never a part:
/// temporary file in the same folder, sync, rename, sync of the folder.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomic_with(path, |file| file.write_all(bytes))
}

/// As [`write_atomic`], for content that is produced piece by piece.
pub fn write_atomic_with(
    path: &Path,
    write: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> Result<()> {
    is_replaceable(path)?;
    let folder = folder_of(path);
    let attempt = || -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut temporary = Temporary::of(path)?;
        write(temporary.file())?;
        temporary.file().sync_all()?;
        temporary.persist(path)?;
        sync_folder(folder)
    };
    attempt().map_err(|e| Error::io("write", path, &e))
}

/// Whether a file is there that a write would replace. Nothing else ever is: not a folder, a device or a FIFO; nor a
/// link, because nobody can tell whether it is meant or what it leads to.
pub fn is_replaceable(path: &Path) -> Result<bool> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(Error::io("write", path, &e)),
    };
    if metadata.is_file() {
        return Ok(true);
    }
    let what = kind_of(&metadata);
    let message = format!(
        "`{}` is {what}: a write replaces nothing but a file",
        path.shown()
    );
    let hint = match metadata.is_symlink() {
        true => "give the path that the link leads to, or remove the link",
        false => "choose another name",
    };
    Err(Error::new(Kind::Io, message).hint(hint))
}

/// Syncs a folder: a rename is only durable once its folder is.
#[cfg(unix)]
pub fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
pub fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// Opens a file for reading: a regular one, or what a link to one leads to. A FIFO, a device or a socket, which could
/// make a reader wait for ever or never end, is refused without being read.
pub fn open(path: &Path) -> std::io::Result<File> {
    let file = without_waiting().open(path)?;
    let metadata = file.metadata()?;
    match metadata.is_file() {
        true => Ok(file),
        false => {
            let what = format!("it is {}, not a file", kind_of(&metadata));
            Err(std::io::Error::new(ErrorKind::InvalidInput, what))
        }
    }
}

/// To open a FIFO that has no writer waits for one, unless one says not to.
fn without_waiting() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    options
}

/// What something is that is no regular file.
pub fn kind_of(metadata: &Metadata) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kind = metadata.file_type();
        if kind.is_fifo() {
            return "a FIFO";
        } else if kind.is_socket() {
            return "a socket";
        } else if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    match (metadata.is_dir(), metadata.is_symlink()) {
        (true, _) => "a folder",
        (_, true) => "a link",
        _ => "something else",
    }
}

/// Reads a whole file, not larger than `bound`, or says which one could not be read.
pub fn read(path: &Path, bound: Bound) -> Result<Vec<u8>> {
    let fail = |e: std::io::Error| Error::io("read", path, &e);
    let file = open(path).map_err(fail)?;
    let size = file.metadata().map_err(fail)?.len();
    bound.check(Kind::Io, &format!("`{}`", path.shown()), size)?;
    let mut bytes = limits::reserved(size as usize, &format!("`{}`", path.shown()))?;
    // What grows while it is read, and files of /proc, which say that they are empty.
    let most = bound.most.saturating_add(1);
    file.take(most).read_to_end(&mut bytes).map_err(fail)?;
    bound.check(Kind::Io, &format!("`{}`", path.shown()), bytes.len() as u64)?;
    Ok(bytes)
}

/// Reads a whole text file.
pub fn read_text(path: &Path, bound: Bound) -> Result<String> {
    String::from_utf8(read(path, bound)?).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Error::new(
            Kind::Io,
            format!(
                "cannot read `{}`: it is not UTF-8 text from byte {at} on",
                path.shown()
            ),
        )
    })
}

/// SHA-256 of a file's content, in lowercase hexadecimal.
pub fn sha256_of_file(path: &Path) -> Result<String> {
    let file = open(path).map_err(|e| Error::io("read", path, &e))?;
    sha256_of(file, path)
}

/// SHA-256 of what is left of an open file, which is at `path` or was.
pub fn sha256_of(mut file: impl Read, path: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hex(&hasher.finalize())),
            Ok(n) => hasher.update(&buffer[..n]),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::io("read", path, &e)),
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_write_replaces_nothing_but_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        fs::write(place("file"), "old").unwrap();
        fs::create_dir(place("folder")).unwrap();
        std::os::unix::fs::symlink(place("file"), place("link")).unwrap();
        std::os::unix::fs::symlink(place("nowhere"), place("dangling")).unwrap();
        let socket = std::os::unix::net::UnixListener::bind(place("socket"));
        for (name, what) in [
            ("folder", "a folder"),
            ("link", "a link"),
            ("dangling", "a link"),
            ("socket", "a socket"),
        ] {
            let before = fs::symlink_metadata(place(name)).unwrap().file_type();
            let error = write_atomic(&place(name), b"new").unwrap_err();
            assert!(error.message.contains(&format!("is {what}: ")), "{error}");
            let after = fs::symlink_metadata(place(name)).unwrap().file_type();
            assert_eq!(before, after, "{name}");
        }
        drop(socket);
        assert_eq!(fs::read(place("file")).unwrap(), b"old");
        assert!(!place("nowhere").exists());
        for name in ["file", "other"] {
            write_atomic(&place(name), b"new").unwrap();
            assert_eq!(fs::read(place(name)).unwrap(), b"new");
        }
    }
}
