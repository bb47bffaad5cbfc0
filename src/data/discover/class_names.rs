//! Labels that are numbers: how many there are, and whether a file has their names.

use std::path::Path;

use super::Look;
use crate::data::listing::Listing;
use crate::data::{names, texts};

/// The most classes that an experiment can declare: lists are read with it before anybody knows how many there are.
pub const MOST: usize = 1_000_000;

/// What a file of class names may be called.
const NAMES: [&str; 8] = [
    "classes.txt",
    "class_names.txt",
    "classnames.txt",
    "labels.txt",
    "label_map.txt",
    "category.txt",
    "categories.txt",
    "names.txt",
];

/// Gives a listing that was read with [`MOST`] classes those that there are. The file of their names, if one fits: beside the lists,
/// beside the experiment, or in the folder. `folder`: of the lists, with `/`, or nothing.
pub fn settle(look: &Look<'_>, folder: &str, listing: &mut Listing) -> Option<String> {
    let samples = listing.train.iter().chain(&listing.validation);
    let classes = samples.map(|sample| sample.label + 1).max().unwrap_or(0);
    let folders = [folder, ""];
    let files = folders
        .iter()
        .flat_map(|folder| NAMES.map(|name| format!("{folder}{name}")));
    for file in files {
        let places = [look.base.join(&file), look.root.join(&file)];
        let found = texts::find("class names", &places).ok();
        if let Some(names) = found.and_then(|path| read(&path, classes)) {
            listing.classes = names;
            return Some(file);
        }
    }
    listing.classes.truncate(classes);
    None
}

/// The names in a file, if there is one for each class.
fn read(path: &Path, classes: usize) -> Option<Vec<String>> {
    let content = texts::read(path).ok()?;
    let lines: Vec<String> = content.lines().map(str::to_owned).collect();
    let are_names = lines.iter().all(|line| names::check_class(line).is_ok());
    (lines.len() >= classes && lines.len() <= MOST && are_names).then_some(lines)
}
