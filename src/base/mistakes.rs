//! Everything that is wrong with a set of named things, told at once.

use std::collections::BTreeMap;

use super::{Error, Kind, Result};

/// Mistakes of one kind that are listed; of more only the number is told.
const LISTED: usize = 40;

/// A line for each mistake: its kind, and what it is about.
#[derive(Debug, Default)]
pub struct Mistakes {
    lines: Vec<String>,
    counts: BTreeMap<&'static str, usize>,
}

impl Mistakes {
    pub fn add(&mut self, kind: &'static str, what: &str) {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        if *count <= LISTED {
            self.lines.push(format!("  {kind:<10} {what}"));
        }
    }

    /// An error with one line for each mistake, if there is any.
    pub fn into_result(self, kind: Kind, what: &str) -> Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let mut lines = self.lines;
        for (kind, count) in self.counts {
            if let Some(more @ 1..) = count.checked_sub(LISTED) {
                lines.push(format!("  {kind:<10} {more} more"));
            }
        }
        let message = format!("the {what} does not fit the model:\n{}", lines.join("\n"));
        Err(Error::new(kind, message))
    }
}
