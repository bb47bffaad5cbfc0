//! References to files: source code beside the text, values of JSON files. Each file gets a page of its own.

use std::io::ErrorKind;
use std::path::{Component, Path};

use serde::Deserialize;
use serde_json::Value;

use super::arguments::argument;
use super::context::Context;
use super::render;
use crate::base::{Error, Kind, Result, Shown, files, limits};
use crate::report::{escape, table};

/// Where a file's page is, below the book's source folder.
pub fn page(file: &str) -> String {
    let names: Vec<String> = file.split('/').map(escape::file_name).collect();
    format!("files/{}.md", names.join("/"))
}

impl Context<'_> {
    /// The text of a file that a page refers to.
    fn file(&mut self, name: &str) -> Result<String> {
        let inside = Path::new(name)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if !inside {
            let message = format!("expected a path below the book's parent folder, found `{name}`");
            return Err(Error::new(Kind::Usage, message));
        }
        let path = self.root.join(name);
        if !render::leads_inside(self.root, &path)? {
            let message = format!("`{name}` is a link that leads out of the book's parent folder");
            return Err(Error::new(Kind::Usage, message));
        }
        let text = files::read_text(&path, limits::DOCUMENT)?;
        self.files.insert(name.to_owned(), text.clone());
        Ok(text)
    }

    fn cite_file(&self, file: &str, text: &str, title: &str) -> String {
        escape::link(text, &format!("{}{}", self.up, page(file)), title)
    }
}

pub fn source(context: &mut Context<'_>, args: &[&str]) -> Result<String> {
    let name = argument(args, 0);
    context.file(name)?;
    Ok(context.cite_file(name, &escape::code(name), "the whole file"))
}

/// The item whose first line begins with the text: up to the line that closes its brace, else up to an empty line.
pub fn code(context: &mut Context<'_>, args: &[&str]) -> Result<String> {
    let (name, beginning) = (argument(args, 0), argument(args, 1));
    let text = context.file(name)?;
    let lines: Vec<&str> = text.lines().collect();
    let starts = lines.iter().enumerate();
    let starts = starts.filter(|(_, line)| line.trim_start().starts_with(beginning));
    let start = match starts.map(|(at, _)| at).collect::<Vec<_>>()[..] {
        [start] => start,
        ref several => {
            let message = format!(
                "expected one line of `{name}` that begins with `{beginning}`, found {}",
                several.len()
            );
            return Err(Error::new(Kind::Usage, message));
        }
    };
    let item = item(lines.get(start..).unwrap_or_default());
    let place = format!("{name}, line {}", start + 1);
    let cited = context.cite_file(name, &escape::markdown(&place), "the whole file");
    Ok(format!("{}\n*{cited}*\n", escape::block("rust", &item)))
}

/// The lines of an item without their common indentation.
fn item(lines: &[&str]) -> String {
    let first = lines.first().copied().unwrap_or_default();
    let indent = first.len() - first.trim_start().len();
    let closing = format!("{}}}", first.get(..indent).unwrap_or_default());
    let ends =
        |line: &&&str| line.starts_with(&closing) || line.is_empty() && !first.ends_with('{');
    let opens = |line: &&str| line.ends_with('{') || line.ends_with('(');
    // A signature may have several lines before its brace opens.
    let block = lines.iter().take_while(|line| !line.is_empty()).any(opens);
    let length = match block {
        true => lines
            .iter()
            .position(|line| line.starts_with(&closing))
            .map(|at| at + 1),
        false => lines.iter().position(|line| ends(&line)),
    };
    let item = lines.iter().take(length.unwrap_or(lines.len()));
    let item: Vec<&str> = item
        .map(|line| line.get(indent..).unwrap_or_default())
        .collect();
    item.join("\n")
}

