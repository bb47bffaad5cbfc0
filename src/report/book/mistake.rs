//! What is wrong with a page, and where.

use super::markdown;
use crate::base::{Error, Kind, Shown};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Path of the page, as a person finds it.
    pub page: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    pub message: String,
}

impl Mistake {
    /// At a byte of a page's text.
    pub fn at(page: &str, text: &str, offset: usize, message: impl Into<String>) -> Self {
        let (line, column) = markdown::place(text, offset);
        Self {
            page: page.to_owned(),
            line,
            column,
            message: message.into(),
        }
    }
}

/// All mistakes as one error; none for an empty list.
pub fn into_error(mistakes: Vec<Mistake>) -> Option<Error> {
    if mistakes.is_empty() {
        return None;
    }
    let line = |m: &Mistake| {
        let message = m.message.replace("\n\n", "\n").replace('\n', "\n    ");
        format!("\n{}:{}:{}: {message}", m.page, m.line, m.column)
    };
    let count = match mistakes.len() {
        1 => "1 mistake".to_owned(),
        n => format!("{n} mistakes"),
    };
    let lines: String = mistakes.iter().map(line).collect();
    Some(Error::new(
        Kind::Mismatch,
        format!("the book has {count}:{lines}"),
    ))
}

/// What mdBook says, in its lines.
pub fn told(error: &mdbook_driver::errors::Error) -> String {
    let text = format!("{error:#}");
    let lines: Vec<String> = text.lines().map(Shown::shown).collect();
    lines.join("\n  ")
}
