//! What a folder of clips is: which of the layouts it has, its classes and clips. The layouts' own readers read it; nothing is taken
//! for granted that they refuse, and where two fit nobody guesses.

mod class_names;
mod csv;
mod frames;
mod lengths;
mod lists;
mod nothing;
mod pair;
mod videos;

use std::path::Path;

use super::listing::{Expected, Listing};
use super::{pack, something_v2};
use crate::base::{Error, Kind, Result, Shown, count};
use crate::spec::{Data, SomethingV2, Unreadable};

pub use lengths::{Decoder, Lengths};
use pair::Pair;

/// A layout, by what its lists are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Layout {
    /// Label, train and validation JSON, and `<id>.webm`.
    SomethingV2,
    /// Folders of images, and lists `folder frames label`.
    FrameFolders,
    /// Videos, and lists `path label`.
    Text,
    /// Videos, and comma-separated lists with a header.
    Csv,
    /// Videos, and Kinetics' lists.
    Kinetics,
    /// Videos, and HMDB51's splits.
    Hmdb51,
    /// Videos in a folder for each split, and in it for each class.
    Folders,
}

impl Layout {
    /// As a headline has it.
    pub fn words(self) -> &'static str {
        match self {
            Self::SomethingV2 => "videos and label files as Something-Something V2 has them",
            Self::FrameFolders => "folders of images, and lists as TSM has them",
            Self::Text => "videos, and lists of `path label`",
            Self::Csv => "videos, and comma-separated lists",
            Self::Kinetics => "videos, and the lists of Kinetics",
            Self::Hmdb51 => "videos, and the splits of HMDB51",
            Self::Folders => "videos in a folder for each class",
        }
    }
}

/// Where to look, and what is known already.
#[derive(Debug, Clone)]
pub struct Look<'a> {
    pub root: &'a Path,
    /// The folder of the new experiment, where lists may be too.
    pub base: &'a Path,
    /// The name that the experiment gives the root.
    pub name: &'a str,
    /// Path of the pin file that the experiment will have.
    pub pins: &'a str,
    pub layout: Option<Layout>,
    /// The lists of training and validation.
    pub lists: Option<[String; 2]>,
}

/// A folder whose layout is known.
#[derive(Debug, Clone)]
pub struct Found {
    pub layout: Layout,
    /// As an experiment declares it.
    pub data: Data,
    pub listing: Listing,
    pub lengths: Lengths,
    /// What somebody should know, one line each.
    pub notes: Vec<String>,
}

/// What may be the layout, by what is there: the reader says whether it is.
struct Candidate {
    layout: Layout,
    /// What was seen of it, for messages: "the lists `train.txt` and `val.txt`".
    seen: String,
    read: Result<Read>,
}

/// What a reader read.
struct Read {
    data: Data,
    listing: Listing,
    notes: Vec<String>,
}

/// Finds out what the folder is. Fails where it has no layout, several, or one in which something is wrong.
pub fn look(look: &Look<'_>) -> Result<Found> {
    check_root(look.root)?;
    let candidates = candidates(look)?;
    let (fit, unfit): (Vec<_>, Vec<_>) = candidates
        .into_iter()
        .partition(|candidate| candidate.read.is_ok());
    match fit.len() {
        0 => Err(none_fits(look, unfit)),
        1 => found(fit, &unfit),
        _ => Err(several(look, &fit)),
    }
}

fn check_root(root: &Path) -> Result<()> {
    let refuse = |what: &str| Error::new(Kind::Data, format!("`{}` {what}", root.shown()));
    if super::store::is_address(root) {
        return Err(
            refuse("is on an object store, and a folder on this machine is looked at")
                .hint("give the folder from which the pack was made"),
        );
    }
    if pack::is_pack(root) {
        return Err(refuse("is a pack").hint(
            "give the folder from which it was made; `--data-root` of the other commands may then be the pack",
        ));
    }
    match root.metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(metadata) if metadata.is_file() => {
            Err(refuse("is a file").hint("give the folder of the clips"))
        }
        Ok(metadata) => Err(refuse(&format!(
            "is {}, not a folder",
            crate::base::files::kind_of(&metadata)
        ))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(refuse("does not exist").hint("give the folder of the clips"))
        }
        Err(error) => Err(Error::io("look at", root, &error)),
    }
}

