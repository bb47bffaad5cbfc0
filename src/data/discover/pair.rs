//! A list of training and one of validation.

use std::path::PathBuf;

use super::Look;
use crate::base::{Result, Shown};
use crate::data::texts;

/// Two lists, by their paths below the folder of the experiment or of the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    pub train: String,
    pub validation: String,
}

impl Pair {
    /// The folder of the lists, with `/` at its end, or nothing.
    pub fn folder(&self) -> &str {
        let end = self.train.rfind('/').map_or(0, |slash| slash + 1);
        self.train.get(..end).unwrap_or_default()
    }

    /// The first lines of the training list that are not empty.
    pub fn first_lines(&self, look: &Look<'_>, most: usize) -> Result<Vec<String>> {
        let text = texts::read(&find(look, &self.train)?)?;
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        Ok(lines.take(most).map(str::to_owned).collect())
    }

    /// For messages.
    pub fn seen(&self) -> String {
        format!(
            "the lists `{}` and `{}`",
            self.train.shown(),
            self.validation.shown()
        )
    }
}

/// Where a list is: beside the experiment, else in the folder of the data.
pub fn find(look: &Look<'_>, name: &str) -> Result<PathBuf> {
    let places = [look.base.join(name), look.root.join(name)];
    texts::find(&format!("the list `{}`", name.shown()), &places).map_err(|error| {
        error.hint("`--lists` takes paths below the folder of the new file or of the data")
    })
}