/// A value as the file has it.
pub fn json(context: &mut Context<'_>, args: &[&str]) -> Result<String> {
    let (name, pointer) = (argument(args, 0), argument(args, 1));
    let text = context.file(name)?;
    let document: Value = serde_json::from_str(&text).map_err(|e| {
        Error::new(
            Kind::Usage,
            format!("`{name}` is no JSON: {}", e.to_string().shown()),
        )
    })?;
    let shown = match document.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
        Some(_) => return Err(not_a_value(name, pointer, "is no single value")),
        None => return Err(not_a_value(name, pointer, "is not there")),
    };
    let unit = args.get(2).map(|unit| format!(" {unit}"));
    let shown = format!("{shown}{}", unit.unwrap_or_default());
    let title = format!("{pointer} of {name}");
    Ok(context.cite_file(name, &escape::markdown(&shown), &title))
}

/// Where measurements of speed are kept.
const BENCHMARKS: &str = "benches/results";

/// A file of measurements: what was measured, how and where, and a table.
#[derive(Deserialize)]
struct Benchmark {
    what: String,
    command: String,
    commit: String,
    machine: String,
    columns: Vec<String>,
    /// Texts and numbers, shown as they stand.
    rows: Vec<Vec<Value>>,
}

/// Every file of measurements as a table, by file name.
pub fn benchmarks(context: &mut Context<'_>, _: &[&str]) -> Result<String> {
    let names = measurements(&context.root.join(BENCHMARKS))?;
    let mut text = String::new();
    for name in names {
        let path = format!("{BENCHMARKS}/{name}");
        let benchmark: Benchmark = serde_json::from_str(&context.file(&path)?).map_err(|e| {
            Error::new(
                Kind::Usage,
                format!(
                    "`{}` is no file of measurements: {}",
                    path.shown(),
                    e.to_string().shown()
                ),
            )
        })?;
        text += &benchmark_table(
            &benchmark,
            &context.cite_file(&path, &escape::code(&path), "the whole file"),
        );
    }
    match text.is_empty() {
        true => Ok(format!("No measurement stands in `{BENCHMARKS}` yet.\n")),
        false => Ok(text),
    }
}

/// The files of the folders `<date>-<processor>`, in order.
fn measurements(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for of in names_in(folder)? {
        let files = names_in(&folder.join(&of))?.into_iter();
        let files = files.filter(|name| name.ends_with(".json"));
        names.extend(files.map(|name| format!("{of}/{name}")));
    }
    Ok(names)
}

/// Sorted; none of a folder that is not there or is a file.
fn names_in(folder: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(e) => return Err(Error::io("read", folder, &e)),
    };
    let names =
        entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<String> = names
        .collect::<Result<_, _>>()
        .map_err(|e| Error::io("read", folder, &e))?;
    names.sort();
    Ok(names)
}

fn benchmark_table(benchmark: &Benchmark, cited: &str) -> String {
    let cell = |value: &Value| match value {
        Value::String(text) => escape::markdown(text),
        other => escape::markdown(&other.to_string()),
    };
    let rows = benchmark.rows.iter();
    let rows: Vec<Vec<String>> = rows.map(|row| row.iter().map(cell).collect()).collect();
    let columns: Vec<String> = benchmark
        .columns
        .iter()
        .map(|c| escape::markdown(c))
        .collect();
    format!(
        "### {}\n\n{}\n{} at commit {}, {}: {cited}.\n\n",
        escape::markdown(&benchmark.what),
        table::markdown(&columns, &rows),
        escape::code(&benchmark.command),
        escape::code(&benchmark.commit),
        escape::markdown(&benchmark.machine),
    )
}

fn not_a_value(name: &str, pointer: &str, what: &str) -> Error {
    Error::new(Kind::Usage, format!("`{pointer}` of `{name}` {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_ends_with_its_brace_or_an_empty_line() {
        let lines = [
            "    fn a(",
            "        b: u8,",
            "    ) -> u8 {",
            "        b",
            "",
            "    }",
            "    x",
        ];
        assert_eq!(item(&lines), "fn a(\n    b: u8,\n) -> u8 {\n    b\n\n}");
        assert_eq!(
            item(&["const A: u8 =", "    5;", "", "x"]),
            "const A: u8 =\n    5;"
        );
    }
}
