//! A folder for each split, in it one for each class, in that its videos.

use std::path::Path;

use super::{Class, Entry, Lists};
use crate::base::{Error, Kind, Result, Shown};
use crate::data::listing::counted;

pub fn read(root: &Path, splits: [&String; 2]) -> Result<Lists> {
    let [train, validation] = splits.map(|split| entries(root, split));
    Ok(Lists {
        train: train?,
        validation: validation?,
        classes: None,
    })
}

/// In the order of classes and names. What begins with a dot is no video; anything else that has no place here is refused.
fn entries(root: &Path, split: &str) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut strange = Vec::new();
    for (class, is_folder) in names_in(&root.join(split))? {
        let folder = format!("{split}/{class}");
        if !is_folder {
            strange.push(format!(
                "{}  is a file where the folder of a class is expected",
                folder.shown()
            ));
            continue;
        }
        for (name, is_folder) in names_in(&root.join(&folder))? {
            let path = format!("{folder}/{name}");
            match is_folder {
                true => strange.push(format!(
                    "{}  is a folder where a video is expected",
                    path.shown()
                )),
                false => entries.push(Entry {
                    place: format!("`{}`", folder.shown()),
                    path,
                    class: Class::Name(class.clone()),
                }),
            }
        }
    }
    match counted("what has no place in folders named by class", &strange) {
        None => Ok(entries),
        Some(problem) => Err(Error::new(Kind::Data, problem)
            .hint("a folder for each split has one for each class, and that the videos: train/walk/one.mp4")),
    }
}

/// What is in a folder, sorted, and whether it is a folder.
fn names_in(folder: &Path) -> Result<Vec<(String, bool)>> {
    let attempt = || -> std::io::Result<Vec<(String, bool)>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') {
                names.push((name, entry.path().is_dir()));
            }
        }
        names.sort_unstable();
        Ok(names)
    };
    attempt().map_err(|error| {
        let message = format!("cannot read the folder `{}`: {error}", folder.shown());
        Error::new(Kind::Data, message)
            .hint("`lists: Folders(train: \"train\", validation: \"val\")` names the folders of the splits")
    })
}
