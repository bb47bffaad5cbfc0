//! What the label files of a data set say: classes and samples. The layouts' readers fill it, and it is checked here.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::dataset::Sample;
use crate::base::{Error, Kind, Result};

/// A data set as its label files describe it.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Class names in label order.
    pub classes: Vec<String>,
    pub train: Vec<Sample>,
    pub validation: Vec<Sample>,
    /// The files this was read from, under the names that the pins give them.
    pub texts: Vec<(String, PathBuf)>,
}

/// What the experiment expects of it.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    pub classes: usize,
    pub train: Option<usize>,
    pub validation: Option<usize>,
}

impl Listing {
    /// Counts are the expected ones, no id comes twice, no sample is without its video. All that is wrong is in one error.
    pub fn check(
        &self,
        expected: Expected,
        is_missing: impl Fn(&Sample) -> Option<String>,
    ) -> Result<()> {
        let mut problems = Vec::new();
        let counts = [
            ("classes", self.classes.len(), Some(expected.classes)),
            ("training clips", self.train.len(), expected.train),
            (
                "validation clips",
                self.validation.len(),
                expected.validation,
            ),
        ];
        for (what, found, expected) in counts {
            if let Some(expected) = expected.filter(|expected| *expected != found) {
                problems.push(format!("{what}: expected {expected}, found {found}"));
            }
        }
        let mut seen = BTreeSet::new();
        let samples = || self.train.iter().chain(&self.validation);
        let twice: Vec<_> = samples()
            .filter(|sample| !seen.insert(&sample.id))
            .map(|sample| sample.id.clone())
            .collect();
        problems.extend(counted("ids listed more than once", &twice));
        let missing: Vec<_> = samples()
            .filter_map(|sample| Some(format!("{}  {}", sample.id, is_missing(sample)?)))
            .collect();
        let hint = match missing.is_empty() {
            true => "the lists must be those that the experiment was written for",
            false => "complete the data set; `--data-root` says which folder is meant",
        };
        problems.extend(counted("missing videos", &missing));
        match problems.is_empty() {
            true => Ok(()),
            false => Err(Error::new(Kind::Data, problems.join("\n")).hint(hint)),
        }
    }
}

/// What the items are, how many, and the first ten, one a line; nothing where there are none.
pub fn counted(what: &str, items: &[String]) -> Option<String> {
    const SHOWN: usize = 10;
    let mut text = match items.len() {
        0 => return None,
        count => format!("{what} ({count}):"),
    };
    for item in items.iter().take(SHOWN) {
        text.push_str("\n  ");
        text.push_str(item);
    }
    if items.len() > SHOWN {
        text.push_str(&format!("\n  and {} more", items.len() - SHOWN));
    }
    Some(text)
}
