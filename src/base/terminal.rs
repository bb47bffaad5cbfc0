//! What a person reads: stdout and stderr.
//!
//! Output that nobody reads never stops work. `print!` and its kin, which panic there, are used nowhere: clippy holds it.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

pub use super::shown::{in_lines, is_hidden};
use super::{Error, Kind, Result};

/// Of several processes that do one thing together one speaks.
static SILENT: AtomicBool = AtomicBool::new(false);

/// From now on nothing is said or, where it is `false`, all is.
pub fn silence(silent: bool) {
    SILENT.store(silent, Ordering::Relaxed);
}

fn is_silent() -> bool {
    SILENT.load(Ordering::Relaxed)
}

/// Whether a person watches what is said.
pub fn is_watched() -> bool {
    !is_silent() && std::io::stderr().is_terminal()
}

/// Writes on stdout, with hidden characters spelled out. A reader that went away is [`Kind::Unread`], which ends a command
/// quietly; anything else, a full disk say, is an error with its reason.
pub fn print(text: impl Display) -> Result<()> {
    print_exactly(&in_lines(&text.to_string()))
}

/// As [`print()`], to the byte: for JSON and other formats with escapes of their own.
pub fn print_exactly(text: &str) -> Result<()> {
    if is_silent() {
        return Ok(());
    }
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
    if is_silent() {
        return;
    }
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_all(format!("{line}\n").as_bytes());
}
