//! How text from outside stands in what a person reads.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;

/// Text from outside as it may stand in a line for a person: an id, a class name, a path, another library's message.
pub trait Shown {
    /// Control characters, which would move the cursor, colour or forge lines, and signs that turn the direction of
    /// reading are spelled out: `\n`, `\u{1b}`.
    fn shown(&self) -> String;
}

impl Shown for str {
    fn shown(&self) -> String {
        spelled(self, is_hidden).into_owned()
    }
}

impl Shown for Path {
    fn shown(&self) -> String {
        self.to_string_lossy().shown()
    }
}

impl Shown for std::ffi::OsStr {
    fn shown(&self) -> String {
        self.to_string_lossy().shown()
    }
}

/// `1 mistake`, `2 mistakes`.
pub fn count(n: usize, what: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {what}{s}")
}

/// With hidden characters spelled out that neither end a line nor are a tab.
pub fn in_lines(text: &str) -> Cow<'_, str> {
    spelled(text, |sign| is_hidden(sign) && !matches!(sign, '\n' | '\t'))
}

fn spelled(text: &str, hidden: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for sign in text.chars() {
        match hidden(sign) {
            // Writing to a String cannot fail.
            true => drop(write!(out, "{}", sign.escape_default())),
            false => out.push(sign),
        }
    }
    Cow::Owned(out)
}

/// Whether a sign is not seen as itself: controls (C0, DEL, C1), separators of lines, marks of direction.
pub fn is_hidden(sign: char) -> bool {
    let turns =
        matches!(sign, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    sign.is_control() || turns || matches!(sign, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_steer_a_terminal() {
        assert_eq!("clip 7 über".shown(), "clip 7 über");
        assert_eq!(
            "7\u{1b}]0;title\u{7}\nerror: forged".shown(),
            "7\\u{1b}]0;title\\u{7}\\nerror: forged"
        );
        assert_eq!(in_lines("a\u{1b}[2J\n\tb\r"), "a\\u{1b}[2J\n\tb\\r");
        assert_eq!(Path::new("a\tb\u{202e}c").shown(), "a\\tb\\u{202e}c");
    }
}
