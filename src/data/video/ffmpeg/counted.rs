//! Frames that were counted, remembered in the user's cache folder: without it each epoch, and each process, would decode each video twice.
//!
//! The file has a line for each video: a digest of the rest, the frames, their width and height, the version that counted them, the file's
//! bytes, the time of its last change in nanoseconds, its path. Lines are appended as videos are counted. A damaged one counts as
//! none, and of two about one file the later counts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::Found;
use super::version::Version;
use crate::base::{files, limits};

/// A file as it is now: one that is written again is another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct File {
    path: PathBuf,
    /// Another version may take another view of what a frame is.
    version: Version,
    bytes: u64,
    /// Nanoseconds since 1970.
    changed: u128,
}

/// A file that was looked at.
pub struct Seen {
    file: File,
    /// It may not change any more without its time telling.
    is_settled: bool,
}

impl Seen {
    /// `None` where the system does not tell when it changed.
    pub fn at(path: &Path, version: Version) -> Option<Self> {
        let now = SystemTime::now();
        let metadata = path.metadata().ok()?;
        let changed = metadata.modified().ok()?;
        let age = now.duration_since(changed);
        Some(Self {
            file: File {
                path: path.canonicalize().ok()?,
                version,
                bytes: metadata.len(),
                changed: changed.duration_since(UNIX_EPOCH).ok()?.as_nanos(),
            },
            is_settled: age.is_ok_and(|age| age > files::SETTLED),
        })
    }

    pub fn path(&self) -> &Path {
        &self.file.path
    }

    pub fn known(&self) -> Option<Found> {
        counted().known.get(&self.file).copied()
    }
}

/// Remembers what was counted, on the disk too where that can be.
pub fn remember(found: impl IntoIterator<Item = (Seen, Found)>) {
    let mut counted = counted();
    let mut lines = String::new();
    for (Seen { file, is_settled }, found) in found {
        if is_settled && let Some(line) = line(&file, found) {
            lines.push_str(&line);
        }
        counted.known.insert(file, found);
    }
    // One write, so that lines of several processes do not mix. What cannot be kept is counted again the next time.
    if let Some(kept) = counted.kept.as_mut().filter(|_| !lines.is_empty()) {
        let _ = kept.write_all(lines.as_bytes());
    }
}

/// What is known in this process.
struct Counted {
    known: BTreeMap<File, Found>,
    /// To be appended to.
    kept: Option<fs::File>,
}

fn counted() -> MutexGuard<'static, Counted> {
    static COUNTED: OnceLock<Mutex<Counted>> = OnceLock::new();
    let open = || {
        let folder = files::cache_folder().ok();
        Mutex::new(Counted::at(folder.map(|folder| folder.join("frames"))))
    };
    let counted = COUNTED.get_or_init(open).lock();
    counted.unwrap_or_else(PoisonError::into_inner)
}

impl Counted {
    /// What the file has. One that is longer than a list may be is begun anew.
    fn at(path: Option<PathBuf>) -> Self {
        let text = |path: &Path| files::read(path, limits::LIST);
        let read = path.as_deref().map(text).and_then(Result::ok);
        let is_whole = read.is_some();
        let bytes = read.unwrap_or_default();
        let open = |path: PathBuf| {
            fs::create_dir_all(path.parent()?).ok()?;
            if !is_whole {
                let _ = fs::remove_file(&path);
            }
            let mut options = fs::File::options();
            options.append(true).create(true).open(path).ok()
        };
        let text = String::from_utf8_lossy(&bytes);
        Self {
            known: text.lines().filter_map(parse).collect(),
            kept: path.and_then(open),
        }
    }
}

/// `None` for a path that a line cannot hold.
fn line(file: &File, found: Found) -> Option<String> {
    let path = file.path.to_str().filter(|path| !path.contains('\n'))?;
    let (width, height) = found.size;
    let (major, minor) = file.version.0;
    let mut rest = String::new();
    let _ = write!(
        rest,
        "{} {width} {height} {major} {minor} {} {} {path}",
        found.frames, file.bytes, file.changed
    );
    Some(format!("{} {rest}\n", digest(&rest)))
}

fn parse(line: &str) -> Option<(File, Found)> {
    let (sum, rest) = line.split_once(' ')?;
    if sum != digest(rest) {
        return None;
    }
    let mut words = rest.splitn(8, ' ');
    let frames = words.next()?.parse().ok()?;
    let mut number = || words.next()?.parse::<u32>().ok();
    let (size, version) = ((number()?, number()?), (number()?, number()?));
    let (bytes, changed) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let file = File {
        path: words.next()?.into(),
        version: Version(version),
        bytes,
        changed,
    };
    Some((file, Found { frames, size }))
}

fn digest(text: &str) -> String {
    files::sha256(text.as_bytes()).chars().take(16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION: Version = Version((7, 0));
    const FOUND: Found = Found {
        frames: 7,
        size: (4, 2),
    };

    #[test]
    fn a_file_that_changed_is_another() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let at = || Seen::at(file.path(), VERSION).unwrap();
        assert_eq!(at().known(), None);
        remember([(at(), FOUND)]);
        assert_eq!(at().known(), Some(FOUND));
        assert_eq!(
            Seen::at(file.path(), Version((9, 0))).unwrap().known(),
            None
        );
        std::fs::write(file.path(), b"longer").unwrap();
        assert_eq!(at().known(), None);
        assert!(Seen::at(Path::new("/nowhere/at/all"), VERSION).is_none());
    }

    #[test]
    fn lines_are_read_as_they_were_written_and_damaged_ones_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("cache").join("frames");
        let file = |path: &str| File {
            path: path.into(),
            version: VERSION,
            bytes: 12,
            changed: 1_700_000_000_123_456_789,
        };
        let [one, two, three] = ["/a b/c.mp4", "/ä", "/x\ny"].map(file);
        assert!(Counted::at(Some(kept.clone())).known.is_empty());
        assert_eq!(line(&three, FOUND), None);
        let other = Found { frames: 8, ..FOUND };
        let lines = [(&one, FOUND), (&two, FOUND), (&one, other)];
        let lines = lines.map(|(file, found)| line(file, found).unwrap());
        std::fs::write(&kept, lines.concat()).unwrap();
        let expected = BTreeMap::from([(one.clone(), other), (two, FOUND)]);
        assert_eq!(Counted::at(Some(kept.clone())).known, expected);
        let torn = lines.concat().replace("/ä", "/b");
        std::fs::write(&kept, &torn[..torn.len() - 3]).unwrap();
        let expected = BTreeMap::from([(one, FOUND)]);
        assert_eq!(Counted::at(Some(kept)).known, expected);
    }
}
