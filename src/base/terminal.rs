//! What a person reads: stdout, stderr, and how foreign text stands in it.
//!
//! Output that nobody reads never stops work. `print!` and its kin, which panic there, are used nowhere: clippy holds it.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};
use std::io::{ErrorKind, Write};
use std::path::Path;

use super::{Error, Kind, Result};

/// Writes on stdout, with hidden characters spelled out. A reader that went away is [`Kind::Unread`], which ends a command
/// quietly; anything else, a full disk say, is an error with its reason.
pub fn print(text: impl Display) -> Result<()> {
    print_exactly(&in_lines(&text.to_string()))
}

/// As [`print()`], to the byte: for JSON and other formats with escapes of their own.
pub fn print_exactly(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text.as_bytes());
    written
        .and_then(|()| stdout.flush())
        .map_err(|e| match e.kind() {
            ErrorKind::BrokenPipe => Error::new(Kind::Unread, "nobody reads stdout any more"),
            _ => Error::new(Kind::Io, format!("cannot write on stdout: {e}")),
        })
}

/// A line on stdout.
pub fn line(text: impl Display) -> Result<()> {
    print(format_args!("{text}\n"))
}

/// As [`print()`], while work is under way, which goes on where nobody reads: what is said stands in a file too.
pub fn tell(text: impl Display) {
    let _ = print(text);
}

/// A line on stderr, with hidden characters spelled out. Where nobody can read it, it is lost, and nothing else.
pub fn say(line: impl Display) {
    say_exactly(&in_lines(&line.to_string()));
}

/// As [`say`], for reports, which have colours of ours and show foreign text as they should.
pub fn say_exactly(line: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_all(format!("{line}\n").as_bytes());
}

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

/// With hidden characters spelled out that neither end a line nor are a tab.
fn in_lines(text: &str) -> Cow<'_, str> {
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
