//! What is said of a folder that has no layout: what was looked for, what is there, and what to do.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Look, Names, lists, names_in};
use crate::base::{Error, Kind, Shown, count};
use crate::data::something_v2;
use crate::data::video::is_image;

/// Endings of videos, for a hint alone: what a file is, its first bytes say.
const VIDEOS: [&str; 8] = ["mp4", "webm", "avi", "mkv", "mov", "m4v", "mpg", "wmv"];
/// Folders that are looked into.
const TRIED: usize = 8;

const SOUGHT: &str = "\
looked for:
  labels.json, train.json, validation.json          Something-Something V2
  two lists, such as train.txt and val.txt          folders of images, or videos; also .csv, in lists/, and beside the new file
  train/ and val/, each with a folder for a class   videos
  CLASS_test_split1.txt in a folder of splits       HMDB51";

pub fn explain(look: &Look<'_>) -> Error {
    let names = match names_in(look.root) {
        Ok(names) => names,
        Err(error) => return error,
    };
    let what = match look.layout {
        None => "has none of the layouts that are read".to_owned(),
        Some(layout) => format!("does not look like {}", layout.words()),
    };
    let message = format!(
        "`{}` {what}\n{SOUGHT}\nfound: {}",
        look.root.shown(),
        inventory(&names)
    );
    Error::new(Kind::Data, message).hint(hint(look.root, &names))
}

/// How many folders and files there are, by their endings.
fn inventory(names: &Names) -> String {
    let mut endings = BTreeMap::<String, usize>::new();
    for name in &names.files {
        let ending = name
            .rsplit_once('.')
            .map_or("without ending", |(_, ending)| ending);
        *endings.entry(ending.to_lowercase()).or_default() += 1;
    }
    let mut endings: Vec<(usize, String)> = endings
        .into_iter()
        .map(|(name, count)| (count, name))
        .collect();
    endings.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    let files: Vec<String> = endings
        .iter()
        .take(TRIED)
        .map(|(count, name)| format!("{count} {}", name.shown()))
        .collect();
    let folders: Vec<String> = names
        .folders
        .iter()
        .take(TRIED)
        .map(|name| format!("`{}`", name.shown()))
        .collect();
    let of = |items: Vec<String>| match items.is_empty() {
        true => String::new(),
        false => format!(" ({})", items.join(", ")),
    };
    match (names.folders.len(), names.files.len()) {
        (0, 0) => "nothing, the folder is empty".to_owned(),
        (some_folders, some_files) => format!(
            "{}{}, {}{}",
            count(some_folders, "folder"),
            of(folders),
            count(some_files, "file"),
            of(files)
        ),
    }
}

/// What to do, by what the folder and those in it hold.
fn hint(root: &Path, names: &Names) -> String {
    let folders = names.folders.iter().take(TRIED);
    let inside = folders.filter_map(|name| Some((name, names_in(&root.join(name)).ok()?)));
    let inside: Vec<(&String, Names)> = inside.collect();
    let any = |is: fn(&str) -> bool| {
        let mut names = inside.iter().flat_map(|(_, names)| &names.files);
        names.any(|name| is(name))
    };
    if let Some(train) = lists::alone(&names.files).first() {
        return format!(
            "`{}` has no list for validation beside it: `val`, `validation` or `test` is expected where it has `train`; \
             `--lists TRAIN VALIDATION` names lists that are called otherwise",
            train.shown()
        );
    }
    if let Some(folder) = meant(root, &inside) {
        let folder = root.join(folder);
        return format!("is `{}` meant? There are lists in it", folder.shown());
    }
    let hint = match () {
        () if any(is_video) => {
            "these seem to be folders for classes, without a split: move the videos to `train/CLASS/`, and some of each class, a fifth, \
             to `val/CLASS/`"
        }
        () if any(is_image) || has_deep_images(root, &inside) => {
            "folders of images need two lists, such as train.txt and val.txt, with a line for each clip: its folder, its number of \
             images and its label, `pouring/clip_0001 48 0`"
        }
        () if names.files.iter().any(|name| is_video(name)) => {
            "videos alone do not say their classes: write two lists, such as train.txt and val.txt, with a line for each video: \
             `clip 1.mp4 pouring`"
        }
        () => "is it the right folder? The book's page \"Your first experiment\" shows each layout",
    };
    hint.to_owned()
}

/// The folder below that has a layout.
fn meant<'a>(root: &Path, inside: &[(&'a String, Names)]) -> Option<&'a str> {
    let has_lists = |(name, names): &&(&String, Names)| {
        lists::are_some(&names.files) || !something_v2::label_files(&root.join(name)).is_empty()
    };
    inside.iter().find(has_lists).map(|(name, _)| name.as_str())
}

/// Whether the folders in the folders hold images.
fn has_deep_images(root: &Path, inside: &[(&String, Names)]) -> bool {
    let first =
        |(folder, names): &(&String, Names)| Some(root.join(folder).join(names.folders.first()?));
    let mut folders = inside.iter().filter_map(first);
    folders.any(|folder| {
        let names = names_in(&folder);
        names.is_ok_and(|names| names.files.iter().any(|name| is_image(name)))
    })
}

fn is_video(name: &str) -> bool {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    VIDEOS
        .iter()
        .any(|known| known.eq_ignore_ascii_case(ending))
}