fn candidates(look: &Look<'_>) -> Result<Vec<Candidate>> {
    let mut candidates = Vec::new();
    match &look.lists {
        Some(names) => candidates.push(lists::given(look, names)),
        None => {
            let labels = something_v2::label_files(look.root);
            if !labels.is_empty() {
                candidates.push(something(look, &labels));
            }
            let pairs: Vec<Pair> = lists::pairs(look)?;
            candidates.extend(pairs.into_iter().map(|pair| lists::candidate(look, pair)));
            candidates.extend(videos::hmdb51(look)?);
            candidates.extend(videos::folders(look)?);
        }
    }
    candidates.retain(|candidate| look.layout.is_none_or(|layout| layout == candidate.layout));
    for candidate in &mut candidates {
        if let Ok(read) = &candidate.read
            && let Err(error) = check(read)
        {
            candidate.read = Err(error);
        }
    }
    Ok(candidates)
}

fn something(look: &Look<'_>, labels: &[String]) -> Candidate {
    let names: Vec<String> = labels
        .iter()
        .map(|name| format!("`{}`", name.shown()))
        .collect();
    let read = something_v2::read(look.root).map(|listing| Read {
        data: Data::SomethingV2(SomethingV2 {
            root: look.name.to_owned(),
            pins: look.pins.to_owned(),
            class_count: listing.classes.len(),
            train_count: listing.train.len(),
            validation_count: listing.validation.len(),
            unreadable: Unreadable::Fail,
        }),
        listing,
        notes: Vec::new(),
    });
    Candidate {
        layout: Layout::SomethingV2,
        seen: names.join(", "),
        read,
    }
}

/// Refuses lists in which something is wrong, and clips that are not there.
fn check(read: &Read) -> Result<()> {
    let classes = read.listing.classes.len();
    if classes < 2 {
        let message = format!(
            "there is {}, and an experiment has two or more",
            count(classes, "class")
        );
        return Err(Error::new(Kind::Data, message));
    }
    let expected = Expected {
        classes,
        train: None,
        validation: None,
    };
    // What the reader's hint says of commands is meant for an experiment that is there.
    let complete = "complete the data, or take the missing clips out of the lists";
    let checked = read.listing.check(expected);
    checked.map_err(|error| match read.listing.missing.is_empty() {
        true => error,
        false => error.hint(complete),
    })
}

fn found(fit: Vec<Candidate>, unfit: &[Candidate]) -> Result<Found> {
    let mut fit = fit.into_iter();
    let Some(Candidate {
        layout,
        read: Ok(Read {
            data,
            listing,
            mut notes,
        }),
        ..
    }) = fit.next()
    else {
        return Err(Error::new(Kind::Data, "no layout fits"));
    };
    let lengths = Lengths::of(&listing)?;
    notes.extend(empty_classes(&listing));
    notes.extend(unfit.iter().map(|candidate| {
        let why = candidate.read.as_ref().err();
        let why = why.and_then(|error| error.message.lines().next().map(str::to_owned));
        format!(
            "{} do not fit, and are not used: {}",
            candidate.seen,
            why.unwrap_or_default()
        )
    }));
    Ok(Found {
        layout,
        data,
        listing,
        lengths,
        notes,
    })
}

