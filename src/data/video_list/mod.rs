//! Video files with lists of their labels, in the forms in which data sets are distributed.

mod csv;
mod folders;
mod hmdb51;
mod text;

pub(in crate::data) use csv::{KINETICS, placed};

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::dataset::Sample;
use super::listing::{Listing, counted};
use super::video::Source;
use super::{names, texts};
use crate::base::{Error, Kind, Result, Shown};
use crate::spec::{Missing, VideoList, VideoLists};

/// What a list says of one video: its path below the root, and its class by name or number.
struct Entry {
    /// The list and the line, for messages.
    place: String,
    path: String,
    class: Class,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// In label order, from 0.
    Number(usize),
    Name(String),
}

/// The entries of both splits, and the class names where the lists have an order of them.
struct Lists {
    train: Vec<Entry>,
    validation: Vec<Entry>,
    classes: Option<Vec<String>>,
}

/// Where the text files of a data set are, and those that were read.
struct Texts<'a> {
    root: &'a Path,
    base: &'a Path,
    read: Vec<(String, PathBuf)>,
}

impl Texts<'_> {
    /// A text file of the data set, beside the experiment or in the data set's folder. `lines`: what it has.
    fn read(&mut self, name: &str, lines: &str) -> Result<(PathBuf, String)> {
        let places = [self.base.join(name), self.root.join(name)];
        let path = texts::find(&format!("the list `{}`", name.shown()), &places).map_err(|error| {
            error.hint(format!(
                "it has lines of {lines}; put it beside the experiment or into the data set's folder"
            ))
        })?;
        self.read.push((name.to_owned(), path.clone()));
        let content = texts::read(&path)?;
        Ok((path, content))
    }
}

/// Reads the data set below `root`. Lists are looked for in `base`, the experiment's folder, then in `root`.
pub fn read(root: &Path, base: &Path, data: &VideoList) -> Result<Listing> {
    let mut texts = Texts {
        root,
        base,
        read: Vec::new(),
    };
    let mut lists = match &data.lists {
        VideoLists::Text { train, validation } => text::read(&mut texts, [train, validation])?,
        VideoLists::Csv {
            train,
            validation,
            path,
            label,
        } => csv::read(&mut texts, [train, validation], [path, label])?,
        VideoLists::Kinetics {
            train,
            validation,
            place,
        } => csv::read_kinetics(&mut texts, [train, validation], place)?,
        VideoLists::Hmdb51 { splits, split } => hmdb51::read(&mut texts, splits, *split)?,
        VideoLists::Folders { train, validation } => folders::read(root, [train, validation])?,
    };
    let classes = classes(data, &mut texts, &lists)?;
    if let Missing::Listed(name) = &data.missing {
        leave_out(&mut texts, name, &mut lists)?;
    }
    let labels: BTreeMap<&str, usize> = (classes.iter().enumerate())
        .map(|(label, name)| (name.as_str(), label))
        .collect();
    let train = samples(root, lists.train, &labels)?;
    let validation = samples(root, lists.validation, &labels)?;
    let mut listing = Listing {
        train,
        validation,
        texts: texts.read,
        missing: Vec::new(),
        classes,
    };
    let folders = Folders::of(&listing)?;
    listing.note_missing(|sample| folders.missing(sample.source.path()));
    Ok(listing)
}

/// The class names in label order: of the file that the experiment names, of the lists, or the names in the lists in the order of
/// their bytes; where these are numbers, the numbers.
fn classes(data: &VideoList, texts: &mut Texts<'_>, lists: &Lists) -> Result<Vec<String>> {
    if let Some(name) = &data.class_names {
        let (_, content) = texts.read(name, "class names, in the order of their labels")?;
        return Ok(content.lines().map(str::to_owned).collect());
    }
    if let Some(classes) = &lists.classes {
        return Ok(classes.clone());
    }
    let entries = lists.train.iter().chain(&lists.validation);
    let mut all = entries.clone();
    let number = all.find(|entry| matches!(entry.class, Class::Number(_)));
    let mut all = entries.clone();
    let name = all.find(|entry| matches!(entry.class, Class::Name(_)));
    if let (Some(number), Some(name)) = (number, name) {
        let message = format!(
            "`{}` has a number for its label, and `{}` a name",
            number.path.shown(),
            name.path.shown()
        );
        return Err(Error::new(Kind::Data, message)
            .hint("`class_names` names a file with the classes in the order of their numbers"));
    }
    let names: BTreeSet<&str> = entries
        .filter_map(|entry| match &entry.class {
            Class::Name(name) => Some(name.as_str()),
            Class::Number(_) => None,
        })
        .collect();
    Ok(match names.is_empty() {
        true => (0..data.class_count)
            .map(|label| label.to_string())
            .collect(),
        false => names.into_iter().map(str::to_owned).collect(),
    })
}

