//! The arguments of a reference, whose number was looked at before.

use crate::base::{Error, Kind, Result};

/// An argument that is there, since the table of references said so.
pub fn argument<'a>(args: &[&'a str], index: usize) -> &'a str {
    args.get(index).copied().unwrap_or_default()
}

/// A frame count among the arguments.
pub fn frames(args: &[&str], index: usize) -> Result<usize> {
    let word = argument(args, index);
    word.parse().map_err(|_| {
        let message = format!("expected a number of frames, found `{word}`");
        Error::new(Kind::Usage, message)
    })
}
