//! CSV with a header: any columns for path and label, or those of Kinetics.

use std::path::Path;

use super::text::class;
use super::{Class, Entry, Lists, Texts, refuse};
use crate::base::{Error, Kind, Result, Shown};

/// A list with its columns found.
struct Table {
    /// For each row its line and the values of the wanted columns.
    rows: Vec<(u64, Vec<String>)>,
}

pub fn read(texts: &mut Texts<'_>, names: [&String; 2], columns: [&String; 2]) -> Result<Lists> {
    let mut entries = |name: &str| -> Result<Vec<Entry>> {
        let (path, content) = texts.read(name, "comma-separated values with a header")?;
        let table = Table::read(&path, &content, &columns.map(String::as_str))?;
        let entry = |(line, values): (u64, Vec<String>)| {
            let [path, label] = <[String; 2]>::try_from(values).ok()?;
            Some(Entry {
                place: format!("`{}` line {line}", name.shown()),
                path,
                class: class(&label),
            })
        };
        Ok(table.rows.into_iter().filter_map(entry).collect())
    };
    Ok(Lists {
        train: entries(names[0])?,
        validation: entries(names[1])?,
        classes: None,
    })
}

/// The columns of Kinetics' lists.
pub const KINETICS: [&str; 5] = ["label", "youtube_id", "time_start", "time_end", "split"];

/// `place`: the path of a video, with `{label}`, `{id}`, `{start}`, `{end}` (six digits) and `{split}`.
pub fn read_kinetics(texts: &mut Texts<'_>, names: [&String; 2], place: &str) -> Result<Lists> {
    let mut entries = |name: &str| -> Result<Vec<Entry>> {
        let (path, content) = texts.read(
            name,
            "Kinetics' columns label,youtube_id,time_start,time_end,split",
        )?;
        let table = Table::read(&path, &content, &KINETICS)?;
        let mut wrong = Vec::new();
        let mut entries = Vec::new();
        for (line, values) in table.rows {
            match placed(place, &values) {
                Some(path) => entries.push(Entry {
                    place: format!("`{}` line {line}", name.shown()),
                    path,
                    class: Class::Name(values[0].clone()),
                }),
                None => wrong.push(format!(
                    "line {line}: `{}` to `{}` are no seconds",
                    values[2].shown(),
                    values[3].shown()
                )),
            }
        }
        refuse(
            &path,
            &wrong,
            "a clip of Kinetics begins and ends at a whole second",
        )?;
        Ok(entries)
    };
    Ok(Lists {
        train: entries(names[0])?,
        validation: entries(names[1])?,
        classes: None,
    })
}

/// The path of a video with the values of [`KINETICS`]; `None` where they have no seconds.
pub fn placed(place: &str, values: &[String]) -> Option<String> {
    let [label, id, start, end, split] = values else {
        return None;
    };
    let seconds = |text: &str| -> Option<String> {
        let seconds: f64 = text.trim().parse().ok()?;
        let whole = seconds.fract() == 0.0 && (0.0..1e6).contains(&seconds);
        whole.then(|| format!("{:06}", seconds as u32))
    };
    let (start, end) = (seconds(start)?, seconds(end)?);
    let path = [
        ("{label}", label),
        ("{id}", id),
        ("{start}", &start),
        ("{end}", &end),
        ("{split}", split),
    ];
    // One pass: a name with braces in it stays as it is.
    let mut rest = place;
    let mut made = String::new();
    while let Some(at) = rest.find('{') {
        made.push_str(&rest[..at]);
        rest = &rest[at..];
        let (name, value) = path.iter().find(|(name, _)| rest.starts_with(name))?;
        made.push_str(value);
        rest = &rest[name.len()..];
    }
    made.push_str(rest);
    Some(made)
}

impl Table {
    fn read(path: &Path, content: &str, columns: &[&str]) -> Result<Self> {
        let damaged =
            |what: String| Error::new(Kind::Data, format!("`{}`: {}", path.shown(), what.shown()));
        let mut reader = ::csv::ReaderBuilder::new()
            .trim(::csv::Trim::All)
            .from_reader(content.as_bytes());
        let header = reader
            .headers()
            .map_err(|error| damaged(error.to_string()))?
            .clone();
        let found: Result<Vec<usize>> = columns
            .iter()
            .map(|column| {
                let at = header.iter().position(|name| name == *column);
                at.ok_or_else(|| {
                    let names: Vec<&str> = header.iter().collect();
                    let what = format!(
                        "it has no column `{column}`; its columns are {}",
                        names.join(", ")
                    );
                    damaged(what).hint(
                        "the first line names the columns, between commas; `Csv(path: \"…\", label: \"…\")` says which are meant",
                    )
                })
            })
            .collect();
        let found = found?;
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|error| damaged(error.to_string()))?;
            let line = record.position().map_or(0, ::csv::Position::line);
            let values = found
                .iter()
                .map(|&at| record.get(at).unwrap_or_default().to_owned());
            rows.push((line, values.collect()));
        }
        Ok(Self { rows })
    }
}