/// Takes the videos out that the data set is declared to lack. Each must be in a list; whether it is on this machine does not count, so
/// that everybody has the same.
fn leave_out(texts: &mut Texts<'_>, name: &str, lists: &mut Lists) -> Result<()> {
    let (path, content) = texts.read(name, "videos that are missing, as the lists name them")?;
    let lacked: BTreeSet<&str> = content.lines().filter(|line| !line.is_empty()).collect();
    let listed: BTreeSet<&str> = (lists.train.iter().chain(&lists.validation))
        .map(|entry| entry.path.as_str())
        .collect();
    let strange: Vec<String> = lacked
        .difference(&listed)
        .map(|name| name.shown().to_string())
        .collect();
    if let Some(problem) = counted("videos that are in no list", &strange) {
        return Err(Error::new(Kind::Data, format!("`{}`: {problem}", path.shown()))
            .hint("`ffn data verify EXPERIMENT --write-missing FILE` writes the videos that are missing on this machine"));
    }
    for entries in [&mut lists.train, &mut lists.validation] {
        entries.retain(|entry| !lacked.contains(entry.path.as_str()));
    }
    Ok(())
}

fn samples(
    root: &Path,
    entries: Vec<Entry>,
    labels: &BTreeMap<&str, usize>,
) -> Result<Vec<Sample>> {
    let mut wrong = Vec::new();
    let mut samples = Vec::with_capacity(entries.len());
    for Entry { place, path, class } in entries {
        let label = match &class {
            Class::Number(label) if *label < labels.len() => Ok(*label),
            Class::Number(label) => Err(format!(
                "the label {label} is not below the {} classes; labels count from 0",
                labels.len()
            )),
            Class::Name(name) => labels
                .get(name.as_str())
                .copied()
                .ok_or_else(|| format!("`{}` is no class", name.shown())),
        };
        match (names::check_path(&path), label) {
            (Ok(()), Ok(label)) => samples.push(Sample {
                source: Source::File(root.join(&path)),
                id: path,
                label,
            }),
            (Err(what), _) | (_, Err(what)) => {
                wrong.push(format!("{place}: `{}`: {what}", path.shown()))
            }
        }
    }
    match counted("entries that cannot be used", &wrong) {
        None => Ok(samples),
        Some(problem) => Err(Error::new(Kind::Data, problem)),
    }
}

/// What is in the folders of the videos: each is read once.
struct Folders(BTreeMap<PathBuf, Names>);

/// The names in a folder.
#[derive(Default)]
struct Names {
    all: HashSet<OsString>,
    /// By what stands before the ending, in lower case.
    by_stem: BTreeMap<String, String>,
}

impl Folders {
    fn of(listing: &Listing) -> Result<Self> {
        let samples = listing.train.iter().chain(&listing.validation);
        let folders = samples.filter_map(|sample| sample.source.path().parent());
        let folders: BTreeSet<&Path> = folders.collect();
        let read = |folder: &Path| Ok((folder.to_owned(), Names::of(folder)?));
        folders
            .into_iter()
            .map(read)
            .collect::<Result<_>>()
            .map(Self)
    }

    /// What is said of a video that is not there.
    fn missing(&self, path: &Path) -> Option<String> {
        let (folder, name) = (path.parent()?, path.file_name()?);
        let names = self.0.get(folder)?;
        if names.all.contains(name) {
            return None;
        }
        let other = stem(path).and_then(|stem| names.by_stem.get(&stem));
        Some(match other {
            None => "there is no such file".to_owned(),
            Some(name) => format!("there is no such file, but `{}`", name.shown()),
        })
    }
}

impl Names {
    /// None of a folder that is not there. One that cannot be read is an error: its videos are not known to be missing.
    fn of(folder: &Path) -> Result<Self> {
        use std::io::ErrorKind::{NotADirectory, NotFound};
        let failed = |error| Error::io("read", folder, &error);
        let entries = match std::fs::read_dir(folder) {
            Err(error) if matches!(error.kind(), NotFound | NotADirectory) => {
                return Ok(Self::default());
            }
            entries => entries.map_err(failed)?,
        };
        let mut names = Self::default();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            if let Some(stem) = stem(Path::new(&name)) {
                let shown = name.to_string_lossy().into_owned();
                names.by_stem.insert(stem, shown);
            }
            names.all.insert(name);
        }
        Ok(names)
    }
}

fn stem(path: &Path) -> Option<String> {
    Some(path.file_stem()?.to_string_lossy().to_lowercase())
}

/// Lists that lines cannot be used of: `what` names the file and says what a line is.
fn refuse(path: &Path, wrong: &[String], hint: &str) -> Result<()> {
    match counted("lines that cannot be used", wrong) {
        None => Ok(()),
        Some(problem) => Err(
            Error::new(Kind::Data, format!("`{}`: {problem}", path.shown())).hint(hint.to_owned()),
        ),
    }
}

#[cfg(test)]
mod tests;
