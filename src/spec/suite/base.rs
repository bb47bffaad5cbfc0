//! The experiment files that members start from.

use std::collections::BTreeMap;
use std::path::Path;

use crate::base::{Shown, files, limits};
use crate::spec;
use crate::spec::overlay::Base;

/// The experiment files of a suite, each read once.
pub struct Bases<'a> {
    folder: &'a Path,
    offset: usize,
    read: BTreeMap<String, Result<Base, Broken>>,
    /// Whole reports of files with mistakes.
    pub reports: Vec<String>,
    /// Rendered warnings of the files as they are.
    pub warnings: Vec<String>,
}

/// Why there is no experiment to start from.
pub enum Broken {
    /// The file cannot be read.
    Unreadable(String),
    /// Its mistakes are in the reports.
    Reported,
}

impl<'a> Bases<'a> {
    /// `offset`: where the places of the files begin.
    pub fn new(folder: &'a Path, offset: usize) -> Self {
        Self {
            folder,
            offset,
            read: BTreeMap::new(),
            reports: Vec::new(),
            warnings: Vec::new(),
        }
    }

    pub fn get(&mut self, path: &str) -> Result<&Base, &Broken> {
        if !self.read.contains_key(path) {
            let base = self.load(path);
            self.read.insert(path.to_owned(), base);
        }
        match self.read.get(path) {
            Some(Ok(base)) => Ok(base),
            Some(Err(broken)) => Err(broken),
            None => Err(&Broken::Reported),
        }
    }

    fn load(&mut self, path: &str) -> Result<Base, Broken> {
        let whole = self.folder.join(path);
        let text = files::read_text(&whole, limits::EXPERIMENT)
            .map_err(|error| Broken::Unreadable(error.message.clone()))?;
        let (_, warnings) = spec::parse(&whole.shown(), &text).map_err(|error| {
            self.reports.push(error.message);
            Broken::Reported
        })?;
        self.warnings.extend(warnings);
        let folder = whole.parent().unwrap_or(Path::new(""));
        Ok(Base::new(path, text, folder, self.offset))
    }
}
