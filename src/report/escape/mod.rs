//! Text from outside as the text that a format shows, and as nothing else of that format.
//!
//! | target | function | what comes back |
//! |---|---|---|
//! | Markdown of GitHub and mdBook: paragraphs, headings, cells, links and their titles | [`markdown`], [`link`] | the text, [shown](Shown) |
//! | code in Markdown | [`code`], [`block`] | the same; a block keeps its lines and tabs |
//! | HTML, SVG, XML 1.0 | [`markup`] | the text, shown |
//! | LaTeX | [`latex`] | the text, shown |
//! | a cell of CSV | [`cell`] | the text, with an apostrophe before what a spreadsheet would compute |
//! | YAML | [`yaml`] | the text itself |
//! | the name of a file that is made | [`file_name`] | another name for each text |
//!
//! What people read has control characters and marks of direction spelled out, as on a terminal; what programs read has
//! them. Braces are entities wherever mdBook reads: its `{{#include}}` minds neither code nor elements.

#[cfg(test)]
mod tests;

use std::fmt::Write;

use crate::base::shown::is_hidden;
use crate::base::{Shown, files};

/// Signs that begin something in Markdown wherever they stand, smart quotes included.
const SPECIAL: &str = "\\|*_`[]<>&#~$\"'";

/// Markdown, in one line.
pub fn markdown(text: &str) -> String {
    let shown = text.shown();
    let mut out = String::with_capacity(shown.len() + 16);
    for (at, sign) in shown.char_indices() {
        let (before, rest) = shown.split_at(at);
        let after = rest.get(sign.len_utf8()..).unwrap_or_default();
        match sign {
            '{' => out.push_str("&#123;"),
            '}' => out.push_str("&#125;"),
            // What would be cut off, or be an indentation or a break.
            ' ' if before.is_empty() || after.is_empty() => out.push_str("&#32;"),
            sign if SPECIAL.contains(sign) || is_special_between(before, sign, after) => {
                out.extend(['\\', sign]);
            }
            sign => out.push(sign),
        }
    }
    out
}

/// Signs that begin something in Markdown only in some places.
fn is_special_between(before: &str, sign: char, after: &str) -> bool {
    let ends_word = || after.is_empty() || after.starts_with(' ');
    let digits = || !before.is_empty() && before.bytes().all(|byte| byte.is_ascii_digit());
    let tail = before.len().checked_sub(3).and_then(|at| before.get(at..));
    let address = || tail.is_some_and(|tail| tail.eq_ignore_ascii_case("www"));
    match sign {
        // Lists, lines under headings, definitions; two dashes are a longer one.
        '=' | ':' if before.is_empty() => true,
        '-' | '+' if before.is_empty() => ends_word() || after.starts_with(sign),
        '-' => before.ends_with('-'),
        // Ellipses, numbered lists, addresses.
        '.' => before.ends_with('.') || digits() && ends_word() || address(),
        ')' => digits() && ends_word(),
        ':' => after.starts_with('/'),
        _ => false,
    }
}

/// Code in a sentence or a cell of Markdown. An element, since nothing can be escaped between backticks.
pub fn code(text: &str) -> String {
    format!("<code>{}</code>", markdown(text))
}

/// Lines of code in Markdown, on lines of their own; with the name of a language to colour it by.
pub fn block(language: &str, text: &str) -> String {
    let lines: Vec<String> = text
        .lines()
        .map(|line| line.split('\t').map(markup).collect::<Vec<_>>().join("\t"))
        .collect();
    let lines = lines.join("\n");
    format!("<pre><code class=\"language-{language}\">{lines}\n</code></pre>\n")
}

/// A link in Markdown. `text` is Markdown already, `path` of plain signs ([`file_name`]).
pub fn link(text: &str, path: &str, title: &str) -> String {
    format!("[{text}]({path} \"{}\")", markdown(title))
}

/// HTML and XML 1.0, in elements and in quoted attributes.
pub fn markup(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.shown().chars() {
        match sign {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '{' => out.push_str("&#123;"),
            '}' => out.push_str("&#125;"),
            // XML has no such characters.
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            sign => out.push(sign),
        }
    }
    out
}

/// LaTeX, pdfLaTeX too: what our tables hold beyond ASCII is spelled in commands.
pub fn latex(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.shown().chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => escaped.extend(['\\', c]),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            '\\' => escaped.push_str("\\textbackslash{}"),
            '<' => escaped.push_str("\\textless{}"),
            '>' => escaped.push_str("\\textgreater{}"),
            '|' => escaped.push_str("\\textbar{}"),
            '`' => escaped.push_str("\\textasciigrave{}"),
            // In German babel it begins an umlaut; its command is not there in every encoding.
            '"' => escaped.push_str("\\char34{}"),
            // After a row's end they would belong to it: the length of a gap, a row that stays on its page.
            '[' | '*' => escaped.extend(['{', c, '}']),
            // Ligatures: dashes, closing quotes, Spanish marks.
            '-' | '\'' | ',' if escaped.ends_with(c) => escaped.extend(['{', c, '}']),
            '→' => escaped.push_str("$\\to$"),
            '×' => escaped.push_str("$\\times$"),
            '≥' => escaped.push_str("$\\geq$"),
            '≤' => escaped.push_str("$\\leq$"),
            'λ' => escaped.push_str("$\\lambda$"),
            '±' => escaped.push_str("$\\pm$"),
            '−' => escaped.push_str("$-$"),
            '–' => escaped.push_str("--"),
            '\u{a0}' => escaped.push('~'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A text in a cell of CSV, which the writer quotes. Spreadsheets compute what begins like a formula: an apostrophe goes
/// before it, and before what would be one after its own apostrophes, so that one can be taken off again.
pub fn cell(text: &str) -> String {
    let formula = ['=', '+', '-', '@', '\t', '\r'];
    match text.trim_start_matches('\'').starts_with(formula) {
        true => format!("'{text}"),
        false => text.to_owned(),
    }
}

/// A text in YAML, between double quotes.
pub fn yaml(text: &str) -> String {
    let mut out = "\"".to_owned();
    for sign in text.chars() {
        match sign {
            '"' | '\\' => out.extend(['\\', sign]),
            // Also the noncharacters, which YAML forbids; all of them are of 16 bits or of 32.
            sign if is_hidden(sign) || matches!(sign, '\u{fffe}' | '\u{ffff}') => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\U{:08x}", u32::from(sign));
            }
            sign => out.push(sign),
        }
    }
    out.push('"');
    out
}

/// The longest name that is kept as it is.
const LONGEST: usize = 120;

/// The name of a file that is called after something: the name itself where it is plain on every machine and in every
/// address, else its plain signs with 16 digits of its SHA-256. Never `index` or `readme`, which mdBook gives a meaning.
pub fn file_name(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let taken = ["", "index", "readme"].contains(&&*name.to_ascii_lowercase());
    let of_dots = name.chars().all(|c| c == '.');
    if name.chars().all(is_plain) && name.len() <= LONGEST && !taken && !of_dots {
        return name.to_owned();
    }
    let plain = name.chars().map(|c| if is_plain(c) { c } else { '-' });
    let plain: String = plain.take(LONGEST / 2).collect();
    let hash = files::sha256(name.as_bytes());
    format!("{plain}-{}", hash.get(..16).unwrap_or_default())
}
