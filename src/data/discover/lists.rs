//! Lists of training and validation: which files may be two of them, and in which form they are.

use std::path::Path;

use super::pair::Pair;
use super::{Candidate, Layout, Look, Read, csv, frames, names_in, videos};
use crate::base::{Error, Kind, Result};
use crate::data::video_list::KINETICS;

/// Folders in which lists may be, with `/`.
const FOLDERS: [&str; 6] = ["", "lists/", "labels/", "annotations/", "splits/", "meta/"];
const ENDINGS: [&str; 4] = [".txt", ".csv", ".list", ".lst"];
/// What stands in the name of a list of training, and what may stand there in that of validation: the first that is there is taken.
const TRAIN: [&str; 2] = ["training", "train"];
const VALIDATION: [&str; 5] = ["validation", "val", "valid", "test", "testing"];
/// More pairs than a person can have meant.
const MOST: usize = 20;

/// All that may be two lists.
pub fn pairs(look: &Look<'_>) -> Result<Vec<Pair>> {
    let mut places: Vec<&Path> = vec![look.base, look.root];
    places.dedup_by_key(|place| place.canonicalize().ok());
    let mut found: Vec<Pair> = Vec::new();
    for (place, folder) in places
        .iter()
        .flat_map(|place| FOLDERS.map(|folder| (place, folder)))
    {
        let path = place.join(folder);
        if !path.is_dir() {
            continue;
        }
        let files = names_in(&path)?.files;
        for train in files.iter().filter(|name| is_list(name)) {
            let pair = partner(train, &files).map(|validation| Pair {
                train: format!("{folder}{train}"),
                validation: format!("{folder}{validation}"),
            });
            found.extend(pair.filter(|pair| !found.contains(pair)));
        }
    }
    match found.len() > MOST {
        false => Ok(found),
        true => Err(Error::new(
            Kind::Data,
            format!(
                "there are {} pairs of lists for training and validation",
                found.len()
            ),
        )
        .hint("`--lists TRAIN VALIDATION` names those that are meant")),
    }
}

/// Whether two of the files may be lists.
pub fn are_some(files: &[String]) -> bool {
    let mut lists = files.iter().filter(|name| is_list(name));
    lists.any(|name| partner(name, files).is_some())
}

/// Lists for training that have none for validation beside them.
pub fn alone(files: &[String]) -> Vec<&str> {
    let lists = files.iter().filter(|name| is_list(name));
    let lists = lists.filter(|name| word(name).is_some() && partner(name, files).is_none());
    lists.map(String::as_str).collect()
}

/// Whether a name can be that of a list, which must mean the same on every machine.
fn is_list(name: &str) -> bool {
    let lower = name.to_lowercase();
    ENDINGS.iter().any(|ending| lower.ends_with(ending)) && !name.contains(['\\', ':'])
}

/// What says in a name that the list is of training, and where.
fn word(name: &str) -> Option<(usize, &'static str)> {
    let lower = name.to_ascii_lowercase();
    TRAIN
        .into_iter()
        .find_map(|word| Some((lower.find(word)?, word)))
}

/// The list of validation that belongs to one of training.
fn partner<'a>(train: &str, files: &'a [String]) -> Option<&'a str> {
    let (at, word) = word(train)?;
    let (before, after) = (train.get(..at)?, train.get(at + word.len()..)?);
    let wanted = VALIDATION.map(|other| format!("{before}{other}{after}"));
    wanted.iter().find_map(|wanted| {
        let is_it = |name: &&String| name.eq_ignore_ascii_case(wanted);
        files.iter().find(is_it).map(String::as_str)
    })
}

/// Lists that somebody named.
pub fn given(look: &Look<'_>, [train, validation]: &[String; 2]) -> Candidate {
    let pair = Pair {
        train: train.clone(),
        validation: validation.clone(),
    };
    candidate(look, pair)
}

pub fn candidate(look: &Look<'_>, pair: Pair) -> Candidate {
    let seen = pair.seen();
    let (layout, read) = match pair
        .first_lines(look, 2)
        .map(|lines| form(&pair.train, &lines))
    {
        Ok(layout) => (look.layout.unwrap_or(layout), None),
        Err(error) => (look.layout.unwrap_or(Layout::Text), Some(Err(error))),
    };
    let read = read.unwrap_or_else(|| read_as(look, layout, &pair));
    Candidate { layout, seen, read }
}

fn read_as(look: &Look<'_>, layout: Layout, pair: &Pair) -> Result<Read> {
    match layout {
        Layout::FrameFolders => frames::read(look, pair),
        Layout::Text => videos::text(look, pair),
        Layout::Csv => csv::table(look, pair),
        Layout::Kinetics => csv::kinetics(look, pair),
        Layout::SomethingV2 | Layout::Hmdb51 | Layout::Folders => Err(Error::new(
            Kind::Data,
            format!("{} have no such lists", layout.words()),
        )),
    }
}

/// The form of a list by its first lines.
fn form(name: &str, lines: &[String]) -> Layout {
    let first = lines.first().map_or("", String::as_str);
    let columns: Vec<&str> = first.split(',').map(str::trim).collect();
    let is_csv = name.to_lowercase().ends_with(".csv") || !first.contains(' ');
    if KINETICS.iter().all(|column| columns.contains(column)) {
        return Layout::Kinetics;
    }
    if columns.len() > 1 && is_csv {
        return Layout::Csv;
    }
    let mut parts = first.trim_end().rsplit([' ', '\t']);
    let is_number = |part: Option<&str>| part.is_some_and(|part| part.parse::<usize>().is_ok());
    match (is_number(parts.next()), is_number(parts.next())) {
        (true, true) => Layout::FrameFolders,
        _ => Layout::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_found_by_their_names() {
        let cases: [(&str, &[&str], Option<&str>); 9] = [
            (
                "train.txt",
                &["val.txt", "validation.txt"],
                Some("validation.txt"),
            ),
            (
                "Train_videofolder.txt",
                &["val_videofolder.txt"],
                Some("val_videofolder.txt"),
            ),
            (
                "trainlist01.txt",
                &["testlist01.txt", "testlist02.txt"],
                Some("testlist01.txt"),
            ),
            ("training.csv", &["validation.csv"], Some("validation.csv")),
            (
                "kinetics400_train.csv",
                &["kinetics400_val.csv"],
                Some("kinetics400_val.csv"),
            ),
            ("train.txt", &["val.csv"], None),
            ("brain.txt", &["bval.txt"], None),
            ("train.txt", &["train.txt"], None),
            (
                "straining.lst",
                &["svalidation.lst"],
                Some("svalidation.lst"),
            ),
        ];
        for (train, files, expected) in cases {
            let files: Vec<String> = files.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(partner(train, &files), expected, "{train}");
        }
    }

    #[test]
    fn the_first_line_tells_the_form() {
        let cases = [
            ("train.txt", "a/b c 12 0", Layout::FrameFolders),
            ("train.txt", "a\t12\t0", Layout::FrameFolders),
            ("train.txt", "a 1.mp4 0", Layout::Text),
            ("train.txt", "a, b.mp4 walk", Layout::Text),
            ("train.csv", "a 1.mp4 0", Layout::Text),
            ("train.csv", "video,class id", Layout::Csv),
            ("train.txt", "a.mp4,walk", Layout::Csv),
            (
                "x.csv",
                "label,youtube_id,time_start,time_end,split",
                Layout::Kinetics,
            ),
            ("train.txt", "", Layout::Text),
        ];
        for (name, line, expected) in cases {
            assert_eq!(form(name, &[line.to_owned()]), expected, "{line}");
        }
    }
}