/// Labels from 1 leave class 0 without a clip.
fn empty_classes(listing: &Listing) -> Option<String> {
    let clips = super::listing::clips_of_classes(&listing.train);
    let empty = (0..listing.classes.len()).filter(|label| !clips.contains_key(label));
    let empty: Vec<&str> = empty
        .filter_map(|label| listing.classes.get(label))
        .map(String::as_str)
        .collect();
    let (first, classes) = (empty.first()?, empty.len());
    let which = match classes {
        1 => format!("the class `{}` has", first.shown()),
        _ => format!(
            "{classes} classes, `{}` the first of them, have",
            first.shown()
        ),
    };
    Some(format!("{which} no clip for training; labels count from 0"))
}

fn none_fits(look: &Look<'_>, mut unfit: Vec<Candidate>) -> Error {
    if unfit.len() < 2 {
        return match unfit.pop() {
            Some(Candidate {
                layout,
                seen,
                read: Err(error),
            }) => {
                let message = format!(
                    "`{}` looks like {} ({seen})\n{}",
                    look.root.shown(),
                    layout.words(),
                    error.message
                );
                Error { message, ..error }
            }
            _ => nothing::explain(look),
        };
    }
    let lines = unfit.iter().filter_map(|candidate| {
        let Candidate { layout, seen, read } = candidate;
        let error = read.as_ref().err()?;
        let hint = error
            .hint
            .as_ref()
            .map_or(String::new(), |hint| format!("\n{hint}"));
        let why = format!("{}{hint}", error.message).replace('\n', "\n    ");
        Some(format!("\n  {} ({seen})\n    {why}", layout.words()))
    });
    let lines: String = lines.collect();
    let message = format!(
        "`{}` looks like several layouts, and is none of them whole{lines}",
        look.root.shown()
    );
    Error::new(Kind::Data, message).hint("mend the one that is meant; `--layout` names it")
}

fn several(look: &Look<'_>, fit: &[Candidate]) -> Error {
    use clap::ValueEnum;
    let lines = fit.iter().map(|Candidate { layout, seen, .. }| {
        let name = layout.to_possible_value();
        let name = name.map_or(String::new(), |name| name.get_name().to_owned());
        format!("\n  --layout {name:14} {} ({seen})", layout.words())
    });
    let lines: String = lines.collect();
    let message = format!("`{}` can be read in several ways{lines}", look.root.shown());
    let is_one = fit
        .iter()
        .all(|candidate| Some(candidate.layout) == fit.first().map(|first| first.layout));
    Error::new(Kind::Data, message).hint(match is_one {
        true => "`--lists TRAIN VALIDATION` names the lists that are meant",
        false => {
            "say which is meant with `--layout`, or name the lists with `--lists TRAIN VALIDATION`"
        }
    })
}

/// Reads the names in a folder, sorted: those of folders, and those of files. What begins with a dot is left out, and what is not UTF-8:
/// no list can name it.
fn names_in(folder: &Path) -> Result<Names> {
    let attempt = || -> std::io::Result<Names> {
        let mut names = Names::default();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let kind = entry.file_type()?;
            let is_folder = kind.is_dir() || (kind.is_symlink() && entry.path().is_dir());
            match (name.starts_with('.'), is_folder) {
                (true, _) => {}
                (false, true) => names.folders.push(name),
                (false, false) => names.files.push(name),
            }
        }
        names.folders.sort_unstable();
        names.files.sort_unstable();
        Ok(names)
    };
    attempt().map_err(|error| Error::io("read", folder, &error))
}

#[derive(Debug, Clone, Default)]
struct Names {
    folders: Vec<String>,
    files: Vec<String>,
}

/// The folder below the root in which a path is that the lists name, where it is not at the root.
fn nested(root: &Path, path: &str) -> Option<String> {
    let folders = names_in(root).ok()?.folders;
    folders
        .into_iter()
        .find(|folder| root.join(folder).join(path).exists())
}

/// What to do where the clips of lists are in a folder below.
fn below(look: &Look<'_>, path: &str) -> Option<String> {
    let folder = nested(look.root, path)?;
    Some(format!(
        "the clips are in `{}`: give that as `--data-root`, and put the lists beside the new file or in it",
        look.root.join(folder).shown()
    ))
}
