//! The elements of the live pages. What a function is given as text it escapes; cells, rows and bodies are HTML already.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

pub use crate::report::escape::markup as text;
use crate::report::listing;
use crate::run::overview::{Overview, State};
use crate::suite::Verdict;

/// What is not itself in an address.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// A page without its frame.
#[derive(Debug, Clone)]
pub struct Page {
    pub title: String,
    /// From the page's address to the first page's: empty, or `../`. Relative, so that a proxy may put all below a path.
    pub up: &'static str,
    /// Inside of `main`.
    pub body: String,
}

impl Page {
    /// The whole document. Without its script it is loaded again every ten seconds.
    pub fn document(&self) -> String {
        let (title, up, body) = (text(&self.title), self.up, &self.body);
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
             <link rel=\"icon\" href=\"data:,\">\n<link rel=\"stylesheet\" href=\"{up}watch.css\">\n\
             <script src=\"{up}watch.js\" defer></script>\n\
             <noscript><meta http-equiv=\"refresh\" content=\"10\"></noscript>\n</head>\n<body>\n\
             <header><a href=\"{up}./\">ffn watch</a> <span id=\"updated\"></span></header>\n\
             <main>\n{body}</main>\n</body>\n</html>\n"
        )
    }
}

/// A link to a run's page.
pub fn run_link(up: &str, name: &str) -> String {
    link(up, "run", name)
}

/// A link to a suite's page.
pub fn suite_link(up: &str, name: &str) -> String {
    link(up, "suite", name)
}

fn link(up: &str, what: &str, name: &str) -> String {
    format!("<a href=\"{up}{}\">{}</a>", address(what, name), text(name))
}

/// A page's address below the first one's: of a `run` or a `suite`.
pub fn address(what: &str, name: &str) -> String {
    format!("{what}/{}", utf8_percent_encode(name, NAME))
}

/// A table whose first column names the row. On a phone each row is a block, and each cell says its column.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let head: String = header
        .iter()
        .map(|cell| format!("<th scope=\"col\">{}</th>", text(cell)))
        .collect();
    let body: String = rows.iter().map(|row| table_row(header, row)).collect();
    format!("<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n")
}

fn table_row(header: &[&str], row: &[String]) -> String {
    let cells = header.iter().zip(row).enumerate();
    let cells: String = cells
        .map(|(column, (head, cell))| match column {
            0 => format!("<th scope=\"row\">{cell}</th>"),
            _ => format!("<td data-head=\"{}\">{cell}</td>", text(head)),
        })
        .collect();
    format!("<tr>{cells}</tr>\n")
}

/// A bar with words beside it. `part` is in `[0, 1]`.
pub fn bar(part: f64, words: &str) -> String {
    let percent = (100.0 * part).clamp(0.0, 100.0).round();
    format!(
        "<p class=\"bar\"><progress max=\"100\" value=\"{percent}\">{percent} %</progress> {}</p>\n",
        text(words)
    )
}

/// A run's state: a word in its colour.
pub fn state(state: State) -> String {
    let name = state.name();
    format!("<span class=\"state {name}\">{name}</span>")
}

/// A verdict: a word in its colour.
pub fn verdict(verdict: Verdict) -> String {
    let word = verdict.word();
    format!("<span class=\"state {word}\">{word}</span>")
}

/// A part of a page under a heading.
pub fn section(heading: &str, inside: &str) -> String {
    format!(
        "<section>\n<h2>{}</h2>\n{inside}</section>\n",
        text(heading)
    )
}

/// Sentences, a line each, that something is wrong.
pub fn warning(sentences: &str) -> String {
    let lines: Vec<String> = sentences.lines().map(text).collect();
    format!("<p class=\"warning\">{}</p>\n", lines.join("\n"))
}

/// Lines as they are, in a box that scrolls. `class`: `log` is shown from its end.
pub fn lines(class: &str, all: &[&str]) -> String {
    let lines: Vec<String> = all.iter().map(|line| text(line)).collect();
    format!(
        "<pre class=\"{class}\" tabindex=\"0\">{}</pre>\n",
        lines.join("\n")
    )
}

/// Words that stand in one line.
pub fn unbroken(words: &str) -> String {
    text(words).replace(' ', "\u{a0}")
}

/// Top-1 by frame count, each in one line.
pub fn top1(overview: &Overview) -> String {
    let words = listing::top1(overview);
    let words: Vec<String> = words.iter().map(|word| unbroken(word)).collect();
    words.join(" · ")
}
