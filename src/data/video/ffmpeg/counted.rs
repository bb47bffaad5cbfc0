//! Frames that were counted, for as long as the process lives: without it each epoch would decode each video twice.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// Frames, and their size.
type Count = (usize, (u32, u32));

static COUNTED: Mutex<BTreeMap<File, Count>> = Mutex::new(BTreeMap::new());

/// A file as it is now: one that is written again is another.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    path: PathBuf,
    bytes: u64,
    changed: SystemTime,
}

impl File {
    /// `None` where the system does not tell when it changed.
    pub fn at(path: &Path) -> Option<Self> {
        let metadata = path.metadata().ok()?;
        Some(Self {
            path: path.to_owned(),
            bytes: metadata.len(),
            changed: metadata.modified().ok()?,
        })
    }

    pub fn known(&self) -> Option<Count> {
        let counted = COUNTED.lock().unwrap_or_else(PoisonError::into_inner);
        counted.get(self).copied()
    }

    pub fn remember(self, frames: usize, size: (u32, u32)) {
        let mut counted = COUNTED.lock().unwrap_or_else(PoisonError::into_inner);
        counted.insert(self, (frames, size));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changed_is_another() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let at = || File::at(file.path()).unwrap();
        assert_eq!(at().known(), None);
        at().remember(7, (4, 2));
        assert_eq!(at().known(), Some((7, (4, 2))));
        std::fs::write(file.path(), b"longer").unwrap();
        assert_eq!(at().known(), None);
        assert!(File::at(Path::new("/nowhere/at/all")).is_none());
    }
}
