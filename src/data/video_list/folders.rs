//! A folder for each split, in it one for each class, in that its videos.

use std::path::Path;

use super::{Class, Entry, Lists};
use crate::base::{Error, Result};

pub fn read(root: &Path, splits: [&String; 2]) -> Result<Lists> {
    let [train, validation] = splits.map(|split| entries(root, split));
    Ok(Lists {
        train: train?,
        validation: validation?,
        classes: None,
    })
}

/// In the order of classes and names. What begins with a dot is no video.
fn entries(root: &Path, split: &str) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for class in names_in(&root.join(split), true)? {
        let folder = format!("{split}/{class}");
        for name in names_in(&root.join(&folder), false)? {
            entries.push(Entry {
                path: format!("{folder}/{name}"),
                class: Class::Name(class.clone()),
            });
        }
    }
    Ok(entries)
}

/// The folders, or the files, of a folder, sorted.
fn names_in(folder: &Path, folders: bool) -> Result<Vec<String>> {
    let attempt = || -> std::io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') && entry.path().is_dir() == folders {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    };
    attempt().map_err(|error| Error::io("read", folder, &error))
}
