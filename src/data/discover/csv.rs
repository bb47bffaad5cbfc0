//! Comma-separated lists: which column has the paths, which the labels, and where the videos of Kinetics' lists are.

use super::pair::{Pair, find};
use super::{Look, Read, videos};
use crate::base::{Error, Kind, Result, Shown};
use crate::data::texts;
use crate::data::video_list::{KINETICS, placed};
use crate::spec::VideoLists;

/// Rows that are looked at.
const ROWS: usize = 50;
const PATHS: [&str; 8] = [
    "path",
    "video",
    "video_path",
    "file",
    "filename",
    "file_name",
    "filepath",
    "video_name",
];
const LABELS: [&str; 8] = [
    "label",
    "class",
    "label_id",
    "class_id",
    "category",
    "target",
    "action",
    "class_name",
];
const FOLDERS: [&str; 5] = ["{split}/", "", "{label}/", "{split}/{label}/", "videos/"];
const NAMES: [&str; 2] = ["{id}_{start}_{end}", "{id}"];
const ENDINGS: [&str; 5] = ["mp4", "mkv", "webm", "avi", "mov"];

/// The header of a list, and its first rows.
struct Start {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Start {
    fn of(look: &Look<'_>, pair: &Pair) -> Result<Self> {
        let path = find(look, &pair.train)?;
        let content = texts::read(&path)?;
        let mut reader = ::csv::ReaderBuilder::new()
            .trim(::csv::Trim::All)
            .from_reader(content.as_bytes());
        let damaged = |error: ::csv::Error| {
            let what = error.to_string();
            Error::new(Kind::Data, format!("`{}`: {}", path.shown(), what.shown()))
        };
        let texts = |record: &::csv::StringRecord| record.iter().map(str::to_owned).collect();
        let header = texts(reader.headers().map_err(damaged)?);
        let rows = reader
            .records()
            .take(ROWS)
            .map(|record| Ok(texts(&record.map_err(damaged)?)));
        Ok(Self {
            header,
            rows: rows.collect::<Result<_>>()?,
        })
    }

    /// The column that is called so, the first name first.
    fn named(&self, names: &[&str]) -> Option<usize> {
        let is_it = |name: &&str| {
            self.header
                .iter()
                .position(|column| column.eq_ignore_ascii_case(name))
        };
        names.iter().find_map(is_it)
    }

    /// Rows of which the value in the column is a file below the folder.
    fn files(&self, look: &Look<'_>, column: usize) -> usize {
        let values = self.rows.iter().filter_map(|row| row.get(column));
        let values = values.filter(|value| !value.is_empty());
        values
            .filter(|value| look.root.join(value).is_file())
            .count()
    }
}

/// Lists with any columns.
pub fn table(look: &Look<'_>, pair: &Pair) -> Result<Read> {
    let start = Start::of(look, pair)?;
    let columns = 0..start.header.len();
    let by_files = columns
        .clone()
        .map(|column| (start.files(look, column), column))
        .max();
    let by_files = by_files
        .filter(|(files, _)| *files > 0)
        .map(|(_, column)| column);
    let path = by_files.or_else(|| start.named(&PATHS));
    let mut others = columns.filter(|column| Some(*column) != path);
    let only = match (others.next(), others.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    };
    let label = start
        .named(&LABELS)
        .filter(|column| Some(*column) != path)
        .or(only);
    let name = |column: Option<usize>| start.header.get(column?).cloned();
    let (Some(path), Some(label)) = (name(path), name(label)) else {
        return Err(unknown_columns(pair, &start));
    };
    let lists = VideoLists::Csv {
        train: pair.train.clone(),
        validation: pair.validation.clone(),
        path,
        label,
    };
    videos::read(look, lists, pair.folder())
}

fn unknown_columns(pair: &Pair, start: &Start) -> Error {
    let columns: Vec<String> = start
        .header
        .iter()
        .map(|name| format!("`{}`", name.shown()))
        .collect();
    let message = format!(
        "`{}` has the columns {}; which of them has the paths of the videos, and which the labels, cannot be told",
        pair.train.shown(),
        columns.join(", ")
    );
    Error::new(Kind::Data, message).hint(
        "call them `path` and `label` in the first line; a path is below the folder of the data",
    )
}

/// Lists with Kinetics' columns: the place of the videos is that where most of the first rows' are.
pub fn kinetics(look: &Look<'_>, pair: &Pair) -> Result<Read> {
    let start = Start::of(look, pair)?;
    let columns = KINETICS.map(|name| start.named(&[name]));
    let value = |row: &Vec<String>, column: &Option<usize>| {
        let value = column.and_then(|column| row.get(column));
        value.cloned().unwrap_or_default()
    };
    let values = |row| columns.iter().map(|column| value(row, column)).collect();
    let rows: Vec<Vec<String>> = start.rows.iter().map(values).collect();
    let there = |place: &String| {
        let paths = rows.iter().filter_map(|row| placed(place, row));
        paths.filter(|path| look.root.join(path).is_file()).count()
    };
    let places = ENDINGS.iter().flat_map(|ending| {
        NAMES
            .iter()
            .flat_map(move |name| FOLDERS.map(|folder| format!("{folder}{name}.{ending}")))
    });
    let places: Vec<(usize, String)> = places.map(|place| (there(&place), place)).collect();
    let most = places.iter().map(|(count, _)| *count).max().unwrap_or(0);
    let best = places
        .into_iter()
        .find(|(count, _)| *count == most && most > 0);
    let Some((_, place)) = best else {
        return Err(no_place(look, pair, &rows));
    };
    let lists = VideoLists::Kinetics {
        train: pair.train.clone(),
        validation: pair.validation.clone(),
        place,
    };
    videos::read(look, lists, pair.folder())
}

fn no_place(look: &Look<'_>, pair: &Pair, rows: &[Vec<String>]) -> Error {
    let usual = "{split}/{id}_{start}_{end}.mp4";
    let example = rows.first().and_then(|row| placed(usual, row));
    let example = example.map_or(String::new(), |path| {
        format!(", such as `{}`", path.shown())
    });
    let message = format!(
        "none of the first {} videos of `{}` is in `{}`{example}",
        rows.len(),
        pair.train.shown(),
        look.root.shown()
    );
    Error::new(Kind::Data, message).hint(format!(
        "looked for were `{{id}}_{{start}}_{{end}}` and `{{id}}`, with the endings {}, in the folders `{{split}}/`, `{{label}}/`, \
         `{{split}}/{{label}}/`, `videos/` and the folder itself",
        ENDINGS.join(", ")
    ))
}
